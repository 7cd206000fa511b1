"""Errors that a user can act on: each message says what was found, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CSGNNError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "MissingDependencyError",
    "ResourceError",
    "StoppedError",
    "nearest_name",
    "suggest",
]


class CSGNNError(Exception):
    """Base of all errors that a user can mend; the message is all there is to say."""


class ConfigError(CSGNNError, ValueError):
    """An unknown option, or a value that is not allowed."""


class DataError(CSGNNError, ValueError):
    """Files, shapes, points or labels that cannot be used."""


class CheckpointError(CSGNNError):
    """A run, a checkpoint or weights that are missing, broken or of another kind."""


class ResourceError(CSGNNError):
    """Not enough memory or disk, or no permission."""


class StoppedError(CSGNNError):
    """Ended from outside, by Ctrl-C or a signal; the message says how to go on."""


class MissingDependencyError(CSGNNError, ImportError):
    """A package or a system library that is not installed."""


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like ``name``, if any looks like it.

    Examples
    --------
    >>> nearest_name("epoch", ["epochs", "seed"])
    'epochs'
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def suggest(name: str, known: Iterable[str]) -> str:
    """A sentence naming the nearest known name and all of them.

    Examples
    --------
    >>> suggest("epoch", ["seed", "epochs"])
    "did you mean 'epochs'? Known: epochs, seed"
    """
    names = sorted(known)
    nearest = nearest_name(name, names)
    hint = f"did you mean {nearest!r}? " if nearest else ""
    return f"{hint}Known: {', '.join(names)}"
