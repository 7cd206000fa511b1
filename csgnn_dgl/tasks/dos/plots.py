"""Plots of densities of states."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from csgnn_dgl.datasets.atoms.dos import DOSDataset, DOSRecord
from csgnn_dgl.tasks.plots import (
    COLORS,
    MAIN,
    REFERENCE,
    pretty_unit,
    save_figure,
    set_labels,
    styled,
    wrapped,
)

__all__ = ["plot_examples", "plot_parity"]


@styled
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
        Picture to write.
    """
    columns = min(3, len(records))
    rows = -(-len(records) // columns)
    figure = Figure(figsize=(4 * columns, 2.6 * rows), layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    energies = dataset.grid.energies
    for axes in panels[len(records) :]:
        axes.set_visible(False)
    for axes, record, curve in zip(panels, records, predicted, strict=False):
        axes.plot(energies, record.dos, color=REFERENCE, lw=1.4, label="reference")
        axes.plot(energies, curve, color=MAIN, lw=1.2, label="predicted")
        if record.fermi_level is not None:
            axes.axvline(record.fermi_level, color="#888888", ls=":", lw=1, label="Fermi level")
        name = record.atoms.get_chemical_formula() if record.group == "all" else record.group
        error = np.nanmean(np.abs(record.dos - curve))
        set_labels(axes, title=f"{name}: mean absolute error {error:.3g}")
        axes.set_ylim(bottom=0)
    panels[0].legend()
    energy, dos = pretty_unit(dataset.grid.unit), pretty_unit(dataset.dos_unit)
    label = wrapped(f"energy [{energy}], zero: {dataset.grid.zero}", 3.6 * columns)
    figure.supxlabel(label, fontsize=9)
    figure.supylabel(wrapped(f"DOS [{dos}]", 2.2 * rows), fontsize=9)
    save_figure(figure, path)


@styled
def plot_parity(table: pd.DataFrame, unit: str, path: Path, title: str) -> None:
    """Plot predicted against reference band energies, by type of structure.

    Parameters
    ----------
    table
        Columns ``group``, ``band_energy`` and ``predicted_band_energy`` [``unit``/atom].
    unit
        Unit of energies.
    path
        Picture to write.
    title
        Heading.
    """
    figure = Figure(figsize=(8.4, 4.2), layout="constrained")
    whole, residual = figure.subplots(1, 2)
    for index, (name, rows) in enumerate(table.groupby("group")):
        color = COLORS[index % len(COLORS)]
        x, y = rows["band_energy"], rows["predicted_band_energy"]
        whole.plot(x, y, "o", color=color, ms=4, alpha=0.7, label=str(name))
        residual.plot(x, 1000 * (y - x), "o", color=color, ms=4, alpha=0.7)
    ends = [table["band_energy"].min(), table["band_energy"].max()]
    whole.plot(ends, ends, color="#888888", lw=1, zorder=0)
    residual.axhline(0, color="#888888", lw=1, zorder=0)
    x_label = f"reference band energy [{unit}/atom]"
    set_labels(whole, title=title, x=x_label, y=f"predicted [{unit}/atom]")
    set_labels(residual, title="Error", x=x_label, y=f"predicted − reference [m{unit}/atom]")
    whole.legend()
    save_figure(figure, path)
