"""Graphs as DGL's transforms leave them: each layer is right on them, or says why it cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from csgnn_dgl._dgl import dgl
from csgnn_dgl.errors import DataError
from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.nn import IntraBlock, IntraConv, RadialBlock, RadialConv, VertexPool

EXACT = {"rtol": 1e-12, "atol": 1e-12}
Layer = Callable[..., Tensor]


def grid() -> Any:
    return ConcentricGrid(1, 3).graph()


def features(graph: Any, ntype: str = "vertex") -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(graph.num_nodes(ntype), 2, 3, dtype=torch.float64, generator=generator)


def make(kind: type[nn.Module], *sizes: int, **options: Any) -> Any:
    torch.manual_seed(0)
    return kind(*(sizes or (3, 4)), **options).double().eval()


def layers(relation: str) -> dict[str, Any]:
    """All layers that can work over one relation of a grid."""
    found = {
        "IntraConv": make(IntraConv, etype=relation),
        "pool": VertexPool("mean", etype=relation),
    }
    if relation == "radial":
        return found | {"RadialConv": make(RadialConv), "RadialBlock": make(RadialBlock)}
    return found | {"IntraBlock": make(IntraBlock)}


every = pytest.mark.parametrize(
    ("relation", "layer"),
    [(r, name) for r in ("intra", "radial") for name in layers(r)],
)


def without_loops(graph: Any, relation: str) -> Any:
    return dgl.remove_self_loop(graph, etype=relation)


@every
def test_self_loops(relation: str, layer: str) -> None:
    graph = dgl.add_self_loop(grid(), etype=relation)
    made = layers(relation)[layer]
    if layer == "pool":  # the mean over all edges that there are, as DGL's
        alone = make(IntraConv, 3, 3, etype=relation, self_loop=True, bias=False)
        nn.init.eye_(alone.weight)
        expected = alone(grid(), features(graph)) / graph.in_degrees(etype=relation)[:, None, None]
        torch.testing.assert_close(made(graph, features(graph)), expected, **EXACT)
        return
    with pytest.raises(DataError, match=r"node 0 to itself.*dgl\.remove_self_loop"):
        made(graph, features(graph))
    mended = without_loops(graph, relation)
    torch.testing.assert_close(
        made(mended, features(graph)), made(grid(), features(graph)), **EXACT
    )


def test_self_loops_of_the_graph_in_place_of_the_layers_own() -> None:
    graph, feat = dgl.add_self_loop(grid(), etype="intra"), features(grid())
    torch.testing.assert_close(
        make(IntraConv, self_loop=False)(graph, feat), make(IntraConv)(grid(), feat), **EXACT
    )


@every
@pytest.mark.parametrize("copy_edata", [True, False])
def test_reverse_edges(relation: str, layer: str, copy_edata: bool) -> None:
    """The relations go both ways already: every edge stands there twice now."""
    graph = dgl.add_reverse_edges(grid(), copy_edata=copy_edata)
    with pytest.raises(DataError, match=r"more than once|twice|offset"):
        layers(relation)[layer](graph, features(graph))


@every
def test_merged_graphs(relation: str, layer: str) -> None:
    graph = dgl.merge([grid(), grid()])
    with pytest.raises(DataError, match=r"more than once|twice"):
        layers(relation)[layer](graph, features(graph))


@every
def test_to_simple(relation: str, layer: str) -> None:
    graph = dgl.to_simple(dgl.add_reverse_edges(grid()))
    made, feat = layers(relation)[layer], features(graph)
    torch.testing.assert_close(made(graph, feat), made(grid(), feat), **EXACT)


@every
@pytest.mark.parametrize("copy_ndata", [True, False])
def test_to_bidirected(relation: str, layer: str, copy_ndata: bool) -> None:
    graph = dgl.to_bidirected(grid(), copy_ndata=copy_ndata)
    made, feat = layers(relation)[layer], features(graph)
    if layer.startswith("Radial") and not copy_ndata:
        with pytest.raises(DataError, match="no data 'offset'"):
            made(graph, feat)
        return
    torch.testing.assert_close(made(graph, feat), made(grid(), feat), **EXACT)


def test_reversed_edges_with_their_old_offsets() -> None:
    graph = dgl.reverse(grid(), copy_edata=True)
    with pytest.raises(DataError, match=r"edge 0 \(0 → 1\) has offset 1, but .* say -1"):
        make(RadialConv)(graph, features(graph))
    del graph.edges["radial"].data["offset"]
    feat = features(graph)
    torch.testing.assert_close(make(RadialConv)(graph, feat), make(RadialConv)(grid(), feat))


@pytest.mark.parametrize("what", ["offset", "sphere"])
def test_data_changed_in_place_after_the_first_call(what: str) -> None:
    graph, layer = grid(), make(RadialConv)
    layer(graph, features(graph))
    data = graph.edges["radial"].data if what == "offset" else graph.ndata
    data[what].neg_()
    with pytest.raises(DataError, match="but the nodes' data 'sphere' say"):
        layer(graph, features(graph))


def test_intra_edges_across_spheres() -> None:
    graph = grid()
    graph.add_edges([0], [1], etype="intra")
    with pytest.raises(DataError, match="node 0 on sphere 0 to node 1 on sphere 1"):
        make(IntraConv)(graph, features(graph))


def test_self_loops_without_any_data() -> None:
    ends = torch.tensor([0, 1, 1]), torch.tensor([1, 0, 1])
    graph = dgl.heterograph({("vertex", "radial", "vertex"): ends})
    graph.edges["radial"].data["offset"] = torch.tensor([-1, 1, 1])
    with pytest.raises(DataError, match="radial edge 2 joins node 1 to itself"):
        make(RadialConv)(graph, features(graph))


def test_doubled_pooling_edges() -> None:
    graph = ConcentricGrid(1, 3).coarsening(1)
    feat = features(graph, "fine")
    expected = VertexPool("mean")(graph, feat)
    graph.add_edges(*graph.edges())
    for mode in ("max", "mean", "sum"):
        with pytest.raises(DataError, match="joins node 0 to node 0 more than once"):
            VertexPool(mode)(graph, feat)
    torch.testing.assert_close(VertexPool("mean")(dgl.to_simple(graph), feat), expected)


def test_on_nodes_without_spheres_parallel_edges_count_each() -> None:
    # As in DGL: in a crystal they are periodic images.
    graph = dgl.graph((torch.tensor([0, 0, 1]), torch.tensor([1, 1, 1])))
    layer = make(IntraConv, bias=False)
    feat = features(graph, "_N")
    expected = torch.stack([feat[0], 2 * feat[0] + 2 * feat[1]]) @ layer.weight
    torch.testing.assert_close(layer(graph, feat), expected, **EXACT)


def test_removed_edges() -> None:
    graph = dgl.remove_edges(grid(), torch.arange(7), etype="intra")
    graph = dgl.remove_edges(graph, torch.arange(7), etype="radial")
    feat = features(graph)
    with graph.local_scope():
        graph.ndata["x"] = feat
        graph.update_all(dgl.function.copy_u("x", "m"), dgl.function.sum("m", "y"), etype="intra")
        total = graph.ndata["y"] + feat
    layer = make(IntraConv)
    torch.testing.assert_close(layer(graph, feat), total @ layer.weight + layer.bias, **EXACT)
    radial = make(RadialConv)
    found, whole = radial(graph, feat), radial(grid(), feat)
    changed = (found - whole).abs().amax(dim=(1, 2)) > 1e-9
    src, dst = grid().edges(etype="radial", order="eid")
    assert set(torch.nonzero(changed).flatten().tolist()) == set(dst[:7].tolist())
    tap = radial.weight[:, :, 2]
    torch.testing.assert_close(found[dst[0]] + feat[src[0]] @ tap.t(), whole[dst[0]], **EXACT)


# One relation only ------------------------------------------------------------------------------


@pytest.mark.parametrize("slicing", ["subgraph", "slice"])
def test_a_graph_of_another_relation(slicing: str) -> None:
    graph = grid()
    alone = {
        name: graph.edge_type_subgraph([name]) if slicing == "subgraph" else graph[name]
        for name in ("intra", "radial")
    }
    feat = features(graph)
    for layer, own, other in (
        (make(IntraConv), "intra", "radial"),
        (make(RadialConv), "radial", "intra"),
        (make(IntraBlock), "intra", "radial"),
        (make(RadialBlock), "radial", "intra"),
    ):
        torch.testing.assert_close(layer(alone[own], feat), layer(graph, feat), **EXACT)
        with pytest.raises(DataError, match=rf"no edge type '{own}'; it has \['{other}'\]"):
            layer(alone[other], feat)
    for name in alone:
        with pytest.raises(DataError, match="no edge type 'pool'"):
            VertexPool()(alone[name], feat)


def test_homogeneous_graphs_that_mix_relations() -> None:
    graph = dgl.to_homogeneous(grid())
    for layer in (make(IntraConv), make(RadialConv), VertexPool()):
        with pytest.raises(DataError, match=r"dgl\.to_homogeneous|no data 'offset'"):
            layer(graph, features(graph, "_N"))
    alone = dgl.to_homogeneous(grid().edge_type_subgraph(["intra"]))
    feat = features(grid())
    torch.testing.assert_close(make(IntraConv)(alone, feat), make(IntraConv)(grid(), feat), **EXACT)


@pytest.mark.parametrize("kind", [IntraConv, RadialConv])
def test_canonical_edge_types(kind: type[nn.Module]) -> None:
    graph, feat = grid(), features(grid())
    name = "intra" if kind is IntraConv else "radial"
    layer = make(kind, etype=("vertex", name, "vertex"))
    torch.testing.assert_close(layer(graph, feat), make(kind)(graph, feat), **EXACT)
    with pytest.raises(DataError, match="no edge type"):
        make(kind, etype=("fine", name, "vertex"))(graph, feat)


def test_canonical_type_of_a_pool() -> None:
    graph = ConcentricGrid(1, 3).coarsening(1)
    feat = features(graph, "fine")
    pool = VertexPool("max", etype=("fine", "pool", "coarse"))
    assert torch.equal(pool(graph, feat), VertexPool("max")(graph, feat))


def test_one_name_for_several_relations() -> None:
    ends = torch.tensor([0, 1]), torch.tensor([1, 0])
    graph = dgl.heterograph({("a", "intra", "a"): ends, ("b", "intra", "b"): ends})
    feat = features(graph, "a")
    with pytest.raises(DataError, match="several edge types 'intra'"):
        make(IntraConv)(graph, feat)
    assert make(IntraConv, etype=("b", "intra", "b"))(graph, feat).shape == (2, 2, 4)


# Parts of graphs --------------------------------------------------------------------------------


def block_of(nodes: Tensor) -> Any:
    return dgl.to_block(dgl.in_subgraph(grid(), {"vertex": nodes}), {"vertex": nodes})


@pytest.mark.parametrize(
    "layer",
    [
        make(IntraConv),
        make(IntraConv, 3, 2),
        make(IntraConv, self_loop=False),
        make(RadialConv),
        make(RadialConv, kernel_size=1),
        make(IntraBlock),
        make(IntraBlock, 3, 3),
        make(IntraBlock, 3, 3, self_loop=False),
        make(RadialBlock),
        VertexPool("mean", etype="intra"),
    ],
    ids=lambda layer: type(layer).__name__,
)
@pytest.mark.parametrize("pair", [True, False])
def test_blocks_equal_the_whole_graph(layer: Any, pair: bool) -> None:
    nodes = torch.tensor([40, 3, 4, 5, 77])
    block, feat = block_of(nodes), features(grid())
    inputs = feat[block.srcdata[dgl.NID]]
    assert len(inputs) > len(nodes)
    given: Any = (inputs, feat[nodes]) if pair else inputs
    torch.testing.assert_close(layer(block, given), layer(grid(), feat)[nodes], **EXACT)


def test_blocks_with_wide_kernels() -> None:
    block = block_of(torch.tensor([3, 4]))
    with pytest.raises(DataError, match="holds one step along the chain, but a kernel of size 5"):
        make(RadialConv, kernel_size=5)(block, features(block, "SRC/vertex"))


def test_blocks_that_number_destinations_otherwise() -> None:
    nodes = torch.tensor([3, 4, 5])
    apart = dgl.to_block(
        dgl.in_subgraph(grid(), {"vertex": nodes}), {"vertex": nodes}, include_dst_in_src=False
    )
    unnamed = block_of(nodes)
    del unnamed.dstdata[dgl.NID]
    for block in (apart, unnamed):
        feat = torch.zeros(block.number_of_src_nodes("vertex"), 1, 3).double()
        for layer in (make(IntraConv), make(RadialConv)):
            with pytest.raises(DataError, match="must be its first sources"):
                layer(block, feat)


def test_blocks_with_edges_to_other_nodes() -> None:
    block = dgl.to_block(grid(), {"vertex": torch.tensor([3, 4, 5])})
    feat = torch.zeros(block.number_of_src_nodes("vertex"), 1, 3).double()
    for layer in (make(IntraConv), make(RadialConv), VertexPool(etype="intra")):
        with pytest.raises(DataError, match="the block has 3 destinations, but an edge"):
            layer(block, feat)


@pytest.mark.parametrize("relabel", [True, False])
def test_edge_subgraphs(relabel: bool) -> None:
    graph = grid()
    kept = {"intra": torch.arange(0, 300, 3), "radial": torch.arange(0, 90, 2)}
    part = dgl.edge_subgraph(graph, kept, relabel_nodes=relabel)
    whole = dgl.edge_subgraph(graph, kept, relabel_nodes=False)
    nodes = part.ndata[dgl.NID] if relabel else torch.arange(126)
    feat = features(graph)
    for layer in (make(IntraConv), make(RadialConv), VertexPool("mean", etype="intra")):
        found = layer(part, feat[nodes])
        torch.testing.assert_close(found, layer(whole, feat)[nodes], **EXACT)
        assert not torch.allclose(found, layer(graph, feat)[nodes])


def test_batched_grids() -> None:
    one, other = grid(), ConcentricGrid(0, 4).graph()
    both = dgl.batch([one, other])
    for layer in (make(IntraBlock, 3, 3), make(RadialBlock), VertexPool("sum", etype="intra")):
        alone = [layer(g, features(g)) for g in (one, other)]
        feat = torch.cat([features(one), features(other)])
        torch.testing.assert_close(layer(both, feat), torch.cat(alone), **EXACT)


def test_residuals_between_node_types() -> None:
    ends = torch.tensor([0, 1]), torch.tensor([1, 0])
    graph = dgl.heterograph({("a", "intra", "b"): ends})
    block = make(IntraBlock, 3, 3, self_loop=False)
    source, target = features(graph, "a"), features(graph, "b") + 1
    with pytest.raises(DataError, match="give the layer a pair"):
        block(graph, source)
    bare = make(IntraBlock, 3, 3, self_loop=False, residual=False)
    expected = bare(graph, source) + target
    torch.testing.assert_close(block(graph, (source, target)), expected, **EXACT)
