"""``csgnn-dgl view``."""

from __future__ import annotations

from pathlib import Path

import click

from csgnn_dgl.cli.options import config_options
from csgnn_dgl.cli.outcome import echo_line
from csgnn_dgl.viewing.config import ViewConfig

__all__ = ["view_command"]


@config_options(ViewConfig)
@click.argument("file", type=click.Path(path_type=Path))
def view_command(config: ViewConfig, given: set[str], file: Path) -> None:
    """Write a page that shows FILE, and with --model what a model says about it.

    The page opens in any browser, and needs no network.

    \b
    A mesh or a cloud: its points, and its sites on the concentric spheres. With a model, the
    features of every layer there, class probabilities, and the points that the answer rests on.
    A structure: its atoms and cell; click an atom to see its surroundings on the spheres. With a
    model, its own density of states beside the total, Fermi level, gap and out-of-domain score.
    """
    from csgnn_dgl.viewing.view import view_file

    viewed = view_file(file, config)
    for line in viewed.lines:
        echo_line(line)
    echo_line(f"page: {viewed.path} ({viewed.size / 1e6:.1f} MB)")
