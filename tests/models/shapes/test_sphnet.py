"""SPHNet: the suite of all models of shapes, and the exact invariance of its layers."""

from __future__ import annotations

import pytest
import torch

from csgnn_dgl.mapping import random_rotations
from csgnn_dgl.models.classifier import Classifier
from csgnn_dgl.models.shapes.parts import gather
from csgnn_dgl.models.shapes.sphnet import SPHNet, SPHNetHypers, kd_order, spherical_harmonics
from csgnn_dgl.testing import ShapeModelSuite
from csgnn_dgl.testing.samples import random_clouds


class TestSPHNet(ShapeModelSuite):
    """Layers are invariant, but the axes of the kd-tree are not."""

    model = "sphnet"
    hypers = {"widths": [6, 8], "patch": 12, "radius": 0.5}  # noqa: RUF012
    symmetry = "none"
    least_points = 4


def test_size_of_the_papers_network() -> None:
    model = Classifier(SPHNet(SPHNetHypers()), 40)
    assert sum(parameter.numel() for parameter in model.parameters()) == 2_900_712


def test_layers_are_rotation_invariant() -> None:
    """With one layer there is no pooling, and so no tree."""
    model = SPHNet(SPHNetHypers(widths=[16], patch=12, radius=0.5)).double().eval()
    clouds = random_clouds(4, 64)
    generator = torch.Generator().manual_seed(1)
    turns = random_rotations(4, "so3", "z", generator, torch.float64, clouds.device)
    torch.testing.assert_close(model(clouds @ turns.mT), model(clouds), rtol=1e-9, atol=1e-9)


def test_harmonics_are_orthonormal() -> None:
    generator = torch.Generator().manual_seed(0)
    # Gauss-Legendre in cos θ, equal steps in φ: exact for products of degree 6.
    nodes = torch.tensor([-0.9602898564975363, -0.7966664774136267, -0.525532409916329,
                          -0.1834346424956498], dtype=torch.float64)  # fmt: skip
    weights = torch.tensor([0.1012285362903763, 0.2223810344533745, 0.3137066458778873,
                            0.3626837833783620], dtype=torch.float64)  # fmt: skip
    nodes, weights = torch.cat([nodes, -nodes.flip(0)]), torch.cat([weights, weights.flip(0)])
    phi = 2 * torch.pi * torch.arange(16, dtype=torch.float64) / 16
    z, p = nodes[:, None].expand(-1, 16), phi.expand(8, -1)
    r = (1 - z * z).sqrt()
    values = spherical_harmonics(torch.stack([r * p.cos(), r * p.sin(), z], dim=-1))
    weighted = values * (weights * 2 * torch.pi / 16)[:, None, None]
    gram = torch.einsum("abi,abj->ij", values, weighted)
    torch.testing.assert_close(gram, torch.eye(16, dtype=torch.float64))
    # Rotations mix only harmonics of one degree: its power stays.
    vectors = torch.nn.functional.normalize(torch.randn(5, 3, generator=generator).double(), dim=1)
    turn = random_rotations(1, "so3", "z", generator, torch.float64, vectors.device)[0]
    for matrix in (values, weighted):
        assert matrix.shape[-1] == 16
    before = spherical_harmonics(vectors).sum(dim=0).split((1, 3, 5, 7))
    after = spherical_harmonics(vectors @ turn.mT).sum(dim=0).split((1, 3, 5, 7))
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one.square().sum(), other.square().sum())


@pytest.mark.parametrize("number", [1, 2, 8, 64])
def test_parts_of_the_tree_are_halves(number: int) -> None:
    points = random_clouds(2, max(number, 2))[:, :number]
    order = kd_order(points)
    assert torch.equal(order.sort(dim=1).values, torch.arange(number).expand(2, -1))
    if number > 1:
        halves = gather(points, order).unflatten(1, (2, -1))
        low, high = points.aminmax(dim=1)
        axis = (high - low).argmax(dim=1)
        for cloud in range(2):
            first, second = halves[cloud, :, :, axis[cloud]]
            assert first.max() <= second.min()


def test_any_number_of_points() -> None:
    """Points that are counted twice hardly matter."""
    model = SPHNet(SPHNetHypers(widths=[8, 8], patch=12, radius=0.5)).double().eval()
    clouds = random_clouds(3, 64)
    whole, cut = model(clouds), model(clouds[:, :63])
    assert (whole - cut).norm() < 0.5 * whole.norm()
