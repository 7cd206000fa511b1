"""Features of points as channels of the mapping."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.mapping import PointMapping, random_rotations, rotate_clouds

SIZES: dict[str, Any] = {"level": 1, "n_spheres": 3, "channels": 2}


def clouds() -> torch.Tensor:
    points = torch.rand(2, 40, 3, generator=torch.Generator().manual_seed(0)).double() - 0.5
    points[0, 0] = 0  # without a direction
    points[1, :2] = points[1, 2]  # coinciding
    return points


def values(count: int = 2) -> torch.Tensor:
    return torch.randn(2, 40, count, generator=torch.Generator().manual_seed(1)).double()


def mapped(mapping: PointMapping, features: torch.Tensor | None) -> torch.Tensor:
    """Channels by feature, the density first; (V·R, B, 1 + F, C)."""
    found: torch.Tensor = mapping(clouds(), features=features)
    return found.unflatten(2, (-1, mapping.channels))


@pytest.mark.parametrize("radial", ["shell", "bracket"])
def test_sums_are_those_of_each_point(radial: Any) -> None:
    """The map of one point at a time, times its feature."""
    mapping = PointMapping(**SIZES, radial=radial, feature_mean="sum")
    found = mapped(mapping, values())
    expected = torch.zeros_like(found)
    for point in range(40):
        alone = mapping(clouds()[:, point : point + 1])[:, :, None]
        expected[:, :, :1] += alone
        expected[:, :, 1:] += alone * values()[:, point][None, :, :, None]
    torch.testing.assert_close(found, expected, atol=1e-13, rtol=0)


@pytest.mark.parametrize("radial", ["shell", "bracket"])
def test_means_are_sums_over_the_density(radial: Any) -> None:
    sums = mapped(PointMapping(**SIZES, radial=radial, feature_mean="sum"), values())
    means = mapped(PointMapping(**SIZES, radial=radial), values())
    there = sums[:, :, :1] > 0
    expected = torch.where(there, sums[:, :, 1:] / torch.where(there, sums[:, :, :1], 1), 0)
    torch.testing.assert_close(means[:, :, 1:], expected, atol=1e-13, rtol=0)
    assert not bool(there.all()), "some sites have no points"
    # A feature that is the same everywhere is found wherever there are points, at any density.
    same = mapped(PointMapping(**SIZES, radial=radial), torch.full_like(values(1), 3.5))[:, :, 1]
    torch.testing.assert_close(same, 3.5 * there[:, :, 0].double())


def test_the_density_stays_the_same() -> None:
    mapping = PointMapping(**SIZES)
    assert torch.equal(mapped(mapping, values())[:, :, 0], mapped(mapping, None)[:, :, 0])


def test_the_kernel_for_densities_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would leave the features out."""
    mapping = PointMapping(**SIZES)
    expected = mapping(clouds(), features=values())

    class Kernel:
        @staticmethod
        def point_features(out: torch.Tensor, *args: Any, **others: Any) -> None:
            out.fill_(7)

    monkeypatch.setattr(PointMapping, "_triton", lambda self, points: Kernel)
    assert torch.equal(mapping(clouds(), features=values()), expected)
    # Control: without features it is used.
    assert bool((mapping(clouds()) == 7).all())


def test_clouds_of_different_sizes() -> None:
    mapping = PointMapping(**SIZES)
    batch = torch.tensor([0, 1]).repeat_interleave(40)
    order = torch.randperm(80, generator=torch.Generator().manual_seed(2))
    flat, carried = clouds().view(-1, 3)[order], values().view(-1, 2)[order]
    found = mapping(flat, batch[order], features=carried)
    torch.testing.assert_close(found, mapping(clouds(), features=values()), atol=1e-13, rtol=0)


def test_gradients() -> None:
    mapping = PointMapping(level=0, n_spheres=2, channels=1)
    points = clouds()[:, 1:6].clone().requires_grad_()
    carried = values()[:, 1:6].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda p, f: mapping(p, features=f), (points, carried))
    # Weights that underflow do not make them NaN.
    far = 60 * clouds()[:, 1:6].float()
    far.requires_grad_()
    mapping(far, features=carried.detach().float()).sum().backward()
    assert far.grad is not None
    assert bool(far.grad.isfinite().all())


def test_invariant_features_commute_with_the_60_rotations() -> None:
    from csgnn_dgl.grid import icosahedral_rotations, vertex_permutations

    mapping = PointMapping(**SIZES)
    turns = torch.from_numpy(icosahedral_rotations()[[7, 31]].copy())
    found = mapping(rotate_clouds(clouds(), turns), features=values())
    plain = mapping(clouds(), features=values())
    for cloud, turn in enumerate((7, 31)):
        permutation = torch.from_numpy(vertex_permutations(1)[turn].copy())
        moved = found[:, cloud].view(42, 3, -1)[permutation]
        torch.testing.assert_close(moved, plain[:, cloud].view(42, 3, -1), atol=1e-12, rtol=0)
    # Control: features that rotations change.
    other = mapping(rotate_clouds(clouds(), turns), features=rotate_clouds(clouds(), turns))
    assert (other - mapping(clouds(), features=clouds())).abs().max() > 0.1
    assert not torch.allclose(
        mapping(rotate_clouds(clouds(), random_rotations(
            2, "so3", "z", torch.Generator().manual_seed(0), torch.float64)), features=values()),
        plain,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (values()[:, :5], r"features of points have shape \(2, 5, 2\), but \(2, 40, F\)"),
        (values()[..., 0], r"shape \(2, 40\)"),
        (values()[..., :0], r"shape \(2, 40, 0\)"),
        (values().float(), "float32"),
        (values().log(), "feature 0 of point 0 is nan"),
    ],
)
def test_features_that_do_not_fit(features: torch.Tensor, message: str) -> None:
    negative = features.clone()
    if "nan" in message:
        negative[0, 0, 0] = float("nan")
    with pytest.raises(DataError, match=message):
        PointMapping(**SIZES)(clouds(), features=negative)


def test_an_unknown_mean() -> None:
    wrong: Any = "average"
    with pytest.raises(ConfigError, match="mean"):
        PointMapping(**SIZES, feature_mean=wrong)
