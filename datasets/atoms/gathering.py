"""What a reader of densities of states collects: usable structures, rejected ones, remarks."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl.datasets.atoms.base import DOSDataset, DOSRecord, Rejected
from csgnn_dgl.errors import DataError
from csgnn_dgl.mapping import find_neighbors
from csgnn_dgl.physics import EnergyGrid, cumulative

__all__ = ["Gathering", "Split", "checked_curve"]

Floats = npt.NDArray[np.float64]
Split = Literal["train", "validation", "test"]

# Smearing of higher order makes curves dip below zero; deeper than this share of the maximum it is
# no density of states.
_DIP = 0.05
# Share of the electrons that a curve may lack, by rounding and broadening, before its labels
# contradict each other.
_LACK = 0.005
# Far enough to find atoms at one place, and nothing else [Å].
_NEAR = 0.2
_EXAMPLES = 3


def checked_curve(values: npt.ArrayLike, grid: EnergyGrid) -> tuple[Floats, bool]:
    """A curve that fits its grid and could be a density of states.

    Parameters
    ----------
    values
        One number for each energy; NaN where the curve is not defined.
    grid
        Its grid.

    Returns
    -------
    tuple
        Shape ``(E,)``, never negative, and whether small negative values were set to zero.

    Raises
    ------
    DataError
        Another number of values; infinite, clearly negative, zero throughout or NaN throughout.

    Examples
    --------
    >>> checked_curve([0.0, 2.0, -0.01], EnergyGrid(0.0, 0.1, 3))
    (array([0., 2., 0.]), True)
    """
    curve = np.array(values, dtype=np.float64)
    if curve.ndim != 1 or len(curve) != grid.size:
        raise DataError(f"{curve.size} values, but the grid has {grid.size} energies")
    if np.isinf(curve).any():
        raise DataError(f"value {int(np.isinf(curve).argmax()) + 1} is infinite")
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


class Gathering:
    """Collects the structures of a data set; what cannot be used is set aside with its reason.

    Parameters
    ----------
    grid
        Energies of all curves.
    quantity
        ``"electronic"`` or ``"phonon"``.
    """

    def __init__(self, grid: EnergyGrid, quantity: str) -> None:
        self.grid = grid
        self.quantity = quantity
        self._records: dict[Split, list[DOSRecord]] = {"train": [], "validation": [], "test": []}
        self._rejected: list[Rejected] = []
        self._remarks: dict[str, list[str]] = {}

    def remark(self, text: str, name: str | None = None) -> None:
        """Something a user should know; remarks alike are said once, with the names they are of."""
        names = self._remarks.setdefault(text, [])
        if name is not None:
            names.append(name)

    def reject(self, name: str, reason: object) -> None:
        """Set something aside."""
        self._rejected.append(Rejected(name, str(reason)))

    def add(
        self,
        split: Split,
        name: str,
        atoms: Atoms,
        values: npt.ArrayLike,
        *,
        group: str = "all",
        electrons: float | None = None,
        band_energy: float | None = None,
        fermi_level: float | None = None,
        atom_dos: npt.NDArray[np.floating[Any]] | None = None,
        checked: bool = False,
    ) -> None:
        """Take a structure with its curve, or set it aside if they cannot be used.

        Parameters
        ----------
        split
            Where it belongs.
        name, atoms, values, group, electrons, band_energy, fermi_level, atom_dos
            As of :class:`~csgnn_dgl.datasets.atoms.base.DOSRecord`.
        checked
            The structure and the curve are known to be good.
        """
        try:
            curve, mended = np.asarray(values, dtype=np.float64), False
            if not checked:
                curve, mended = checked_curve(values, self.grid)
                _check_structure(atoms)
                electrons = self._checked_electrons(curve, electrons, name)
            record = DOSRecord(
                atoms, curve, name, group, electrons, band_energy, fermi_level, atom_dos
            )
        except DataError as error:
            self.reject(name, str(error).removeprefix(f"{name}: "))
            return
        if mended:
            self.remark("small negative values were set to zero", name)
        self._records[split].append(record)

    def _checked_electrons(self, curve: Floats, electrons: float | None, name: str) -> float | None:
        if electrons is None:
            return None
        if not (np.isfinite(electrons) and electrons > 0):
            raise DataError(f"the number of electrons is {electrons:g}; it must be positive")
        if np.isnan(curve).any():
            return electrons
        states = float(cumulative(curve, self.grid)[-1])
        if states < electrons * (1 - _LACK):
            raise DataError(
                f"the curve holds {states:.4g} states per atom up to {self.grid.stop:g} "
                f"{self.grid.unit}, but there are {electrons:.4g} electrons: the Fermi level lies "
                f"above the energies, or the curve is in another unit"
            )
        if states < electrons * (1 - 1e-6):
            self.remark(
                "the curve ends a little short of its number of electrons, which was lowered to "
                "what it holds",
                name,
            )
        return min(states, electrons)

    def dataset(
        self, name: str, source: str, dos_unit: str, warnings: tuple[str, ...] = ()
    ) -> DOSDataset:
        """All that was gathered.

        Raises
        ------
        DataError
            There is nothing to learn from; the first reasons are given.
        """
        if not self._records["train"]:
            raise DataError(self._nothing(source))
        repeated = self._repeated()
        if repeated:
            self.remark(
                f"{repeated} validation or test structures, with their curves, are training "
                f"structures too: figures on them are too good"
            )
        return DOSDataset(
            name,
            source,
            self.grid,
            self.quantity,
            dos_unit,
            tuple(self._records["train"]),
            tuple(self._records["validation"]),
            tuple(self._records["test"]),
            tuple(self._rejected),
            (*warnings, *(_sentence(text, names) for text, names in self._remarks.items())),
        )

    def _nothing(self, source: str) -> str:
        if not self._rejected:
            return f"{source} holds no training structures"
        first = "; ".join(f"{e.name}: {e.reason}" for e in self._rejected[:_EXAMPLES])
        more = len(self._rejected) - _EXAMPLES
        return (
            f"{source}: none of its training structures can be used. {first}"
            f"{f'; and {more} more' if more > 0 else ''}"
        )

    def _repeated(self) -> int:
        seen = {_key(record) for record in self._records["train"]}
        others = (*self._records["validation"], *self._records["test"])
        return sum(_key(record) in seen for record in others)


def _key(record: DOSRecord) -> bytes:
    atoms = record.atoms
    return b"".join(
        np.ascontiguousarray(part).tobytes()
        for part in (atoms.numbers, atoms.positions, atoms.cell.array, record.dos)
    )


def _check_structure(atoms: Atoms) -> None:
    try:
        find_neighbors([atoms], _NEAR)
    except DataError as error:
        # It counts structures; the name of this one is known better by the caller.
        raise DataError(
            str(error).removeprefix(f"structure 0 ({atoms.get_chemical_formula()})").lstrip(": ")
        ) from error


def _sentence(text: str, names: list[str]) -> str:
    if not names:
        return text
    counted = Counter(names)
    first = ", ".join(list(counted)[:_EXAMPLES])
    more = len(counted) - _EXAMPLES
    return f"{text} ({first}{f' and {more} more' if more > 0 else ''})"
