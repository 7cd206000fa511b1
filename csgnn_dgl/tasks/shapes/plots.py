"""Pictures of a run, as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from csgnn_dgl._files import atomic_write

__all__ = ["plot_confusion", "plot_curves"]

_TRAINING, _VALIDATION = "#4477aa", "#cc6677"


def plot_curves(table: pd.DataFrame, path: Path) -> None:
    """Loss, accuracy and learning rate against the epoch.

    Parameters
    ----------
    table
        Columns of :class:`~csgnn_dgl.tasks.history.History`, one row per epoch.
    path
        PNG to write.
    """
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    loss, accuracy, rate = figure.subplots(1, 3)
    epochs = table["epoch"] + 1
    marker = "o" if len(table) < 3 else None  # a line through one point is invisible
    for axes, name in ((loss, "loss"), (accuracy, "accuracy")):
        factor = 100 if name == "accuracy" else 1
        for split, color in (("train", _TRAINING), ("validation", _VALIDATION)):
            values = factor * table[f"{split}_{name}"]
            label = "training (augmented)" if split == "train" else "validation"
            axes.plot(epochs, values, color=color, label=label, marker=marker)
    loss.set(title="Loss", ylabel="cross-entropy")
    loss.set_ylim(bottom=0)
    accuracy.set(title="Accuracy", ylabel="%", ylim=(0, 102))
    accuracy.legend(loc="lower right", frameon=False)
    rate.plot(epochs, table["learning_rate"], color="#444444", marker=marker)
    rate.set(title="Learning rate, end of epoch")
    rate.set_ylim(bottom=0)
    for axes in (loss, accuracy, rate):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def plot_confusion(
    matrix: np.ndarray, class_names: Sequence[str], path: Path, title: str = ""
) -> None:
    """Confusion matrix: rows are true classes, columns predicted ones, each row in per cent.

    Parameters
    ----------
    matrix
        Counts, shape ``(classes, classes)``.
    class_names
        Names of the classes.
    path
        PNG to write.
    title
        Heading.
    """
    counts = np.asarray(matrix, dtype=float)
    totals = counts.sum(axis=1, keepdims=True)
    share = 100 * np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    n = len(class_names)
    size = 2.6 + 0.32 * n
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    fontsize = 8 if n <= 20 else 6.5
    axes.set_xticks(range(n), class_names, rotation=90, fontsize=fontsize)
    axes.set_yticks(range(n), class_names, fontsize=fontsize)
    axes.set(xlabel="predicted", ylabel="true")
    for row, column in zip(*np.nonzero(counts), strict=True):
        color = "white" if share[row, column] > 55 else "black"
        text = f"{counts[row, column]:.0f}"
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=fontsize - 1)
    if title:
        axes.set_title(title, fontsize=9)
    bar = figure.colorbar(image, ax=axes, shrink=0.7)
    bar.set_label("% of the true class (numbers: shapes)", fontsize=8)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    # Without pyplot: no display, no global state, nothing to close.
    FigureCanvasAgg(figure)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=130)
    with atomic_write(path, "wb") as file:
        file.write(content.getvalue())
