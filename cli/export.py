"""``csgnn-dgl export``."""

from __future__ import annotations

from pathlib import Path

import click

from csgnn_dgl._progress import shown, working

__all__ = ["export_command"]


@click.command(context_settings={"max_content_width": 100, "show_default": True})
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("model.pt2"),
    help="File to write.",
)
@click.option(
    "--model",
    help="Your own model that RUN belongs to: module:Class. A module of yours is imported only if "
    "you name it.",
)
def export_command(run: Path, output: Path, model: str | None) -> None:
    """Write the model of RUN as a file that torch runs without this package.

    RUN is a run directory, a .safetensors file, or a shipped model (csgnn-dgl models).

    Load the file with torch.export.load(FILE).module(). A classifier takes clouds (B, N, 3) and
    returns scores. A model of densities of states takes neighbours and returns descriptors and
    curves of atoms. The file also holds classes, energies and cutoff as JSON.
    """
    with shown(), working("exporting"):
        from csgnn_dgl.export import export_model

        kind = export_model(run, output, model=model)
    click.echo(f"{output}: {kind} of {run}")
