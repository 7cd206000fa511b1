"""RIConv: the suite of all models of shapes. No rotation matters to it."""

from __future__ import annotations

import torch

from csgnn_dgl.models.classifier import Classifier
from csgnn_dgl.models.shapes.riconv import RIConv, RIConvHypers
from csgnn_dgl.testing import ShapeModelSuite
from csgnn_dgl.testing.samples import random_clouds

SMALL = {"neighbors": [8, 4], "bins": [2, 1], "sampled": [16, 6], "widths": [8, 12]}


class TestRIConv(ShapeModelSuite):
    model = "riconv"
    hypers = SMALL
    symmetry = "so3"
    least_points = 16


def test_size_of_the_papers_network() -> None:
    model = Classifier(RIConv(RIConvHypers()), 40)
    assert sum(parameter.numel() for parameter in model.parameters()) == 710_792


def test_nearest_neighbours_may_be_left_out() -> None:
    clouds = random_clouds(2, 40)
    torch.manual_seed(0)
    every = RIConv(RIConvHypers(**SMALL)).double().eval()
    torch.manual_seed(0)
    some = RIConv(RIConvHypers(**SMALL, skip=5)).double().eval()
    found = some(clouds)
    assert found.isfinite().all()
    assert not torch.allclose(found, every(clouds))
