"""Power spectra: their formula, invariance, size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.polynomial.legendre import legval
from torch import Tensor

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.grid import ConcentricGrid, Icosphere
from csgnn_dgl.nn.power_spectrum import num_degrees, power_spectrum, sphere_groups

CPU = torch.device("cpu")


def features(level: int, spheres: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    sites = (10 * 4**level + 2) * spheres
    return torch.randn(sites, *shape, dtype=torch.float64, generator=generator)


def spectrum(feat: Tensor, level: int, spheres: int) -> Tensor:
    return power_spectrum(feat, sphere_groups((level,) * spheres, CPU))


@pytest.mark.parametrize("level", [0, 1, 2])
def test_formula(level: int) -> None:
    feat = features(level, 3, 2, 4)
    found = spectrum(feat, level, 3).view(2, num_degrees(level), 4)
    vertices = Icosphere.get(level).vertices
    by_sphere = feat.view(-1, 3, 2, 4)
    for degree in range(num_degrees(level)):
        kernel = torch.from_numpy(legval(np.clip(vertices @ vertices.T, -1, 1), [0] * degree + [1]))
        pairs = torch.einsum("irbc,ij,jrbc->bc", by_sphere, kernel, by_sphere)
        expected = (pairs * (2 * degree + 1) / (3 * len(vertices) ** 2)).sqrt()
        torch.testing.assert_close(found[:, degree], expected, rtol=1e-8, atol=1e-8)
    mean = by_sphere.mean(dim=0).square().mean(dim=0).sqrt()
    torch.testing.assert_close(found[:, 0], mean, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_invariant_under_the_rotations(level: int) -> None:
    feat = features(level, 2, 1, 3)
    expected = spectrum(feat, level, 2)
    for permutation in torch.from_numpy(ConcentricGrid(level, 2).node_permutations()):
        torch.testing.assert_close(
            spectrum(feat[permutation], level, 2), expected, rtol=1e-10, atol=0
        )
    # Controls: another order of the vertices, and of the spheres.
    order = torch.randperm(len(feat) // 2, generator=torch.Generator().manual_seed(1))
    moved = feat.view(-1, 2, 1, 3)[order].view(feat.shape)
    assert not torch.allclose(spectrum(moved, level, 2), expected, rtol=1e-2)
    # Degree 0 sees only the mean, which stays.
    torch.testing.assert_close(spectrum(moved, level, 2)[:, :3], expected[:, :3])


@pytest.mark.parametrize("levels", [(0, 1), (1, 0, 1), (2, 0, 1)], ids=str)
def test_spheres_of_different_levels(levels: tuple[int, ...]) -> None:
    grid, groups = ConcentricGrid(levels=levels), sphere_groups(levels, CPU)
    assert [(each.level, each.spheres) for each in groups] == [
        (level, levels.count(level)) for level in sorted(set(levels))
    ]
    generator = torch.Generator().manual_seed(0)
    feat = torch.randn(grid.num_nodes(), 2, 3, dtype=torch.float64, generator=generator)
    found = power_spectrum(feat, groups)
    # Degrees that all spheres can tell apart, and those that only the finer ones can.
    own = {}
    for sphere, level in enumerate(levels):
        nodes = [grid.site(v, sphere) for v in range(10 * 4**level + 2)]
        own[sphere] = spectrum(feat[nodes], level, 1).view(2, num_degrees(level), 3).square()
    for degree in range(6):
        there = [power[:, degree] for power in own.values() if degree < power.shape[1]]
        expected = torch.stack(there).mean(dim=0).sqrt()
        torch.testing.assert_close(found.view(2, 6, 3)[:, degree], expected, rtol=1e-9, atol=1e-9)
    for permutation in torch.from_numpy(grid.node_permutations()):
        torch.testing.assert_close(
            power_spectrum(feat[permutation], groups), found, rtol=1e-10, atol=0
        )
    # Control: another order of the vertices.
    other = power_spectrum(feat.flip(0), groups)
    assert not torch.allclose(other, found, rtol=1e-2)


def test_squares_add_up_to_the_mean_square() -> None:
    # A function of low degrees, of which the spectrum loses nothing.
    x, y, z = torch.from_numpy(Icosphere.get(2).vertices.T.copy())
    feat = (1 + 2 * x - y + 3 * x * z)[:, None, None]
    found = spectrum(feat, 2, 1)[0]
    assert float(found.square().sum()) == pytest.approx(float(feat.square().mean()), rel=0.02)
    # Sums over vertices are not quite integrals.
    assert float(found[3:].max()) < 0.1
    exact = torch.tensor([1, 5 / 3, 3 / 5], dtype=torch.float64).sqrt()
    torch.testing.assert_close(found[:3], exact, rtol=0.02, atol=0)


def test_slope_at_zero_and_types() -> None:
    zero = torch.zeros(24, 1, 2, requires_grad=True)
    spectrum(zero, 0, 2).sum().backward()
    assert zero.grad is not None
    assert bool(zero.grad.isfinite().all())
    feat = features(1, 2, 1, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: spectrum(f, 1, 2), feat)
    mixed, groups = features(0, 5, 1, 1)[:54].requires_grad_(), sphere_groups((0, 1), CPU)
    assert torch.autograd.gradcheck(lambda f: power_spectrum(f, groups), mixed)
    assert spectrum(feat.bfloat16(), 1, 2).dtype == torch.bfloat16


def test_spheres_that_are_too_fine() -> None:
    with pytest.raises(ConfigError, match="level 3 at most, not 4"):
        sphere_groups((1, 4), CPU)
