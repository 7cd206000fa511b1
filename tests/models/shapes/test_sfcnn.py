"""SFCNN: the suite of all models of shapes. Its projection of coordinates sees all rotations."""

from __future__ import annotations

import torch

from csgnn_dgl.grid.icosphere import Icosphere
from csgnn_dgl.models.classifier import Classifier
from csgnn_dgl.models.shapes.sfcnn import SFCNN, SFCNNHypers, _rings
from csgnn_dgl.testing import ShapeModelSuite


class TestSFCNN(ShapeModelSuite):
    model = "sfcnn"
    hypers = {"level": 1, "neighbors": 5, "width_factor": 0.0625}  # noqa: RUF012
    symmetry = "none"
    least_points = 5


def test_size_of_the_papers_network() -> None:
    model = Classifier(SFCNN(SFCNNHypers()), 40, hidden=(1024, 512))
    count = sum(parameter.numel() for parameter in model.parameters())
    assert abs(count / 9.2e6 - 1) < 0.1


def test_rings_are_the_neighbours_on_the_sphere() -> None:
    vertices = torch.as_tensor(Icosphere.get(2).vertices.copy())
    near = (vertices @ vertices.T).fill_diagonal_(-1)
    for vertex, ring in enumerate(_rings(2)):
        degree = 5 if vertex < 12 else 6
        assert set(ring.tolist()) == set(near[vertex].topk(degree).indices.tolist())
