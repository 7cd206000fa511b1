"""Plots of predicted densities of states, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from csgnn_dgl._files import resource_error
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.tasks.dos.prediction import SHOWN_LEVEL, DOSPrediction
from csgnn_dgl.tasks.plots import save_figure, tidy

__all__ = ["picture_paths", "plot_prediction"]

_REFERENCE, _PREDICTED, _FERMI = "#222222", "#cc6677", "#4477aa"


def plot_prediction(found: DOSPrediction, path: Path, title: str) -> None:
    """Plot a curve with its Fermi level and, if there is a reference, the reference and the error.

    Parameters
    ----------
    found
        The prediction.
    path
        PNG to write.
    title
        Heading.
    """
    has_reference = found.reference is not None
    figure = Figure(figsize=(7, 4.4 if has_reference else 3.4), layout="constrained")
    if found.reference is not None:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        axes.plot(found.energies, found.reference, color=_REFERENCE, lw=1.4, label="reference")
        below.fill_between(
            found.energies, found.dos - np.asarray(found.reference), color=_PREDICTED, lw=0
        )
        below.axhline(0, color=_REFERENCE, lw=0.8)
        below.set_ylabel("error")
        tidy(below)
    else:
        axes = below = figure.subplots()
    axes.plot(found.energies, found.dos, color=_PREDICTED, lw=1.3, label="predicted")
    if found.fermi_level is not None:
        label = f"E_F = {found.fermi_level:.2f} {found.grid.unit}"
        known = found.uncertainty.get("fermi_level")
        if known is not None:
            half = known[SHOWN_LEVEL]
            label = f"E_F = {found.fermi_level:.2f} ± {half:.2g} {found.grid.unit}"
            ends = (found.fermi_level - half, found.fermi_level + half)
            axes.axvspan(*ends, color=_FERMI, alpha=0.15, lw=0)
        axes.axvline(found.fermi_level, color=_FERMI, ls="--", lw=1.2, label=label)
        filled = found.energies <= found.fermi_level
        axes.fill_between(
            found.energies[filled], found.dos[filled], color=_PREDICTED, alpha=0.2, lw=0
        )
    error = "" if found.error is None else f": mean absolute error {found.error:.3g} {found.unit}"
    axes.set_title(f"{title}{error}{_caution(found)}", fontsize=9)
    axes.set_ylabel(f"{found.quantity} DOS [{found.unit}]")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
    tidy(axes)
    below.set_xlabel(f"energy [{found.grid.unit}], zero: {found.grid.zero}")
    save_figure(figure, path)


def _caution(found: DOSPrediction) -> str:
    if found.scores is None:
        return ""
    where = ": OUTSIDE the training data, error unknown" if found.scores.outside else ""
    return f"\nout-of-domain score {found.scores.structure:.2g}{where}"


def picture_paths(place: Path, sources: Sequence[tuple[Path, int, int]]) -> list[Path]:
    """Paths of the pictures of structures: ``place`` itself, or files in that folder.

    Parameters
    ----------
    place
        A ``.png``, or a folder, which is made.
    sources
        For each structure its file, its index in the file, and the number of structures there.

    Raises
    ------
    ConfigError
        ``place`` is one picture for several structures, or its ending is not ``.png``.
    ResourceError
        The folder cannot be made.
    """
    if place.suffix and not place.is_dir():
        if place.suffix.lower() != ".png":
            raise ConfigError(
                f"{place} ends in {place.suffix}, but pictures are written as .png; choose a .png "
                f"or a folder"
            )
        if len(sources) > 1:
            raise ConfigError(
                f"{len(sources)} structures need one picture each, but {place} is one file; name "
                f"a folder"
            )
        return [place] * len(sources)
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
        paths.append(place / f"{name}.png")
    return paths
