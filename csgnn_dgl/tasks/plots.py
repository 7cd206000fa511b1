"""Plots that every run has, and how pictures are written."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from csgnn_dgl._files import atomic_write
from csgnn_dgl.errors import ConfigError

__all__ = ["PICTURES", "check_picture", "plot_curves", "save_figure", "tidy"]

#: Suffixes of pictures that can be written.
PICTURES = (".png", ".svg", ".pdf")
_TRAINING, _VALIDATION = "#4477aa", "#cc6677"


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
        PNG to write.
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
        for split, color in (("train", _TRAINING), ("validation", _VALIDATION)):
            label = "training (augmented)" if split == "train" else "validation"
            values = times * table[f"{split}_{name}"]
            axes.plot(epochs, values, color=color, label=label, marker=marker)
        if log:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
    left.set(title="Loss", ylabel=loss)
    middle.set(title=second.replace("_", " ").capitalize(), ylabel=second_unit)
    if limits is not None:
        middle.set_ylim(*limits)
    middle.legend(frameon=False)
    right.plot(epochs, table["learning_rate"], color="#444444", marker=marker)
    right.set(title="Learning rate, end of epoch")
    right.set_ylim(bottom=0)
    for axes in (left, middle, right):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        tidy(axes)
    save_figure(figure, path)


def tidy(axes: Axes) -> None:
    """Draw a faint grid, and remove the frame above and on the right."""
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def check_picture(path: Path) -> None:
    """Refuse a name for a picture whose format cannot be written, before any work.

    Raises
    ------
    ConfigError
        Its suffix is none of :data:`PICTURES`.

    Examples
    --------
    >>> check_picture(Path("curves.gif"))
    Traceback (most recent call last):
    csgnn_dgl.errors.ConfigError: curves.gif is no .png, .svg, .pdf; choose one of these suffixes
    """
    if path.suffix.lower() not in PICTURES:
        raise ConfigError(f"{path} is no {', '.join(PICTURES)}; choose one of these suffixes")


def save_figure(figure: Figure, path: Path, *, dpi: int = 130, colors: int | None = None) -> None:
    """Write a figure, completely or not at all, in the format that the file's suffix names.

    Parameters
    ----------
    figure
        The figure.
    path
        The file, with a suffix of :data:`PICTURES`.
    dpi
        Resolution of PNG files.
    colors
        Number of colours to keep in PNG files, at most 256, which makes them small; None for all.

    Raises
    ------
    ConfigError
        The suffix is another.
    ResourceError
        The file cannot be written.
    """
    check_picture(path)
    kind = path.suffix.lower()
    # pyplot would need a display, keep global state, and have to be closed.
    FigureCanvasAgg(figure)
    content = io.BytesIO()
    # The same figure gives the same file: no dates, no random names.
    date = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[kind]
    with rc_context({"svg.hashsalt": "csgnn-dgl"}):
        figure.savefig(content, format=kind[1:], dpi=dpi, metadata=date)
    if kind == ".png" and colors is not None:
        content = _with_few_colors(content, colors)
    with atomic_write(path, "wb") as file:
        file.write(content.getvalue())


def _with_few_colors(png: io.BytesIO, colors: int) -> io.BytesIO:
    """The same picture with a palette."""
    from PIL import Image

    found = io.BytesIO()
    with Image.open(png) as picture:
        # This method also keeps colours that only a few pixels have.
        method = Image.Quantize.MAXCOVERAGE
        small = picture.convert("RGB").quantize(colors, method, dither=Image.Dither.NONE)
        small.save(found, format="png", optimize=True)
    return found
