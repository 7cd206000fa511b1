"""The checks that we ship: each passes on what it should, and fails on its negative control."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.mapping import PointMapping, normalize_clouds
from csgnn_dgl.models import Classifier, ShapeCSGNN, ShapeCSGNNHypers
from csgnn_dgl.nn import IntraConv, RadialConv, VertexPool
from csgnn_dgl.testing import (
    assert_layer_equivariant,
    assert_no_mutation,
    assert_permutation_invariant,
    assert_rotation_equivariant,
    assert_rotation_invariant,
    equivariance_curve,
)

GRID = ConcentricGrid(2, 3)


@pytest.fixture(scope="module")
def clouds() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return normalize_clouds(torch.randn(2, 60, 3, generator=generator, dtype=torch.float64))


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.manual_seed(0)
    hypers = ShapeCSGNNHypers(level=2, n_spheres=3, channels=2, base_width=4)
    model = Classifier(ShapeCSGNN(hypers), 5, hidden=(8,)).double()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    return model.eval()


def encode(classifier: Classifier) -> Any:
    assert isinstance(classifier.model, ShapeCSGNN)
    return classifier.model.encode


def test_classifier_passes_all(classifier: Classifier, clouds: Tensor) -> None:
    assert_rotation_invariant(classifier, clouds)
    assert_permutation_invariant(classifier, clouds)
    assert_no_mutation(classifier, clouds)
    assert_rotation_equivariant(lambda p: encode(classifier)(p, "finest"), clouds, GRID)
    assert_rotation_equivariant(lambda p: encode(classifier)(p, "coarsest"), clouds, GRID, level=0)
    assert_rotation_equivariant(PointMapping(2, 3, 2), clouds, GRID)


@pytest.mark.parametrize(
    "function",
    [
        lambda p: p.sum(dim=1),
        lambda p: p.norm(dim=-1) * float("nan"),
        lambda p: (p**4).sum(dim=(1, 2)),
    ],
)
def test_invariance_can_fail(function: Callable[[Tensor], Tensor], clouds: Tensor) -> None:
    with pytest.raises(AssertionError, match="the output changes under"):
        assert_rotation_invariant(function, clouds)


def test_equivariance_can_fail(classifier: Classifier, clouds: Tensor) -> None:
    # Features that stay where they are instead of going with the sites.
    fixed = torch.rand(GRID.num_nodes(2), 1, 1, dtype=torch.float64)
    with pytest.raises(AssertionError, match="do not permute as the sites do under 59 of 60"):
        assert_rotation_equivariant(lambda p: fixed, clouds, GRID)
    # A mapping whose sites are mixed up.
    order = torch.randperm(GRID.num_nodes(2), generator=torch.Generator().manual_seed(0))
    mapping = PointMapping(2, 3, 2)
    with pytest.raises(AssertionError, match="do not permute"):
        assert_rotation_equivariant(lambda p: mapping(p)[order], clouds, GRID)
    # A grid of as many sites, in another order of vertices and spheres.
    with pytest.raises(AssertionError, match="do not permute"):
        assert_rotation_equivariant(
            lambda p: mapping(p).view(162, 3, 2, 2).transpose(0, 1).reshape(486, 2, 2), clouds, GRID
        )


@pytest.mark.parametrize(
    ("layer", "pools"),
    [
        (IntraConv(2, 3), False),
        (RadialConv(2, 3), False),
        (VertexPool("max"), True),
        (VertexPool("mean"), True),
    ],
)
def test_layers_commute(layer: Any, pools: bool) -> None:
    feat = torch.rand(GRID.num_nodes(2), 2, 2, dtype=torch.float64)
    assert_layer_equivariant(layer.double(), feat, GRID, pools=pools)


def test_layer_equivariance_can_fail() -> None:
    feat = torch.rand(GRID.num_nodes(2), 1, 2, dtype=torch.float64)
    weight = torch.rand(GRID.num_nodes(2), 1, 1, dtype=torch.float64)
    with pytest.raises(AssertionError, match="does not commute with the grid"):
        assert_layer_equivariant(lambda graph, x: x * weight, feat, GRID)


def test_order_invariance_can_fail(clouds: Tensor) -> None:
    with pytest.raises(AssertionError, match="depends on the order"):
        assert_permutation_invariant(lambda p: p[:, 0], clouds)
    with pytest.raises(AssertionError, match="depends on the order"):
        assert_permutation_invariant(lambda p: p.mean(dim=1) * float("nan"), clouds)


def test_changing_shapes_and_empty_outputs_are_noticed(clouds: Tensor) -> None:
    sizes = iter(range(1, 100))
    with pytest.raises(AssertionError, match="shape changes"):
        assert_rotation_invariant(lambda p: torch.zeros(next(sizes)), clouds)
    with pytest.raises(AssertionError, match="nothing was checked"):
        assert_rotation_invariant(lambda p: p[:0], clouds)


def leaves_features(graph: Any, feat: Tensor) -> Tensor:
    graph.ndata["h"] = feat
    return feat


def changes_features(graph: Any, feat: Tensor) -> Tensor:
    return feat.mul_(2)


def changes_positions(graph: Any, feat: Tensor) -> Tensor:
    graph.ndata["position"] = graph.ndata["position"] + 1
    return feat


def removes_offsets(graph: Any, feat: Tensor) -> Tensor:
    graph.edges["radial"].data.pop("offset")
    return feat


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (leaves_features, "argument 0: node vertex.h was left behind"),
        (changes_features, "argument 1: values changed"),
        (changes_positions, "argument 0: node vertex.position changed"),
        (removes_offsets, "was removed"),
    ],
)
def test_mutation_is_noticed(function: Callable[..., Tensor], message: str) -> None:
    # A copy: the grid's own graphs are shared by everybody.
    graph = GRID.graph(0).clone()
    with pytest.raises(AssertionError, match=message):
        assert_no_mutation(function, graph, torch.rand(graph.num_nodes(), 1, 2))


def test_layers_leave_graphs_alone() -> None:
    feat = torch.rand(GRID.num_nodes(1), 1, 2)
    for layer in (IntraConv(2, 2), RadialConv(2, 2)):
        assert_no_mutation(layer, GRID.graph(1), feat)
    assert_no_mutation(VertexPool("max"), GRID.coarsening(1), feat)


def test_curve_of_an_invariant_and_of_another(clouds: Tensor) -> None:
    exact = equivariance_curve(lambda p: p.norm(dim=-1), clouds)
    assert exact["largest"].max() < 1e-13
    other = equivariance_curve(lambda p: p.mean(dim=1), clouds, angles=(0, 1, 90, 180))
    assert other["mean"].iloc[0] == 0
    assert other["mean"].is_monotonic_increasing
    assert other["largest"].iloc[-1] > 1


def test_curve_of_the_classifier(classifier: Classifier, clouds: Tensor) -> None:
    curve = equivariance_curve(classifier, clouds, angles=(0, 5, 40))
    assert curve["mean"].iloc[0] == 0
    assert 1e-6 < curve["mean"].iloc[-1] < 1, "between exact and unrelated"
    assert curve["angle"].tolist() == [0, 5, 40]


def test_curve_needs_angles(clouds: Tensor) -> None:
    with pytest.raises(ConfigError):
        equivariance_curve(lambda p: p, clouds, angles=())
