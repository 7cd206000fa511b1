"""Errors that a user can act on: each message says what was found, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CSGNNError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DataWarning",
    "MissingDependencyError",
    "ResourceError",
    "StoppedError",
    "StructureError",
    "nearest_name",
    "suggest",
]


class CSGNNError(Exception):
    """Base of all errors that a user can fix; the message says how."""


class ConfigError(CSGNNError, ValueError):
    """An unknown option, or a value that is not allowed."""


class DataError(CSGNNError, ValueError):
    """Data that cannot be used: files, shapes, points or labels."""


class DataWarning(UserWarning):
    """Data that can be used, but may not be what they should be."""


class StructureError(DataError):
    """One of several structures cannot be used.

    A caller that knows a better name for the structure than its index can combine that name
    with ``problem``.

    Parameters
    ----------
    index
        Its index among the structures given.
    problem
        What is wrong with it, as a sentence without a full stop.
    formula
        Its chemical formula; empty if it has no atoms.

    Examples
    --------
    >>> error = StructureError(3, "the cell is NaN or infinite", "C2")
    >>> print(error)
    structure 3 (C2): the cell is NaN or infinite
    >>> error.index, error.problem
    (3, 'the cell is NaN or infinite')
    """

    def __init__(self, index: int, problem: str, formula: str = "") -> None:
        # All three are arguments of the base, so that the error can be pickled. Data loaders send
        # errors between processes.
        super().__init__(index, problem, formula)
        self.index, self.problem, self.formula = index, problem, formula

    def __str__(self) -> str:
        return f"structure {self.index} ({self.formula or 'empty'}): {self.problem}"


class CheckpointError(CSGNNError):
    """A run, a checkpoint or weights that are missing, broken or of another kind."""


class ResourceError(CSGNNError):
    """There is not enough memory or disk space, or no permission."""


class StoppedError(CSGNNError):
    """A training was stopped by Ctrl-C or a signal; the message says how to resume it."""


class MissingDependencyError(CSGNNError, ImportError):
    """A package or a system library that is not installed."""


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Find the known name that is most similar to ``name``; None if none is similar.

    Examples
    --------
    >>> nearest_name("epoch", ["epochs", "seed"])
    'epochs'
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def suggest(name: str, known: Iterable[str], what: str = "Known") -> str:
    """Make a hint that names the nearest known name and lists all known names, as ``what``.

    Examples
    --------
    >>> suggest("epoch", ["seed", "epochs"])
    "did you mean 'epochs'? Known: epochs, seed"
    >>> suggest("run", ["carbon-tb"], "Shipped models")
    'Shipped models: carbon-tb'
    """
    names = sorted(known)
    nearest = nearest_name(name, names)
    hint = f"did you mean {nearest!r}? " if nearest else ""
    return f"{hint}{what}: {', '.join(names)}"
