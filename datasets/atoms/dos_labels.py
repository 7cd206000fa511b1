"""Make densities of states from the columns of users' files, and check curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from csgnn_dgl._foreign import excerpt
from csgnn_dgl.datasets.atoms.atom_curves import fitted_curves
from csgnn_dgl.datasets.atoms.dos import DOSDataset, DOSRecord
from csgnn_dgl.datasets.atoms.gathering import Entry, Remark, parse_number
from csgnn_dgl.datasets.atoms.grid_file import GridFile
from csgnn_dgl.datasets.atoms.numbers_in_text import parse_numbers
from csgnn_dgl.errors import DataError
from csgnn_dgl.physics import EnergyGrid, find_levels, level_range

__all__ = ["DOSLabels", "checked_curve"]

Floats = npt.NDArray[np.float64]

# Some smearings make curves fall below zero. A curve is refused if it does so by more than this
# share of its maximum.
_DIP = 0.05
# Share of the electrons that a curve may lack because of rounding and broadening.
_LACK = 0.005
# Largest difference between the Fermi level of a file and that of its curve, in steps, and number
# of electrons by which the latter may be off [1/atom].
_STEPS, _SLACK = 2.0, 0.02

_COLUMNS = {
    "dos": "density of states",
    "name": "name",
    "id": "name",
    "group": "type of structure",
    "electrons": "electrons of the structure",
    "electrons_per_atom": "electrons per atom",
    "band_energy_per_atom": "band energy",
    "fermi_level": "Fermi level",
    "gap": "gap of the eigenvalues",
    "dos_gap": "gap of the curve, for readers",
}
_ATOM_COLUMNS = {"pdos": "curves of single atoms"}


def checked_curve(values: npt.ArrayLike, grid: EnergyGrid) -> tuple[Floats, bool]:
    """Check that a curve fits its grid and can be a density of states, and return it.

    Parameters
    ----------
    values
        One number for each energy; NaN where the curve is not defined.
    grid
        Its grid.

    Returns
    -------
    tuple
        The curve without negative values, shape ``(E,)``, and whether small negative values were
        set to zero.

    Raises
    ------
    DataError
        The number of values is wrong; a value is infinite or clearly negative; or all values are
        zero or NaN.

    Examples
    --------
    >>> checked_curve([0.0, 2.0, -0.01], EnergyGrid(0.0, 0.1, 3))
    (array([0., 2., 0.]), True)
    """
    curve = np.array(values, dtype=np.float64)
    if curve.ndim != 1 or len(curve) != grid.size:
        raise DataError(f"it has {curve.size} values, but the grid has {grid.size} energies")
    if np.isinf(curve).any():
        raise DataError(f"value {int(np.isinf(curve).argmax()) + 1} is infinite")
    # The sums and slopes of such values would be infinite.
    beyond = np.abs(curve) > 1e100
    if beyond.any():
        place = int(beyond.argmax())
        raise DataError(f"value {place + 1} is {curve[place]:g}, which is no density of states")
    defined = curve[~np.isnan(curve)]
    if len(defined) == 0:
        raise DataError("every value is nan")
    highest, lowest = defined.max(), defined.min()
    if highest <= 0:
        raise DataError("the density of states is zero everywhere, as if it were missing")
    if lowest < -_DIP * highest:
        raise DataError(f"the density of states is negative, down to {lowest:g}")
    curve[curve < 0] = 0.0
    return curve, bool(lowest < 0)


class DOSLabels:
    """Labels that make records of densities of states from columns.

    Columns of structures are ``dos`` (one value for each energy, NaN where it is not defined);
    ``name`` or ``id``; ``group``; ``electrons`` of the structure or ``electrons_per_atom``;
    ``band_energy_per_atom``, ``fermi_level`` and ``gap`` (of the eigenvalues) [unit of the
    energies]. A Fermi level is kept; if the curve has another one, there is a warning that gives
    both. The column of atoms is ``pdos``, the curve of each atom with one value for each energy; it
    is all NaN in a structure without such curves.

    Parameters
    ----------
    about
        Energies, units and electrons.
    """

    def __init__(self, about: GridFile) -> None:
        self.about = about
        self._unknown_curves = 0

    @property
    def columns(self) -> Mapping[str, str]:
        return _COLUMNS

    @property
    def atom_columns(self) -> Mapping[str, str]:
        return _ATOM_COLUMNS

    @property
    def series(self) -> tuple[str, int] | None:
        return "dos", self.about.grid.size

    def record(self, entry: Entry, remark: Remark) -> DOSRecord:
        """Make the record of an entry.

        Raises
        ------
        DataError
            There is no curve, it cannot be a density of states, or other values contradict it.
        """
        values, atoms = entry.values, entry.atoms
        if len(atoms) == 0:
            raise DataError("it has no atoms")
        curve = _curve(values)
        if self.about.per_cell:
            curve = curve / len(atoms)
        curve, corrected = checked_curve(curve, self.about.grid)
        electrons = self._electrons(entry)
        if electrons is not None:
            electrons = self._checked_electrons(curve, electrons, entry.name, remark)
        level = parse_number(values, "fermi_level")
        if level is not None and electrons is not None and self.about.quantity == "electronic":
            self._compare_levels(curve, electrons, level, entry.name, remark)
        gap = parse_number(values, "gap")
        if gap is not None and gap < 0:
            raise DataError(f"gap is {gap:g}; it cannot be negative")
        record = DOSRecord(
            atoms,
            curve,
            entry.name,
            excerpt(values.get("group", "all"), 80),
            electrons,
            parse_number(values, "band_energy_per_atom"),
            level,
            self._atom_dos(entry, curve, remark),
            gap,
        )
        if corrected:
            remark("small negative values were set to zero", entry.name)
        return record

    def dataset(self, **parts: Any) -> DOSDataset:
        """Make the data set of the gathered records."""
        about = self.about
        records = (*parts["train"], *parts["validation"], *parts["test"])
        without = [record.name for record in records if record.atom_dos is None]
        if 0 < len(without) < len(records):
            # Other warnings name those whose curves were refused, with the reason.
            parts["warnings"] += (
                f"{len(without)} of {len(records)} structures have no curves of their atoms; the "
                f"first is {without[0]}",
            )
        elif without and self._unknown_curves:
            parts["warnings"] += (
                f"pdos is there, but nan for all atoms of {self._unknown_curves} structures, so no "
                f"curves of atoms are known",
            )
        return DOSDataset(
            **parts, grid=about.grid, quantity=about.quantity, dos_unit=about.dos_unit
        )

    def _electrons(self, entry: Entry) -> float | None:
        total = parse_number(entry.values, "electrons")
        if total is not None:
            return total / len(entry.atoms)
        per_atom = parse_number(entry.values, "electrons_per_atom")
        return per_atom if per_atom is not None else self.about.electrons_of(entry.atoms)

    def _checked_electrons(
        self, curve: Floats, electrons: float, name: str, remark: Remark
    ) -> float:
        if not (np.isfinite(electrons) and electrons > 0):
            raise DataError(f"the number of electrons is {electrons:g}; it must be positive")
        if np.isnan(curve).any():
            return electrons
        grid = self.about.grid
        states, stop = float(curve.sum() * grid.step), grid.stop + grid.step / 2
        if states < electrons * (1 - _LACK):
            raise DataError(
                f"the curve holds {states:.4g} states per atom up to {stop:g} {grid.unit}, "
                f"but there are {electrons:.4g} electrons: the Fermi level lies above the "
                f"energies, or the curve has another unit"
            )
        if states < electrons * (1 - 1e-6):
            remark(
                "the curve holds slightly fewer states than electrons; the number of electrons was "
                "lowered accordingly",
                name,
            )
        return min(states, electrons)

    def _compare_levels(
        self, curve: Floats, electrons: float, level: float, name: str, remark: Remark
    ) -> None:
        """Warn if the Fermi level of the file is not one of the curve; in a gap, any level is."""
        if np.isnan(curve).any():
            return
        grid = self.about.grid
        low, high = level_range(curve, grid, electrons, min(0.005 * electrons, _SLACK))
        if low - _STEPS * grid.step <= level <= high + _STEPS * grid.step:
            return
        own = find_levels(curve, grid, electrons).fermi_level
        remark(
            "the Fermi level in the file differs from that of the curve and its electrons; that of "
            "the file was kept",
            f"{name}: {level:.3f} in the file, {own:.3f} {grid.unit} by the curve",
        )

    def _atom_dos(
        self, entry: Entry, curve: Floats, remark: Remark
    ) -> npt.NDArray[np.float32] | None:
        given = entry.atom_values.get("pdos")
        if given is None:
            return None
        if _unknown(given):
            self._unknown_curves += 1
            return None
        try:
            fitted, difference = fitted_curves(given, curve, len(entry.atoms))
        except DataError as error:
            remark(f"pdos was left out, and dos was kept: {error}", entry.name)
            return None
        if difference is not None:
            remark(
                "the mean of pdos over the atoms differs from dos by more than 1 %, as in "
                "projections that lack the density between the atoms; pdos was scaled, energy by "
                "energy, so that its mean is dos",
                f"{entry.name}: {100 * difference:.0f} %",
            )
        return fitted.astype(np.float32)


def _unknown(curves: npt.NDArray[Any]) -> bool:
    """Whether all values are NaN, as for the atoms of a structure without curves of its atoms."""
    return curves.dtype.kind == "f" and bool(np.isnan(curves).all())


def _curve(values: Mapping[str, Any]) -> Floats:
    value = values.get("dos")
    if value is None or np.size(value) == 0:
        raise DataError("the frame has no dos")
    if isinstance(value, str):
        return parse_numbers(value.split())
    given = np.asarray(value)
    # Truth values and complex numbers would be converted without a word.
    if given.dtype.kind not in "iuf":
        raise DataError(f"dos is {excerpt(repr(value), 60)}, not numbers")
    if given.ndim > 1 and max(given.shape) != given.size:
        raise DataError(f"dos has shape {given.shape}, but one value for each energy is expected")
    return given.astype(np.float64).reshape(-1)
