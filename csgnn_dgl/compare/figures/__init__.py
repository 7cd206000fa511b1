"""Figures 2, 3 and 5 of the paper, drawn from this package's own objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from csgnn_dgl._files import resource_error
from csgnn_dgl._progress import each
from csgnn_dgl.errors import ConfigError, suggest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FIGURES", "write_figures"]

#: Numbers of the figures in the paper, and what each shows.
FIGURES = {
    2: "a cloud becomes features of the vertices of concentric spheres",
    3: "the icosahedral grid, its pooling, and its two convolutions",
    5: "the eight carbon structures",
}


def write_figures(
    output: Path,
    *,
    only: Sequence[int] | None = None,
    shape: Path | None = None,
    kind: str | None = None,
) -> list[Path]:
    """Draw figures of the paper.

    Parameters
    ----------
    output
        Folder for ``figure-2.png`` and so on, which is made if it is not there. With one figure, it
        may be a file: a name that ends in .png, .svg or .pdf.
    only
        Numbers of :data:`FIGURES`; None for all.
    shape
        Mesh or cloud for Figure 2; None for a built-in solid.
    kind
        Format: ``png``, ``svg`` or ``pdf``; None for PNG, or for that of the file's name.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    ConfigError
        There is no such figure or format, a shape is given but Figure 2 is not drawn, or one file
        is named for several figures.
    DataError
        The shape cannot be used.
    ResourceError
        A file cannot be written.
    """
    from csgnn_dgl.tasks.plots import ENDINGS, save_figure

    numbers = list(FIGURES) if only is None else list(only)
    for number in numbers:
        if number not in FIGURES:
            raise ConfigError(
                f"there is no figure {number} to draw; choose of {', '.join(map(str, FIGURES))}"
            )
    if not numbers or len(set(numbers)) != len(numbers):
        raise ConfigError(f"the figures are {numbers}, but each must be named once, and some")
    if shape is not None and 2 not in numbers:
        raise ConfigError(f"{shape} is a shape for Figure 2, which is not drawn; leave it out")
    if kind is not None and f".{kind}" not in ENDINGS:
        known = [suffix[1:] for suffix in ENDINGS]
        raise ConfigError(f"there is no format {kind!r}: {suggest(kind, known)}")
    if output.suffix.lower() in ENDINGS and not output.is_dir():
        if len(numbers) > 1:
            raise ConfigError(
                f"{output} is one file for {len(numbers)} figures; name a folder, or one figure"
            )
        if kind is not None and output.suffix.lower() != f".{kind}":
            raise ConfigError(f"{output} is no .{kind}; leave the format out, or change the name")
        paths = [output]
    else:
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise resource_error(error, output, "make") from error
        paths = [output / f"figure-{number}.{kind or 'png'}" for number in numbers]
    for number, path in each(list(zip(numbers, paths, strict=True)), "figures"):
        save_figure(_draw(number, shape), path, dpi=150, colors=256)
    return paths


def _draw(number: int, shape: Path | None) -> Figure:
    if number == 2:
        from csgnn_dgl.compare.figures.cloud import draw_cloud

        return draw_cloud(shape)
    if number == 3:
        from csgnn_dgl.compare.figures.grid import draw_grid

        return draw_grid()
    from csgnn_dgl.compare.figures.carbon import draw_carbon

    return draw_carbon()
