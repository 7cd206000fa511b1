"""How a command over many files ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

__all__ = ["finish_files"]


def finish_files(outcomes: Sequence[tuple[Path, str | None]]) -> int:
    """Name the files that could not be used.

    Parameters
    ----------
    outcomes
        Each file, and why it could not be used or None.

    Returns
    -------
    int
        Exit status: 0 if all could be used, 1 if some, 2 if none.
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
