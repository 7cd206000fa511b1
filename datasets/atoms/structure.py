"""A structure as it was read from a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ase import Atoms

__all__ = ["Occupancy", "Structure"]

Occupancy = Literal["refuse", "majority", "full"]


@dataclass(frozen=True, eq=False)
class Structure:
    """A structure with its origin and warnings.

    Parameters
    ----------
    atoms
        The atoms.
    source
        File, with the index or name in the file if it holds several structures.
    reader
        Library that read it.
    warnings
        Assumptions and corrections, in sentences.
    """

    atoms: Atoms
    source: str
    reader: str
    warnings: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """Formula, sites, cell and reader, in a line."""
        atoms = self.atoms
        sides = " × ".join(f"{length:.3f}" for length in atoms.cell.lengths())
        cell = f"cell {sides} Å" if atoms.pbc.any() else "not periodic"
        return f"{atoms.get_chemical_formula()}, {len(atoms)} sites, {cell}, read by {self.reader}"
