"""Cut large structures into tiles with their surroundings, to limit memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl.errors import ConfigError

__all__ = ["Tile", "tiles"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tile:
    """A part of a structure with all neighbours of its atoms.

    Parameters
    ----------
    atoms
        The part and its surroundings; not periodic in the directions that were cut.
    centres
        Indices in ``atoms`` of the atoms of the part, ascending.
    origin
        Their indices in the whole structure, in the same order.
    """

    atoms: Atoms
    centres: Integers
    origin: Integers


def tiles(atoms: Atoms, cutoff: float, size: int) -> Iterator[Tile]:
    """Cut a structure into tiles of at most ``size`` atoms with complete neighbourhoods.

    A tile is halved along its longest direction, by number of atoms, until it is small enough. A
    direction shorter than twice the cutoff is never cut, so tiles may be larger than ``size``.

    Parameters
    ----------
    atoms
        The structure, with any periodic directions.
    cutoff
        Largest distance of a neighbour [Å].
    size
        Largest number of atoms of a tile.

    Raises
    ------
    ConfigError
        The size is below one.

    Examples
    --------
    >>> from ase.build import bulk
    >>> large = bulk("Cu", cubic=True) * (12, 12, 12)
    >>> pieces = list(tiles(large, 7.0, 1000))
    >>> len(pieces), sum(len(tile.origin) for tile in pieces) == len(large)
    (8, True)
    """
    if size < 1:
        raise ConfigError(f"the size of tiles is {size} atoms, but it must be at least 1")
    cell = np.asarray(atoms.cell.complete().array)
    # Distance between opposite faces of the cell, for each of its directions [Å].
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    places = np.linalg.solve(cell.T, atoms.positions.T).T
    periodic = np.asarray(atoms.pbc, dtype=bool)
    places[:, periodic] %= 1.0
    waiting: list[tuple[Integers, tuple[int, ...]]] = [(np.arange(len(atoms)), ())]
    while waiting:
        members, cut = waiting.pop()
        own = places[members]
        lengths = np.ptp(own, axis=0) * heights
        axis = int(lengths.argmax())
        if len(members) <= size or lengths[axis] < 2 * cutoff:
            yield _tile(atoms, places, cell, cutoff / heights, np.sort(members), cut)
            continue
        order = members[np.argsort(own[:, axis], kind="stable")]
        cut = tuple(sorted({*cut, axis}))
        half = len(order) // 2
        waiting += [(order[half:], cut), (order[:half], cut)]


def _tile(
    atoms: Atoms,
    places: Floats,
    cell: Floats,
    margin: Floats,
    members: Integers,
    cut: tuple[int, ...],
) -> Tile:
    if not cut:
        return Tile(atoms, members, members)
    numbers, found = np.arange(len(atoms)), places
    pbc = np.array(atoms.pbc, dtype=bool)
    for axis in cut:
        own = places[members, axis]
        low, high = own.min() - margin[axis], own.max() + margin[axis]
        kept_numbers, kept_places = [], []
        for image in (-1, 0, 1) if pbc[axis] else (0,):
            along = found[:, axis] + image
            inside = (along >= low - 1e-9) & (along <= high + 1e-9)
            moved = found[inside].copy()
            moved[:, axis] += image
            kept_numbers.append(numbers[inside])
            kept_places.append(moved)
        numbers, found = np.concatenate(kept_numbers), np.concatenate(kept_places)
        pbc[axis] = False
    # Members are those atoms that were not moved to a periodic image.
    is_member = np.zeros(len(atoms), dtype=bool)
    is_member[members] = True
    same = is_member[numbers] & (np.abs(found - places[numbers]) < 1e-12).all(axis=1)
    centres = np.flatnonzero(same)
    part = Atoms(atoms.numbers[numbers], positions=found @ cell, cell=cell, pbc=pbc)
    return Tile(part, centres, numbers[centres])
