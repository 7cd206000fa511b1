"""Neighbour lists against a search over all images, and what is wrong with structures."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from csgnn_dgl.errors import ConfigError, DataError, StructureError
from csgnn_dgl.mapping.atoms import AtomMapping
from csgnn_dgl.mapping.neighbors import Neighbors, find_neighbors

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
        (Atoms(), "structure 1 (empty): it has no atoms"),
        (Atoms("C", [(np.nan, 0, 0)]), "the position of atom 0 is NaN or infinite"),
        (Atoms("C", [(0, 0, 0)], cell=[1, np.inf, 3], pbc=True), "the cell is NaN or infinite"),
        (Atoms("C", [(0, 0, 0)], cell=[3, 3, 0], pbc=True), "singular in a periodic direction"),
        (Atoms("C", [(0, 0, 0)], cell=[[3, 0, 0], [6, 0, 0], [0, 0, 3]], pbc=True), "singular"),
        (Atoms("C", [(0, 0, 0)], cell=[0.3, 0.3, 0.3], pbc=True), "check that the units are Å"),
        (Atoms("C", [(1e300, 0, 0)], cell=[3, 3, 3], pbc=True), "1e+300 Å from the origin"),
        (Atoms("C", [(0, 0, 0)], cell=[3, 3, 3e12], pbc=True), "vector is 3e+12 Å long"),
        (Atoms("CC", [(0, 0, 0), (0, 0, 0.01)]), "atoms 0 and 1 are 0.010 Å apart, at one place"),
        (Atoms("CX", [(0, 0, 0), (0, 0, 2)]), "structure 1 (CX): atom 1 is of no known element"),
        (Atoms([-1], [(0, 0, 0)]), "structure 1 (X): atom 0 is of no known element"),
        (Atoms([6, 6, 150], np.eye(3) * 2), "(C2X): atom 2 is of no known element"),
    ],
)
def test_unusable_structures_are_named(atoms: Atoms, message: str) -> None:
    with pytest.raises(StructureError) as caught:
        find_neighbors([bulk("Cu"), atoms], 3.0)
    assert message in str(caught.value)
    assert caught.value.index == 1
    assert message.rpartition("): ")[2] in caught.value.problem
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.index) == (str(caught.value), 1)


@pytest.mark.parametrize("cutoff", [0.0, -1.0, float("nan"), float("inf")])
def test_a_cutoff_must_be_positive_and_finite(cutoff: float) -> None:
    with pytest.raises(ConfigError, match="must be positive and finite"):
        find_neighbors([bulk("Cu")], cutoff)


def test_more_pairs_than_memory_holds_are_refused() -> None:
    with pytest.raises(StructureError, match=r"it has about 4e\+11 pairs of neighbours"):
        find_neighbors([bulk("Cu")], 10_000.0)


@pytest.mark.parametrize("index", [-1, 3])
def test_centres_that_are_not_there_are_named(index: int) -> None:
    with pytest.raises(StructureError, match=f"it has atoms 0 to 2, but not {index}"):
        find_neighbors([molecule("H2O")], 3.0, centres=[np.array([0, index])])


@pytest.mark.parametrize(
    ("centres", "message"),
    [
        ([1, 0], "its centres must ascend and not repeat, but 0 follows 1"),
        ([0, 2, 2], "its centres must ascend and not repeat, but 2 follows 2"),
        ([0.7], r"shape \(1,\) and the type float64; give a list of indices"),
        ([True, False, True], "the type bool; give a list of indices"),
        ([[0, 1]], r"shape \(1, 2\)"),
        (1, r"shape \(\)"),
    ],
)
def test_centres_in_another_order_than_the_result_are_refused(centres: Any, message: str) -> None:
    water = molecule("H2O")
    for given in (centres, np.array(centres)):
        with pytest.raises(StructureError, match=message) as caught:
            find_neighbors([water, water], 3.0, centres=[None, given])
        assert caught.value.index == 1
    unsigned: Any = np.array([2, 0], dtype=np.uint8)
    with pytest.raises(StructureError, match="0 follows 2"):
        find_neighbors([water], 3.0, centres=[unsigned])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_each_structure_needs_its_centres(count: int) -> None:
    own = np.array([0])
    with pytest.raises(DataError, match=f"there are {count} lists of centres for 2 structures"):
        find_neighbors([molecule("H2O")] * 2, 3.0, centres=[own] * count)


def test_centres_as_lists() -> None:
    as_list: Any = [0, 2]
    lists, arrays = (
        find_neighbors([molecule("H2O")], 3.0, centres=[own]) for own in (as_list, np.array([0, 2]))
    )
    assert torch.equal(lists.displacements, arrays.displacements)
    nothing: Any = []
    assert find_neighbors([molecule("H2O")], 3.0, centres=[nothing]).n_atoms == 0


@pytest.mark.parametrize(
    ("taken", "message"),
    [
        (torch.tensor([0, 2, 1]), "must ascend and not repeat, but 1 follows 2"),
        (torch.tensor([1, 1]), "must ascend and not repeat, but 1 follows 1"),
        (torch.tensor([-1, 1]), "has 15 atoms, numbered from 0, but atom -1 is selected"),
        (torch.tensor([3, 15]), "atom 15 is selected"),
        (torch.tensor([0.0, 1.0]), r"type torch\.float32, but int64 indices"),
        (torch.tensor([0, 1], dtype=torch.int32), r"type torch\.int32"),
        (torch.ones(15, dtype=torch.bool), r"type torch\.bool"),
        (torch.tensor([[0, 1]]), r"shape \(1, 2\)"),
    ],
)
def test_selections_that_would_be_in_disorder_are_refused(taken: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        find_neighbors(SEVERAL, 3.0).select(taken)


@pytest.mark.parametrize("skew", [1, 40, 10**3, 10**5, 10**7])
def test_skewed_cells_have_the_descriptors_of_their_reduced_cells(skew: int) -> None:
    ordinary = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    ordinary.rattle(0.1, seed=0)
    skewed = ordinary.copy()
    skewed.cell[0] = ordinary.cell[0] + skew * ordinary.cell[1]
    skewed.cell[2] = ordinary.cell[2] - 3 * ordinary.cell[1]
    sheared = skewed.copy()  # another lattice
    sheared.cell[0] += 0.1 * ordinary.cell[1]
    mapping = AtomMapping(1, 1, 8, r_min=1.0, cutoff=6.0, assignment="smooth").double()
    features = []
    for atoms in (ordinary, skewed, sheared):
        found = find_neighbors([atoms], 6.0)
        features.append(mapping(found.displacements, found.centres, found.n_atoms))
    np.testing.assert_allclose(features[1], features[0], rtol=0, atol=1e-6)
    assert float((features[2] - features[0]).abs().max()) > 0.01


# Which atoms the neighbours are.


def disagreement(found: Neighbors, structures: list[Atoms]) -> float:
    """How far displacements are from what the numbers of both atoms say, up to lattice vectors."""
    indices = found.require_indices()
    assert torch.equal(found.centre_numbers[indices], found.numbers)
    assert torch.equal(found.structures[indices], found.structures[found.centres])
    places = torch.from_numpy(np.concatenate([atoms.positions for atoms in structures]))
    apart = (found.displacements - (places[indices] - places[found.centres])).numpy()
    worst = 0.0
    for number, atoms in enumerate(structures):
        own = apart[found.structures[found.centres].numpy() == number]
        steps = own @ np.linalg.inv(atoms.cell.complete().array)
        steps = np.where(atoms.pbc, steps - steps.round(), steps)
        worst = max(worst, float(np.abs(steps).max(initial=0)))
    return worst


SEVERAL = [
    bulk("Cu"),  # one atom, whose neighbours are all images of itself
    molecule("CH3CH2OH"),
    Atoms("COCNC", RNG.random((5, 3)) * 4, cell=[4, 5, 6], pbc=(True, True, False)),
]


def test_neighbours_have_the_numbers_of_their_atoms() -> None:
    found = find_neighbors(SEVERAL, 5.0)
    assert disagreement(found, SEVERAL) < 1e-12
    assert found.require_indices()[found.centres == 0].tolist() == [0] * 42
    wrong = replace(found, neighbors=found.centres)
    with pytest.raises(AssertionError):
        disagreement(wrong, SEVERAL)


def test_joining_moving_and_turning_keep_the_numbers() -> None:
    parts = [find_neighbors([atoms], 5.0) for atoms in SEVERAL]
    whole, joined = find_neighbors(SEVERAL, 5.0), Neighbors.concatenate(parts)
    assert torch.equal(joined.require_indices(), whole.require_indices())
    moved = whole.to("cpu", torch.float32)
    assert moved.neighbors is not None
    assert moved.complete
    turned = whole.rotated(torch.eye(3, dtype=torch.float64).expand(whole.n_atoms, 3, 3))
    assert torch.equal(turned.require_indices(), whole.require_indices())
    assert whole.nbytes == replace(whole, neighbors=None).nbytes + 8 * len(whole.centres)


def by_atom(part: Neighbors, taken: list[int]) -> list[tuple[int, int, int]]:
    """Centre, neighbour (both as numbers of the whole batch, −1 outside) and species."""
    assert part.neighbors is not None
    names = [*taken, -1]
    return [
        (names[i], names[j], z)
        for i, j, z in zip(
            part.centres.tolist(), part.neighbors.tolist(), part.numbers.tolist(), strict=True
        )
    ]


@pytest.mark.parametrize("taken", [[0, 3, 4, 9, 12], [], list(range(15))])
def test_neighbours_that_were_left_out_are_marked(taken: list[int]) -> None:
    whole = find_neighbors(SEVERAL, 3.0)
    assert whole.n_atoms == 15
    expected = [
        (i, j if j in taken else -1, z) for i, j, z in by_atom(whole, list(range(15))) if i in taken
    ]
    some = whole.select(torch.tensor(taken, dtype=torch.int64))
    assert by_atom(some, taken) == expected
    ends = [sum(i < end for i in taken) for end in (1, 10)]
    local = np.split(np.array(taken, dtype=np.int64), ends)
    restricted = find_neighbors(
        SEVERAL, 3.0, centres=[part - start for part, start in zip(local, (0, 1, 10), strict=True)]
    )
    assert by_atom(restricted, taken) == expected
    for part in (some, restricted):
        with pytest.raises(DataError, match="give it whole structures"):
            part.require_indices()


@pytest.mark.parametrize("size", [1, 4, 15, 40])
def test_chunks_know_their_own_atoms(size: int) -> None:
    whole = find_neighbors(SEVERAL, 3.0)
    found = []
    for number, part in enumerate(whole.chunks(size)):
        own = list(range(number * size, min((number + 1) * size, 15)))
        found += by_atom(part, own)
        assert part.complete == (size >= 15)
        assert by_atom(part, own) == by_atom(whole.select(torch.tensor(own)), own)
    pairs = [(i, z) for i, _, z in found]
    assert pairs == [(i, z) for i, _, z in by_atom(whole, list(range(15)))]


def test_batches_of_unknown_numbers() -> None:
    found = find_neighbors(SEVERAL, 3.0)
    parts = (found.displacements, found.centres, found.numbers, found.centre_numbers)
    unknown = Neighbors(*parts, found.structures, found.n_structures)
    some = torch.tensor([0, 2])
    for batch in (unknown, unknown.select(some), *unknown.chunks(4), unknown.to("cpu")):
        assert batch.neighbors is None
    assert Neighbors.concatenate([found, unknown]).neighbors is None
    with pytest.raises(DataError, match="has no indices of its neighbours"):
        unknown.require_indices()


def test_selecting_stays_on_the_device() -> None:
    with FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True):
        whole = find_neighbors([molecule("H2O")], 3.0)
        there = Neighbors(
            *(torch.empty(shape, dtype=dtype, device="cuda") for shape, dtype in _like(whole)),
            n_structures=1,
            neighbors=torch.empty(len(whole.centres), dtype=torch.int64, device="cuda"),
        )
        for taken in (torch.tensor([0, 2]), torch.empty(2, dtype=torch.int64, device="cuda")):
            some = there.select(taken)
            tensors = (some.displacements, some.centres, some.numbers, some.neighbors)
            assert all(t is not None and t.device.type == "cuda" for t in tensors)
            turned = there.rotated(torch.empty(3, 3, 3, dtype=torch.float64, device="cuda"))
            assert turned.displacements.device.type == "cuda"
            assert some.centre_numbers.device.type == some.structures.device.type == "cuda"


def _like(batch: Neighbors) -> list[tuple[torch.Size, torch.dtype]]:
    tensors = (batch.displacements, batch.centres, batch.numbers, batch.centre_numbers)
    return [(tensor.shape, tensor.dtype) for tensor in (*tensors, batch.structures)]
