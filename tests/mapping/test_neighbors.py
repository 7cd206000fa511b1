"""Neighbour lists against a search over all images, and what is wrong with structures."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.mapping.neighbors import find_neighbors

RNG = np.random.default_rng(0)
SKEWED = [[3, 0, 0], [2.7, 1, 0], [2.5, 0.8, 1.1]]


def by_hand(atoms: Atoms, cutoff: float, images: int) -> list[tuple[int, int, float]]:
    found = []
    reach = [range(-images, images + 1) if flag else (0,) for flag in atoms.pbc]
    for shift in product(*reach):
        moved = atoms.positions + np.array(shift) @ atoms.cell.array
        for i, place in enumerate(atoms.positions):
            for j, other in enumerate(moved):
                distance = float(np.linalg.norm(other - place))
                if distance < cutoff and (any(shift) or i != j):
                    found.append((i, int(atoms.numbers[j]), distance))
    return sorted(found)


@pytest.mark.parametrize(
    ("atoms", "images"),
    [
        (bulk("Cu"), 5),
        (bulk("NaCl", "rocksalt", 5.64), 4),
        (molecule("CH3CH2OH"), 0),
        (Atoms("C2", [(0, 0, 0), (0.7, 0.8, 0.9)], cell=SKEWED, pbc=True), 14),
        (Atoms("C9", RNG.random((9, 3)) * 6, cell=[5, 6, 7], pbc=(True, True, False)), 2),
        (Atoms("C9", RNG.random((9, 3)) * 6, cell=[5, 6, 0], pbc=(True, True, False)), 2),
        (Atoms("C9", RNG.random((9, 3)) * 40 - 15, cell=[5, 6, 7], pbc=True), 14),
    ],
)
def test_equal_to_a_search_over_all_images(atoms: Atoms, images: int) -> None:
    cutoff = 4.1
    found = find_neighbors([atoms], cutoff)
    distances = found.displacements.norm(dim=1).tolist()
    ours = sorted(zip(found.centres.tolist(), found.numbers.tolist(), distances, strict=True))
    expected = by_hand(atoms, cutoff, images)
    assert len(ours) == len(expected)
    key = [(i, z) for i, z, _ in ours]
    assert key == [(i, z) for i, z, _ in expected] or sorted(key) == sorted(
        (i, z) for i, z, _ in expected
    )
    np.testing.assert_allclose(
        sorted(d for *_, d in ours), sorted(d for *_, d in expected), atol=1e-9
    )


def test_displacements_point_from_the_centre() -> None:
    atoms = Atoms("CO", [(0, 0, 0), (0, 0, 1.1)])
    found = find_neighbors([atoms], 2.0)
    assert found.centres.tolist() == [0, 1]
    assert found.numbers.tolist() == [8, 6]
    np.testing.assert_allclose(found.displacements, [[0, 0, 1.1], [0, 0, -1.1]])


def test_a_batch_is_flat() -> None:
    one, other = bulk("Cu"), molecule("H2O")
    batch = find_neighbors([one, other], 3.0)
    alone = [find_neighbors([atoms], 3.0) for atoms in (one, other)]
    assert batch.n_atoms == 4
    assert batch.structures.tolist() == [0, 1, 1, 1]
    assert batch.centre_numbers.tolist() == [29, 8, 1, 1]
    assert len(batch.centres) == sum(len(a.centres) for a in alone)
    split = len(alone[0].centres)
    assert torch.equal(batch.centres[split:] - 1, alone[1].centres)
    assert torch.equal(batch.displacements[split:], alone[1].displacements)
    assert batch.to("cpu", torch.float32).displacements.dtype == torch.float32


def test_isolated_atoms_and_empty_batches() -> None:
    alone = find_neighbors([Atoms("C", [(0, 0, 0)])], 5.0)
    assert (alone.n_atoms, len(alone.centres)) == (1, 0)
    nothing = find_neighbors([], 5.0)
    assert (nothing.n_atoms, nothing.n_structures) == (0, 0)


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms(), "structure 1 (empty) has no atoms"),
        (Atoms("C", [(np.nan, 0, 0)]), "the position of atom 0 is NaN or infinite"),
        (Atoms("C", [(0, 0, 0)], cell=[1, np.inf, 3], pbc=True), "the cell is NaN or infinite"),
        (Atoms("C", [(0, 0, 0)], cell=[3, 3, 0], pbc=True), "singular in a periodic direction"),
        (Atoms("C", [(0, 0, 0)], cell=[[3, 0, 0], [6, 0, 0], [0, 0, 3]], pbc=True), "singular"),
        (Atoms("C", [(0, 0, 0)], cell=[0.3, 0.3, 0.3], pbc=True), "Are the units Å?"),
        (Atoms("CC", [(0, 0, 0), (0, 0, 0.01)]), "atoms 0 and 1 are 0.010 Å apart, at one place"),
    ],
)
def test_unusable_structures_are_named(atoms: Atoms, message: str) -> None:
    with pytest.raises(DataError) as caught:
        find_neighbors([bulk("Cu"), atoms], 3.0)
    assert message in str(caught.value)


def test_a_cutoff_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="must be positive"):
        find_neighbors([bulk("Cu")], 0.0)
