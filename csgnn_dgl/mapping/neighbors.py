"""Neighbours of atoms under periodic boundaries, as one flat batch of many structures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from ase import Atoms
from torch import Tensor
from vesin import NeighborList

from csgnn_dgl.errors import ConfigError, DataError

__all__ = ["Neighbors", "find_neighbors"]

# No two nuclei stand closer in any structure that is not a mistake [Å].
_TOUCHING = 0.05


@dataclass(frozen=True, eq=False)
class Neighbors:
    """Neighbours within a cutoff of all atoms of some structures, without padding.

    Parameters
    ----------
    displacements
        From a central atom to a neighbour, shape ``(P, 3)`` [Å].
    centres
        Number of the central atom within the batch, shape ``(P,)``, int64.
    numbers
        Atomic number of every neighbour, shape ``(P,)``, int64.
    centre_numbers
        Atomic number of every atom of the batch, shape ``(A,)``, int64.
    structures
        Structure of every atom, shape ``(A,)``, int64.
    n_structures
        How many structures.
    """

    displacements: Tensor
    centres: Tensor
    numbers: Tensor
    centre_numbers: Tensor
    structures: Tensor
    n_structures: int

    @property
    def n_atoms(self) -> int:
        """``A``, the number of atoms of all structures."""
        return self.centre_numbers.shape[0]  # len() would be a constant to torch.export

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Neighbors:
        """The same on another device, with displacements of another type."""
        return Neighbors(
            self.displacements.to(device, dtype),
            self.centres.to(device),
            self.numbers.to(device),
            self.centre_numbers.to(device),
            self.structures.to(device),
            self.n_structures,
        )

    @property
    def nbytes(self) -> int:
        """Memory of all tensors [bytes]."""
        parts = (self.displacements, self.centres, self.numbers)
        return sum(t.nbytes for t in (*parts, self.centre_numbers, self.structures))

    def select(self, atoms: Tensor) -> Neighbors:
        """Some of the atoms, ascending, with their neighbours."""
        place = torch.full((self.n_atoms,), -1)
        place[atoms] = torch.arange(len(atoms))
        centres = place[self.centres]
        kept = centres >= 0
        return Neighbors(
            self.displacements[kept],
            centres[kept],
            self.numbers[kept],
            self.centre_numbers[atoms],
            self.structures[atoms],
            self.n_structures,
        )

    @staticmethod
    def concatenate(parts: Sequence[Neighbors]) -> Neighbors:
        """Several batches as one, structure after structure."""
        atoms = np.cumsum([0, *(part.n_atoms for part in parts)]).tolist()
        counts = np.cumsum([0, *(part.n_structures for part in parts)]).tolist()
        return Neighbors(
            torch.cat([part.displacements for part in parts]),
            torch.cat([part.centres + atoms[i] for i, part in enumerate(parts)]),
            torch.cat([part.numbers for part in parts]),
            torch.cat([part.centre_numbers for part in parts]),
            torch.cat([part.structures + counts[i] for i, part in enumerate(parts)]),
            counts[-1],
        )

    def rotated(self, rotations: Tensor) -> Neighbors:
        """The surroundings of every atom turned by a rotation of its own, shape ``(A, 3, 3)``."""
        turned = torch.einsum("pxy,py->px", rotations[self.centres], self.displacements)
        return replace(self, displacements=turned)

    def chunks(self, size: int) -> Iterator[Neighbors]:
        """The same atoms in pieces of at most ``size`` atoms.

        Structures may be cut: pieces are for what is computed atom by atom.
        """
        # Centres ascend, so the neighbours of a piece stand together.
        starts = torch.arange(0, self.n_atoms + size, size)
        cuts = torch.searchsorted(self.centres, starts).tolist()
        for index, start in enumerate(range(0, self.n_atoms, size)):
            pairs = slice(cuts[index], cuts[index + 1])
            atoms = slice(start, start + size)
            yield Neighbors(
                self.displacements[pairs],
                self.centres[pairs] - start,
                self.numbers[pairs],
                self.centre_numbers[atoms],
                self.structures[atoms],
                self.n_structures,
            )


def find_neighbors(
    structures: Sequence[Atoms],
    cutoff: float,
    *,
    centres: Sequence[npt.NDArray[np.int64] | None] | None = None,
) -> Neighbors:
    """All neighbours within ``cutoff`` of every atom.

    The search is vesin's: of the libraries tried it is the fastest, and the only one besides ASE
    that takes every combination of periodic directions and skewed, tiny or absent cells. An atom
    is a neighbour once for each of its periodic images within the cutoff, images of itself
    included.

    Parameters
    ----------
    structures
        ASE structures.
    cutoff
        Largest distance [Å].
    centres
        For each structure the atoms whose neighbours are wanted, ascending; None for all.

    Returns
    -------
    Neighbors
        Displacements in float64; centres ascend.

    Raises
    ------
    ConfigError
        The cutoff is not positive.
    DataError
        A structure without atoms; positions or a cell that are not finite; a cell that is singular
        in a periodic direction; two atoms at one place. The structure and atoms are named.

    Examples
    --------
    >>> from ase.build import bulk
    >>> found = find_neighbors([bulk("C", "diamond", 3.57)], cutoff=1.6)
    >>> found.n_atoms, len(found.centres)
    (2, 8)
    """
    if not cutoff > 0:
        raise ConfigError(f"a cutoff of {cutoff} Å finds nothing: it must be positive")
    wanted = [None] * len(structures) if centres is None else list(centres)
    displacements, middles, numbers, chosen = [], [], [], []
    offset = 0
    for index, atoms in enumerate(structures):
        where = f"structure {index} ({atoms.get_chemical_formula() or 'empty'})"
        _check(atoms, where)
        i, j, d = _search(atoms, cutoff)
        # A distance too small to be one, squared.
        close = np.einsum("px,px->p", d, d) < _TOUCHING**2
        if close.any():
            pair = int(close.argmax())
            raise DataError(
                f"{where}: atoms {i[pair]} and {j[pair]} are {np.linalg.norm(d[pair]):.3f} Å "
                f"apart, at one place; remove one of them"
            )
        own = wanted[index]
        kept = np.arange(len(atoms)) if own is None else np.unique(_within(own, atoms, where))
        # vesin gives pairs cell by cell; batches are cut by centre.
        place = np.full(len(atoms), -1)
        place[kept] = np.arange(len(kept))
        order = np.argsort(place[i], kind="stable")
        order = order[np.searchsorted(place[i][order], 0) :]
        displacements.append(d[order])
        middles.append(place[i][order] + offset)
        numbers.append(atoms.numbers[j][order])
        chosen.append(atoms.numbers[kept])
        offset += len(kept)
    counts = torch.tensor([len(part) for part in chosen], dtype=torch.int64)
    return Neighbors(
        torch.from_numpy(np.concatenate([np.zeros((0, 3)), *displacements])),
        _integers(middles),
        _integers(numbers),
        _integers(chosen),
        torch.arange(len(counts)).repeat_interleave(counts),
        len(counts),
    )


def _within(centres: npt.NDArray[np.int64], atoms: Atoms, where: str) -> npt.NDArray[np.int64]:
    chosen = np.asarray(centres, dtype=np.int64).reshape(-1)
    if len(chosen) and (chosen.min() < 0 or chosen.max() >= len(atoms)):
        raise DataError(f"{where} has atoms 0 to {len(atoms) - 1}; {chosen.max()} is none of them")
    return chosen


def _integers(parts: list[np.ndarray]) -> Tensor:
    empty = np.zeros(0, dtype=np.int64)
    return torch.from_numpy(np.concatenate([empty, *parts]).astype(np.int64))


def _search(atoms: Atoms, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    found = NeighborList(cutoff=cutoff, full_list=True).compute(
        points=np.ascontiguousarray(atoms.positions, dtype=np.float64),
        box=np.ascontiguousarray(atoms.cell.array, dtype=np.float64),
        periodic=[bool(flag) for flag in atoms.pbc],
        quantities="ijD",
    )
    i, j, d = (np.array(part) for part in found)
    return i.astype(np.int64), j.astype(np.int64), d.reshape(-1, 3)


def _check(atoms: Atoms, where: str) -> None:
    if len(atoms) == 0:
        raise DataError(f"{where} has no atoms")
    if not np.isfinite(atoms.positions).all():
        bad = int((~np.isfinite(atoms.positions)).any(axis=1).argmax())
        raise DataError(f"{where}: the position of atom {bad} is NaN or infinite")
    if not np.isfinite(atoms.cell.array).all():
        raise DataError(f"{where}: the cell is NaN or infinite")
    periodic = atoms.cell.array[atoms.pbc]
    lengths = np.linalg.norm(periodic, axis=1)
    # The volume spanned by the periodic directions, of a unit length each.
    if len(periodic) and (
        lengths.min() == 0 or np.linalg.svd(periodic / lengths[:, None])[1].min() < 1e-3
    ):
        raise DataError(
            f"{where}: the cell {atoms.cell.array.round(4).tolist()} is singular in a periodic "
            f"direction; set pbc to False there, or give a cell"
        )
    if len(periodic) and lengths.min() < 0.5:
        raise DataError(
            f"{where}: a periodic cell vector is {lengths.min():.3f} Å long; no crystal repeats so "
            f"soon. Are the units Å?"
        )
