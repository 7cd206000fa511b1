"""What a structure looks like: colours and sizes of atoms, bonds, edges of the cell."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from ase.data.colors import jmol_colors

from csgnn_dgl._pairs import find_pairs
from csgnn_dgl.viewing.page import pack

__all__ = ["bonds", "cell_edges", "draw_atoms", "element_color"]

Floats = npt.NDArray[np.float64]
# A bond is at most this many times as long as the sum of the covalent radii.
_STRETCH = 1.2
# Structures with more atoms are drawn without bonds.
_MOST = 3000


def element_color(number: int) -> str:
    """Colour of an element, as in Jmol.

    Examples
    --------
    >>> element_color(8)
    '#ff0d0d'
    """
    return "#" + "".join(f"{round(255 * part):02x}" for part in jmol_colors[number])


def cell_edges(atoms: Atoms) -> Floats:
    """Ends of the edges of the cell, shape ``(n, 2, 3)`` [Å]; none without periodic directions.

    Examples
    --------
    >>> from ase.build import bulk
    >>> cell_edges(bulk("C", "diamond", 3.57)).shape
    (12, 2, 3)
    """
    vectors = [v for v, periodic in zip(atoms.cell.array, atoms.pbc, strict=True) if periodic]
    found = []
    for axis, vector in enumerate(vectors):
        others = vectors[:axis] + vectors[axis + 1 :]
        for shares in product((0, 1), repeat=len(others)):
            start = sum((s * o for s, o in zip(shares, others, strict=True)), np.zeros(3))
            found.append((start, start + vector))
    return np.array(found).reshape(-1, 2, 3)


def bonds(atoms: Atoms) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Bonds between atoms that are as close as their covalent radii suggest.

    Returns
    -------
    tuple
        The ends of each bond, shape ``(n, 2, 3)`` [Å]. And where the second end is a periodic
        image, the atom that it is an image of, else −1, shape ``(n,)``. A bond to an image is
        listed from both of its atoms.
    """
    if len(atoms) > _MOST:
        return np.zeros((0, 2, 3)), np.zeros(0, dtype=np.int64)
    radii = covalent_radii[np.minimum(atoms.numbers, len(covalent_radii) - 1)]
    longest = 2 * _STRETCH * float(radii.max())
    i, j, d = find_pairs(atoms.positions, atoms.cell.array, atoms.pbc, longest)
    close = np.linalg.norm(d, axis=1) <= _STRETCH * (radii[i] + radii[j])
    i, j, d = i[close], j[close], d[close]
    image = np.abs(atoms.positions[i] + d - atoms.positions[j]).max(axis=1, initial=0) > 1e-6
    kept = image | (i < j)
    start = atoms.positions[i[kept]]
    return np.stack([start, start + d[kept]], axis=1), np.where(image, j, -1)[kept]


def draw_atoms(atoms: Atoms, elements: npt.NDArray[np.int64]) -> dict[str, Any]:
    """A structure as values for a page; ``elements`` are its atomic numbers, ascending."""
    ends, image = bonds(atoms)
    return {
        "positions": pack(atoms.positions.astype(np.float32)),
        "of": pack(np.searchsorted(elements, atoms.numbers).astype(np.uint8)),
        "symbols": [chemical_symbols[number] for number in elements],
        "colors": [element_color(int(number)) for number in elements],
        "radii": [float(covalent_radii[min(n, len(covalent_radii) - 1)]) for n in elements],
        "cell": pack(cell_edges(atoms).astype(np.float32)),
        "bonds": pack(ends.astype(np.float32)),
        "image": pack(image.astype(np.int32)),
    }
