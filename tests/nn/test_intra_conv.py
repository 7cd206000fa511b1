"""IntraConv against DGL's message passing; options, errors, no side effects."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from csgnn_dgl._dgl import dgl
from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.nn import IntraConv
from csgnn_dgl.testing import assert_layer_equivariant, assert_no_mutation

EXACT = {"rtol": 1e-12, "atol": 1e-12}

# Narrow first, wide first, equal: the sum goes before or after the matrix product.
widths = pytest.mark.parametrize(("in_feats", "out_feats"), [(2, 5), (5, 2), (3, 3)])


def make(in_feats: int, out_feats: int, **options: Any) -> IntraConv:
    torch.manual_seed(0)
    layer = IntraConv(in_feats, out_feats, **options).double()
    if layer.bias is not None:
        torch.nn.init.normal_(layer.bias)
    return layer


def features(graph: Any, *shape: int, ntype: str = "vertex") -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(graph.num_nodes(ntype), *shape, dtype=torch.float64, generator=generator)


def by_dgl(layer: IntraConv, graph: Any, feat: Tensor) -> Tensor:
    with graph.local_scope():
        graph.ndata["x"] = feat
        graph.update_all(
            dgl.function.copy_u("x", "m"), dgl.function.sum("m", "y"), etype=layer.etype
        )
        total = graph.ndata["y"] + feat if layer.self_loop else graph.ndata["y"]
    out: Tensor = total @ layer.weight
    return out if layer.bias is None else out + layer.bias


@widths
@pytest.mark.parametrize("self_loop", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_equals_dgl(graph: Any, in_feats: int, out_feats: int, self_loop: bool, bias: bool) -> None:
    layer = make(in_feats, out_feats, self_loop=self_loop, bias=bias)
    assert (layer.bias is not None) == bias
    feat = features(graph, 2, in_feats).requires_grad_()
    out, expected = layer(graph, feat), by_dgl(layer, graph, feat)
    assert out.shape == (graph.num_nodes(), 2, out_feats)
    torch.testing.assert_close(out, expected, **EXACT)
    inputs = [feat, *layer.parameters()]
    upstream = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(2))
    grads = torch.autograd.grad(out, inputs, upstream)
    for grad, other in zip(grads, torch.autograd.grad(expected, inputs, upstream), strict=True):
        torch.testing.assert_close(grad, other, **EXACT)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 1, 3)], ids=str)
def test_any_number_of_dimensions(graph: Any, shape: tuple[int, ...]) -> None:
    layer = make(3, 4)
    feat = features(graph, *shape)
    out = layer(graph, feat)
    assert out.shape == (graph.num_nodes(), *shape[:-1], 4)
    torch.testing.assert_close(out, by_dgl(layer, graph, feat), **EXACT)


@pytest.mark.parametrize("out_feats", [2, 4])
def test_batch_of_nothing(graph: Any, out_feats: int) -> None:
    out = make(3, out_feats)(graph, features(graph, 0, 3))
    assert out.shape == (graph.num_nodes(), 0, out_feats)


def test_self_loop_is_the_identity_term(graph: Any) -> None:
    layer = make(3, 4, bias=False)
    feat = features(graph, 2, 3)
    looped = layer(graph, feat)
    layer.self_loop = False
    plain = layer(graph, feat)
    torch.testing.assert_close(looped - plain, feat @ layer.weight, **EXACT)
    assert not torch.allclose(looped, plain)


def test_samples_of_a_batch_do_not_mix(graph: Any) -> None:
    layer = make(3, 4)
    feat = features(graph, 2, 3)
    for sample in range(2):
        alone = layer(graph, feat[:, [sample]])
        torch.testing.assert_close(layer(graph, feat)[:, [sample]], alone, **EXACT)


def test_batched_graphs_equal_each_alone() -> None:
    first, second = ConcentricGrid(0, 3).graph(), ConcentricGrid(1, 2).graph()
    layer = make(3, 4)
    a, b = features(first, 2, 3), features(second, 2, 3)
    together = layer(dgl.batch([first, second]), torch.cat([a, b]))
    torch.testing.assert_close(together, torch.cat([layer(first, a), layer(second, b)]), **EXACT)


@widths
def test_commutes_with_the_rotations(in_feats: int, out_feats: int) -> None:
    grid = ConcentricGrid(1, 3)
    layer = make(in_feats, out_feats)
    assert_layer_equivariant(layer, features(grid.graph(), 2, in_feats), grid, tolerance=1e-12)


def test_does_not_commute_with_other_permutations() -> None:
    graph = ConcentricGrid(1, 3).graph()
    layer, feat = make(3, 4), features(graph, 2, 3)
    order = torch.randperm(graph.num_nodes(), generator=torch.Generator().manual_seed(6))
    assert not torch.allclose(layer(graph, feat[order]), layer(graph, feat)[order])


@widths
def test_gradcheck(in_feats: int, out_feats: int) -> None:
    graph = dgl.remove_nodes(ConcentricGrid(0, 2).graph(), torch.tensor([3, 4, 5, 10, 19]))
    layer = make(in_feats, out_feats)
    feat = features(graph, 1, in_feats).requires_grad_()

    def function(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        values = {"weight": weight, "bias": bias}
        return torch.func.functional_call(layer, values, (graph, x))

    assert torch.autograd.gradcheck(function, (feat, layer.weight, layer.bias))


def test_nothing_is_left_behind(graph: Any) -> None:
    assert_no_mutation(make(3, 4), graph, features(graph, 2, 3))
    assert_no_mutation(make(4, 3), graph, features(graph, 2, 4))


@pytest.mark.parametrize("out_feats", [2, 4])
def test_strides_do_not_matter(graph: Any, out_feats: int) -> None:
    layer = make(3, out_feats)
    feat = features(graph, 2, 3)
    strided = feat.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    torch.testing.assert_close(layer(graph, strided), layer(graph, feat), **EXACT)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
def test_narrow_types(graph: Any, dtype: torch.dtype, tolerance: float) -> None:
    layer = make(3, 4)
    expected = layer(graph, features(graph, 2, 3)).detach()
    out = layer.to(dtype)(graph, features(graph, 2, 3).to(dtype)).detach()
    assert out.dtype == dtype
    assert float((out - expected).abs().max()) < tolerance * float(expected.abs().max())


def test_anonymous_edges_need_no_name() -> None:
    plain = dgl.graph((torch.tensor([0, 1]), torch.tensor([1, 2])))
    layer = make(2, 2, bias=False, self_loop=False)
    feat = features(plain, 2, ntype="_N")
    expected = torch.stack([torch.zeros(2), feat[0], feat[1]]) @ layer.weight
    torch.testing.assert_close(layer(plain, feat), expected, **EXACT)


def test_edge_type_by_name() -> None:
    graph = ConcentricGrid(1, 3).graph()
    layer = make(3, 4, etype="radial")
    feat = features(graph, 2, 3)
    torch.testing.assert_close(layer(graph, feat), by_dgl(layer, graph, feat), **EXACT)
    assert not torch.allclose(layer(graph, feat), make(3, 4)(graph, feat))


def test_unknown_edge_type() -> None:
    with pytest.raises(ValueError, match=r"no edge type 'face'; it has \['intra', 'radial'\]"):
        make(3, 4, etype="face")(ConcentricGrid(1, 3).graph(), torch.zeros(126, 1, 3))


@pytest.mark.parametrize("out_feats", [2, 4])
def test_wrong_number_of_nodes(out_feats: int) -> None:
    with pytest.raises(
        ValueError, match="features are for 125 nodes, but the relation is from 126"
    ):
        make(3, out_feats)(ConcentricGrid(1, 3).graph(), torch.zeros(125, 1, 3).double())


@widths
def test_wrong_number_of_channels(in_feats: int, out_feats: int) -> None:
    graph = ConcentricGrid(1, 3).graph()
    with pytest.raises(ValueError, match=str(in_feats)):
        make(in_feats, out_feats)(graph, features(graph, 1, in_feats + 1))


def test_self_loops_on_a_bipartite_graph(bipartite: Any) -> None:
    feat = features(bipartite, 3, ntype="a")
    with pytest.raises(ValueError, match="30 sources to 15 destinations"):
        make(3, 4, etype="into")(bipartite, feat)
    assert make(3, 4, self_loop=False, etype="into")(bipartite, feat).shape == (15, 4)


def test_initial_values() -> None:
    torch.manual_seed(0)
    layer = IntraConv(30, 50)
    assert layer.bias is not None
    assert (layer.bias == 0).all()
    bound = (6 / 80) ** 0.5
    assert 0.95 * bound < layer.weight.abs().max().item() <= bound
    before = layer.weight.clone()
    layer.reset_parameters()
    assert not torch.equal(before, layer.weight)


def test_repr_names_the_sizes() -> None:
    assert repr(IntraConv(3, 4, self_loop=False)) == "IntraConv(3, 4, self_loop=False)"
