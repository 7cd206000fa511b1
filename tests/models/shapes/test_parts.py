"""Parts of networks on point clouds: both ways of finding neighbours give the same."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from torch import Tensor

from csgnn_dgl.models.shapes import kpconv, parts
from csgnn_dgl.models.shapes.dgcnn import _EdgeConv
from csgnn_dgl.models.shapes.kpconv import KPConv, KPConvHypers
from csgnn_dgl.models.shapes.pointnet import PointNet, PointNetHypers


def _brute(queries: Tensor, points: Tensor, count: int) -> Tensor:
    gaps = (queries[:, :, None] - points[:, None]).square().sum(dim=-1)
    return gaps.topk(count, dim=2, largest=False).indices


@pytest.mark.parametrize("channels", [1, 3, 16])
@pytest.mark.parametrize("count", [1, 7])
def test_nearest_agrees_with_all_distances(channels: int, count: int) -> None:
    torch.manual_seed(0)
    queries = torch.rand(2, 9, channels, dtype=torch.float64)
    points = torch.rand(2, 30, channels, dtype=torch.float64)
    found = parts.nearest(queries, points, count)
    assert found.dtype == torch.int64
    assert torch.equal(found, _brute(queries, points, count))


def test_tree_and_distances_agree() -> None:
    points = torch.rand(3, 200, 3)
    assert parts.in_a_tree(points, points)
    in_tree = parts.nearest(points[:, :50], points, 20)
    with mock.patch.object(parts, "in_a_tree", return_value=False):
        assert torch.equal(parts.nearest(points[:, :50], points, 20), in_tree)


def test_tree_steps_aside_for_transforms() -> None:
    points = torch.rand(2, 20, 3)
    seen = []

    def search(cloud: Tensor) -> Tensor:
        seen.append(parts.in_a_tree(cloud[None], cloud[None]))
        return parts.nearest(cloud[None], cloud[None], 4)[0]

    found = torch.func.vmap(search)(points)
    assert seen == [False]
    assert torch.equal(found, parts.nearest(points, points, 4))


def test_rows_in_a_tree_stop_at_the_radius() -> None:
    line = torch.arange(5.0)[:, None]
    found = parts.rows_in_a_tree(line[:1], line, 4, radius=2.0)
    assert found.tolist() == [[0, 1, 2, 5]]


@pytest.mark.parametrize("most", [4, 60])
def test_kpconv_is_the_same_without_trees(most: int) -> None:
    torch.manual_seed(0)
    model = KPConv(KPConvHypers(width=8, cell=0.2, neighbors=most)).double().eval()
    points = torch.rand(3, 50, 3, dtype=torch.float64)
    expected = model(points)
    with mock.patch.object(kpconv, "in_a_tree", return_value=False):
        assert torch.allclose(model(points), expected, rtol=0, atol=1e-12)


def test_activation_after_the_maximum_changes_nothing() -> None:
    torch.manual_seed(0)
    conv = _EdgeConv(3, 8).double()
    points = torch.randn(2, 40, 3, dtype=torch.float64)
    indices = parts.nearest(points, points, 5)
    edges = parts.gather(conv.neighbor(points), indices) + conv.centre(points)[:, :, None]
    normed = conv.norm(edges.flatten(0, 2)).unflatten(0, edges.shape[:3])
    expected = torch.nn.functional.leaky_relu(normed, 0.2).amax(dim=2)
    assert torch.allclose(conv(points, indices), expected, rtol=0, atol=1e-12)
    assert PointNet(PointNetHypers(width_factor=0.1)).eval()(points.float()).min() >= 0
