"""Find neighbours of atoms under periodic boundaries, as one flat batch of many structures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from ase import Atoms
from torch import Tensor

from csgnn_dgl._pairs import find_pairs, formula_of, structure_problem
from csgnn_dgl.errors import ConfigError, DataError, StructureError

__all__ = ["Neighbors", "find_neighbors"]

# Distance below which two atoms are considered a mistake [Å].
_TOUCHING = 0.05
# Largest number of pairs of one structure, which take about 40 GB.
_MOST_PAIRS = 5e8


@dataclass(frozen=True, eq=False)
class Neighbors:
    """Neighbours within a cutoff of all atoms of some structures, without padding.

    Parameters
    ----------
    displacements
        Vector from the central atom to each neighbour, shape ``(P, 3)`` [Å].
    centres
        Index of the central atom within the batch, shape ``(P,)``, int64.
    numbers
        Atomic number of every neighbour, shape ``(P,)``, int64.
    centre_numbers
        Atomic number of every atom of the batch, shape ``(A,)``, int64.
    structures
        Structure of every atom, shape ``(A,)``, int64.
    n_structures
        Number of structures.
    neighbors
        Index of the neighbouring atom within the batch, shape ``(P,)``, int64; −1 where that atom
        is not part of the batch. A periodic image has the index of its original. None if the
        indices are unknown, as in batches that were made only from displacements.
    complete
        Whether every neighbour is part of the batch. Batches with only some atoms of a structure
        (:meth:`select`, :meth:`chunks`, ``centres=`` of :func:`find_neighbors`) are not complete.
    """

    displacements: Tensor
    centres: Tensor
    numbers: Tensor
    centre_numbers: Tensor
    structures: Tensor
    n_structures: int
    neighbors: Tensor | None = None
    complete: bool = True

    @property
    def n_atoms(self) -> int:
        """``A``, the number of atoms of all structures."""
        return self.centre_numbers.shape[0]  # len() would be a constant to torch.export

    def require_indices(self) -> Tensor:
        """Indices of the neighbouring atoms, for models that pass messages between atoms.

        Returns
        -------
        Tensor
            :attr:`neighbors`, shape ``(P,)``, int64, without any −1.

        Raises
        ------
        DataError
            The indices are unknown, or some neighbours are not part of the batch.
        """
        if self.neighbors is None:
            raise DataError(
                "the batch has no indices of its neighbours, which this model needs; make the "
                "batch with find_neighbors"
            )
        if not self.complete:
            raise DataError(
                "the batch holds only some atoms of its structures, but this model passes messages "
                "between atoms; give it whole structures"
            )
        return self.neighbors

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Neighbors:
        """Copy the batch to another device, optionally with displacements of another type."""
        return replace(
            self,
            displacements=self.displacements.to(device, dtype),
            centres=self.centres.to(device),
            numbers=self.numbers.to(device),
            centre_numbers=self.centre_numbers.to(device),
            structures=self.structures.to(device),
            neighbors=None if self.neighbors is None else self.neighbors.to(device),
        )

    @property
    def nbytes(self) -> int:
        """Memory of all tensors [bytes]."""
        parts = (self.displacements, self.centres, self.numbers, self.neighbors)
        tensors = (*parts, self.centre_numbers, self.structures)
        return sum(tensor.nbytes for tensor in tensors if tensor is not None)

    def select(self, atoms: Tensor) -> Neighbors:
        """Select some of the atoms with their neighbours, on the device of this batch.

        Parameters
        ----------
        atoms
            Indices of the atoms, ascending, shape ``(S,)``, int64, on any device.

        Raises
        ------
        DataError
            The indices have another shape or type, do not ascend, or are not those of atoms.
        """
        _check_selected(atoms, self.n_atoms)
        device = self.centres.device
        atoms = atoms.to(device)
        place = torch.full((self.n_atoms,), -1, dtype=torch.int64, device=device)
        place = place.index_copy(0, atoms, torch.arange(atoms.shape[0], device=device))
        centres = place.index_select(0, self.centres)
        kept = torch.argwhere(centres >= 0).flatten()
        indices = self.neighbors
        if indices is not None:
            # An additional entry at the end maps −1 to −1.
            indices = indices.index_select(0, kept)
            indices = torch.where(indices < 0, self.n_atoms, indices)
            indices = torch.cat([place, place.new_full((1,), -1)]).index_select(0, indices)
        return Neighbors(
            self.displacements.index_select(0, kept),
            centres.index_select(0, kept),
            self.numbers.index_select(0, kept),
            self.centre_numbers.index_select(0, atoms),
            self.structures.index_select(0, atoms),
            self.n_structures,
            indices,
            complete=False,
        )

    @staticmethod
    def concatenate(parts: Sequence[Neighbors]) -> Neighbors:
        """Join several batches into one, in the order of the structures."""
        atoms = np.cumsum([0, *(part.n_atoms for part in parts)]).tolist()
        counts = np.cumsum([0, *(part.n_structures for part in parts)]).tolist()
        indices = [
            torch.where(part.neighbors >= 0, part.neighbors + atoms[i], -1)
            for i, part in enumerate(parts)
            if part.neighbors is not None
        ]
        return Neighbors(
            torch.cat([part.displacements for part in parts]),
            torch.cat([part.centres + atoms[i] for i, part in enumerate(parts)]),
            torch.cat([part.numbers for part in parts]),
            torch.cat([part.centre_numbers for part in parts]),
            torch.cat([part.structures + counts[i] for i, part in enumerate(parts)]),
            counts[-1],
            torch.cat(indices) if len(indices) == len(parts) else None,
            all(part.complete for part in parts),
        )

    def rotated(self, rotations: Tensor) -> Neighbors:
        """Rotate the surroundings of every atom by its own rotation, shape ``(A, 3, 3)``."""
        rotated = torch.einsum(
            "pxy,py->px", rotations.index_select(0, self.centres), self.displacements
        )
        return replace(self, displacements=rotated)

    def chunks(self, size: int) -> Iterator[Neighbors]:
        """Yield the atoms in pieces of at most ``size`` atoms.

        Pieces may divide structures, so they are for models that compute atom by atom.
        """
        # Centres ascend, so the neighbours of a piece are contiguous.
        starts = torch.arange(0, self.n_atoms + size, size, device=self.centres.device)
        cuts = torch.searchsorted(self.centres, starts).tolist()
        for index, start in enumerate(range(0, self.n_atoms, size)):
            pairs = slice(cuts[index], cuts[index + 1])
            atoms = slice(start, start + size)
            indices = None if self.neighbors is None else self.neighbors[pairs] - start
            if indices is not None:
                stop = min(size, self.n_atoms - start)
                indices = torch.where((indices >= 0) & (indices < stop), indices, -1)
            yield Neighbors(
                self.displacements[pairs],
                self.centres[pairs] - start,
                self.numbers[pairs],
                self.centre_numbers[atoms],
                self.structures[atoms],
                self.n_structures,
                indices,
                self.complete and self.n_atoms <= size,
            )


def find_neighbors(
    structures: Sequence[Atoms],
    cutoff: float,
    *,
    centres: Sequence[npt.NDArray[np.int64] | None] | None = None,
) -> Neighbors:
    """Find all neighbours within ``cutoff`` of every atom.

    vesin does the search. Of the libraries that were tried it is the fastest, and the only one
    besides ASE that supports every combination of periodic directions and tiny or absent cells.
    :mod:`csgnn_dgl._pairs` keeps it from skewed cells and extreme distances. An atom is a
    neighbour once for each of its periodic images within the cutoff. This includes images of the
    central atom.

    Parameters
    ----------
    structures
        ASE structures.
    cutoff
        Largest distance [Å].
    centres
        For each structure the indices of the atoms whose neighbours to find, ascending; None for
        all.

    Returns
    -------
    Neighbors
        Displacements are float64, and centres ascend. A neighbour that is one of the centres has
        its index; others, which exist only if ``centres`` leaves out atoms, have −1.

    Raises
    ------
    ConfigError
        The cutoff is not positive and finite.
    DataError
        The number of ``centres`` is not that of the structures.
    StructureError
        A structure has no atoms, an atom of no known element, positions or a cell that are not
        finite or larger than 1 cm, a cell that is singular in a periodic direction, more neighbours
        than fit into memory, or two atoms at one place; or its ``centres`` are not whole numbers,
        do not ascend, or are not those of atoms. The message names the structure and the atoms.

    Examples
    --------
    >>> from ase.build import bulk
    >>> found = find_neighbors([bulk("C", "diamond", 3.57)], cutoff=1.6)
    >>> found.n_atoms, len(found.centres)
    (2, 8)
    >>> found.neighbors.tolist()
    [1, 1, 1, 1, 0, 0, 0, 0]
    """
    if not 0 < cutoff < np.inf:
        raise ConfigError(f"the cutoff is {cutoff} Å, but it must be positive and finite")
    wanted = [None] * len(structures) if centres is None else list(centres)
    if len(wanted) != len(structures):
        raise DataError(
            f"there are {len(wanted)} lists of centres for {len(structures)} structures; give one "
            f"for each, or None where all atoms are meant"
        )
    displacements, middles, others, numbers, chosen = [], [], [], [], []
    offset = 0
    for index, atoms in enumerate(structures):
        own = wanted[index]
        _refuse(
            index,
            atoms,
            structure_problem(atoms) or _about_centres(own, atoms) or _too_many(atoms, cutoff),
        )
        i, j, d = find_pairs(atoms.positions, atoms.cell.array, atoms.pbc, cutoff, checked=True)
        _refuse(index, atoms, _touching(i, j, d))
        if own is None:
            # vesin sorts pairs by cells, but chunks() needs them sorted by centre.
            order = np.argsort(i, kind="stable")
            neighbor = j[order]
            displacements.append(d[order])
            middles.append(i[order] + offset)
            others.append(neighbor + offset)
            numbers.append(atoms.numbers[neighbor])
            chosen.append(atoms.numbers)
            offset += len(atoms)
            continue
        kept = np.asarray(own, dtype=np.int64)
        place = np.full(len(atoms), -1)
        place[kept] = np.arange(len(kept))
        order = np.argsort(place[i], kind="stable")
        order = order[np.searchsorted(place[i][order], 0) :]
        displacements.append(d[order])
        middles.append(place[i][order] + offset)
        beside = place[j][order]
        others.append(np.where(beside >= 0, beside + offset, -1))
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
        _integers(others),
        complete=all(own is None for own in wanted),
    )


def _about_centres(centres: npt.NDArray[np.int64] | None, atoms: Atoms) -> str | None:
    """Describe the problem if chosen atoms do not exist, or are not in the order of the result."""
    if centres is None:
        return None
    values = np.asarray(centres)
    # An empty list has no integers.
    if values.ndim != 1 or (len(values) and not np.issubdtype(values.dtype, np.integer)):
        return (
            f"its centres have the shape {values.shape} and the type {values.dtype}; give a list "
            f"of indices of atoms, which are whole numbers"
        )
    wrong = values[(values < 0) | (values >= len(atoms))]
    if len(wrong):
        return f"it has atoms 0 to {len(atoms) - 1}, but not {wrong[0]}"
    falls = np.flatnonzero(values[1:] <= values[:-1])
    if len(falls) == 0:
        return None
    return _about_order("its centres", values[falls[0]], values[falls[0] + 1])


def _about_order(what: str, before: object, after: object) -> str:
    return (
        f"{what} must ascend and not repeat, but {after} follows {before}; sort them, and leave "
        f"out those that repeat"
    )


def _check_selected(atoms: Tensor, count: int) -> None:
    """Refuse indices of atoms for which :meth:`Neighbors.select` would give a wrong batch."""
    if atoms.dim() != 1 or atoms.dtype != torch.int64:
        raise DataError(
            f"the selected atoms have the shape {tuple(atoms.shape)} and the type {atoms.dtype}, "
            f"but int64 indices of shape (S,) are needed"
        )
    # Tensors of tracers have no values to look at.
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
    if traced or type(atoms) is not Tensor or not len(atoms):
        return
    falls = torch.nonzero(atoms.diff() <= 0).flatten()
    if len(falls):
        before, after = atoms[int(falls[0]) :][:2].tolist()
        raise DataError(_about_order("the selected atoms", before, after))
    # They ascend, so the ends tell.
    for index in (int(atoms[0]), int(atoms[-1])):
        if not 0 <= index < count:
            raise DataError(
                f"the batch has {count} atoms, numbered from 0, but atom {index} is selected"
            )


def _integers(parts: list[np.ndarray]) -> Tensor:
    empty = np.zeros(0, dtype=np.int64)
    return torch.from_numpy(np.concatenate([empty, *parts]).astype(np.int64))


def _refuse(index: int, atoms: Atoms, problem: str | None) -> None:
    if problem is not None:
        raise StructureError(index, problem, formula_of(atoms))


def _too_many(atoms: Atoms, cutoff: float) -> str | None:
    """Describe the problem if a crystal has too many neighbours within the cutoff."""
    if not atoms.pbc.all():
        return None
    expected = len(atoms) ** 2 / atoms.cell.volume * 4 / 3 * np.pi * cutoff**3
    if expected < _MOST_PAIRS:
        return None
    return (
        f"it has about {expected:.1g} pairs of neighbours within {cutoff:g} Å; use a smaller cutoff"
    )


def _touching(i: np.ndarray, j: np.ndarray, d: np.ndarray) -> str | None:
    close = np.einsum("px,px->p", d, d) < _TOUCHING**2
    if not close.any():
        return None
    pair = int(close.argmax())
    return (
        f"atoms {i[pair]} and {j[pair]} are {np.linalg.norm(d[pair]):.3f} Å apart, at one place; "
        f"remove one of them"
    )
