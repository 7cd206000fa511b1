"""The mapping's gradients, number types, modes and copies."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from csgnn_dgl.grid import Icosphere
from csgnn_dgl.mapping import PointMapping

RADIAL = ("shell", "bracket")
BANDWIDTH = ("squared", "paper")


def clouds(
    n_clouds: int, n: int, seed: int = 0, dtype: torch.dtype = torch.float64
) -> torch.Tensor:
    """Points in general position, all over the unit ball and some beyond."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(n_clouds, n, 3, generator=generator, dtype=torch.float64)
    length = 1.1 * torch.rand(n_clouds, n, 1, generator=generator, dtype=torch.float64)
    return (points / points.norm(dim=-1, keepdim=True) * length).to(dtype)


def relative_error(got: torch.Tensor, want: torch.Tensor) -> float:
    return float((got - want).abs().max() / want.abs().max())


@pytest.mark.parametrize("radial", RADIAL)
@pytest.mark.parametrize("bandwidth", BANDWIDTH)
def test_gradcheck(radial: str, bandwidth: str) -> None:
    mapping = PointMapping(1, 3, 2, radial=radial, bandwidth=bandwidth)
    points = clouds(2, 6, seed=5).requires_grad_()
    assert torch.autograd.gradcheck(mapping, (points,))


@pytest.mark.parametrize("radial", RADIAL)
def test_gradients_are_finite_everywhere(radial: str) -> None:
    points = clouds(1, 8)
    points[0, 0] = 0
    points[0, 1] = points[0, 2]
    points[0, 3] = torch.tensor(Icosphere.get(2).vertices[5])
    points[0, 4] = torch.tensor([0.0, 0.0, 1e-12])
    points.requires_grad_()
    features = PointMapping(2, 3, 2, radial=radial)(points)
    features.square().sum().backward()
    assert points.grad is not None
    assert points.grad.isfinite().all()
    assert (points.grad[0, 0] == 0).all()
    assert (points.grad[0, 5:] != 0).any(dim=1).all()


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-14), (torch.float32, 2e-5), (torch.float16, 3e-3), (torch.bfloat16, 2e-2)],
)
def test_type_of_points_is_kept(dtype: torch.dtype, tolerance: float) -> None:
    points = clouds(2, 100).to(dtype)
    features = PointMapping(2, 4, 2)(points)
    assert features.dtype == dtype
    # Rounded once, after the sums; the points themselves are the same numbers here.
    want = PointMapping(2, 4, 2)(points.double())
    assert relative_error(features.double(), want) < tolerance


@pytest.mark.parametrize("cast", ["half", "float", "double"])
def test_cast_of_the_module_costs_no_digits(cast: str) -> None:
    mapping, points = PointMapping(2, 3, 2), clouds(1, 50)
    want = mapping(points)
    assert torch.equal(getattr(mapping, cast)()(points), want)


def test_autocast_costs_no_digits() -> None:
    mapping, points = PointMapping(2, 3, 2), clouds(1, 50, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = mapping(points)
    assert torch.equal(features, mapping(points))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("radial", RADIAL)
def test_cuda_equals_cpu(radial: str) -> None:
    mapping, points = PointMapping(3, 4, 2, radial=radial), clouds(2, 200)
    features = mapping(points.cuda())
    assert features.is_cuda
    torch.testing.assert_close(features.cpu(), mapping(points), rtol=1e-12, atol=1e-14)


def test_training_after_inference_mode() -> None:
    """Validation often comes first; what it cached must do for training."""
    mapping, points = PointMapping(1, 2, 1), clouds(1, 10)
    with torch.inference_mode():
        mapping(points)
    points = points.clone().requires_grad_()
    mapping(points).sum().backward()
    assert points.grad is not None


def test_nothing_to_train_or_save() -> None:
    mapping = PointMapping(2, 3, 2)
    assert not list(mapping.parameters())
    assert not mapping.state_dict()


def test_copies_work_alike() -> None:
    mapping, points = PointMapping(2, 3, 2), clouds(1, 30)
    want = mapping(points)
    assert torch.equal(copy.deepcopy(mapping)(points), want)
    assert torch.equal(pickle.loads(pickle.dumps(mapping))(points), want)


def test_points_stay_as_they_are() -> None:
    points = clouds(2, 30)
    before = points.clone()
    PointMapping(2, 3, 2)(points)
    assert torch.equal(points, before)
