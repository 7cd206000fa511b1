"""What commands print that work in many processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from csgnn_dgl._progress import shown, working
from csgnn_dgl.cli.outcome import echo_json, echo_line
from csgnn_dgl.tasks.use_config import ManyConfig

if TYPE_CHECKING:
    from csgnn_dgl.tasks.many.run import Summary

__all__ = ["run_many"]


def run_many(
    work: Callable[[Callable[[int], object]], Summary],
    config: ManyConfig,
    what: str,
    *,
    as_json: bool,
) -> int:
    """Do the work, show its progress, and print its summary.

    Parameters
    ----------
    work
        Takes a function that counts finished frames.
    config
        Options of the command.
    what
        What was done with how many frames, as in "structures described".
    as_json
        Print JSON.

    Returns
    -------
    int
        Exit status: 0 if all frames could be used, 1 if some could, 2 if none could.
    """
    with shown(config.progress), working(what) as done:
        summary = work(done)
    if as_json:
        echo_json(summary.plain())
    else:
        for line in summary.lines(what):
            echo_line(line)
    status, errors = summary.errors()
    for index, line in enumerate(errors):
        click.echo(f"{'  ' if index else 'error: '}{line}", err=True)
    return status
