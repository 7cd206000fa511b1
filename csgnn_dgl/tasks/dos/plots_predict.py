"""Plots of predicted densities of states."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from csgnn_dgl._files import resource_error
from csgnn_dgl.tasks.dos.prediction import SHOWN_LEVEL, DOSPrediction
from csgnn_dgl.tasks.plots import (
    COLORS,
    ENDINGS,
    MAIN,
    MARK,
    REFERENCE,
    PictureFormat,
    pretty_unit,
    save_figure,
    set_labels,
    styled,
    wrapped,
)

__all__ = ["is_picture", "picture_paths", "plot_prediction", "plot_predictions"]


@styled
def plot_prediction(found: DOSPrediction, path: Path, title: str) -> None:
    """Plot a curve with its Fermi level and, if there is a reference, the reference and the error.

    Parameters
    ----------
    found
        The prediction.
    path
        Picture to write.
    title
        Heading.
    """
    has_reference = found.reference is not None
    figure = Figure(figsize=(7, 4.4 if has_reference else 3.4), layout="constrained")
    if found.reference is not None:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        axes.plot(found.energies, found.reference, color=REFERENCE, lw=1.4, label="reference")
        below.fill_between(
            found.energies, found.dos - np.asarray(found.reference), color=MAIN, lw=0
        )
        below.axhline(0, color=REFERENCE, lw=0.8)
        set_labels(below, y="error")
    else:
        axes = below = figure.subplots()
    axes.plot(found.energies, found.dos, color=MAIN, label="predicted")
    unit = pretty_unit(found.grid.unit)
    if found.fermi_level is not None:
        label = f"$E_\\mathrm{{F}}$ = {found.fermi_level:.2f} {unit}"
        known = found.uncertainty.get("fermi_level")
        if known is not None:
            half = known[SHOWN_LEVEL]
            label = f"$E_\\mathrm{{F}}$ = {found.fermi_level:.2f} ± {half:.2g} {unit}"
            ends = (found.fermi_level - half, found.fermi_level + half)
            axes.axvspan(*ends, color=MARK, alpha=0.15, lw=0)
        axes.axvline(found.fermi_level, color=MARK, ls="--", lw=1.2, label=label)
        filled = found.energies <= found.fermi_level
        axes.fill_between(found.energies[filled], found.dos[filled], color=MAIN, alpha=0.2, lw=0)
    dos_unit = pretty_unit(found.unit)
    error = "" if found.error is None else f": mean absolute error {found.error:.3g} {dos_unit}"
    set_labels(
        axes, title=f"{title}{error}{_caution(found)}", y=f"{found.quantity} DOS [{dos_unit}]"
    )
    axes.set_ylim(bottom=0)
    axes.legend()
    set_labels(below, x=f"energy [{unit}], zero: {found.grid.zero}")
    save_figure(figure, path)


@styled
def plot_predictions(named: Sequence[tuple[str, DOSPrediction]], path: Path) -> None:
    """Plot the curves of several structures in one picture, with their Fermi levels.

    Few curves have colours of their own, and their names stand beside the picture. Many have
    colours in the order of the structures, with a scale.

    Parameters
    ----------
    named
        Name and prediction of each structure. All predictions are of one model.
    path
        Picture to write.
    """
    first, few = named[0][1], len(named) <= len(COLORS)
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    scale = matplotlib.colormaps["viridis"]
    for index, (name, found) in enumerate(named):
        color = COLORS[index] if few else scale(index / (len(named) - 1))
        outside = " (OUTSIDE the training data)" if found.outside else ""
        label = wrapped(f"{name}{outside}", 2.4, 8)
        axes.plot(found.energies, found.dos, color=color, lw=1.3 if few else 0.9, label=label)
        if found.fermi_level is not None:
            axes.axvline(found.fermi_level, color=color, ls="--", lw=0.9, alpha=0.8)
    axes.set_ylim(bottom=0)
    count = sum(bool(found.outside) for _, found in named)
    levels = "; dashed: Fermi levels" if first.fermi_level is not None else ""
    caution = f"; {count} of them OUTSIDE the training data" if count else ""
    set_labels(
        axes,
        title=f"{len(named)} structures, predicted{levels}{caution}",
        x=f"energy [{pretty_unit(first.grid.unit)}], zero: {first.grid.zero}",
        y=f"{first.quantity} DOS [{pretty_unit(first.unit)}]",
    )
    if few:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)
    else:
        colors = matplotlib.cm.ScalarMappable(
            matplotlib.colors.Normalize(1, len(named)), matplotlib.colormaps["viridis"]
        )
        figure.colorbar(colors, ax=axes, label="structure, in the order of the files")
    save_figure(figure, path)


def _caution(found: DOSPrediction) -> str:
    if found.scores is None:
        return ""
    where = ": OUTSIDE the training data, error unknown" if found.scores.outside else ""
    return f"\nout-of-domain score {found.scores.structure:.2g}{where}"


def is_picture(place: Path) -> bool:
    """Whether a path names one picture, and not a folder for pictures.

    Examples
    --------
    >>> is_picture(Path("all.pdf")), is_picture(Path("pictures"))
    (True, False)
    """
    return bool(place.suffix) and not place.is_dir()


def picture_paths(
    place: Path, sources: Sequence[tuple[Path, int, int]], format: PictureFormat = "png"
) -> list[Path]:
    """Paths of the pictures of structures in a folder.

    Parameters
    ----------
    place
        The folder, which is made.
    sources
        For each structure its file, its index in the file, and the number of structures there.
    format
        Ending of the pictures.

    Raises
    ------
    ResourceError
        The folder cannot be made.
    """
    assert f".{format}" in ENDINGS
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise resource_error(error, place, "make") from error
    taken: set[str] = set()
    paths = []
    for file, frame, frames in sources:
        stem = f"{file.stem}-{frame}" if frames > 1 else file.stem
        name, number = stem, 2
        while name in taken:  # files in different folders may have the same name
            name, number = f"{stem}_{number}", number + 1
        taken.add(name)
        paths.append(place / f"{name}.{format}")
    return paths
