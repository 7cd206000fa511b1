"""Filters with several weights, and gradients along spheres, against DGL's message passing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from csgnn_dgl._dgl import dgl
from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.grid import ConcentricGrid, Icosphere
from csgnn_dgl.nn import IntraConv
from csgnn_dgl.nn.normals import node_normals
from csgnn_dgl.nn.structure import prepare, tangents
from csgnn_dgl.ops import tangential_gradient
from csgnn_dgl.testing import assert_layer_equivariant, assert_no_mutation

EXACT = {"rtol": 1e-11, "atol": 1e-11}

widths = pytest.mark.parametrize(("in_feats", "out_feats"), [(2, 5), (5, 2), (3, 3)])
filters = pytest.mark.parametrize(
    ("order", "gradients"), [(0, True), (1, False), (2, False), (2, True)]
)


def make(in_feats: int, out_feats: int, order: int, gradients: bool = False) -> IntraConv:
    torch.manual_seed(0)
    layer = IntraConv(in_feats, out_feats, filter_order=order, gradients=gradients).double()
    assert layer.bias is not None
    torch.nn.init.normal_(layer.bias)
    return layer


def features(graph: Any, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(graph.num_nodes(), *shape, dtype=torch.float64, generator=generator)


def ring(graph: Any, feat: Tensor) -> Tensor:
    with graph.local_scope():
        graph.ndata["x"] = feat
        graph.update_all(dgl.function.copy_u("x", "m"), dgl.function.sum("m", "y"), etype="intra")
        total: Tensor = graph.ndata["y"]
        return total


def lengths(graph: Any, feat: Tensor) -> Tensor:
    """Lengths of the sums of differences along tangential directions, edge by edge in space."""
    src, dst = graph.edges(etype="intra")
    normals = node_normals(graph.ndata["position"], graph.ndata["vertex"])
    towards = normals[src] - normals[dst]
    towards = towards - (towards * normals[dst]).sum(dim=1, keepdim=True) * normals[dst]
    towards = towards / towards.norm(dim=1, keepdim=True)
    terms = towards[:, :, None, None] * (feat[src] - feat[dst])[:, None]
    slopes = torch.zeros(len(feat), *terms.shape[1:], dtype=feat.dtype)
    return slopes.index_add(0, dst, terms).norm(dim=1)


def written_out(layer: IntraConv, graph: Any, feat: Tensor) -> Tensor:
    once = ring(graph, feat)
    if layer.filter_order == 0:
        out = (feat + once) @ layer.weight
    else:
        out = feat @ layer.weight[0] + once @ layer.weight[1]
    if layer.filter_order == 2:
        out = out + ring(graph, once) @ layer.weight[2] / 6
    if layer.gradients:
        out = out + lengths(graph, feat @ layer.gradient_mix) @ layer.gradient_weight
    assert layer.bias is not None
    return out + layer.bias


@widths
@filters
def test_written_out(
    graph: Any, in_feats: int, out_feats: int, order: int, gradients: bool
) -> None:
    layer = make(in_feats, out_feats, order, gradients)
    # Vertices without neighbours have a gradient of length zero, which has no slope.
    feat = features(graph, 2, in_feats).requires_grad_()
    out, expected = layer(graph, feat), written_out(layer, graph, feat)
    torch.testing.assert_close(out, expected, **EXACT)
    inputs = [feat, *layer.parameters()]
    upstream = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(2))
    grads = torch.autograd.grad(out, inputs, upstream)
    for grad, other in zip(grads, torch.autograd.grad(expected, inputs, upstream), strict=True):
        torch.testing.assert_close(grad, other, **EXACT)


@widths
@filters
@pytest.mark.parametrize("levels", [(2, 2), (1, 0, 2)], ids=str)
def test_commutes_with_the_rotations(
    in_feats: int, out_feats: int, order: int, gradients: bool, levels: tuple[int, ...]
) -> None:
    grid = ConcentricGrid(levels=levels)
    feat = features(grid.graph(), 2, in_feats)
    layer = make(in_feats, out_feats, order, gradients)
    assert_layer_equivariant(layer, feat, grid, tolerance=1e-10)
    # Control: with positions of single precision alone it would be exact to seven digits only.
    if gradients:
        del grid.graph().ndata["vertex"]
        with pytest.raises(AssertionError, match="rotations"):
            assert_layer_equivariant(layer, feat, grid, tolerance=1e-10)
        assert_layer_equivariant(layer, feat, grid, tolerance=1e-5)


@filters
@pytest.mark.parametrize("levels", [(1, 1, 1), (1, 0, 1)], ids=str)
def test_prepared_graphs_give_the_same(
    order: int, gradients: bool, levels: tuple[int, ...]
) -> None:
    graph = ConcentricGrid(levels=levels).graph()
    layer, feat = make(3, 4, order, gradients), features(graph, 2, 3)
    prepared = prepare(graph, radial="radial", self_loops=order == 0, gradients=gradients)
    torch.testing.assert_close(layer(prepared, feat), layer(graph, feat), rtol=0, atol=0)
    # What was not prepared is looked up in the graph.
    plain = prepare(graph, radial="radial")
    torch.testing.assert_close(layer(plain, feat), layer(graph, feat), rtol=0, atol=0)


@widths
@filters
def test_gradcheck(in_feats: int, out_feats: int, order: int, gradients: bool) -> None:
    graph = ConcentricGrid(0, 2).graph()
    layer = make(in_feats, out_feats, order, gradients)
    names, values = zip(*layer.named_parameters(), strict=True)

    def function(x: Tensor, *parameters: Tensor) -> Tensor:
        named = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(layer, named, (graph, x))

    feat = features(graph, 1, in_feats).requires_grad_()
    assert torch.autograd.gradcheck(function, (feat, *values))
    if in_feats == out_feats:
        assert torch.autograd.gradgradcheck(function, (feat, *values))


@filters
@torch.no_grad()
def test_shapes_types_and_side_effects(order: int, gradients: bool) -> None:
    graph = ConcentricGrid(1, 3).graph()
    layer = make(3, 4, order, gradients)
    assert layer(graph, features(graph, 3)).shape == (126, 4)
    assert layer(graph, features(graph, 0, 3)).shape == (126, 0, 4)
    assert layer(graph, features(graph, 2, 5, 3)).shape == (126, 2, 5, 4)
    assert_no_mutation(layer, graph, features(graph, 2, 3))
    expected = layer(graph, features(graph, 2, 3))
    for dtype, limit in ((torch.float32, 1e-5), (torch.bfloat16, 0.04)):
        out = layer.to(dtype)(graph, features(graph, 2, 3).to(dtype))
        assert out.dtype == dtype
        assert float((out - expected).abs().max()) < limit * float(expected.abs().max())


@filters
def test_autocast(order: int, gradients: bool) -> None:
    graph = ConcentricGrid(1, 3).graph()
    layer, feat = make(3, 4, order, gradients).float(), features(graph, 2, 3).float()
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(graph, feat)
    assert out.dtype == torch.bfloat16
    assert float((out - layer(graph, feat)).detach().abs().max()) < 0.2
    out.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("gradients", [True, False])
def test_blocks_of_dgl(gradients: bool) -> None:
    graph = ConcentricGrid(1, 3).graph()
    chosen = torch.tensor([3, 50, 51])
    sampled = dgl.in_subgraph(graph, {"vertex": chosen})
    block = dgl.to_block(sampled, {"vertex": chosen})
    layer, feat = make(3, 4, 1, gradients), features(graph, 2, 3)
    sources = feat[block.srcnodes["vertex"].data[dgl.NID]]
    torch.testing.assert_close(layer(block, sources), layer(graph, feat)[chosen], **EXACT)
    with pytest.raises(DataError, match="use two layers of order 1"):
        make(3, 4, 2)(block, sources)


def test_flat_features_have_no_gradient_and_a_finite_slope() -> None:
    graph = ConcentricGrid(1, 2).graph()
    feat = torch.full((84, 1, 3), 2.0, requires_grad=True)
    layer = make(3, 3, 0, True).float()
    slopes = tangential_gradient(tangents(graph, "intra"), feat.detach())
    assert float(slopes.abs().max()) < 1e-5
    layer(graph, feat).sum().backward()
    assert feat.grad is not None
    assert bool(feat.grad.isfinite().all())
    zero = torch.zeros(84, 1, 3, requires_grad=True)
    layer(graph, zero).sum().backward()
    assert zero.grad is not None
    assert bool(zero.grad.isfinite().all())


def test_gradient_of_a_linear_function() -> None:
    graph = ConcentricGrid(4, 1).graph()
    normals = node_normals(graph.ndata["position"], graph.ndata["vertex"])
    slopes = tangential_gradient(tangents(graph, "intra"), normals[:, 2])
    # Three times the rise per edge: most at the equator, none at the poles.
    src, dst = graph.edges(etype="intra")
    edge = (normals[src] - normals[dst]).norm(dim=1).mean()
    expected = 3 * edge * (1 - normals[:, 2].square()).clamp(min=0).sqrt()
    # Rings are not quite regular.
    error = (slopes.norm(dim=0) - expected).abs() / (3 * edge)
    assert float(error.max()) < 0.4
    assert float(error.mean()) < 0.2
    # Components depend on the frame, lengths do not: see the rotations above.
    assert slopes.shape == (2, 2562)


def test_changed_positions_are_noticed() -> None:
    graph = ConcentricGrid(1, 2).graph()
    layer, feat = make(3, 3, 1, True), features(graph, 1, 3)
    before = layer(graph, feat)
    graph.ndata["position"].mul_(2)  # the same directions
    torch.testing.assert_close(layer(graph, feat), before, **EXACT)
    graph.ndata["position"][:, 2] *= 0.5
    assert not torch.allclose(layer(graph, feat), before)


def test_normals_are_those_of_the_vertices() -> None:
    grid = ConcentricGrid(2, 3)
    data = grid.graph().ndata
    exact = torch.from_numpy(Icosphere.get(2).vertices.copy())[data["vertex"]]
    assert torch.equal(node_normals(data["position"], data["vertex"]), exact)
    single = node_normals(data["position"])
    assert 0 < float((single - exact).abs().max()) < 1e-6
    # Numbers that mean something else do not matter.
    other = node_normals(data["position"], data["vertex"].flip(0))
    assert torch.equal(other, single)
    assert torch.equal(node_normals(data["position"], data["vertex"] + 10**9), single)


@pytest.mark.parametrize(
    ("position", "message"),
    [
        (None, "which the graph does not have"),
        (torch.zeros(42, 3), "node 0 are .* no direction"),
        (torch.full((42, 3), torch.nan), "no direction"),
        (torch.ones(42, 2), "shape .42, 2."),
        (torch.ones(42, 3, dtype=torch.int64), "floating-point"),
    ],
    ids=str,
)
def test_bad_positions(position: Tensor | None, message: str) -> None:
    graph = ConcentricGrid(1, 1).graph()
    del graph.ndata["position"]
    if position is not None:
        graph.ndata["position"] = position
    with pytest.raises(DataError, match=message):
        make(3, 4, 1, True)(graph, torch.zeros(42, 1, 3).double())


def test_two_node_types(bipartite: Any) -> None:
    feat = torch.randn(30, 3, dtype=torch.float64), torch.randn(15, 3, dtype=torch.float64)
    layer = IntraConv(3, 4, etype="into", filter_order=1).double()
    out = layer(bipartite, feat)
    alone = IntraConv(3, 4, etype="into", self_loop=False).double()
    with torch.no_grad():
        alone.weight.copy_(layer.weight[1])
    torch.testing.assert_close(out, alone(bipartite, feat) + feat[1] @ layer.weight[0], **EXACT)
    with pytest.raises(DataError, match="leads to nodes of another type"):
        layer(bipartite, feat[0])
    with pytest.raises(DataError, match="have 2 channels, but the layer is for 3"):
        layer(bipartite, (feat[0], feat[1][:, :2]))
    with pytest.raises(DataError, match="30 sources and 15 destinations"):
        IntraConv(3, 4, etype="into", filter_order=2).double()(bipartite, feat)
    with pytest.raises(DataError, match="joins two node types"):
        IntraConv(3, 4, etype="into", filter_order=1, gradients=True).double()(bipartite, feat)


@pytest.mark.parametrize("order", [3, -1, True])
def test_unknown_orders(order: Any) -> None:
    with pytest.raises(ConfigError, match=r"filter_order is .*must be one of"):
        IntraConv(3, 4, filter_order=order)


def test_a_self_loop_has_a_weight_of_its_own() -> None:
    with pytest.raises(ConfigError, match="self_loop is off"):
        IntraConv(3, 4, self_loop=False, filter_order=1)


def test_parameters_and_initial_values() -> None:
    shapes = {
        name: tuple(p.shape)
        for name, p in IntraConv(30, 50, filter_order=2, gradients=True).named_parameters()
    }
    assert shapes == {
        "weight": (3, 30, 50),
        "bias": (50,),
        "gradient_mix": (30, 30),
        "gradient_weight": (30, 50),
    }
    bound = (6 / 80) ** 0.5
    for weight in IntraConv(30, 50, filter_order=2).weight:
        assert 0.95 * bound < weight.abs().max().item() <= bound
    text = repr(IntraConv(3, 4, filter_order=1, gradients=True))
    assert text == "IntraConv(3, 4, self_loop=True, filter_order=1, gradients=True)"
