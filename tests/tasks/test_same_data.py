"""Data that differ by rounding are the same; any other shape, label or class is not."""

from dataclasses import replace

import pytest
import torch

from csgnn_dgl.datasets.shapes import ShapeDataset
from csgnn_dgl.datasets.shapes.solids import load_solids
from csgnn_dgl.tasks.same_data import identity, same_data


@pytest.fixture(scope="module")
def solids() -> ShapeDataset:
    return load_solids(points=64, train_per_class=10, test_per_class=2)


def with_train(data: ShapeDataset, **changes: object) -> ShapeDataset:
    return replace(data, train=replace(data.train, **changes))


def rounded(data: ShapeDataset) -> ShapeDataset:
    """Every coordinate to a neighbouring number, as other processors round."""
    up = torch.rand(data.train.points.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    way = torch.where(up, torch.inf, -torch.inf)
    return with_train(data, points=torch.nextafter(data.train.points, way))


def test_rounding_does_not_make_other_data(solids: ShapeDataset) -> None:
    other = rounded(solids)
    assert other.fingerprint != solids.fingerprint
    assert same_data(identity(solids), identity(other))


def test_one_other_shape_does(solids: ShapeDataset) -> None:
    points = solids.train.points.clone()
    points[3] = points[3].roll(1, dims=-1)  # turned
    assert not same_data(identity(solids), identity(with_train(solids, points=points)))


def test_each_of_them_counts(solids: ShapeDataset) -> None:
    """The shape of the next class, in place of any one."""
    known = identity(solids)
    for index in range(len(solids.train)):
        points = solids.train.points.clone()
        points[index] = points[(index + len(points) // 2) % len(points)]
        other = identity(with_train(solids, points=points))
        assert not same_data(known, other), index


def test_units_change_nothing_but_the_scale(solids: ShapeDataset) -> None:
    """Millimetres are rounded like metres, and are not the same data."""
    large = with_train(solids, points=solids.train.points * 1000)
    assert not same_data(identity(solids), identity(large))
    assert same_data(identity(large), identity(rounded(large)))


def test_other_order_or_labels_do(solids: ShapeDataset) -> None:
    points = solids.train.points.clone()
    points[[0, 1]] = points[[1, 0]]
    assert not same_data(identity(solids), identity(with_train(solids, points=points)))
    labels = solids.train.labels.clone()
    labels[0] = (labels[0] + 1) % len(solids.class_names)
    assert not same_data(identity(solids), identity(with_train(solids, labels=labels)))
    names = (*solids.class_names[:-1], "another")
    assert not same_data(identity(solids), identity(replace(solids, class_names=names)))


def test_files_of_earlier_versions_have_fingerprints_alone(solids: ShapeDataset) -> None:
    own = {"fingerprint": solids.fingerprint}
    assert same_data(own, identity(solids))
    assert not same_data(own, identity(rounded(solids)))
    assert not same_data({}, {})


@pytest.mark.parametrize("moments", [None, "text", [1.0], ["a"] * 12, [[1.0]] * 12])
def test_a_damaged_sketch_is_no_proof(solids: ShapeDataset, moments: object) -> None:
    found = identity(solids)
    damaged = {"fingerprint": "x", "sketch": {**found["sketch"], "moments": moments}}
    assert not same_data(damaged, found)
