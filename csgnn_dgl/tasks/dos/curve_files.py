"""Write predicted densities of states to files: NumPy, CSV."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from csgnn_dgl import __version__
from csgnn_dgl._files import atomic_write
from csgnn_dgl.physics import EnergyGrid
from csgnn_dgl.tasks.dos.domain import QUANTITIES, atom_column, structure_value
from csgnn_dgl.tasks.dos.prediction import DOSPrediction

__all__ = ["curve_metadata", "curve_table", "write_curves"]

# Shares of predictions whose intervals are written.
_LEVELS = (0.68, 0.9)
#: File, index of the structure in it, and its prediction.
Predicted = tuple[Path, int, DOSPrediction]


def write_curves(
    path: Path, predicted: Sequence[Predicted], model: str, limits: Sequence[str] = ()
) -> None:
    """Write curves with their energies, in the format of the ending of ``path``.

    ``.npz`` has arrays over structures, energies and atoms, and ``metadata`` as JSON. ``.csv`` has
    a row for each structure and energy. Units are in the names of columns, or in the metadata.
    Out-of-domain scores and uncertainties are NaN where they are unknown.

    Parameters
    ----------
    path
        The file.
    predicted
        One entry per structure, all by one model.
    model
        Name of the model that predicted them.
    limits
        What the model cannot do, in sentences.

    Raises
    ------
    ResourceError
        The file cannot be written. An older file stays unchanged.
    """
    content = _npz(predicted, model, limits) if path.suffix.lower() == ".npz" else _csv(predicted)
    with atomic_write(path, "wb") as file:
        file.write(content)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _half_width(found: DOSPrediction, quantity: str, level: float) -> float:
    known = found.uncertainty.get(quantity)
    return float("nan") if known is None else known[level]


def curve_metadata(
    model: str,
    quantity: str,
    grid: EnergyGrid,
    unit: str,
    limits: Sequence[str],
    *,
    with_energies: bool = False,
) -> dict[str, Any]:
    """What curves are, for the metadata of files.

    Parameters
    ----------
    model
        Name of the model that predicted them.
    quantity, grid, unit
        Quantity, energies and unit of the curves.
    limits
        What the model cannot do, in sentences.
    with_energies
        Add the energies.
    """
    found: dict[str, Any] = {
        "model": model,
        "quantity": quantity,
        "zero_of_energy": grid.zero,
        "units": {
            "energies": grid.unit,
            "dos": unit,
            "atom_dos": unit,
            "fermi_level": grid.unit,
            "gap": grid.unit,
            "band_energy": f"{grid.unit}/atom",
            "electrons": "1/atom",
        },
        "score": "distance from the training data; above 1: outside; NaN: unknown",
        "uncertainty": "half the width of the interval that covers this share [%] of predictions "
        "inside the domain, against the reference of the training data; that of dos is the mean "
        "absolute error of the curve; NaN: unknown",
        "limits": list(limits),
        "csgnn_dgl": __version__,
    }
    if with_energies:
        found["energies"] = grid.energies.tolist()
    return found


def curve_table(predicted: Sequence[Predicted]) -> pd.DataFrame:
    """A row for each structure: its origin, its curve, and the quantities that follow from it.

    Parameters
    ----------
    predicted
        One entry per structure, all by one model.
    """
    found = [prediction for *_, prediction in predicted]
    return pd.DataFrame(
        {
            "file": [str(file) for file, *_ in predicted],
            "frame": [frame for _, frame, _ in predicted],
            "formula": [prediction.formula for prediction in found],
            "electrons": [_number(prediction.electrons) for prediction in found],
            "fermi_level": [_number(prediction.fermi_level) for prediction in found],
            "band_energy": [_number(prediction.band_energy) for prediction in found],
            "gap": [_number(prediction.gap) for prediction in found],
            "structure_score": [structure_value(prediction.scores) for prediction in found],
            **_half_widths(found),
            "dos": [prediction.dos for prediction in found],
        }
    )


def _half_widths(found: Sequence[DOSPrediction]) -> dict[str, np.ndarray]:
    return {
        f"{name}_uncertainty_{100 * level:g}": np.array(
            [_half_width(prediction, name, level) for prediction in found]
        )
        for name in QUANTITIES
        for level in _LEVELS
    }


def _npz(predicted: Sequence[Predicted], model: str, limits: Sequence[str]) -> bytes:
    found = [prediction for *_, prediction in predicted]
    grid = found[0].grid
    atoms = [prediction.atoms for prediction in found]
    counts = np.array([len(a) for a in atoms])
    metadata = curve_metadata(model, found[0].quantity, grid, found[0].unit, limits)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        energies=grid.energies,
        dos=np.array([prediction.dos for prediction in found]),
        electrons=np.array([_number(prediction.electrons) for prediction in found]),
        fermi_level=np.array([_number(prediction.fermi_level) for prediction in found]),
        band_energy=np.array([_number(prediction.band_energy) for prediction in found]),
        gap=np.array([_number(prediction.gap) for prediction in found]),
        structure_score=np.array([structure_value(p.scores) for p in found]),
        atom_score=np.concatenate([atom_column(p.scores, len(p.atoms)) for p in found]),
        **_half_widths(found),  # type: ignore[arg-type]  # no array is called allow_pickle
        source_file=np.array([str(file) for file, *_ in predicted]),
        frame=np.array([frame for _, frame, _ in predicted]),
        formula=np.array([prediction.formula for prediction in found]),
        atom_dos=np.concatenate([p.per_atom for p in found]).astype(np.float32),
        structure=np.repeat(np.arange(len(found)), counts),
        symbol=np.concatenate([np.array(a.get_chemical_symbols()) for a in atoms]),
        metadata=np.array(json.dumps(metadata)),
    )
    return buffer.getvalue()


def _units(found: DOSPrediction) -> dict[str, str]:
    """Units of what has an uncertainty."""
    energy = found.grid.unit
    if found.quantity != "electronic":
        return {"dos": found.unit}
    units = (found.unit, energy, f"{energy}/atom", energy)
    return dict(zip(QUANTITIES, units, strict=True))


def _csv(predicted: Sequence[Predicted]) -> bytes:
    parts = []
    for file, frame, found in predicted:
        energy = found.grid.unit
        columns = {
            "file": str(file),
            "frame": frame,
            "formula": found.formula,
            f"energy [{energy}]": found.energies,
            f"dos [{found.unit}]": found.dos,
        }
        if found.reference is not None:
            columns[f"reference dos [{found.unit}]"] = found.reference
        if found.quantity == "electronic":
            columns |= {
                "electrons [1/atom]": _number(found.electrons),
                f"fermi level [{energy}]": _number(found.fermi_level),
                f"band energy [{energy}/atom]": _number(found.band_energy),
                f"gap [{energy}]": _number(found.gap),
            }
        columns["out-of-domain score"] = structure_value(found.scores)
        columns |= {
            f"{name.replace('_', ' ')} ± {100 * level:g} % [{unit}]": _half_width(
                found, name, level
            )
            for name, unit in _units(found).items()
            for level in _LEVELS
        }
        columns["zero of energy"] = found.grid.zero
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True).to_csv(index=False).encode()
