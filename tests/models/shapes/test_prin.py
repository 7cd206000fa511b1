"""PRIN: the suite of all models of shapes, and the transforms that it rests on."""

from __future__ import annotations

import math

import pytest
import torch

from csgnn_dgl.models.classifier import Classifier
from csgnn_dgl.models.shapes.prin import PRIN, PRINHypers, _GroupConv
from csgnn_dgl.models.shapes.so3_fourier import SO3Fourier, wigner_d, wigner_functions
from csgnn_dgl.testing import ShapeModelSuite
from csgnn_dgl.testing.samples import random_clouds


class TestPRIN(ShapeModelSuite):
    """Its voxels and its interpolation are not equivariant, so all rotations matter a little."""

    model = "prin"
    hypers = {"bandwidth": 3, "widths": [3, 3, 6]}  # noqa: RUF012
    symmetry = "none"


def test_size_of_the_papers_network() -> None:
    model = Classifier(PRIN(PRINHypers()), 40)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert abs(count / 1.7e6 - 1) < 0.03


def test_wigner_matrices_are_a_representation() -> None:
    """d(β) of degree 1 is known, and d(β₁) d(β₂) = d(β₁ + β₂)."""
    beta = torch.tensor([0.4, 0.7, 1.1], dtype=torch.float64)
    d = wigner_d(5, beta)
    torch.testing.assert_close(d[:, 0] @ d[:, 1], d[:, 2])
    one = d[1, 0, 3:6, 3:6]
    c, s = math.cos(0.4), math.sin(0.4) / math.sqrt(2)
    plus, minus = (1 + c) / 2, (1 - c) / 2
    known = torch.tensor([[plus, s, minus], [-s, c, s], [minus, -s, plus]], dtype=torch.float64)
    torch.testing.assert_close(one, known)


def test_transforms_undo_each_other() -> None:
    """Coefficients below the bandwidth come back, and rotations act on the first order alone."""
    b = 4
    fourier = SO3Fourier(b).double()
    torch.manual_seed(0)
    smooth = fourier.from_grid(torch.randn(2, 2 * b, 2 * b, 2 * b, 3, dtype=torch.float64))
    values = fourier.to_grid(smooth)
    torch.testing.assert_close(fourier.from_grid(values), smooth)
    # The series at a point of the grid.
    place = torch.tensor([[math.pi * 3 / b, math.pi * 5 / (4 * b), math.pi * 1 / b]])
    functions = wigner_functions(b, place.double())[0]
    degrees = 2 * torch.arange(b) + 1
    series = torch.einsum("blmnc,lmn,l->bc", smooth, functions, degrees.to(smooth.dtype))
    torch.testing.assert_close(series.real, values[:, 2, 3, 1])


def test_convolutions_commute_with_rotations() -> None:
    b = 4
    fourier, conv = SO3Fourier(b).double(), _GroupConv(b, 2, 3, 0.5).double()
    torch.manual_seed(0)
    smooth = fourier.from_grid(torch.randn(1, 2 * b, 2 * b, 2 * b, 2, dtype=torch.float64))
    turn = wigner_functions(b, torch.tensor([[0.3, 1.1, -2.0]], dtype=torch.float64))[0]

    def turned(coefficients: torch.Tensor) -> torch.Tensor:
        return torch.einsum("lpm,blmnc->blpnc", turn, coefficients)

    torch.testing.assert_close(conv(turned(smooth)), turned(conv(smooth)))


@pytest.mark.parametrize("steps", [1, 3])
def test_rotations_about_the_axis_move_voxels(steps: int) -> None:
    model = PRIN(PRINHypers(bandwidth=4, widths=(2, 2, 3))).double().eval()
    clouds = random_clouds(2, 50)
    angle = math.pi * steps / 4
    c, s = math.cos(angle), math.sin(angle)
    turn = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)
    found = model.voxels(clouds @ turn.T)
    torch.testing.assert_close(found, model.voxels(clouds).roll(steps, dims=2))
    torch.testing.assert_close(model(clouds @ turn.T), model(clouds))
