"""Read arrays over atoms from a ``.npz`` beside a file of structures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl._foreign import check_expansion, check_file, reading
from csgnn_dgl.errors import DataError

__all__ = ["AtomArrays"]

Array = npt.NDArray[np.generic]

# Largest difference between positions of the same atom [Å].
_SAME_PLACE = 0.05
_CHECKS = dict.fromkeys(
    ("numbers", "positions", "scaled_positions"), "checked against the structure"
)


class AtomArrays:
    """The arrays of a ``.npz``, with a row for each atom of the structures in the file beside it.

    ``train.npz`` belongs to ``train.extxyz``, and holds the atoms of all frames in order;
    ``diamond.npz`` belongs to ``diamond.cif``. If the arrays ``numbers``, ``positions`` [Å] or
    ``scaled_positions`` (in units of the cell) exist, they are compared with the structures.

    Parameters
    ----------
    file
        The archive.
    wanted
        Arrays to read, if they exist.
    n_atoms
        Number of atoms of all structures.

    Raises
    ------
    DataError
        The archive cannot be read, or an array has another number of rows.
    """

    def __init__(self, file: Path, wanted: Iterable[str], n_atoms: int) -> None:
        self.file = file
        read = {*wanted, *_CHECKS}
        check_file(file)
        check_expansion(file)
        with reading(file.name), np.load(file, allow_pickle=False) as content:
            self.names: tuple[str, ...] = tuple(content)
            self._arrays = {name: content[name] for name in content if name in read}
        for name, array in self._arrays.items():
            rows = len(array) if array.ndim else 0
            if rows != n_atoms:
                raise DataError(
                    f"{file.name}: {name} has {rows} rows, but there are {n_atoms} atoms in the "
                    f"file beside it"
                )

    @staticmethod
    def beside(structures: Path) -> Path | None:
        """Find the archive that belongs to a file of structures; None if there is none."""
        file = structures.with_name(f"{structures.stem}.npz")
        return file if file.is_file() else None

    @property
    def meanings(self) -> Mapping[str, str | None]:
        """All arrays, with the uses of those that no target uses."""
        return {name: _CHECKS.get(name) for name in self.names}

    def of(self, atoms: Atoms, first: int = 0, *, ordered: bool = True) -> dict[str, Array]:
        """Get the rows of a structure.

        Parameters
        ----------
        atoms
            The structure.
        first
            Index of its first atom.
        ordered
            Whether the file of structures fixes the order of the atoms. A CIF does not, because
            symmetry makes atoms that it does not list. Then ``scaled_positions`` must exist.

        Raises
        ------
        DataError
            Positions are required and absent, or the rows belong to other atoms.
        """
        rows = slice(first, first + len(atoms))
        found = {name: array[rows] for name, array in self._arrays.items()}
        numbers, positions, scaled = (found.pop(name, None) for name in _CHECKS)
        if scaled is None and not ordered and found:
            raise DataError(
                f"{self.file.name} needs an array 'scaled_positions' (N, 3) as well: symmetry "
                f"makes atoms of a CIF, so their order must be checked"
            )
        if numbers is not None and not np.array_equal(numbers, atoms.numbers):
            raise DataError(f"{self.file.name}: the atomic numbers are not those of the structure")
        if positions is not None and not _same_places(positions, atoms, False):
            raise DataError(f"{self.file.name}: the positions are not those of the structure")
        if scaled is not None and not _same_places(scaled, atoms, True):
            raise DataError(
                f"{self.file.name}: the scaled positions are not those of the structure"
            )
        return found


def _same_places(positions: Array, atoms: Atoms, scaled: bool) -> bool:
    """Whether positions are those of the atoms, in their order, up to periodic images."""
    if positions.shape != atoms.positions.shape or positions.dtype.kind not in "fiu":
        return False
    cell = atoms.cell.complete().array
    steps = positions if scaled else positions @ np.linalg.inv(cell)
    steps = steps - atoms.positions @ np.linalg.inv(cell)
    steps = np.where(atoms.pbc, steps - np.round(steps), steps)
    return bool((np.linalg.norm(steps @ cell, axis=1) < _SAME_PLACE).all())
