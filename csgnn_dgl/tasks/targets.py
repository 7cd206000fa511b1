"""What kinds of target there are: the one place that asks what a run or a file of weights is.

A target is a room with the same files: ``train``, ``evaluate``, ``predict`` and ``export``. They
are imported when they are used; this module is free of torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csgnn_dgl.errors import CheckpointError
from csgnn_dgl.models.registry import Domain
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.use_config import EvaluateConfig, PredictConfig

__all__ = ["TARGETS", "Target", "target_of"]

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Target:
    """What a network is trained for.

    Parameters
    ----------
    kind
        As the header of weights names it.
    command
        As in ``csgnn-dgl train <command>``.
    domain
        What its models are for.
    does
        What its networks do, as in "RUN classifies shapes".
    room
        The package of its files.
    own_options
        Options of evaluation and prediction that mean something to it alone.
    """

    kind: str
    command: str
    domain: Domain
    does: str
    room: str
    own_options: tuple[str, ...]

    def train(self, config: Any, echo: Callable[[str], object]) -> RunDirectory:
        """Train in a new run directory."""
        run: RunDirectory = self._room("train").train(config, echo)
        return run

    def resume(self, path: Path, echo: Callable[[str], object], model: Any) -> RunDirectory:
        """Go on with a run."""
        run: RunDirectory = self._room("train").resume(path, echo, model=model)
        return run

    def closing_lines(self, run: RunDirectory) -> list[str]:
        """What came out of a training, for people."""
        lines: list[str] = self._room("train").closing_lines(run)
        return lines

    def evaluate(self, weights: Path, config: EvaluateConfig) -> list[str]:
        """Test a network; gives what came out, for people."""
        self.refuse_others(config, str(weights))
        lines: list[str] = self._room("evaluate").evaluate(weights, config).lines
        return lines

    def predict(
        self, weights: Path, files: Sequence[Path], config: PredictConfig, done: Progress
    ) -> Any:
        """Predict for files; gives a :class:`~csgnn_dgl.tasks.outcome.Outcome`."""
        self.refuse_others(config, str(weights))
        return self._room("predict").predict_outcome(weights, files, config, done=done)

    def export(self, weights: Path, output: Path, model: Any) -> None:
        """Write a program for torch alone."""
        self._room("export").export(weights, output, model=model)

    def _room(self, name: str) -> Any:
        return importlib.import_module(f"{self.room}.{name}")

    def refuse_others(self, config: Any, weights: str) -> None:
        """Refuse options of other targets."""
        others = [
            name
            for target in TARGETS.values()
            if target is not self
            for name in target.own_options
            if name in type(config).model_fields and name not in self.own_options
        ]
        config.refuse_unused(others, f"{weights} {self.does}")


TARGETS: Mapping[str, Target] = {
    target.kind: target
    for target in (
        Target(
            "classifier",
            "modelnet",
            "shapes",
            "classifies shapes",
            "csgnn_dgl.tasks.classes",
            ("rotation", "batch_size", "top"),
        ),
        Target(
            "dos",
            "dos",
            "atoms",
            "predicts densities of states",
            "csgnn_dgl.tasks.dos",
            ("electrons", "occupancy", "output", "plot"),
        ),
    )
}


def target_of(weights: Path) -> Target:
    """The target of a run directory or a file of weights.

    Raises
    ------
    CheckpointError
        No weights there, or of a kind that this version does not know.
    """
    from csgnn_dgl.tasks.shipped import weights_file
    from csgnn_dgl.tasks.weights import read_kind

    file = weights_file(weights)
    kind = read_kind(file)
    if kind not in TARGETS:
        raise CheckpointError(
            f"{file} holds a model of the kind {kind!r}, and this version of csgnn-dgl knows "
            f"{', '.join(map(repr, TARGETS))}; upgrade csgnn-dgl"
        )
    return TARGETS[kind]
