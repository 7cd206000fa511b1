"""One style for all plots, and those that every run has. They are written as PNG, PDF or SVG."""

from __future__ import annotations

import io
import re
import textwrap
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from cycler import cycler
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, StrMethodFormatter

from csgnn_dgl._files import atomic_write

__all__ = [
    "COLORS",
    "ENDINGS",
    "MAIN",
    "MARK",
    "REFERENCE",
    "STYLE",
    "PictureFormat",
    "figure_bytes",
    "plot_curves",
    "pretty_unit",
    "save_figure",
    "set_labels",
    "set_seconds",
    "styled",
    "wrapped",
]

PictureFormat = Literal["png", "pdf", "svg"]
#: Endings of files that a figure can be written to.
ENDINGS = (".png", ".pdf", ".svg")
#: Colours of a reference, of what is compared with it, and of marks such as a Fermi level.
REFERENCE, MAIN, MARK = "#222222", "#cc6677", "#4477aa"
#: Colours of several curves or groups, which colour-blind readers can tell apart (Paul Tol).
COLORS = (
    *("#332288", "#cc6677", "#44aa99", "#ddcc77", "#88ccee", "#117733", "#aa4499", "#999933"),
    *("#882255", "#6699cc", "#661100", "#888888"),
)
#: Settings of matplotlib for all figures. Some versions declare the names, hence Any.
STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=COLORS),
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.3,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    # Text of a PDF stays text. That of an SVG becomes outlines, since a viewer may lack the font.
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    # Equal figures give equal files.
    "svg.hashsalt": "csgnn-dgl",
}
#: Decorator of functions that draw: axes take the style when they are made.
styled = rc_context(STYLE)
# Without dates, equal figures give equal files.
_METADATA: dict[str, Any] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
# Mean width of a character, in units of the size of the font.
_CHARACTER = 0.52
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@styled
def plot_curves(
    table: pd.DataFrame,
    path: Path,
    *,
    loss: str,
    second: str,
    second_unit: str,
    factor: float = 1,
    limits: tuple[float, float] | None = None,
    log: bool = False,
) -> None:
    """Plot the loss, a second metric and the learning rate against the epoch.

    Parameters
    ----------
    table
        Columns of :class:`~csgnn_dgl.tasks.history.History`, one row per epoch.
    path
        Picture to write.
    loss
        Label of the loss axis.
    second, second_unit, factor, limits
        The second metric: its name in the table after ``train_`` and ``validation_``, its unit,
        a factor to multiply it by, and the range of its axis.
    log
        Logarithmic axes for the loss and the second metric.
    """
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    epochs = table["epoch"]
    marker = "o" if len(table) < 3 else None  # a line through one point is invisible
    for axes, name, times in ((left, "loss", 1.0), (middle, second, factor)):
        for split, color in (("train", MARK), ("validation", MAIN)):
            label = "training (augmented)" if split == "train" else "validation"
            values = times * table[f"{split}_{name}"]
            axes.plot(epochs, values, color=color, label=label, marker=marker)
        if log:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
    set_labels(left, title="Loss", x="epoch", y=loss)
    title = second.replace("_", " ").capitalize()
    set_labels(middle, title=title, x="epoch", y=pretty_unit(second_unit))
    if limits is not None:
        middle.set_ylim(*limits)
    middle.legend()
    right.plot(epochs, table["learning_rate"], color="#444444", marker=marker)
    set_labels(right, title="Learning rate, end of epoch", x="epoch")
    right.set_ylim(bottom=0)
    for axes in (left, middle, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
    save_figure(figure, path)


def pretty_unit(text: str) -> str:
    """Write powers in a unit as readers expect them.

    Examples
    --------
    >>> pretty_unit("cm^-1"), pretty_unit("1/cm"), pretty_unit("states/eV/Å^3"), pretty_unit("eV")
    ('cm⁻¹', 'cm⁻¹', 'states/eV/Å³', 'eV')
    """
    text = re.sub(r"^1/(\w+)$", r"\1^-1", text)
    text = re.sub(r"\bcm-1\b", "cm^-1", text)
    return re.sub(
        r"(?:\^|\*\*)\{?(-?\d+)\}?", lambda found: found[1].translate(_SUPERSCRIPTS), text
    )


def wrapped(text: str, inches: float, size: float = 9) -> str:
    """Break lines that are longer than a number of inches at a size of the font.

    Examples
    --------
    >>> wrapped("a long heading", 0.8)
    'a long\\nheading'
    """
    columns = max(8, int(72 * inches / (_CHARACTER * size)))
    lines = (textwrap.wrap(line, columns) or [""] for line in text.split("\n"))
    return "\n".join(part for line in lines for part in line)


def set_labels(
    axes: Axes, *, title: str | None = None, x: str | None = None, y: str | None = None
) -> None:
    """Set the title and labels of axes, broken into lines where they are longer than the axes."""
    box, figure = axes.get_position(), axes.figure
    assert isinstance(figure, Figure)
    # The layout makes room for ticks and labels later.
    width, height = 0.85 * figure.get_size_inches() * (box.width, box.height)
    if title is not None:
        axes.set_title(wrapped(title, width))
    if x is not None:
        axes.set_xlabel(wrapped(x, width))
    if y is not None:
        axes.set_ylabel(wrapped(y, height))


def set_seconds(axes: Axes) -> None:
    """Make the horizontal axis one of seconds of training: logarithmic, with plain numbers."""
    axes.set(xscale="log", xlabel="seconds of training")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    # Within two powers of ten, numbers stand between these, too.
    axes.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))


def figure_bytes(figure: Figure, format: PictureFormat = "png", *, dpi: int = 130) -> bytes:
    """A figure as the content of a file. Nothing at its margins is cut off."""
    # pyplot would need a display, keep global state, and have to be closed.
    FigureCanvasAgg(figure)
    content = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(
            content,
            format=format,
            dpi=dpi,
            bbox_inches="tight",
            pad_inches=0.08,
            metadata=_METADATA.get(format),
        )
    return content.getvalue()


def save_figure(figure: Figure, path: Path, *, dpi: int = 130, colors: int | None = None) -> None:
    """Write a figure as PNG, PDF or SVG, by the ending, completely or not at all.

    Parameters
    ----------
    figure
        The figure.
    path
        The file.
    dpi
        Resolution of PNG files.
    colors
        Number of colours to keep in PNG files, at most 256, which makes them small; None for all.
    """
    ending = path.suffix.lower()
    # Commands have checked the endings that users chose.
    format: Any = ending[1:] if ending in ENDINGS else "png"
    content = figure_bytes(figure, format, dpi=dpi)
    if format == "png" and colors is not None:
        content = _with_few_colors(content, colors)
    with atomic_write(path, "wb") as file:
        file.write(content)


def _with_few_colors(png: bytes, colors: int) -> bytes:
    """The same picture with a palette."""
    from PIL import Image

    found = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        # This method also keeps colours that only a few pixels have.
        method = Image.Quantize.MAXCOVERAGE
        small = picture.convert("RGB").quantize(colors, method, dither=Image.Dither.NONE)
        small.save(found, format="png", optimize=True)
    return found.getvalue()
