"""What is held out for a seed is what it always was: old runs are evaluated on the same split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms

from csgnn_dgl.datasets.atoms.dos import DOSDataset, DOSRecord
from csgnn_dgl.datasets.atoms.loading import hold_out_test, load_dos_dataset
from csgnn_dgl.datasets.shapes import ShapeDataset, ShapeSplit, load_dataset
from csgnn_dgl.datasets.shapes.folder import split_by_seed
from csgnn_dgl.datasets.splits import check_fraction, hold_out
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.physics import EnergyGrid

GROUPS = list("abacabbaacdaabbbccaabbaaacbbca")
SEEDS = (0, 1, 12345)
# All of these were taken when each split still had code of its own.
VALIDATION = {0: [1, 3, 7, 15, 18, 19], 1: [1, 4, 17, 20, 24, 29], 12345: [0, 5, 8, 9, 15, 19]}
SINGLES = {0: [2, 4], 1: [6, 7], 12345: [0, 6]}
TEST = {0: [15, 25, 45, 47, 49, 56], 1: [4, 8, 25, 27, 34, 59], 12345: [2, 9, 14, 19, 33, 60]}
SHAPES = {0: [2, 3, 13, 18, 23, 25], 1: [1, 3, 7, 14, 18, 23], 12345: [4, 10, 12, 17, 19, 27]}
FOLDER = {
    (0, 0, 3): [0],
    (0, 0, 11): [4, 8],
    (0, 0, 40): [1, 4, 12, 20, 27, 30, 31, 36],
    (0, 3, 3): [2],
    (0, 3, 11): [2, 4],
    (0, 3, 40): [4, 7, 20, 24, 25, 27, 31, 37],
    (1, 0, 3): [0],
    (1, 0, 11): [3, 8],
    (1, 0, 40): [5, 7, 8, 10, 17, 18, 27, 38],
    (1, 3, 3): [2],
    (1, 3, 11): [2, 5],
    (1, 3, 40): [1, 4, 9, 11, 21, 23, 26, 37],
    (12345, 0, 3): [2],
    (12345, 0, 11): [0, 2],
    (12345, 0, 40): [2, 3, 14, 20, 25, 30, 31, 38],
    (12345, 3, 3): [1],
    (12345, 3, 11): [3, 5],
    (12345, 3, 40): [2, 12, 14, 16, 18, 20, 23, 37],
}
CARBON = [
    4,
    26,
    34,
    36,
    41,
    42,
    64,
    73,
    86,
    104,
    105,
    116,
    120,
    131,
    139,
    158,
    161,
    171,
    185,
    198,
    201,
    203,
    214,
    235,
    255,
    274,
    276,
    279,
    288,
    291,
    301,
    311,
]


def _dataset(groups: list[str]) -> DOSDataset:
    records = tuple(
        DOSRecord(Atoms("C", [(0, 0, 0)]), np.ones(3), str(index), group)
        for index, group in enumerate(groups)
    )
    grid = EnergyGrid(0.0, 1.0, 3, "eV", "zero")
    return DOSDataset("a", "b", records, grid=grid, quantity="electronic", dos_unit="u")


@pytest.mark.parametrize("seed", SEEDS)
def test_validation_structures(seed: int) -> None:
    training, held = _dataset(GROUPS).split_validation(0.2, seed)
    assert [int(record.name) for record in held] == VALIDATION[seed]
    assert len(training) + len(held) == len(GROUPS)
    _, held = _dataset(list("abcdefgh")).split_validation(0.3, seed)
    assert [int(record.name) for record in held] == SINGLES[seed]


@pytest.mark.parametrize("seed", SEEDS)
def test_test_structures(seed: int) -> None:
    found = hold_out_test(_dataset(GROUPS + ["a"] * 20 + ["b"] * 11), seed)
    assert [int(record.name) for record in found.test] == TEST[seed]
    assert not hold_out_test(_dataset(list("abc")), seed).test


@pytest.mark.parametrize("seed", SEEDS)
def test_validation_shapes(seed: int) -> None:
    labels = torch.tensor([ord(group) - ord("a") for group in GROUPS if group != "d"])
    names = tuple(str(index) for index in range(len(labels)))
    train = ShapeSplit(torch.zeros(len(labels), 1, 3), labels, names)
    test = ShapeSplit(torch.zeros(0, 1, 3), torch.zeros(0, dtype=torch.int64), ())
    shapes = ShapeDataset("a", "b", ("a", "b", "c", "absent"), "z", train, test)
    left, held = shapes.split_validation(0.2, seed)
    assert [int(name) for name in held.names] == SHAPES[seed]
    assert sorted({*left.names, *held.names}, key=int) == list(names)


@pytest.mark.parametrize(("seed", "label", "count"), FOLDER)
def test_test_shapes(seed: int, label: int, count: int) -> None:
    files = [Path(f"{index:02d}") for index in range(count)]
    found = split_by_seed(Path("c"), files, seed, label, 0.2)
    assert [int(file.name) for file in found["test"]] == FOLDER[seed, label, count]
    assert sorted(found["train"] + found["test"]) == files


def test_the_built_in_sets() -> None:
    carbon = load_dos_dataset(None)
    places = {record.name: index for index, record in enumerate(carbon.train)}
    _, held = carbon.split_validation(0.1, 3)
    assert [places[record.name] for record in held] == CARBON
    # Runs compare these before they go on.
    assert carbon.fingerprint == (
        "6fa934c69ee8e099ab543cb018af1d0c9bf19c645b3573854ebe1c65c42a97b4"
    )
    assert load_dataset(None, points=16).fingerprint == (
        "871e162b02102308f2bb769f1bc3f9ceb4dbdd430ccb066cf51538c514659695"
    )


def test_bounds_of_a_choice() -> None:
    groups = ["a"] * 10 + ["b"] * 2 + ["c"]
    held = hold_out(groups, 0.1, (0, 1), at_least=1, leave=1)
    assert [sum(lo <= i < hi for i in held) for lo, hi in ((0, 10), (10, 12), (12, 13))] == [
        1,
        1,
        0,
    ]
    assert len(hold_out(groups, 0.99, (0, 1), leave=2)) == 8
    assert hold_out([], 0.5, (0,)) == []
    assert hold_out(groups, 0.5, (0, 1)) != hold_out(groups, 0.5, (1, 1))
    for fraction in (0.0, 1.0, float("nan")):
        with pytest.raises(ConfigError, match="must be greater than 0 and less than 1"):
            check_fraction(fraction)
