"""``csgnn-dgl compare figures`` and ``csgnn-dgl compare curve``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from csgnn_dgl._foreign import parse_integer
from csgnn_dgl._progress import shown
from csgnn_dgl.errors import ConfigError

__all__ = ["curve_command", "figures_command"]

_CONTEXT = {"max_content_width": 100, "show_default": True}


@click.command("figures", context_settings=_CONTEXT)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("results/figures"),
    help="Folder for the figures; or, with one figure, a file: .png, .svg or .pdf.",
)
@click.option("--only", help="Figures to draw, separated by commas.  [default: 2,3,5]")
@click.option(
    "--shape",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Mesh or cloud for Figure 2.  [default: a built-in solid]",
)
@click.option(
    "--format",
    "kind",
    help="png, svg or pdf.  [default: png, or that of the file's name]",
)
def figures_command(output: Path, only: str | None, shape: Path | None, kind: str | None) -> int:
    """Draw Figures 2, 3 and 5 of the paper from this package's own objects.

    2 is a cloud and its features on the concentric spheres, 3 the grid with its pooling and its
    convolutions, and 5 the carbon structures.
    """
    from csgnn_dgl.compare.figures import write_figures

    with shown(True):
        paths = write_figures(output, only=_figures(only), shape=shape, kind=kind)
    for path in paths:
        click.echo(str(path))
    return 0


def _figures(text: str | None) -> list[int] | None:
    if text is None:
        return None
    numbers = [parse_integer(part.strip()) for part in text.split(",") if part.strip()]
    if None in numbers:
        raise ConfigError(f"--only is {text!r}, but it must be numbers of figures, such as 2,3,5")
    return [number for number in numbers if number is not None]


@click.command("curve", context_settings=_CONTEXT)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--protocol",
    help="How the systems were trained: z, so3, none.  [default: z, if the folder has it]",
)
@click.option("--shapes", type=click.IntRange(min=1), default=60, help="Test shapes to turn.")
@click.option(
    "--axes",
    type=click.Choice(["horizontal", "uniform", "both"]),
    default="both",
    help="Axes to turn about: at right angles to the axis that points up, or any.",
)
@click.option(
    "--rotations", type=click.IntRange(1, 1000), default=1, help="Random axes for each shape."
)
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, help="Random seed of shapes and axes."
)
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, …")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The picture, .png, .svg or .pdf; CSV and JSON are written beside it.  [default: "
    "FOLDER/curve-PROTOCOL.png]",
)
def curve_command(
    folder: Path, protocol: str | None, output: Path | None, axes: str, **given: Any
) -> int:
    """Turn test shapes by 0 to 180 degrees, and measure how the answers of the systems change.

    FOLDER is that of a comparison, csgnn-dgl compare table1. Of each system that is done, the
    share of shapes that keep their class, the accuracy, and the change of the scores are written as
    a picture, CSV and JSON. All systems are given the same shapes and rotations.
    """
    from csgnn_dgl.compare.store import Store
    from csgnn_dgl.tasks.output_files import check_output
    from csgnn_dgl.tasks.plots import ENDINGS

    if output is not None:
        check_output(output, ENDINGS)
    store = Store.open(folder)
    from csgnn_dgl.compare.curve import CurveOptions, measure, write
    from csgnn_dgl.compare.pictures import draw_curve

    kinds: Any = ("horizontal", "uniform") if axes == "both" else (axes,)
    with shown(True):
        curve = measure(store, protocol, CurveOptions(axes=kinds, **given))
    paths = write(curve, output or folder / f"curve-{curve.protocol}.png", draw_curve)
    table = curve.systems().pivot_table(
        index="row", columns=["axes", "angle"], values="agreement", sort=False
    )
    click.echo("shapes that keep their class [%], by axes and angle")
    click.echo((100 * table.loc[:, (slice(None), [15, 45, 90, 180])]).round(1).to_string())
    if constant := curve.constant():
        click.echo(
            f"warning: {', '.join(constant)}: one class for all upright shapes, so that keeping it "
            f"says nothing; train longer",
            err=True,
        )
    if curve.missing:
        click.echo(f"not done: {', '.join(curve.missing)}", err=True)
    for path in paths:
        click.echo(str(path), err=True)
    if curve.failed:
        click.echo("\n  ".join(["error: not measured:", *curve.failed]), err=True)
    return 1 if curve.failed else 0
