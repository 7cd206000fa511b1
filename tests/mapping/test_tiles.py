"""Tiles of large structures: every atom once, with all of its neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, graphene, molecule

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.mapping import find_neighbors
from csgnn_dgl.mapping.tiles import tiles


def shaken(atoms: Atoms) -> Atoms:
    atoms.rattle(0.1, seed=1)
    return atoms


def sheet() -> Atoms:
    atoms = graphene(size=(14, 14, 1), vacuum=None)
    atoms.pbc = (True, True, False)
    return atoms


STRUCTURES = {
    "cube": shaken(bulk("Cu", cubic=True) * (8, 8, 8)),
    "skewed": shaken(bulk("Si") * (12, 9, 7)),
    "long": shaken(bulk("NaCl", "rocksalt", 5.64) * (1, 1, 60)),
    "sheet": shaken(sheet()),
    "cluster": shaken(
        Atoms(
            molecule("C60").numbers.tolist() * 4,
            np.concatenate([molecule("C60").positions + 12.0 * k for k in range(4)]),
        )
    ),
}


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("cutoff", [3.0, 6.5])
def test_every_atom_keeps_its_neighbours(name: str, cutoff: float) -> None:
    atoms = STRUCTURES[name]
    whole = find_neighbors([atoms], cutoff)
    reference = sums(whole.displacements.numpy(), whole.centres.numpy(), len(atoms))
    found = np.full((len(atoms), 7), np.nan)
    parts = list(tiles(atoms, cutoff, 60))
    for part in parts:
        assert (np.diff(part.centres) > 0).all()
        near = find_neighbors([part.atoms], cutoff, centres=[part.centres])
        assert np.isnan(found[part.origin]).all(), "an atom came twice"
        assert (part.atoms.numbers[part.centres] == atoms.numbers[part.origin]).all()
        found[part.origin] = sums(
            near.displacements.numpy(), near.centres.numpy(), len(part.centres)
        )
    np.testing.assert_allclose(found, reference, atol=1e-8)
    assert len(parts) > 1


def sums(displacements: np.ndarray, centres: np.ndarray, count: int) -> np.ndarray:
    """Number, sum, and sum of cubes of the displacements of each centre's neighbours."""
    values = np.concatenate(
        [np.ones((len(centres), 1)), displacements, displacements**3 / 100], axis=1
    )
    out = np.zeros((count, 7))
    np.add.at(out, centres, values)
    return out


def test_what_is_small_stays_whole() -> None:
    atoms = bulk("Cu", cubic=True)
    (part,) = tiles(atoms, 7.0, 2)  # shorter than two cutoffs: it cannot be cut
    assert part.atoms is atoms
    assert part.origin.tolist() == [0, 1, 2, 3]
    with pytest.raises(ConfigError, match="must be at least 1"):
        next(tiles(atoms, 7.0, 0))
