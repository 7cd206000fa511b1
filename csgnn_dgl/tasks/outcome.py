"""What a command over many files has to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Outcome"]


@dataclass(frozen=True)
class Outcome:
    """Results of files, for people and for programs.

    Parameters
    ----------
    lines
        For people.
    content
        For programs: plain values, an entry per file.
    errors
        Each file, and why it could not be used or None.
    """

    lines: Sequence[str]
    content: Sequence[Any]
    errors: Sequence[tuple[Path, str | None]]
