"""Pairs of atoms: the same for every description of a lattice, and never a crash."""

from __future__ import annotations

import time

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from vesin import NeighborList

from csgnn_dgl import _pairs
from csgnn_dgl._pairs import Pairs, find_pairs, formula_of, structure_problem
from csgnn_dgl.datasets.atoms.structure import Structure
from csgnn_dgl.datasets.atoms.structures import check_structure
from csgnn_dgl.errors import DataError


def difference(one: Pairs, other: Pairs) -> float:
    """Largest difference between vectors of the same pairs; infinite if the pairs differ."""
    if len(one[0]) != len(other[0]):
        return float("inf")
    if len(one[0]) == 0:
        return 0.0
    # Rounding first, so that vectors which differ in their last digits come in the same order.
    tables = []
    for i, j, d in (one, other):
        key = np.column_stack([i, j, np.round(d, 4) + 0.0])
        order = np.lexsort(key.T[::-1])
        tables.append(np.column_stack([i, j, d])[order])
    if not np.array_equal(tables[0][:, :2], tables[1][:, :2]):
        return float("inf")
    return float(np.abs(tables[0] - tables[1]).max())


def by_vesin(points: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float) -> Pairs:
    i, j, d = NeighborList(cutoff=cutoff, full_list=True).compute(
        points=points, box=cell, periodic=[bool(flag) for flag in pbc], quantities="ijD"
    )
    return np.asarray(i, dtype=np.int64), np.asarray(j, dtype=np.int64), np.array(d).reshape(-1, 3)


def random_structure(
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Positions, cell, periodic directions, and another cell of the same lattice."""
    pbc = rng.integers(0, 2, 3).astype(bool)
    cell = np.diag(rng.uniform(2, 8, 3)) + rng.uniform(-1, 1, (3, 3))
    points = rng.uniform(-1, 2, (rng.integers(1, 12), 3)) @ cell
    steps, periodic = np.eye(3), np.flatnonzero(pbc)
    for _ in range(4 if len(periodic) > 1 else 0):
        to, by = rng.choice(periodic, 2, replace=False)
        steps[to] += rng.integers(-30, 31) * steps[by]
    return points, cell, pbc, steps @ cell


@pytest.mark.parametrize("seed", range(60))
def test_skewed_cells_give_the_pairs_of_their_reduced_cells(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, cell, pbc, skewed = random_structure(rng)
    expected = by_vesin(points, cell, pbc, 4.0)
    assert difference(find_pairs(points, skewed, pbc, 4.0), expected) < 1e-4
    changed = (expected[0], expected[1], expected[2] + 1e-3)
    assert len(expected[0]) == 0 or difference(changed, expected) > 9e-4


@pytest.mark.parametrize("seed", range(60))
def test_the_tree_finds_what_vesin_finds(seed: int) -> None:
    points, cell, pbc, _ = random_structure(np.random.default_rng(seed))
    reduced = _pairs._reduced(cell, pbc)
    found = _pairs._by_tree(_pairs._wrapped(points, reduced, pbc), reduced, pbc, 4.0)
    assert difference(found, by_vesin(points, cell, pbc, 4.0)) < 1e-4


def test_ordinary_structures_are_left_to_vesin_unchanged() -> None:
    atoms = bulk("NaCl", "rocksalt", 5.64).repeat((3, 2, 1))
    found = find_pairs(atoms.positions, atoms.cell.array, atoms.pbc, 6.0)
    expected = by_vesin(atoms.positions, atoms.cell.array, atoms.pbc, 6.0)
    for own, theirs in zip(found, expected, strict=True):
        assert np.array_equal(own, theirs)


@pytest.mark.parametrize("length", [1e3, 1e4, 1e5, 4e5, 1e6, 2e7, 3e7])
def test_extreme_lengths_take_no_time(length: int) -> None:
    start = time.perf_counter()
    # Long cells, atoms far away in space and above a slab, positions many cells away, skewed cells.
    dimer = [(0, 0, 0), (length, 0, 0), (length, 1, 0)]
    assert find_pairs(dimer, np.zeros((3, 3)), False, 7.0)[0].tolist() == [1, 2]
    rods = find_pairs([(0, 0, 0), (length / 2, 1.5, 1.5)], np.diag([length, 3, 3]), True, 7.0)
    assert len(rods[0]) == 40
    slabs = find_pairs([(0, 0, 0), (1, 1, length)], np.diag([3, 3, 0]), (True, True, False), 7.0)
    assert len(slabs[0]) == 40
    cell = np.diag([3.0, 3.0, 3.0])
    expected = find_pairs([(0, 0, 0), (1.5, 1.5, 1.5)], cell, True, 7.0)
    away = find_pairs([(0, 0, 0), (1.5 + 3 * length, 1.5, 1.5)], cell, True, 7.0)
    skewed = np.array([(3, 3 * round(length / 3), 0), (0, 3, 0), (0, 0, 3)])
    for found in (away, find_pairs([(0, 0, 0), (1.5, 1.5, 1.5)], skewed, True, 7.0)):
        assert difference(found, expected) < 1e-6
    assert find_pairs(dimer, np.zeros((3, 3)), False, 0.05)[0].size == 0
    assert time.perf_counter() - start < 5


def test_many_atoms_in_a_long_cell() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((2000, 3)) * (1e5, 6, 6)
    i, j, d = find_pairs(points, np.diag([1e5, 6.0, 6.0]), True, 5.0)
    assert len(i) > 200
    apart = d - (points[j] - points[i])
    steps = apart / (1e5, 6, 6)
    assert np.abs(steps - steps.round()).max() < 1e-9
    assert np.linalg.norm(d, axis=1).max() <= 5.0
    back = set(zip(i.tolist(), j.tolist(), strict=True))
    assert {(b, a) for a, b in back} == back


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms("H", [(1e300, 0, 0)], cell=[3, 3, 3], pbc=True), "atom 0 is 1e+300 Å from the"),
        (Atoms("H2", [(0, 0, 0), (0, 0, -2e8)]), "atom 1 is 2e+08 Å from the origin"),
        (Atoms("H", cell=[3, 3, 3e12], pbc=True), "a periodic cell vector is 3e+12 Å long"),
        (Atoms("H", cell=[3, 3, 1e300], pbc=True), "a periodic cell vector is 1e+300 Å long"),
        (Atoms("H", cell=[(3, 0, 0), (1e7, 0, 0), (0, 0, 3)], pbc=True), "is singular in a"),
        (Atoms("H", cell=[(3, 0, 0), (3, 1e-4, 0), (0, 0, 3)], pbc=True), "too short for a"),
        (Atoms("H300", np.zeros((300, 3))), "300 atoms are in a cube of 4 Å"),
        (
            Atoms("H300", np.linspace(0, 1, 900).reshape(300, 3), cell=[1, 1, 1], pbc=True),
            "atoms are in a cube of 4 Å, far more than matter has",
        ),
    ],
)
def test_absurd_structures_are_described(atoms: Atoms, message: str) -> None:
    problem = structure_problem(atoms)
    assert problem is not None
    assert message in problem
    with pytest.raises(DataError) as caught:
        find_pairs(atoms.positions, atoms.cell.array, atoms.pbc, 3.0)
    assert str(caught.value) == problem


@pytest.mark.parametrize("number", [-1, 0, 119, 150])
def test_atoms_of_no_element_are_described(number: int) -> None:
    atoms = Atoms([6, number, number], [(0, 0, 0), (0, 0, 2), (0, 2, 0)])
    assert structure_problem(atoms) == "atom 1 is of no known element"
    assert formula_of(atoms) == "CX2"
    with pytest.raises(DataError, match=r"^here: atom 1 is of no known element$"):
        check_structure(Structure(atoms, "here", "none"))
    heaviest = Atoms([118])
    assert structure_problem(heaviest) is None
    assert formula_of(heaviest) == "Og"


@pytest.mark.parametrize(
    "atoms",
    [
        bulk("C", "diamond", 3.57).repeat(6),
        Atoms("H", cell=[3, 3, 1e7], pbc=True),
        # A direction that is not periodic may have any vector.
        Atoms("H", cell=[3, 3, 1e300], pbc=(True, True, False)),
        Atoms("H", cell=[(3, 0, 0), (0, 3, 0), (3, 0, 0)], pbc=(True, True, False)),
    ],
)
def test_possible_structures_are_not_refused(atoms: Atoms) -> None:
    assert structure_problem(atoms) is None
    find_pairs(atoms.positions, atoms.cell.array, atoms.pbc, 3.0)
