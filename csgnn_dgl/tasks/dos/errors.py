"""Errors of predicted curves, and of the levels that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from csgnn_dgl.datasets.atoms.dos import DOSRecord
from csgnn_dgl.errors import DataError
from csgnn_dgl.physics import EnergyGrid, cumulative, find_levels

__all__ = ["LEVELS", "compare_curves", "summarize"]

Floats = npt.NDArray[np.float64]
#: Energies that follow from a curve and its electrons.
LEVELS = ("fermi_level", "band_energy", "gap")


def compare_curves(
    records: Sequence[DOSRecord], predicted: Floats, grid: EnergyGrid
) -> pd.DataFrame:
    """Compute the errors of predicted curves, structure by structure.

    The Fermi level and the band energy are computed in the same way from both curves
    (:func:`~csgnn_dgl.physics.find_levels`). If a structure's exact band energy is known,
    the error relative to it is listed too.

    Parameters
    ----------
    records
        The structures.
    predicted
        Shape ``(n, E)``.
    grid
        Their energies.

    Returns
    -------
    pandas.DataFrame
        Columns ``name``, ``group``, ``atoms``, ``dos_mae``, ``dos_mse``, ``r2``, and ``fdos_mae``
        (error of the integral). Where electrons are known, also ``fermi_level``, ``band_energy``,
        ``gap``, their ``predicted_…`` and ``…_error``, and ``exact_band_energy_error``. The Fermi
        level and the gap are NaN where the energies end within the gap; predicted ones are lower
        bounds there (:class:`~csgnn_dgl.physics.Levels`), and are compared as they are.
    """
    rows: list[dict[str, Any]] = []
    for record, curve in zip(records, predicted, strict=True):
        defined = ~np.isnan(record.dos)
        difference = (curve - record.dos)[defined]
        spread = np.square(record.dos[defined] - record.dos[defined].mean()).sum()
        row: dict[str, Any] = {
            "name": record.name,
            "group": record.group,
            "atoms": len(record.atoms),
            "dos_mae": float(np.abs(difference).mean()),
            "dos_mse": float(np.square(difference).mean()),
            "r2": 1 - float(np.square(difference).sum() / spread) if spread > 0 else np.nan,
        }
        if defined.all():
            row["fdos_mae"] = float(
                np.abs(cumulative(curve, grid) - cumulative(record.dos, grid)).mean()
            )
            if record.electrons is not None:
                row |= _levels(record, curve, grid)
        rows.append(row)
    return pd.DataFrame(rows)


def _levels(record: DOSRecord, curve: Floats, grid: EnergyGrid) -> dict[str, float]:
    assert record.electrons is not None
    values: dict[str, float] = {}
    for prefix, dos in (("", record.dos), ("predicted_", curve)):
        try:
            levels = find_levels(dos, grid, record.electrons)
        except DataError as error:
            if not prefix:
                raise DataError(f"{record.name}: {error}") from error
            # A prediction with too few states has no Fermi level. summarize() counts these.
            return values
        for name in LEVELS:
            # A bound is no value to compare with. A predicted one counts as what it says.
            known = getattr(levels, name) if prefix else levels.known(name)
            values[f"{prefix}{name}"] = known
    for name in LEVELS:
        values[f"{name}_error"] = values[f"predicted_{name}"] - values[name]
    if record.band_energy is not None:
        values["exact_band_energy_error"] = values["predicted_band_energy"] - record.band_energy
    return values


def summarize(structures: pd.DataFrame) -> pd.DataFrame:
    """Average the errors by type of structure, and over all structures.

    Returns
    -------
    pandas.DataFrame
        Columns ``type``, ``structures``, ``dos_mae``, ``dos_mse``, ``r2``; ``fdos_mae`` where
        curves are complete; and where electrons are known ``fermi_level_mae``,
        ``band_energy_mae``, ``exact_band_energy_mae``, ``gap_mae``, and ``without_level``, the
        number of predictions with fewer states than electrons. Where a level is not known of all
        structures, ``with_fermi_level``, ``with_band_energy`` and ``with_gap`` are the numbers of
        those behind the means.
    """
    partly = [
        name
        for name in LEVELS
        if f"{name}_error" in structures and structures[f"{name}_error"].isna().any()
    ]

    def means(name: str, rows: pd.DataFrame) -> dict[str, Any]:
        found: dict[str, Any] = {"type": name, "structures": len(rows)}
        found |= {key: float(rows[key].mean()) for key in ("dos_mae", "dos_mse", "r2")}
        if "fdos_mae" in rows:
            found["fdos_mae"] = float(rows["fdos_mae"].mean())
        for key in ("fermi_level", "band_energy", "exact_band_energy", "gap"):
            if f"{key}_error" in rows:
                found[f"{key}_mae"] = float(rows[f"{key}_error"].abs().mean())
        if "band_energy" in rows:
            known = rows["band_energy"].notna()
            errors = rows.get("band_energy_error", pd.Series(np.nan, index=rows.index))
            found["without_level"] = int((known & errors.isna()).sum())
        found |= {f"with_{name}": int(rows[f"{name}_error"].notna().sum()) for name in partly}
        return found

    groups = [(str(name), rows) for name, rows in structures.groupby("group")]
    listed = groups if len(groups) > 1 else []
    return pd.DataFrame([means(name, rows) for name, rows in [*listed, ("all", structures)]])
