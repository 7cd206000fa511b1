"""What is remembered of a graph: per graph, only as long as it lives and stays as it is."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from typing import Any

import torch
from torch import Tensor

from csgnn_dgl._dgl import dgl
from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.nn import IntraConv, RadialConv, VertexPool, structure
from csgnn_dgl.nn.structure import chain, relation


def random_graph(seed: int, num_nodes: int = 20, num_edges: int = 60) -> Any:
    generator = torch.Generator().manual_seed(seed)
    src, dst = torch.randint(0, num_nodes, (2, num_edges), generator=generator)
    return dgl.heterograph(
        {("vertex", "intra", "vertex"): (src, dst)}, num_nodes_dict={"vertex": num_nodes}
    )


def path(num_nodes: int) -> tuple[Any, Tensor]:
    """One chain of nodes without data, and the offsets that number it outwards."""
    inner = torch.arange(num_nodes - 1)
    src, dst = torch.cat([inner + 1, inner]), torch.cat([inner, inner + 1])
    return dgl.heterograph({("vertex", "radial", "vertex"): (src, dst)}), src - dst


def neighbor_sums(graph: Any, feat: Tensor) -> Tensor:
    adjacency = torch.zeros(graph.num_nodes(), graph.num_nodes(), dtype=feat.dtype)
    src, dst = graph.edges(etype="intra")
    adjacency.index_put_((dst, src), torch.tensor(1.0, dtype=feat.dtype), accumulate=True)
    return adjacency @ feat


def plain_conv() -> IntraConv:
    layer = IntraConv(2, 2, self_loop=False, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.eye(2))
    return layer


def test_found_out_once_per_graph() -> None:
    graph = ConcentricGrid(1, 2).graph()
    assert relation(graph, "intra") is relation(graph, "intra")
    assert relation(graph, "intra") is not relation(graph, "radial")
    assert chain(graph, "radial") is chain(graph, "radial")


def test_graphs_of_equal_size_are_not_confused() -> None:
    layer = plain_conv()
    feat = torch.randn(20, 2, dtype=torch.float64)
    graphs = [random_graph(seed) for seed in range(5)]
    for graph in graphs + graphs[::-1]:
        torch.testing.assert_close(layer(graph, feat), neighbor_sums(graph, feat))


def test_spheres_share_a_relation() -> None:
    grid = ConcentricGrid(1, 4)
    for csr in (relation(grid.graph(), "intra"), relation(grid.coarsening(1), "pool")):
        assert csr.block == 4
    assert relation(random_graph(0), "intra").block == 1


def test_new_graph_at_the_address_of_an_old_one() -> None:
    layer = plain_conv()
    feat = torch.randn(20, 2, dtype=torch.float64)
    addresses = set()
    for seed in range(50):
        graph = random_graph(seed)
        addresses.add(id(graph))
        torch.testing.assert_close(layer(graph, feat), neighbor_sums(graph, feat))
        del graph
    # Otherwise this tests nothing.
    assert len(addresses) < 50


def test_memory_goes_with_the_graph() -> None:
    gc.collect()
    before = len(structure._known)
    graph = ConcentricGrid(1, 3).graph().clone()
    IntraConv(2, 2)(graph, torch.zeros(126, 2))
    RadialConv(2, 2)(graph, torch.zeros(126, 2))
    csr, steps = weakref.ref(relation(graph, "intra")), weakref.ref(chain(graph, "radial"))
    assert len(structure._known) == before + 1
    gone = weakref.ref(graph)
    del graph
    gc.collect()
    assert gone() is None
    assert csr() is None
    assert steps() is None
    assert len(structure._known) == before


def test_layers_keep_no_graph() -> None:
    layers = [IntraConv(2, 2), RadialConv(2, 2), VertexPool(etype="intra")]
    graph = ConcentricGrid(1, 3).graph().clone()
    for layer in layers:
        layer(graph, torch.zeros(126, 2)).sum()
    gone = weakref.ref(graph)
    del graph
    gc.collect()
    assert gone() is None


def test_edges_added_in_place() -> None:
    layer, graph = plain_conv(), random_graph(0)
    feat = torch.randn(20, 2, dtype=torch.float64)
    before = layer(graph, feat)
    graph.add_edges(torch.tensor([0, 1]), torch.tensor([2, 3]), etype="intra")
    torch.testing.assert_close(layer(graph, feat), neighbor_sums(graph, feat))
    assert not torch.allclose(layer(graph, feat), before)
    graph.remove_edges(torch.arange(30), etype="intra")
    torch.testing.assert_close(layer(graph, feat), neighbor_sums(graph, feat))


def test_nodes_added_in_place() -> None:
    layer, graph = plain_conv(), random_graph(0)
    layer(graph, torch.randn(20, 2, dtype=torch.float64))
    graph.add_nodes(3)
    feat = torch.randn(23, 2, dtype=torch.float64)
    torch.testing.assert_close(layer(graph, feat), neighbor_sums(graph, feat))


def test_radial_edges_removed_in_place() -> None:
    graph, offset = path(6)
    graph.edges["radial"].data["offset"] = offset
    assert chain(graph, "radial").n_spheres == 6
    graph.remove_edges([0, 5], etype="radial")
    assert chain(graph, "radial").n_spheres is None


def test_offsets_replaced() -> None:
    graph, offset = path(100)
    layer = RadialConv(1, 1)
    feat = torch.randn(100, 1, generator=torch.Generator().manual_seed(0))
    expected = {}
    for sign in (1, -1):
        other = path(100)[0]
        other.edges["radial"].data["offset"] = sign * offset
        expected[sign] = layer(other, feat)
    assert not torch.allclose(expected[1], expected[-1])
    wrong = 0
    # Many times, in no regular order: new offsets may lie where old ones were.
    for draw in torch.randint(0, 2, (100,), generator=torch.Generator().manual_seed(1)).tolist():
        sign = 2 * draw - 1
        graph.edges["radial"].data["offset"] = sign * offset
        wrong += not torch.allclose(layer(graph, feat), expected[sign])
    assert wrong == 0


def test_sphere_numbers_replaced() -> None:
    graph, _ = path(4)
    layer = RadialConv(1, 1)
    feat = torch.randn(4, 1, generator=torch.Generator().manual_seed(0))
    graph.ndata["sphere"] = torch.arange(4)
    outwards = layer(graph, feat)
    graph.ndata["sphere"] = torch.arange(4).flip(0)
    inwards = layer(graph, feat)
    fresh, _ = path(4)
    fresh.ndata["sphere"] = torch.arange(4).flip(0)
    torch.testing.assert_close(inwards, layer(fresh, feat))
    assert not torch.allclose(inwards, outwards)


def test_clones_are_graphs_of_their_own() -> None:
    graph = ConcentricGrid(1, 2).graph()
    clone = graph.clone()
    clone.remove_edges(torch.arange(5), etype="radial")
    assert chain(graph, "radial").n_spheres == 2
    assert chain(clone, "radial").n_spheres is None
    assert (
        relation(graph, "radial").indices.numel() == relation(clone, "radial").indices.numel() + 5
    )


def test_small_integers_for_node_numbers() -> None:
    graph = ConcentricGrid(1, 2).graph()
    feat = torch.randn(84, 2, generator=torch.Generator().manual_seed(0))
    for layer in (IntraConv(2, 3), RadialConv(2, 3), VertexPool(etype="intra")):
        assert torch.equal(layer(graph.int(), feat), layer(graph, feat))
    assert relation(graph.int(), "intra").indices.dtype == torch.int64


def test_beside_layers_of_dgl() -> None:
    # The graphs of the grid are plain: DGL's own heterograph layers run on them, and ours after.
    graph = ConcentricGrid(1, 2).graph()
    feat = torch.randn(84, 2, generator=torch.Generator().manual_seed(0))
    layers = {name: dgl.nn.GraphConv(2, 2, norm="none") for name in ("intra", "radial")}
    mixed = dgl.nn.HeteroGraphConv(layers, aggregate="sum")(graph, {"vertex": feat})["vertex"]
    ours = IntraConv(2, 2, self_loop=False)
    total = 0
    for name, layer in layers.items():
        ours.etype = name
        ours.load_state_dict(layer.state_dict())
        total = total + ours(graph, feat)
    torch.testing.assert_close(mixed, total, rtol=1e-4, atol=1e-5)


def test_training_after_inference_mode() -> None:
    """What is found out once and kept must not be of inference mode, whoever is first to ask."""
    code = """
import torch
from csgnn_dgl.models import CSGNN, EncoderConfig
model = CSGNN(EncoderConfig.with_base_width(1, 4, 2, base_width=4)).eval()
feat = torch.randn(168, 3, 2)
with torch.inference_mode():
    inferred = model(feat)
torch.testing.assert_close(model(feat), inferred)
model.train()(feat).sum().backward()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
