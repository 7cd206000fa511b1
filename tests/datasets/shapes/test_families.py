"""Procedurally made shapes."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from csgnn_dgl.datasets.shapes import load_dataset
from csgnn_dgl.datasets.shapes.families import (
    FAMILY_NAMES,
    KINDS,
    family_points,
    load_families,
)
from csgnn_dgl.datasets.shapes.families.bodies import Body, about, towards
from csgnn_dgl.datasets.shapes.loading import is_built_in
from csgnn_dgl.errors import ConfigError, DataError


def test_there_are_many_families() -> None:
    assert len(FAMILY_NAMES) >= 40
    assert list(FAMILY_NAMES) == sorted(set(FAMILY_NAMES))


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_members(family: str) -> None:
    made = [family_points(family, 300, (0, index)) for index in range(6)]
    for points in made:
        assert points.shape == (300, 3)
        assert points.dtype == np.float32
        np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-5)
        assert np.linalg.norm(points, axis=1).max() == pytest.approx(1, abs=1e-5)
        # The points are different ones, and no shape is a line.
        assert len(np.unique(points, axis=0)) > 250
        assert np.linalg.eigvalsh(np.cov(points.T))[1] > 1e-4
    np.testing.assert_array_equal(made[2], family_points(family, 300, (0, 2)))
    assert np.abs(made[0] - made[1]).max() > 0.05


def _spread(points: np.ndarray) -> np.ndarray:
    """Distances of the points from their mean, sorted: the same for any order and rotation."""
    return np.asarray(np.sort(np.linalg.norm(points - points.mean(axis=0), axis=1)))


def test_members_of_a_kind_are_more_alike_than_those_of_a_family() -> None:
    within, across = [], []
    for family in FAMILY_NAMES:
        same = [_spread(family_points(family, 400, (0, i), kind=0)) for i in range(3)]
        others = [_spread(family_points(family, 400, (0, i), kind=1 + i)) for i in range(3)]
        within.append(np.mean([np.abs(a - b).mean() for a in same for b in same]))
        across.append(np.mean([np.abs(a - b).mean() for a in same for b in others]))
    assert np.mean(np.less(within, across)) > 0.9


def test_a_data_set_of_families() -> None:
    small = load_families(points=32, train_per_class=2, test_per_class=1)
    large = load_families(points=32, train_per_class=3, test_per_class=1)
    assert small.class_names == FAMILY_NAMES
    assert small.train.points.shape == (2 * len(FAMILY_NAMES), 32, 3)
    assert len(small.test) == len(FAMILY_NAMES)
    # Larger splits hold the members of smaller ones; training and test members differ.
    known = dict(zip(large.train.names, large.train.points.numpy(), strict=True))
    for name, points in zip(small.train.names, small.train.points.numpy(), strict=True):
        np.testing.assert_array_equal(known[name], points)
    first = {points.tobytes() for points in large.train.points.numpy()}
    assert not first & {points.tobytes() for points in large.test.points.numpy()}
    assert (
        small.fingerprint
        != load_families(points=32, train_per_class=2, test_per_class=1, seed=1).fingerprint
    )


def test_a_data_set_of_kinds() -> None:
    found = load_families(points=16, train_per_class=1, test_per_class=1, kinds=2)
    assert len(found.class_names) == 2 * len(FAMILY_NAMES)
    assert found.class_names[:2] == ("airplane-1", "airplane-2")
    assert found.name == "kinds"
    assert f"2 kinds of each of {len(FAMILY_NAMES)} families" in found.source


def test_built_in_data_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load_dataset(Path("families"), points=16, pool=16, members=2)
    assert (found.name, len(found.train)) == ("families", 2 * len(FAMILY_NAMES))
    assert load_dataset(Path("solids"), points=16, members=1).name == "solids"
    assert KINDS >= 2
    with pytest.raises(DataError, match="Built-in data: solids, families, kinds"):
        load_dataset(Path("familys"), points=16)
    with pytest.raises(ConfigError, match="is no built-in data set"):
        load_dataset(tmp_path, points=16, members=2)
    with pytest.raises(DataError, match="normals"):
        load_dataset(Path("families"), points=16, attributes=("normals",))
    # A folder of that name goes before it.
    monkeypatch.chdir(tmp_path)
    assert is_built_in(Path("families"))
    (tmp_path / "families").mkdir()
    assert not is_built_in(Path("families"))


def test_mistakes() -> None:
    with pytest.raises(ConfigError, match="did you mean 'quadruped'"):
        family_points("quadrupet", 10, 0)
    with pytest.raises(ConfigError, match="at least 2"):
        family_points("table", 1, 0)
    with pytest.raises(ConfigError, match="at least one of each"):
        load_families(points=16, train_per_class=0)


def test_unions_have_no_points_inside() -> None:
    body = Body()
    body.add("ellipsoid", (0, 0, 0), (1, 1, 1))
    body.add("ellipsoid", (1, 0, 0), (1, 1, 1))
    body.rod((0, 0, -2), (0, 0, 2), 0.2)
    points = body.sample(3000, np.random.default_rng(0))
    for centre in ((0, 0, 0), (1, 0, 0)):
        assert np.linalg.norm(points - centre, axis=1).min() > 1 - 1e-5
    outside = np.abs(points[:, 2]) > 1.1
    np.testing.assert_allclose(np.hypot(*points[outside & (np.abs(points[:, 2]) < 2), :2].T), 0.2)


def test_differences_have_the_wall_of_the_hole() -> None:
    body = Body()
    body.add("box", (0, 0, 0), (1, 1, 1))
    body.cut("cylinder", (0, 0, 0), (0.5, 0.5, 3))
    points = body.sample(4000, np.random.default_rng(0))
    radius = np.hypot(points[:, 0], points[:, 1])
    assert radius.min() > 0.5 - 1e-5
    assert np.abs(points).max() < 1 + 1e-9
    wall = np.isclose(radius, 0.5)
    # Areas: the wall 2π r h = 2π, and the faces 24 - 2 π/4.
    expected = 2 * np.pi / (2 * np.pi + 24 - np.pi / 2)
    assert wall.mean() == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("kind", ["box", "cylinder", "ellipsoid", "ring"])
def test_solids_are_sampled_uniformly_by_area(kind: str) -> None:
    body = Body()
    frame = about(0, 0.7) @ about(2, 0.3)
    size = (1.0, 0.4, 0.6)
    body.add(kind, (1, 2, 3), size, frame)
    points = (body.sample(20000, np.random.default_rng(0)) - [1, 2, 3]) @ frame
    if kind == "box":
        share = np.isclose(np.abs(points[:, 2]), 0.6).mean()
        assert share == pytest.approx(0.4 / (0.4 + 0.6 + 0.24), abs=0.02)
    elif kind == "cylinder":
        caps = np.isclose(np.abs(points[:, 2]), 0.6)
        around = 4 * 0.6 * np.pi * np.sqrt((1 + 0.16) / 2)
        assert caps.mean() == pytest.approx(0.8 * np.pi / (0.8 * np.pi + around), abs=0.02)
        assert (np.abs(points) < [1.001, 0.401, 0.601]).all()
    elif kind == "ring":
        # Pappus: the outer half of the surface has the share 1/2 + r / (π R).
        outer = np.hypot(points[:, 0], points[:, 1]) > 1
        assert outer.mean() == pytest.approx(0.5 + 0.4 / np.pi, abs=0.02)
    else:
        # Against a fine grid of the ellipsoid: share of the area with |x| > 1/2.
        polar = np.linspace(0, np.pi, 800)
        around = np.linspace(0, 2 * np.pi, 800, endpoint=False)
        p, a = np.meshgrid(polar, around, indexing="ij")
        unit = np.stack([np.cos(p), np.sin(p) * np.cos(a), np.sin(p) * np.sin(a)], axis=-1)
        area = np.sin(p) * np.linalg.norm(unit / size, axis=-1)
        expected = area[np.abs(unit[..., 0]) > 0.5].sum() / area.sum()
        assert (np.abs(points[:, 0]) > 0.5).mean() == pytest.approx(expected, abs=0.02)


def test_rods_have_round_ends_and_a_taper() -> None:
    body = Body()
    body.rod((0, 0, 0), (0, 0, 2), 0.4, 0.2)
    points = body.sample(20000, np.random.default_rng(0))
    radius, height = np.hypot(points[:, 0], points[:, 1]), points[:, 2]
    side = (height > 0) & (height < 2)
    np.testing.assert_allclose(radius[side], (0.4 - 0.1 * height)[side], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(points[height < 0], axis=1), 0.4, atol=1e-9)
    total = np.pi * 2 * 0.6 + 2 * np.pi * (0.16 + 0.04)
    assert (height < 0).mean() == pytest.approx(2 * np.pi * 0.16 / total, abs=0.02)
    np.testing.assert_allclose(towards([0, 3, 4])[:, 2], [0, 0.6, 0.8])


def test_hundreds_of_shapes_are_made_in_a_second_of_one_core() -> None:
    started = time.process_time()
    for family in FAMILY_NAMES:
        for index in range(2):
            family_points(family, 1024, (9, index))
    assert 2 * len(FAMILY_NAMES) / (time.process_time() - started) > 100
