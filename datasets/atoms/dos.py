"""Structures with densities of states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl.datasets.atoms.base import AtomDataset, AtomRecord, RecordError, Target
from csgnn_dgl.physics import EnergyGrid

__all__ = ["DOSDataset", "DOSRecord"]

Floats = npt.NDArray[np.float64]


class DOSRecord(AtomRecord):
    """One structure with its density of states.

    Parameters
    ----------
    atoms
        The structure.
    dos
        The curve on the data set's grid, in its unit, shape ``(E,)``; NaN where it is not defined.
    name
        File, or index within a file.
    group
        Type of structure; results are listed by it.
    electrons
        Electrons that the curve holds up to the Fermi level [1/atom]; None if unknown.
    band_energy
        :math:`\\int^{E_F} \\varepsilon g` [unit of energy per atom], if it is known more precisely
        than from the curve.
    fermi_level
        Fermi level [unit of energy], if known.
    atom_dos
        Curves of the single atoms (projected density of states), if known, shape ``(N, E)``. Their
        mean is ``dos``. Any floating type, since the array may be large.
    gap
        Gap of the eigenvalues [unit of energy], if known. The gap of a curve is another quantity
        (:func:`csgnn_dgl.physics.band_gap`).

    Raises
    ------
    RecordError
        A curve has another shape, infinite values, or only NaN.

    Examples
    --------
    >>> record = DOSRecord(Atoms("C", [(0, 0, 0)]), np.ones(4), "atom", electrons=4.0)
    >>> record.electrons, record.fermi_level, sorted(record.targets)
    (4.0, None, ['dos', 'electrons'])
    """

    def __init__(
        self,
        atoms: Atoms,
        dos: Floats,
        name: str,
        group: str = "all",
        electrons: float | None = None,
        band_energy: float | None = None,
        fermi_level: float | None = None,
        atom_dos: npt.NDArray[np.floating[Any]] | None = None,
        gap: float | None = None,
    ) -> None:
        given: Mapping[str, Any] = {
            "dos": dos,
            "electrons": electrons,
            "band_energy": band_energy,
            "fermi_level": fermi_level,
            "atom_dos": atom_dos,
            "gap": gap,
        }
        targets = {key: value for key, value in given.items() if value is not None}
        super().__init__(atoms, name, group, targets)
        if dos.ndim != 1:
            raise RecordError(
                name, f"the density of states has shape {dos.shape}, but (E,) is expected"
            )
        if np.isinf(dos).any() or np.isnan(dos).all():
            raise RecordError(name, "the density of states has infinite values, or only NaN")
        shape = (len(atoms), len(dos))
        if atom_dos is not None and atom_dos.shape != shape:
            raise RecordError(
                name,
                f"the curves of the atoms have shape {atom_dos.shape}, but {shape} is expected",
            )

    @property
    def dos(self) -> Floats:
        """The density of states, shape ``(E,)``."""
        curve: Floats = self.targets["dos"]
        return curve

    @property
    def electrons(self) -> float | None:
        """Electrons up to the Fermi level [1/atom]."""
        return self.targets.get("electrons")

    @property
    def band_energy(self) -> float | None:
        """Band energy [unit of energy per atom]."""
        return self.targets.get("band_energy")

    @property
    def fermi_level(self) -> float | None:
        """Fermi level [unit of energy]."""
        return self.targets.get("fermi_level")

    @property
    def atom_dos(self) -> npt.NDArray[np.floating[Any]] | None:
        """Curves of the single atoms, shape ``(N, E)``."""
        return self.targets.get("atom_dos")

    @property
    def gap(self) -> float | None:
        """Gap of the eigenvalues [unit of energy]."""
        return self.targets.get("gap")

    @property
    def labels(self) -> tuple[npt.NDArray[Any], ...]:
        # The other values follow from the curve, so data sets with the same curves are the same.
        return (self.dos,)


@dataclass(frozen=True, eq=False, kw_only=True)
class DOSDataset(AtomDataset[DOSRecord]):
    """Structures with densities of states on one grid.

    The other parameters are those of :class:`~csgnn_dgl.datasets.atoms.base.AtomDataset`.

    Parameters
    ----------
    grid
        Energies, their unit and their zero.
    quantity
        ``"electronic"`` or ``"phonon"``.
    dos_unit
        Unit of the curves, such as ``"states/eV/atom"``.

    Raises
    ------
    RecordError
        A curve has another number of values than the grid.
    """

    grid: EnergyGrid
    quantity: str
    dos_unit: str
    targets: tuple[Target, ...] = field(init=False)

    def __post_init__(self) -> None:
        size, energy = self.grid.size, self.grid.unit
        what = f"{self.quantity} density of states"
        targets = (
            Target("dos", self.dos_unit, shape=(size,), description=what),
            Target("electrons", "1/atom", description="electrons", required=False),
            Target("band_energy", f"{energy}/atom", description="band energy", required=False),
            Target("fermi_level", energy, description="Fermi level", required=False),
            Target("gap", energy, description="gap of the eigenvalues", required=False),
            Target("atom_dos", self.dos_unit, "atom", (size,), "curves of atoms", required=False),
        )
        # The class is frozen, so the field must be set in the way that dataclasses do it.
        object.__setattr__(self, "targets", targets)
        for record in self.records:
            if len(record.dos) != size:
                raise RecordError(
                    record.name,
                    f"the curve has {len(record.dos)} values, but the grid of {self.source} has "
                    f"{size} energies",
                )

    @cached_property
    def electrons_per_element(self) -> dict[int, float] | None:
        """Electrons per atom of each element.

        None if counts are unknown, or if they are not sums over atoms (to 0.01 per atom).
        """
        records = [r for r in self.train if r.electrons is not None]
        if not records or len(records) < len(self.train):
            return None
        shares = np.array(
            [[np.mean(r.atoms.numbers == number) for number in self.elements] for r in records]
        )
        counts = np.array([r.electrons for r in records])
        per_element, _, rank, _ = np.linalg.lstsq(shares, counts, rcond=None)
        if rank < len(self.elements) or np.abs(shares @ per_element - counts).max() > 0.01:
            return None
        return {
            number: round(float(value), 3)
            for number, value in zip(self.elements, per_element, strict=True)
        }

    @property
    def identity(self) -> str:
        return repr(self.grid)

    def target_lines(self) -> list[str]:
        grid = self.grid
        lines = [
            f"{self.quantity} density of states [{self.dos_unit}] at {grid.size} energies "
            f"{grid.start:g} … {grid.stop:g} {grid.unit} in steps of {grid.step:g}, zero at the "
            f"{grid.zero}",
            f"electrons: {self._electrons()}",
        ]
        projected = sum(record.atom_dos is not None for record in self.records)
        if projected:
            lines.append(f"{projected} structures have curves of their atoms, too")
        gaps = [record.gap for record in self.records if record.gap is not None]
        if gaps:
            lines.append(
                f"gaps of the eigenvalues of {len(gaps)} structures: {min(gaps):.2f} to "
                f"{max(gaps):.2f} {grid.unit}; {sum(gap == 0 for gap in gaps)} without gap"
            )
        return lines

    def _electrons(self) -> str:
        counts = [r.electrons for r in self.records if r.electrons is not None]
        if not counts:
            return "not given"
        missing = len(self.records) - len(counts)
        spread = f"{min(counts):g}" + (f" to {max(counts):g}" if max(counts) > min(counts) else "")
        return f"{spread} per atom" + (f"; not given for {missing} structures" if missing else "")
