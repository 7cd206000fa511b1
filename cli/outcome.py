"""The end of a command that works on many files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from csgnn_dgl._foreign import message_text, printable

__all__ = ["echo_json", "echo_line", "finish_files"]


def echo_line(line: str, *, err: bool = False) -> None:
    """Print one line; control characters in it are escaped."""
    click.echo(printable(line), err=err)


def echo_json(content: Any) -> None:
    """Print JSON; what a terminal could not show is escaped, which JSON reads as the same."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    click.echo("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


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
    errors = [message_text(error) for _, error in outcomes if error is not None]
    if not errors:
        return 0
    if len(outcomes) == 1:
        click.echo(f"error: {errors[0]}", err=True)
    else:
        count = f"{len(errors)} of {len(outcomes)} files cannot be used"
        click.echo("\n  ".join([f"error: {count}:", *errors]), err=True)
    return 2 if len(errors) == len(outcomes) else 1
