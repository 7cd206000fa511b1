"""The mapping to spheres of different levels, against that to uniform grids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.mapping import PointMapping
from csgnn_dgl.mapping.faces import FaceSearch
from csgnn_dgl.mapping.levels import SphereLevels
from csgnn_dgl.mapping.nearest import NearestVertices
from csgnn_dgl.testing import assert_rotation_equivariant

LEVELS = [(1, 1, 2, 2), (0, 2), (2, 0, 1)]
every = pytest.mark.parametrize("levels", LEVELS, ids=str)
options = pytest.mark.parametrize(
    "options",
    [{"radial": r, "neighbourhood": n} for r in ("shell", "bracket") for n in ("face", "nearest")],
    ids=lambda chosen: "-".join(chosen.values()),
)


def clouds(n_clouds: int = 2, n: int = 50) -> Tensor:
    """Points all over the unit ball and some beyond; the first is the origin."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(n_clouds, n, 3, generator=generator, dtype=torch.float64)
    length = 1.1 * torch.rand(n_clouds, n, 1, generator=generator, dtype=torch.float64)
    points = points / points.norm(dim=-1, keepdim=True) * length
    points[0, 0] = 0
    return points


def make(levels: tuple[int, ...], channels: int = 3, **chosen: Any) -> PointMapping:
    return PointMapping(max(levels), len(levels), channels, levels=levels, **chosen)


def share_of(level: int, levels: tuple[int, ...]) -> float:
    """Vertices of a sphere, as a share of those of the finest one."""
    return (10 * 4**level + 2) / (10 * 4 ** max(levels) + 2)


@every
@options
def test_each_sphere_is_that_of_a_uniform_grid(
    levels: tuple[int, ...], options: dict[str, Any]
) -> None:
    grid, points = ConcentricGrid(levels=levels), clouds()
    found = make(levels, **options)(points)
    assert found.shape == (grid.num_nodes(), 2, 3)
    for r, level in enumerate(levels):
        uniform = PointMapping(level, len(levels), 3, **options)(points)
        vertices = range(10 * 4**level + 2)
        own = found[[grid.site(v, r) for v in vertices]]
        expected = uniform[r :: len(levels)] * share_of(level, levels)
        torch.testing.assert_close(own, expected, rtol=1e-12, atol=1e-14)


@options
def test_there_are_no_steps_between_spheres_of_different_levels(options: dict[str, Any]) -> None:
    """In a uniform cloud, the mean over a sphere is near that of the finest level."""
    levels, generator = (3, 1, 2, 3), torch.Generator().manual_seed(2)
    directions = torch.randn(1, 4000, 3, generator=generator, dtype=torch.float64)
    directions /= directions.norm(dim=2, keepdim=True)
    points = directions * torch.rand(1, 4000, 1, generator=generator, dtype=torch.float64)
    grid = ConcentricGrid(levels=levels)
    found, uniform = make(levels, **options)(points), make((3,) * 4, **options)(points)
    for r, level in enumerate(levels):
        own = found[[grid.site(v, r) for v in range(10 * 4**level + 2)]].mean(dim=(0, 1))
        ratio = own / uniform[r::4].mean(dim=(0, 1))
        # Not 1, because bandwidths differ, too.
        assert ((ratio > 0.5) & (ratio < 1.3)).all(), (r, ratio)


@every
@options
@pytest.mark.parametrize("feature_mean", ["mean", "sum"])
def test_features_of_each_sphere_are_those_of_a_uniform_grid(
    levels: tuple[int, ...], options: dict[str, Any], feature_mean: Any
) -> None:
    points, grid = clouds(), ConcentricGrid(levels=levels)
    carried = torch.randn(2, 50, 2, generator=torch.Generator().manual_seed(1)).double()
    mapping = make(levels, **options, feature_mean=feature_mean)
    found = mapping(points, features=carried)
    assert found.shape == (grid.num_nodes(), 2, 9)
    torch.testing.assert_close(found[..., :3], mapping(points), rtol=0, atol=0)
    for r, level in enumerate(levels):
        uniform = PointMapping(level, len(levels), 3, **options, feature_mean=feature_mean)
        own = found[[grid.site(v, r) for v in range(10 * 4**level + 2)]]
        expected = uniform(points, features=carried)[r :: len(levels)]
        summed = 9 if feature_mean == "sum" else 3
        expected[..., :summed] *= share_of(level, levels)
        torch.testing.assert_close(own, expected, rtol=1e-11, atol=1e-13)
    rotated = assert_rotation_equivariant(
        lambda turned: mapping(turned, features=carried[: len(turned)]), points, grid
    )
    assert rotated < 1e-12


@options
def test_equal_levels_give_the_same_bits(options: dict[str, Any]) -> None:
    points = clouds()
    found = PointMapping(2, 3, 2, levels=(2, 2, 2), **options)(points)
    assert torch.equal(found, PointMapping(2, 3, 2, **options)(points))


@every
@options
def test_rotations_permute_the_sites(levels: tuple[int, ...], options: dict[str, Any]) -> None:
    grid, mapping = ConcentricGrid(levels=levels), make(levels, **options)
    assert assert_rotation_equivariant(mapping, clouds(), grid) < 1e-13


def test_wrong_sites_are_noticed() -> None:
    # Control for the test above.
    grid, mapping = ConcentricGrid(levels=(1, 0, 1)), make((1, 0, 1))
    with pytest.raises(AssertionError, match="do not permute as the sites do"):
        assert_rotation_equivariant(lambda points: mapping(points).roll(1, dims=0), clouds(), grid)


def test_gradients_and_clouds_of_different_sizes() -> None:
    mapping, points = make((0, 1)), clouds(2, 8)
    assert torch.autograd.gradcheck(mapping, (points[:, 1:].clone().requires_grad_(),))
    carried = torch.randn(2, 7, 1, generator=torch.Generator().manual_seed(1)).double()
    inputs = points[:, 1:].clone().requires_grad_(), carried.requires_grad_()
    assert torch.autograd.gradcheck(lambda p, f: mapping(p, features=f), inputs)
    batch = torch.arange(2).repeat_interleave(8)
    found = mapping(points.view(-1, 3), batch)
    torch.testing.assert_close(found, mapping(points), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("nearest", [False, True])
def test_vertices_are_those_of_the_spheres_own_level(nearest: bool) -> None:
    levels = (2, 0, 1, 1)
    spheres = SphereLevels(levels, nearest=nearest)
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(
        torch.randn(3, 200, generator=generator, dtype=torch.float64), dim=0
    )
    which = torch.randint(4, (200,), generator=generator)
    vertices, positions = spheres.find(FaceSearch(2), directions, which)
    for r, level in enumerate(levels):
        own, search = directions[:, which == r], FaceSearch(level)
        face = search.find_columns(own)
        found = NearestVertices(search).find_columns(own, face) if nearest else None
        expected = search.corner_ids(face) if found is None else found
        assert torch.equal(vertices[:, which == r], expected)
    # Near: no vertex is farther than the longest edge of the icosahedron.
    assert float((positions - directions[:, None]).norm(dim=0).max()) < 1.06


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ((1, 2), "the levels of 2 spheres are given, .* but n_spheres is 3"),
        ((1, 1, 1), "the finest of the spheres' levels .* is 1, but level is 2"),
        ((1, -1, 2), "the level of sphere 1 is -1"),
        (2, "levels is 2, but it must be a sequence"),
    ],
)
def test_bad_levels(levels: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PointMapping(2, 3, 1, levels=levels)


def test_levels_of_numpy() -> None:
    assert PointMapping(2, 2, 1, levels=np.array([1, 2])).levels == (1, 2)
    assert "levels=(1, 2)" in repr(PointMapping(2, 2, 1, levels=[1, 2]))
