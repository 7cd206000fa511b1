"""Find weights: those that come with the package, and those that a user names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import csgnn_dgl
from csgnn_dgl.errors import CheckpointError, suggest
from csgnn_dgl.tasks.run_directory import RunDirectory

__all__ = ["ShippedModel", "find_weights", "limits_of", "shipped_models", "weights_file"]

FOLDER = Path(csgnn_dgl.__file__).parent / "weights"


@dataclass(frozen=True)
class ShippedModel:
    """A trained model that comes with the package.

    Parameters
    ----------
    name
        Name by which users ask for it.
    path
        File of its weights.
    kind
        Kind of its target: ``dos``, or ``classifier``.
    description, training_data
        What it predicts, and the data it was trained on.
    figures
        Its test results by name, with units in the names.
    limits
        What it cannot do, in sentences.
    recipe
        The command that trains it.
    without_intervals
        Quantities without intervals, because theirs hold on average, but not for a kind of sample
        that users will ask about.
    """

    name: str
    path: Path
    kind: str
    description: str
    training_data: str
    figures: Mapping[str, Any]
    limits: tuple[str, ...]
    recipe: str
    without_intervals: tuple[str, ...] = ()

    @property
    def is_here(self) -> bool:
        """Whether its weights are installed."""
        return self.path.is_file()

    def to_dict(self) -> dict[str, Any]:
        """The entries as plain values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "installed": self.is_here,
            "description": self.description,
            "training_data": self.training_data,
            "figures": dict(self.figures),
            "limits": list(self.limits),
            "recipe": self.recipe,
            "without_intervals": list(self.without_intervals),
            "file": str(self.path),
            "bytes": self.path.stat().st_size if self.is_here else None,
        }


@cache
def shipped_models() -> dict[str, ShippedModel]:
    """All models of the package, by name.

    Examples
    --------
    >>> sorted(shipped_models())
    ['carbon-all', 'carbon-tb', 'phonon-dos', 'phonon-dos-4', 'shapes', 'shapes-small']
    """
    content = json.loads((FOLDER / "models.json").read_text(encoding="utf-8"))
    return {
        name: ShippedModel(
            name,
            FOLDER / entry["file"],
            entry["kind"],
            entry["description"],
            entry["training_data"],
            entry["figures"],
            tuple(entry["limits"]),
            entry["recipe"],
            tuple(entry.get("without_intervals", ())),
        )
        for name, entry in content.items()
    }


def limits_of(path: Path) -> tuple[str, ...]:
    """What the shipped model in a file cannot do, in sentences; nothing for other files."""
    found = [model.limits for model in shipped_models().values() if model.path == path]
    return found[0] if found else ()


def find_weights(weights: str | Path) -> Path:
    """Find the file or run directory that ``weights`` names: a path, or else a shipped model.

    Raises
    ------
    CheckpointError
        There is neither; the message names the existing ones.
    """
    path = Path(weights)
    model = shipped_models().get(str(weights))
    # A folder of data may have the name of a shipped model, so only runs and files go before it.
    if path.is_file() or (path / "config.yaml").is_file():
        return path
    if model is not None:
        if not model.is_here:
            raise CheckpointError(
                f"the weights of {model.name} are not part of this installation ({model.path} is "
                f"missing); install csgnn-dgl again, or make them: {model.recipe}"
            )
        return model.path
    try:
        return RunDirectory.open(path).path
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}. {suggest(str(weights), shipped_models(), 'Shipped models')}"
        ) from None


def weights_file(path: Path) -> Path:
    """Return the file of weights of a run directory, or the file itself."""
    return path if path.is_file() else RunDirectory.open(path).model
