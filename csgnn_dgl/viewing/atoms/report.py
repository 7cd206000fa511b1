"""What the report of a model of densities of states shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.data import covalent_radii
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from csgnn_dgl.datasets.atoms.dos import DOSRecord
from csgnn_dgl.physics import EnergyGrid
from csgnn_dgl.tasks.dos.evaluate import DOSEvaluation
from csgnn_dgl.tasks.plots import MAIN, REFERENCE, figure_bytes, pretty_unit, styled
from csgnn_dgl.tasks.weights import Header
from csgnn_dgl.viewing.atoms.drawing import bonds, cell_edges, element_color
from csgnn_dgl.viewing.report import Example, Findings, Panel

__all__ = ["findings", "panels", "structure_picture"]

Floats = npt.NDArray[np.float64]
# The direction that pictures look from, and up: a little from above.
_VIEW = np.array([[-0.6, 0.8, 0.0], [-0.32, -0.24, 0.917], [0.733, 0.55, 0.4]])
# Names of errors for readers.
_WORDS = {
    "dos_mae": "DOS",
    "dos_mse": "DOS, squared",
    "fdos_mae": "integral of the DOS",
    "r2": "R²",
    "fermi_level_mae": "Fermi level",
    "band_energy_mae": "band energy",
    "exact_band_energy_mae": "band energy, exact",
    "gap_mae": "gap",
    "without_level": "without a level",
}


def panels(header: Header) -> list[Panel]:
    """The curves of a training."""
    both = {"train": "training (augmented)", "validation": "validation"}
    unit = f"mean absolute error [{pretty_unit(str(header.data['dos_unit']))}]"
    return [
        Panel("Loss", "loss", {f"{key}_loss": name for key, name in both.items()}, log=True),
        Panel("Error", unit, {f"{key}_error": name for key, name in both.items()}, log=True),
    ]


def findings(evaluation: DOSEvaluation, header: Header, worst: int) -> Findings:
    """Results of a test of a model of densities of states.

    Parameters
    ----------
    evaluation
        The test.
    header
        Header of the weights.
    worst
        Examples to show, those with the largest errors of the curve first.
    """
    energy, dos = map(pretty_unit, evaluation.units)
    content = evaluation.content
    votes = f"{evaluation.votes} vote{'s' * (evaluation.votes > 1)}"
    error = float(evaluation.table["dos_mae"].iloc[-1])
    headline = (
        f"mean absolute error {error:.3g} [{dos}] on {len(evaluation.structures)} "
        f"{evaluation.split} structures ({votes})"
    )
    compared = evaluation.comparison
    if compared is not None:
        mean = float(compared.mean["dos_mae"].iloc[-1])
        headline += f"; {compared.name} of the training data: {mean:.3g}"
    shown = evaluation.table if compared is None else compared.table()
    columns = [_WORDS.get(str(name), str(name)) for name in shown]
    rows = [[_cell(value) for value in row] for row in shown.itertuples(index=False)]
    protocol = [
        ("split", evaluation.split),
        ("structures", len(evaluation.structures)),
        ("votes", evaluation.votes),
        ("seed", content["seed"]),
        ("data", content["data"]),
        ("fingerprint of the data", content["fingerprint"]),
        ("quantity", f"{header.data['quantity']} densities of states [{dos}]"),
        ("energies", f"[{energy}], zero: {header.data['grid']['zero']}"),
        ("baseline", "unknown" if compared is None else f"{compared.name} of the training data"),
    ]
    notes = [f"errors are mean absolute ones: curves in {dos}, levels and gaps in {energy}, band "
             f"energies in {energy}/atom"]  # fmt: skip
    notes += [line for line in evaluation.lines[2:] if "picture: " not in line]
    payload: dict[str, Any] = {}
    if "predicted_band_energy" in evaluation.structures:
        known = evaluation.structures.dropna(subset=["band_energy", "predicted_band_energy"])
        payload["parity"] = {
            "unit": f"{energy}/atom",
            "groups": [
                {
                    "name": str(name),
                    "names": part["name"].tolist(),
                    "reference": part["band_energy"].tolist(),
                    "predicted": part["predicted_band_energy"].tolist(),
                }
                for name, part in known.groupby("group")
            ],
        }
    grid = EnergyGrid(**header.data["grid"])
    examples = _worst(evaluation, grid, (energy, dos), worst)
    return Findings(headline, (columns, rows), protocol, notes, payload, examples)


def _cell(value: Any) -> object:
    return value.item() if isinstance(value, np.generic) else value


def _worst(
    evaluation: DOSEvaluation, grid: EnergyGrid, units: tuple[str, str], count: int
) -> list[Example]:
    errors = evaluation.structures["dos_mae"].to_numpy()
    found = []
    for index in np.argsort(-errors, kind="stable")[:count].tolist():
        record = evaluation.records[index]
        row = evaluation.structures.iloc[index]
        caption = (
            f"{record.atoms.get_chemical_formula()}: mean absolute error {errors[index]:.3g} "
            f"[{units[1]}]"
        )
        if np.isfinite(row.get("fermi_level_error", np.nan)):
            caption += f", Fermi level off by {row['fermi_level_error']:+.3f} {units[0]}"
        picture = _example_picture(record, evaluation.predicted[index], grid, units)
        found.append(Example(picture, f"{caption} – {Path(record.name).name}"))
    return found


@styled
def _example_picture(
    record: DOSRecord, curve: Floats, grid: EnergyGrid, units: tuple[str, str]
) -> bytes:
    """A structure, and its reference and predicted curves beside it, as PNG."""
    figure = Figure(figsize=(5.2, 2.1), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 2))
    _draw_structure(left, record.atoms)
    right.plot(grid.energies, record.dos, color=REFERENCE, label="reference")
    right.plot(grid.energies, curve, color=MAIN, label="predicted")
    if record.fermi_level is not None:
        right.axvline(record.fermi_level, color="#888888", ls=":", lw=1, label="Fermi level")
    right.set_ylim(bottom=0)
    right.set_xlabel(f"energy [{units[0]}]")
    right.legend(fontsize=7)
    return figure_bytes(figure, dpi=90)


def structure_picture(atoms: Atoms) -> bytes:
    """A small picture of a structure with its cell, as PNG."""
    figure = Figure(figsize=(2, 2))
    _draw_structure(figure.add_axes((0, 0, 1, 1)), atoms)
    return figure_bytes(figure, dpi=90)


def _draw_structure(axes: Axes, atoms: Atoms) -> None:
    right, up, towards = _VIEW

    def line(ends: Floats, color: str, width: float) -> None:
        for pair in ends:
            axes.plot(pair @ right, pair @ up, color=color, lw=width, zorder=0)

    line(cell_edges(atoms), "#4477aa", 0.8)
    ends, image = bonds(atoms)
    line(ends[image < 0], "#999999", 1.2)
    order: Sequence[int] = np.argsort(atoms.positions @ towards).tolist()
    # Sizes are areas; large structures have small atoms.
    size = 1500 / max(len(atoms), 12)
    radii = covalent_radii[np.minimum(atoms.numbers, len(covalent_radii) - 1)]
    axes.scatter(
        (atoms.positions @ right)[order],
        (atoms.positions @ up)[order],
        s=[size * radii[i] ** 2 for i in order],
        c=[element_color(int(atoms.numbers[i])) for i in order],
        edgecolors="#444444",
        linewidths=0.5,
    )
    axes.set_aspect("equal")
    axes.margins(0.12)
    axes.set_axis_off()
