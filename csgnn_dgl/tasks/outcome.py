"""Result of a command that works on many files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Outcome"]


@dataclass(frozen=True)
class Outcome:
    """Results of files, as text and as data.

    Parameters
    ----------
    lines
        Text to print.
    content
        The same as plain values for JSON, one entry per file.
    errors
        Each file, with the reason why it could not be used, or None.
    """

    lines: Sequence[str]
    content: Sequence[Any]
    errors: Sequence[tuple[Path, str | None]]
