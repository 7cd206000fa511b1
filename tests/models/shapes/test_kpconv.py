"""KPConv: the suite of all models of shapes. It is a control, to which all rotations matter."""

from __future__ import annotations

import torch

from csgnn_dgl.models.classifier import Classifier
from csgnn_dgl.models.shapes.kpconv import KPConv, KPConvHypers, _Cloud, _neighbors
from csgnn_dgl.testing import ShapeModelSuite
from csgnn_dgl.testing.samples import random_clouds


class TestKPConv(ShapeModelSuite):
    """How many cells hold points depends on the cloud, which ``torch.export`` cannot trace."""

    model = "kpconv"
    hypers = {"width": 4, "cell": 0.25, "neighbors": 12}  # noqa: RUF012
    symmetry = "none"
    exports = False


def test_size_of_the_papers_network() -> None:
    model = Classifier(KPConv(KPConvHypers()), 40, hidden=(1024,))
    count = sum(parameter.numel() for parameter in model.parameters())
    assert abs(count / 6.1e6 - 1) < 0.03


def test_cells_hold_the_means_of_their_points() -> None:
    clouds = random_clouds(3, 50)
    cloud = _Cloud(clouds.flatten(0, 1), torch.arange(3).repeat_interleave(50), 3)
    coarse = cloud.coarser(0.5)
    cells = [{tuple(cell.tolist()) for cell in torch.floor(points / 0.5)} for points in clouds]
    assert coarse.counts().tolist() == [len(one) for one in cells]
    means = torch.zeros(3, 3, dtype=torch.float64).index_add(0, coarse.owners, coarse.points)
    assert not torch.allclose(means, clouds.sum(dim=1))
    for index, points in enumerate(clouds):
        own = coarse.points[coarse.owners == index]
        place = torch.floor(points / 0.5)
        for mean in own:
            same = (place == torch.floor(mean / 0.5)).all(dim=1)
            torch.testing.assert_close(points[same].mean(dim=0), mean)


def test_neighbours_are_those_within_the_radius() -> None:
    """Clouds of different sizes do not mix, and absent neighbours point beyond the end."""
    points = random_clouds(1, 30)[0]
    owners = torch.tensor([0] * 10 + [1] * 20)
    cloud = _Cloud(points, owners, 2)
    rows = _neighbors(cloud, cloud, 0.6, 30)
    distance = torch.cdist(points, points)
    for index, found in enumerate(rows):
        near = (distance[index] <= 0.6) & (owners == owners[index])
        assert sorted(found[found < 30].tolist()) == near.nonzero().flatten().tolist()
