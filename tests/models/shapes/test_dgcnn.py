"""DGCNN: the suite of all models of shapes. It is a control, to which all rotations matter."""

from __future__ import annotations

import torch
from torch import nn

from csgnn_dgl.models.classifier import Classifier
from csgnn_dgl.models.shapes.dgcnn import DGCNN, DGCNNHypers, _EdgeConv
from csgnn_dgl.models.shapes.parts import gather, nearest
from csgnn_dgl.testing import ShapeModelSuite


class TestDGCNN(ShapeModelSuite):
    model = "dgcnn"
    hypers = {"width_factor": 0.0625, "neighbors": 6}  # noqa: RUF012
    symmetry = "none"
    least_points = 6


def test_size_of_the_papers_network() -> None:
    model = Classifier(DGCNN(DGCNNHypers()), 40)
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_810_088


def test_edges_are_those_of_the_paper() -> None:
    """Two maps of points equal one of the offset and the centre side by side."""
    torch.manual_seed(0)
    conv = _EdgeConv(3, 5).double().eval()
    nn.init.normal_(conv.norm.weight)
    torch.manual_seed(0)
    whole = nn.Linear(6, 5, bias=False).double()
    points = torch.randn(2, 12, 3, dtype=torch.float64)
    indices = nearest(points, points, 4)
    offsets = gather(points, indices) - points[:, :, None]
    edges = torch.cat([offsets, points[:, :, None].expand_as(offsets)], dim=-1)
    normed = conv.norm(whole(edges).flatten(0, 2)).unflatten(0, (2, 12, 4))
    expected = nn.functional.leaky_relu(normed, 0.2).amax(dim=2)
    torch.testing.assert_close(conv(points, indices), expected)
