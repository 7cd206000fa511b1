"""Plots of densities of states, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from csgnn_dgl.datasets.atoms.dos import DOSDataset, DOSRecord
from csgnn_dgl.tasks.plots import save_figure, tidy

__all__ = ["plot_examples", "plot_parity"]

_REFERENCE, _PREDICTED = "#222222", "#cc6677"
_COLORS = ("#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#aa4499")


def plot_examples(
    records: Sequence[DOSRecord],
    predicted: npt.NDArray[np.float64],
    dataset: DOSDataset,
    path: Path,
) -> None:
    """Plot reference and predicted curves of some structures.

    Parameters
    ----------
    records
        The structures.
    predicted
        Predicted curves, shape ``(n, E)``.
    dataset
        Data set of the structures, for its grid and units.
    path
        PNG to write.
    """
    columns = min(3, len(records))
    rows = -(-len(records) // columns)
    figure = Figure(figsize=(4 * columns, 2.6 * rows), layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    energies = dataset.grid.energies
    for axes in panels[len(records) :]:
        axes.set_visible(False)
    for axes, record, curve in zip(panels, records, predicted, strict=False):
        axes.plot(energies, record.dos, color=_REFERENCE, lw=1.4, label="reference")
        axes.plot(energies, curve, color=_PREDICTED, lw=1.2, label="predicted")
        if record.fermi_level is not None:
            axes.axvline(record.fermi_level, color="#888888", ls=":", lw=1, label="Fermi level")
        name = record.atoms.get_chemical_formula() if record.group == "all" else record.group
        error = np.nanmean(np.abs(record.dos - curve))
        axes.set_title(f"{name}: mean absolute error {error:.3g}", fontsize=9)
        axes.set_ylim(bottom=0)
        tidy(axes)
    panels[0].legend(frameon=False, fontsize=8)
    figure.supxlabel(f"energy [{dataset.grid.unit}], zero: {dataset.grid.zero}", fontsize=9)
    figure.supylabel(f"DOS [{dataset.dos_unit}]", fontsize=9)
    save_figure(figure, path)


def plot_parity(table: pd.DataFrame, unit: str, path: Path, title: str) -> None:
    """Plot predicted against reference band energies, by type of structure.

    Parameters
    ----------
    table
        Columns ``group``, ``band_energy`` and ``predicted_band_energy`` [``unit``/atom].
    unit
        Unit of energies.
    path
        PNG to write.
    title
        Heading.
    """
    figure = Figure(figsize=(8.4, 4.2), layout="constrained")
    whole, residual = figure.subplots(1, 2)
    for index, (name, rows) in enumerate(table.groupby("group")):
        color = _COLORS[index % len(_COLORS)]
        x, y = rows["band_energy"], rows["predicted_band_energy"]
        whole.plot(x, y, "o", color=color, ms=4, alpha=0.7, label=str(name))
        residual.plot(x, 1000 * (y - x), "o", color=color, ms=4, alpha=0.7)
    ends = [table["band_energy"].min(), table["band_energy"].max()]
    whole.plot(ends, ends, color="#888888", lw=1, zorder=0)
    residual.axhline(0, color="#888888", lw=1, zorder=0)
    whole.set_title(title, fontsize=9)
    whole.set(xlabel=f"reference band energy [{unit}/atom]")
    whole.set_ylabel(f"predicted [{unit}/atom]")
    residual.set_title("Error", fontsize=9)
    residual.set(xlabel=f"reference band energy [{unit}/atom]")
    residual.set_ylabel(f"predicted − reference [m{unit}/atom]")
    whole.legend(frameon=False, fontsize=8)
    for axes in (whole, residual):
        tidy(axes)
    save_figure(figure, path)
