"""The fingerprint of clouds."""

from __future__ import annotations

import pytest
import torch

from csgnn_dgl.mapping import random_rotations, rotate_clouds
from csgnn_dgl.mapping.shape_fingerprint import LENGTH, shape_fingerprint


def clouds(count: int = 3, points: int = 600) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, points, 3, generator=generator, dtype=torch.float64)


def test_neither_orientation_nor_size_matters() -> None:
    given = clouds()
    rotations = random_rotations(3, "so3", "z", torch.Generator().manual_seed(1)).double()
    expected = shape_fingerprint(given)
    turned = shape_fingerprint(rotate_clouds(7 * given, rotations))
    torch.testing.assert_close(turned, expected, atol=1e-5, rtol=0)
    # Control: a change of the shape does.
    flat = shape_fingerprint(given * torch.tensor([1.0, 1.0, 0.5], dtype=torch.float64))
    assert (flat - expected).abs().max() > 0.05


def test_clouds_do_not_influence_each_other() -> None:
    given = clouds(20)
    together = shape_fingerprint(given)
    assert together.shape == (20, LENGTH)
    torch.testing.assert_close(shape_fingerprint(given[17:18])[0], together[17])
    assert shape_fingerprint(given[:0]).shape == (0, LENGTH)


@pytest.mark.parametrize("points", [1, 2, 5, 384, 385])
def test_any_number_of_points(points: int) -> None:
    found = shape_fingerprint(clouds(2, points).float())
    assert found.shape == (2, LENGTH)
    assert bool(found.isfinite().all())


def test_points_at_one_place() -> None:
    assert bool(shape_fingerprint(torch.zeros(1, 50, 3)).isfinite().all())
