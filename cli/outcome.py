"""The end of a command that works on many files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

__all__ = ["finish_files"]


def finish_files(outcomes: Sequence[tuple[Path, str | None]]) -> int:
    """Print the files that could not be used.

    Parameters
    ----------
    outcomes
        Each file, with the reason why it could not be used, or None.

    Returns
    -------
    int
        Exit status: 0 if all files could be used, 1 if some could, 2 if none could.
    """
    errors = [error for _, error in outcomes if error is not None]
    if not errors:
        return 0
    if len(outcomes) == 1:
        click.echo(f"error: {errors[0]}", err=True)
    else:
        count = f"{len(errors)} of {len(outcomes)} files cannot be used"
        click.echo("\n  ".join([f"error: {count}:", *errors]), err=True)
    return 2 if len(errors) == len(outcomes) else 1
