"""The built-in solids: deterministic, alike in size and proportions, and yet different shapes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from csgnn_dgl.datasets.shapes import ShapeDataset
from csgnn_dgl.datasets.shapes.solids import (
    _MAKERS,
    FAMILIES,
    _proportioned,
    load_solids,
    solid_points,
)
from csgnn_dgl.datasets.shapes.surfaces import Surface, sampled, triangle_areas
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


def boundary_edges(surface: Surface) -> int:
    """Edges that an odd number of triangles share; corners at one place count as one."""
    places = np.unique(surface.vertices.round(9), axis=0, return_inverse=True)[1].ravel()
    faces = np.sort(places[surface.faces], axis=1)
    faces = faces[(faces[:, 0] < faces[:, 1]) & (faces[:, 1] < faces[:, 2])]
    edges = faces[:, [[0, 1], [1, 2], [0, 2]]].reshape(-1, 2)
    return int((np.unique(edges, axis=0, return_counts=True)[1] % 2).sum())


@pytest.mark.parametrize("family", FAMILIES)
def test_surfaces_are_closed(family: str) -> None:
    surface = _MAKERS[family](np.random.default_rng(0))
    assert boundary_edges(surface) == 0
    largest = triangle_areas(surface.vertices[surface.faces]).argmax()
    pierced = Surface(surface.vertices, np.delete(surface.faces, largest, axis=0))
    assert boundary_edges(pierced) == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_rounding_does_not_choose_the_axes(family: str) -> None:
    """Equal variances leave axes open; the last digits differ between processors."""
    surface = _MAKERS[family](np.random.default_rng(0))
    noise = np.random.default_rng(1).standard_normal(surface.vertices.shape)
    plain, rounded, changed = (
        _proportioned(
            Surface(surface.vertices + size * noise, surface.faces), np.random.default_rng(2)
        ).vertices
        for size in (0, 1e-14, 1e-3)
    )
    assert np.abs(rounded - plain).max() < 1e-10
    assert np.abs(changed - plain).max() > 1e-5


def test_points_lie_evenly_by_area() -> None:
    # A square of one large and many small triangles: by number, most points would be at the top.
    x = np.linspace(0, 1, 41)
    vertices = np.array([[0, 0, 0], [1, 0, 0], *((v, 1, 0) for v in x)], float)
    fan = [(0, i, i + 1) for i in range(2, 42)]
    square = Surface(vertices, np.array([(0, 1, 42), *fan]))
    share, by_number = (
        np.histogram2d(*points[:, :2].T, bins=4, range=[[0, 1]] * 2)[0] / 20000
        for points in (
            sampled(square, 20000, np.random.default_rng(0))[0],
            np.concatenate(
                [
                    sampled(Surface(vertices, face[None]), 488, np.random.default_rng(i))[0]
                    for i, face in enumerate(square.faces)
                ]
            ),
        )
    )
    # Six standard deviations of a cell's share.
    assert np.abs(share - 1 / 16).max() < 6 * np.sqrt(1 / 16 / 20000)
    assert np.abs(by_number - 1 / 16).max() > 0.03


def nearest_neighbour_accuracy(features: dict[str, np.ndarray], solids: ShapeDataset) -> float:
    distance = ((features["test"][:, None] - features["train"][None]) ** 2).sum(axis=-1)
    predicted = solids.train.labels.numpy()[distance.argmin(axis=1)]
    return float((predicted == solids.test.labels.numpy()).mean())


def proportions(clouds: np.ndarray) -> np.ndarray:
    """Standard deviations along the principal axes: shorter ones, relative to the longest."""
    spread = np.array([np.sqrt(np.linalg.eigvalsh(np.cov(cloud.T))) for cloud in clouds])
    return spread[:, :2] / spread[:, 2:]


def size(clouds: np.ndarray) -> np.ndarray:
    """Root mean square distance from the centre; the largest distance is 1 for all."""
    return np.sqrt((clouds**2).sum(axis=-1).mean(axis=-1))[:, None]


def histograms(clouds: np.ndarray) -> np.ndarray:
    """Histograms of distances between points and from the centre."""
    rng = np.random.default_rng(0)
    rows = []
    for cloud in clouds:
        first, second = cloud[rng.integers(0, len(cloud), (2, 4000))]
        between = np.histogram(np.linalg.norm(first - second, axis=1), 30, (0, 2))[0] / 4000
        radii = np.histogram(np.linalg.norm(cloud, axis=1), 15, (0, 1))[0] / len(cloud)
        rows.append(np.concatenate([between, radii]))
    return np.array(rows)


def accuracy(solids: ShapeDataset, *descriptors: Callable[[np.ndarray], np.ndarray]) -> float:
    clouds = {which: getattr(solids, which).points.numpy() for which in ("train", "test")}
    features = {
        which: np.hstack([descriptor(c) for descriptor in descriptors])
        for which, c in clouds.items()
    }
    return nearest_neighbour_accuracy(features, solids)


def test_proportions_do_not_tell_families_apart(solids: ShapeDataset) -> None:
    assert accuracy(solids, proportions) < 2.5 / len(FAMILIES)


def test_shape_tells_families_apart_and_size_does_not(solids: ShapeDataset) -> None:
    # How far the farthest point sticks out is shape, and it sets the size: above chance it is.
    by_size, by_shape = accuracy(solids, size, proportions), accuracy(solids, histograms)
    assert by_size < 0.35
    assert by_shape > 0.6
    assert by_shape > 2 * by_size


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match="unknown solid 'toros': did you mean 'torus'"):
        solid_points("toros", 10, seed=0)
    for count in (0, 1):
        with pytest.raises(ConfigError, match="at least 2"):
            solid_points("torus", count, seed=0)
    with pytest.raises(ConfigError, match="at least one"):
        load_solids(points=10, test_per_class=0)
