"""The built-in solids: deterministic, alike in size and proportions, and yet different shapes."""

from __future__ import annotations

import numpy as np
import pytest

from csgnn_dgl.datasets import ShapeDataset
from csgnn_dgl.datasets.solids import FAMILIES, load_solids, solid_points
from csgnn_dgl.errors import ConfigError


@pytest.fixture(scope="module")
def solids() -> ShapeDataset:
    return load_solids(points=1024, train_per_class=20, test_per_class=8)


def test_there_are_at_least_twelve_families(solids: ShapeDataset) -> None:
    assert len(FAMILIES) >= 12
    assert FAMILIES == tuple(sorted(FAMILIES)) == solids.class_names
    assert np.bincount(solids.train.labels).tolist() == [20] * len(FAMILIES)
    assert solids.train.names[0] == f"{FAMILIES[0]}-train-000"


@pytest.mark.parametrize("family", FAMILIES)
def test_members_are_centred_scaled_and_full(family: str) -> None:
    points = solid_points(family, 500, seed=0)
    assert points.dtype == np.float32
    assert np.linalg.norm(points, axis=1).max() == pytest.approx(1, abs=1e-6)
    assert np.abs(points.mean(axis=0)).max() < 1e-6
    spread = np.sqrt(np.linalg.eigvalsh(np.cov(points.T)))
    assert spread[0] > 0.4 * spread[2]


def test_a_seed_decides_a_member() -> None:
    one = solid_points("stairs", 50, seed=(0, 3))
    np.testing.assert_array_equal(one, solid_points("stairs", 50, seed=(0, 3)))
    assert not np.array_equal(one, solid_points("stairs", 50, seed=(0, 4)))


def test_more_members_leave_the_others_as_they_were() -> None:
    few = load_solids(points=16, train_per_class=1, test_per_class=1)
    more = load_solids(points=16, train_per_class=3, test_per_class=2)
    assert (few.train.points == more.train.points[::3]).all()
    assert (few.test.points == more.test.points[::2]).all()
    assert few.fingerprint != load_solids(points=16, train_per_class=1, test_per_class=1, seed=1)


def nearest_neighbour_accuracy(features: dict[str, np.ndarray], solids: ShapeDataset) -> float:
    distance = ((features["test"][:, None] - features["train"][None]) ** 2).sum(axis=-1)
    predicted = solids.train.labels.numpy()[distance.argmin(axis=1)]
    return float((predicted == solids.test.labels.numpy()).mean())


def test_proportions_do_not_tell_families_apart(solids: ShapeDataset) -> None:
    features = {}
    for which in ("train", "test"):
        clouds = getattr(solids, which).points.numpy()
        spread = np.array([np.sqrt(np.linalg.eigvalsh(np.cov(cloud.T))) for cloud in clouds])
        features[which] = spread[:, :2] / spread[:, 2:]
    chance = 1 / len(FAMILIES)
    assert nearest_neighbour_accuracy(features, solids) < 2.5 * chance


def test_shape_tells_families_apart(solids: ShapeDataset) -> None:
    features = {}
    for which in ("train", "test"):
        rng = np.random.default_rng(0)
        rows = []
        for cloud in getattr(solids, which).points.numpy():
            first, second = cloud[rng.integers(0, len(cloud), (2, 4000))]
            distances = np.linalg.norm(first - second, axis=1)
            radii = np.linalg.norm(cloud, axis=1)
            histograms = [np.histogram(distances, 30, (0, 2))[0] / 4000]
            histograms += [np.histogram(radii, 15, (0, 1))[0] / len(cloud)]
            rows.append(np.concatenate(histograms))
        features[which] = np.array(rows)
    assert nearest_neighbour_accuracy(features, solids) > 0.7


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match="unknown solid 'toros': did you mean 'torus'"):
        solid_points("toros", 10, seed=0)
    with pytest.raises(ConfigError, match="at least 1"):
        solid_points("torus", 0, seed=0)
    with pytest.raises(ConfigError, match="at least one"):
        load_solids(points=10, test_per_class=0)
