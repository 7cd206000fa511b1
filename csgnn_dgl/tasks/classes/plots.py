"""Plots of classes: confusion matrices, and pictures of clouds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from csgnn_dgl.tasks.plots import save_figure, styled, wrapped

__all__ = ["plot_confusion"]


# Largest number of classes whose names are drawn, and the size of pictures of more [inches].
_READABLE, _LARGE = 120, 10.0


@styled
def plot_confusion(
    matrix: np.ndarray, class_names: Sequence[str], path: Path, title: str = ""
) -> None:
    """Draw a confusion matrix: rows are true classes, columns predicted ones, rows in per cent.

    Of more than 120 classes, names and numbers are left out, because nobody could read them.

    Parameters
    ----------
    matrix
        Counts, shape ``(classes, classes)``.
    class_names
        Names of the classes.
    path
        Picture to write.
    title
        Heading.
    """
    counts = np.asarray(matrix, dtype=float)
    totals = counts.sum(axis=1, keepdims=True)
    share = 100 * np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    n = len(class_names)
    readable = n <= _READABLE
    size = 2.6 + 0.32 * n if readable else _LARGE
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    fontsize = 8 if n <= 20 else 6.5
    if readable:
        axes.set_xticks(range(n), class_names, rotation=90, fontsize=fontsize)
        axes.set_yticks(range(n), class_names, fontsize=fontsize)
    axes.set(xlabel="predicted", ylabel="true")
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    for row, column in zip(*np.nonzero(counts), strict=True) if readable else ():
        color = "white" if share[row, column] > 55 else "black"
        text = f"{counts[row, column]:.0f}"
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=fontsize - 1)
    if title:
        axes.set_title(wrapped(title, size))
    bar = figure.colorbar(image, ax=axes, shrink=0.7)
    label = "% of the true class" + (" (numbers: shapes)" if readable else "")
    bar.set_label(wrapped(label, 0.5 * size, 8), fontsize=8)
    save_figure(figure, path)
