"""Designed sets of rotations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.grid import Icosphere, icosahedral_rotations
from csgnn_dgl.mapping import (
    designed_angles,
    designed_rotations,
    normalize_clouds,
    random_rotations,
    variance_left,
)
from csgnn_dgl.mapping.designed import LARGEST_DESIGN
from csgnn_dgl.models import ShapeCSGNN, ShapeCSGNNHypers

SIZES = range(1, LARGEST_DESIGN + 1)
# How many random votes are as good as a design, at least.
WORTH = {2: 2, 3: 3.5, 4: 5, 5: 7, 6: 9, 8: 14, 10: 20, 12: 28, 14: 36, 16: 45}


def drawn(n: int, seed: int) -> Tensor:
    return random_rotations(n, "so3", "z", torch.Generator().manual_seed(seed), torch.float64)


@pytest.mark.parametrize("n", SIZES)
def test_they_are_distinct_rotations(n: int) -> None:
    turns = designed_rotations(n)
    assert turns.shape == (n, 3, 3)
    eye = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(turns @ turns.mT, eye.expand(n, 3, 3), atol=1e-14, rtol=0)
    torch.testing.assert_close(torch.linalg.det(turns), torch.ones(n).double())
    assert torch.equal(turns[0], eye)
    # Not even after a rotation of the icosahedron are two of them the same to a model.
    group = torch.from_numpy(icosahedral_rotations().copy())
    pairs = torch.einsum("gij,ajk,blk->abgil", group, turns, turns)
    closest = pairs.diagonal(dim1=-2, dim2=-1).sum(-1).amax(-1).fill_diagonal_(0)
    assert float(closest.max()) < 2.9


@pytest.mark.parametrize("n", [0, -1, LARGEST_DESIGN + 1])
def test_other_sizes_do_not_exist(n: int) -> None:
    with pytest.raises(ConfigError, match="sets of 1 to 16"):
        designed_rotations(n)


@pytest.mark.parametrize("degree", [0, 1, 5, 7, 14, 29])
def test_degrees_without_the_symmetry(degree: int) -> None:
    with pytest.raises(ConfigError, match="no harmonic"):
        variance_left(torch.eye(3)[None], degree)


@pytest.mark.parametrize("degree", [6, 10, 12, 16])
def test_variance_is_that_of_a_function_on_the_sphere(degree: int) -> None:
    """The icosahedron's own harmonic, turned and averaged, integrated over the sphere."""
    vertices = torch.from_numpy(Icosphere.get(0).vertices.copy())
    # Gauss-Legendre in z, evenly spaced in the angle: exact for products of two such harmonics.
    nodes, weights = np.polynomial.legendre.leggauss(degree + 1)
    angles = 2 * np.pi * np.arange(2 * degree + 1) / (2 * degree + 1)
    flat = np.sqrt(1 - nodes**2)
    places = torch.from_numpy(
        np.stack(
            [
                np.outer(flat, np.cos(angles)),
                np.outer(flat, np.sin(angles)),
                np.outer(nodes, np.ones_like(angles)),
            ],
            axis=-1,
        ).reshape(-1, 3)
    )
    weight = torch.from_numpy(np.repeat(weights, len(angles)))
    legendre = np.polynomial.Legendre.basis(degree)

    def square(turns: Tensor) -> float:
        seen = torch.einsum("aij,pj->api", turns, places) @ vertices.T
        harmonic = torch.from_numpy(legendre(seen.numpy())).sum(-1).mean(0)
        return float((weight * harmonic.square()).sum())

    for turns in (designed_rotations(3), drawn(5, seed=degree)):
        expected = square(turns) / square(torch.eye(3).double()[None])
        assert variance_left(turns, degree) == pytest.approx(expected, abs=1e-12)


def test_variance_does_not_depend_on_turns_that_models_do_not_see() -> None:
    group = torch.from_numpy(icosahedral_rotations().copy())
    turns = drawn(4, seed=0)
    expected = variance_left(turns, 12)
    assert variance_left(turns @ drawn(1, seed=1), 12) == pytest.approx(expected, abs=1e-12)
    assert variance_left(group[[7, 0, 33, 59]] @ turns, 12) == pytest.approx(expected, abs=1e-12)
    # Controls: any other turn, on the left; one rotation alone leaves all.
    other = torch.cat([drawn(1, seed=2) @ turns[:1], turns[1:]])
    assert abs(variance_left(other, 12) - expected) > 1e-3
    assert variance_left(turns[:1], 12) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("n", WORTH)
def test_they_leave_less_than_random_rotations(n: int) -> None:
    shares = {6: 0.45, 10: 0.09, 12: 0.32, 16: 0.065, 18: 0.02, 20: 0.025, 24: 0.03}

    def left(turns: Tensor) -> float:
        return sum(s * variance_left(turns, d) for d, s in shares.items()) / sum(shares.values())

    assert left(designed_rotations(n)) < 1 / WORTH[n]
    # Control: random sets leave 1/n in the mean.
    usual = np.mean([left(drawn(n, seed)) for seed in range(10)])
    assert 0.5 / n < usual < 2 / n


@pytest.mark.parametrize("n", [5, 8, 12, 16])
def test_models_differ_less_between_orientations(n: int) -> None:
    torch.manual_seed(0)
    hypers = ShapeCSGNNHypers(level=1, n_spheres=2, channels=2, base_width=4)
    model = ShapeCSGNN(hypers).double().eval()
    # Smooth enough: of a few points at a fine level, most of the variance is of high degrees.
    cloud = torch.randn(400, 3, dtype=torch.float64) * torch.tensor([1, 0.6, 0.3]).double()
    cloud = normalize_clouds(cloud)

    @torch.no_grad()
    def spread(sets: list[Tensor]) -> float:
        means = [model(cloud @ turns.mT).mean(dim=0) for turns in sets]
        return float(torch.stack(means).var(dim=0).sum())

    turned = [designed_rotations(n) @ turn for turn in drawn(32, seed=1)]
    random = [drawn(n, seed) for seed in range(100, 132)]
    assert spread(turned) < 0.8 * spread(random)


def test_angles() -> None:
    assert designed_angles(1).tolist() == [0]
    for n in range(2, 9):
        angles = designed_angles(n)
        for order in range(2, 2 * n, 2):
            assert float(torch.exp(1j * order * angles).mean().abs()) < 1e-12
