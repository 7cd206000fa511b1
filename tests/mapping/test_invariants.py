"""Features of points that no rotation changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.mapping import (
    NEIGHBOR_FEATURES,
    NeighborFeatures,
    radial_cosine,
    random_rotations,
    rotate_clouds,
)
from csgnn_dgl.models.hypers import _FROM_NEIGHBORS

ALL = NeighborFeatures(NEIGHBOR_FEATURES, neighbors=12)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def turns(count: int) -> torch.Tensor:
    return random_rotations(count, "so3", "z", seeded(1), torch.float64)


def uniform(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=seeded(), dtype=torch.float64) - 0.5


CLOUDS = {
    "in general position": uniform(2, 80, 3),
    # Ties in distance, coinciding points, and a point at the origin.
    "on a lattice": (8 * uniform(2, 80, 3)).round() / 8,
    "in a plane": torch.cat([uniform(2, 80, 2), torch.full((2, 80, 1), 0.1).double()], dim=-1),
    "along a line": uniform(2, 80, 1) * torch.tensor([1.0, 2.0, 3.0]),
    "at one place": torch.full((2, 80, 3), 0.3).double(),
    "at the origin": torch.zeros(2, 80, 3).double(),
    "on a sphere": normalize(torch.randn(2, 400, 3, generator=seeded()).double(), dim=-1),
}


def named(points: torch.Tensor, features: NeighborFeatures = ALL) -> dict[str, torch.Tensor]:
    return dict(zip(features.names, features(points).unbind(-1), strict=True))


def test_options_know_the_same_names() -> None:
    assert _FROM_NEIGHBORS == NEIGHBOR_FEATURES


@pytest.mark.parametrize("which", CLOUDS)
def test_no_rotation_changes_them(which: str) -> None:
    points = CLOUDS[which]
    found = ALL(points)
    assert bool(found.isfinite().all())
    assert bool(((found >= 0) & (found <= 1)).all())
    for _ in range(2):
        rotated = rotate_clouds(points, turns(2))
        assert (ALL(rotated) - found).abs().max() < 1e-10
    # Nor does the order of points.
    order = torch.randperm(points.shape[1], generator=seeded(2))
    assert (ALL(points[:, order]) - found[:, order]).abs().max() < 1e-10


@pytest.mark.parametrize("which", CLOUDS)
def test_gradients_are_finite(which: str) -> None:
    points = CLOUDS[which].clone().requires_grad_()
    ALL(points).square().sum().backward()
    assert points.grad is not None
    assert bool(points.grad.isfinite().all())


def test_gradients() -> None:
    points = uniform(1, 10, 3).requires_grad_()
    features = NeighborFeatures(NEIGHBOR_FEATURES, neighbors=6)
    assert torch.autograd.gradcheck(features, (points,), atol=1e-6)


def test_only_some_are_sensitive_to_stretching() -> None:
    """Control: a change of shape is seen."""
    points = CLOUDS["in general position"]
    stretched = points * torch.tensor([1.0, 1.0, 0.3])
    change = (ALL(stretched) - ALL(points)).abs().mean(dim=(0, 1))
    assert bool((change > 0.02).all())


def test_known_surfaces() -> None:
    sphere = named(CLOUDS["on a sphere"])
    assert sphere["cosine"].mean() > 0.98
    assert sphere["scattering"].mean() < 0.02
    assert 0.4 < sphere["density"].mean() < 0.6
    plane = named(CLOUDS["in a plane"])
    # The normal is z, and z is 0.1.
    height = 0.1 / CLOUDS["in a plane"].norm(dim=-1)
    clear = plane["linearity"] < 0.9
    assert (plane["cosine"] - height)[clear].abs().max() < 0.02
    assert plane["scattering"].max() < 1e-12
    line = named(CLOUDS["along a line"])
    assert line["linearity"].min() > 0.99
    assert line["cosine"].max() < 1e-9
    same = named(CLOUDS["at one place"])
    assert same["linearity"].max() == 0
    assert same["density"].min() == 1


def test_they_do_not_depend_on_the_type() -> None:
    points = CLOUDS["in general position"]
    torch.testing.assert_close(ALL(points.float()).double(), ALL(points), atol=2e-5, rtol=0)
    assert ALL(points.bfloat16()).dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(ALL(points.float()).double(), ALL(points), atol=2e-5, rtol=0)


@pytest.mark.parametrize("count", [1, 12])
def test_too_few_points(count: int) -> None:
    with pytest.raises(DataError, match=f"clouds have {count} points.*at least 13"):
        ALL(torch.rand(2, count, 3))
    assert ALL(torch.rand(2, 13, 3)).shape == (2, 13, 5)


@pytest.mark.parametrize(
    ("names", "neighbors", "message"),
    [
        (("planarty",), 16, "planarity"),
        (("density", "density"), 16, "the same"),
        (("density",), 2, "at least 3"),
    ],
)
def test_wrong_options(names: Any, neighbors: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NeighborFeatures(names, neighbors)


def test_points_that_are_no_numbers() -> None:
    points = uniform(1, 40, 3)
    points[0, 3, 1] = float("nan")
    with pytest.raises(DataError, match="NaN"):
        ALL(points)


def test_the_search_may_not_be_observable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a tree, as on a GPU, neighbours are the same, up to ties that do not count."""
    import csgnn_dgl.mapping.nearest_points as module

    found = {which: ALL(points) for which, points in CLOUDS.items()}
    monkeypatch.setattr(module, "in_a_tree", lambda *points: False)
    for which, points in CLOUDS.items():
        assert (ALL(points) - found[which]).abs().max() < 1e-10, which


def test_wrong_points() -> None:
    for wrong in (torch.rand(4, 3), torch.rand(1, 40, 4), torch.zeros(1, 40, 3).long()):
        with pytest.raises(DataError, match=r"\(B, N, 3\)"):
            ALL(wrong)


def test_cosine_of_normals() -> None:
    points, normals = uniform(2, 9, 3), 3 * uniform(2, 9, 3)
    found = radial_cosine(points, normals)
    both = torch.cat([points, normals], dim=-1)
    rotated = rotate_clouds(both, turns(2), normals=True)
    assert (radial_cosine(rotated[..., :3], rotated[..., 3:]) - found).abs().max() < 1e-14
    assert torch.equal(radial_cosine(points, -normals), found)
    # Control: normals that are not rotated with their points.
    assert (radial_cosine(rotated[..., :3], normals) - found).abs().max() > 0.1
    zero = torch.zeros(1, 1, 3, dtype=torch.float64, requires_grad=True)
    radial_cosine(zero, normals[:1, :1]).sum().backward()
    assert zero.grad is not None
    assert not zero.grad.any()
