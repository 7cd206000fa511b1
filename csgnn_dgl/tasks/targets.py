"""The kinds of target. Only this module asks what kind a run or a file of weights is.

Each target is a package with the modules ``train``, ``evaluate``, ``relearn``, ``predict`` and
``export``; that of shapes has ``retrieval``, too. These are imported when they are used, so this
module does not import torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csgnn_dgl._foreign import quoted
from csgnn_dgl.errors import CheckpointError
from csgnn_dgl.models.registry import Domain
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.use_config import EvaluateConfig, PredictConfig

__all__ = ["TARGETS", "Target", "target_of"]

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Target:
    """A quantity that networks are trained to predict.

    Parameters
    ----------
    kind
        Its name in the header of weights.
    command
        Its name in ``csgnn-dgl train <command>``.
    domain
        Kind of input of its models.
    does
        What its networks do, as in "RUN classifies shapes".
    room
        Name of the package with its modules.
    own_options
        Options of evaluation and prediction that only this target has.
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
        """Resume a run."""
        run: RunDirectory = self._room("train").resume(path, echo, model=model)
        return run

    def closing_lines(self, run: RunDirectory) -> list[str]:
        """Describe the result of a training, in lines to print."""
        lines: list[str] = self._room("train").closing_lines(run)
        return lines

    def evaluate(self, weights: Path, config: EvaluateConfig) -> Any:
        """Test a network, or its embedding; the result has ``lines``, and ``content`` for JSON."""
        self.refuse_others(config, str(weights))
        room = "retrieval" if config.retrieval else "evaluate"
        return self._room(room).evaluate(weights, config)

    def predict(
        self, weights: Path, files: Sequence[Path], config: PredictConfig, done: Progress
    ) -> Any:
        """Predict for files; returns an :class:`~csgnn_dgl.tasks.outcome.Outcome`."""
        self.refuse_others(config, str(weights))
        return self._room("predict").predict_outcome(weights, files, config, done=done)

    def relearn(self, weights: str | Path, config: EvaluateConfig) -> Any:
        """Learn what a network knows; returns a :class:`~csgnn_dgl.tasks.learned.Relearned`."""
        return self._room("relearn").relearn(weights, config)

    def export(self, weights: Path, output: Path, model: Any) -> None:
        """Write a program that needs only torch."""
        self._room("export").export(weights, output, model=model)

    def _room(self, name: str) -> Any:
        return importlib.import_module(f"{self.room}.{name}")

    def refuse_others(self, config: EvaluateConfig | PredictConfig, weights: str) -> None:
        """Refuse options that mean something to another target alone.

        Raises
        ------
        ConfigError
            One of them was chosen; says where.
        """
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
            ("rotation", "batch_size", "retrieval", "top"),
        ),
        Target(
            "dos",
            "dos",
            "atoms",
            "predicts densities of states",
            "csgnn_dgl.tasks.dos",
            ("electrons", "occupancy", "plot", "plot_format"),
        ),
    )
}


def target_of(weights: Path) -> Target:
    """Find the target of a run directory or a file of weights.

    Raises
    ------
    CheckpointError
        There are no weights, or this version does not know their kind.
    """
    from csgnn_dgl.tasks.shipped import weights_file
    from csgnn_dgl.tasks.weights import read_kind

    file = weights_file(weights)
    kind = read_kind(file)
    if kind not in TARGETS:
        raise CheckpointError(
            f"{file} holds a model of the kind {quoted(kind)}, and this version of csgnn-dgl knows "
            f"{', '.join(map(repr, TARGETS))}; upgrade csgnn-dgl"
        )
    return TARGETS[kind]
