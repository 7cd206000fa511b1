"""RadialConv on spheres of different levels, against products with the graph's matrices."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from csgnn_dgl._dgl import dgl
from csgnn_dgl.errors import DataError
from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.nn import IntraConv, RadialConv, VertexPool
from csgnn_dgl.nn.structure import chain, prepare
from csgnn_dgl.ops import ChainBlock
from csgnn_dgl.testing import assert_layer_equivariant, assert_no_mutation

EXACT = {"rtol": 1e-12, "atol": 1e-12}
LEVELS = [(1, 1, 2, 2), (0, 2), (2, 0, 2), (2, 1, 0, 0), (0, 1, 2, 1, 1)]
every = pytest.mark.parametrize("levels", LEVELS, ids=str)
kernel_sizes = pytest.mark.parametrize("kernel_size", [1, 3, 5, 9])


def make(**options: Any) -> RadialConv:
    torch.manual_seed(0)
    return RadialConv(3, 4, **options).double()


def features(graph: Any, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(graph.num_nodes(), *shape, dtype=torch.float64, generator=generator)


def by_matrices(layer: RadialConv, graph: Any, feat: Tensor) -> Tensor:
    """Walk along the chains by dense matrices of all nodes."""
    src, dst = graph.edges(etype="radial", order="eid")
    data, nodes = graph.edges["radial"].data, graph.num_nodes()
    weight = data["weight"].double() if "weight" in data else torch.ones(len(src)).double()
    middle = layer.kernel_size // 2
    total = feat @ layer.weight[:, :, middle].t()
    for offset in (1, -1):
        step = torch.zeros(nodes, nodes, dtype=torch.float64)
        some = data["offset"] == offset
        step[dst[some], src[some]] = weight[some]
        place = feat
        for distance in range(1, middle + 1):
            place = torch.einsum("ij,j...->i...", step, place)
            total = total + place @ layer.weight[:, :, middle + offset * distance].t()
    return total if layer.bias is None else total + layer.bias


@every
@kernel_sizes
@pytest.mark.parametrize("bias", [True, False])
def test_equals_matrices(levels: tuple[int, ...], kernel_size: int, bias: bool) -> None:
    graph = ConcentricGrid(levels=levels).graph()
    layer, feat = make(kernel_size=kernel_size, bias=bias), features(graph, 2, 3)
    feat.requires_grad_()
    found, expected = layer(graph, feat), by_matrices(layer, graph, feat)
    torch.testing.assert_close(found, expected, **EXACT)
    upstream = torch.linspace(-1, 1, found.numel(), dtype=found.dtype).view_as(found)
    inputs = [feat, *layer.parameters()]
    for one, other in zip(
        torch.autograd.grad(found, inputs, upstream),
        torch.autograd.grad(expected, inputs, upstream),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


@every
def test_equals_message_passing(levels: tuple[int, ...]) -> None:
    graph = ConcentricGrid(levels=levels).graph()
    layer, feat = make(), features(graph, 3)
    data, expected = graph.edges["radial"].data, feat @ layer.weight[:, :, 1].t() + layer.bias
    with graph.local_scope():
        graph.ndata["x"] = feat
        for tap, offset in ((2, 1), (0, -1)):
            share = data["weight"].double() * (data["offset"] == offset)
            graph.edges["radial"].data["share"] = share[:, None]
            copy, add = dgl.function.u_mul_e("x", "share", "m"), dgl.function.sum("m", "y")
            graph.update_all(copy, add, etype="radial")
            expected = expected + graph.ndata["y"] @ layer.weight[:, :, tap].t()
    torch.testing.assert_close(layer(graph, feat), expected, **EXACT)


def test_blocks_of_equal_chains() -> None:
    grid = ConcentricGrid(levels=(1, 1, 2, 2, 3, 3, 3, 3))
    found = chain(grid.graph(), "radial")
    assert found.n_spheres is None
    assert found.blocks == (ChainBlock(42, 8), ChainBlock(120, 6), ChainBlock(480, 4))
    (crossing,) = found.crossings(1)
    # The vertices of finer spheres at the two borders, and their parents.
    assert (crossing.offset, len(crossing.ends), len(crossing.sources)) == (-1, 600, 204)
    # Controls: one level has no blocks, and blocks of single nodes would not pay.
    regular = chain(ConcentricGrid(1, 3).graph(), "radial")
    assert (regular.n_spheres, regular.blocks) == (3, None)
    assert chain(ConcentricGrid(1, 1).graph(), "radial").blocks is None


@every
def test_the_same_without_blocks(levels: tuple[int, ...]) -> None:
    """A pair of features, as DGL's HeteroGraphConv gives it, follows the edges one by one."""
    graph = ConcentricGrid(levels=levels).graph()
    layer, feat = make(kernel_size=5), features(graph, 2, 3)
    torch.testing.assert_close(layer(graph, (feat, feat.clone())), layer(graph, feat), **EXACT)


@every
@pytest.mark.parametrize("coarsening", ["together", "in_turn"])
def test_layers_commute_with_rotations(levels: tuple[int, ...], coarsening: Any) -> None:
    grid = ConcentricGrid(levels=levels, coarsening=coarsening)
    for level in range(1, grid.level + 1):
        feat = features(grid.graph(level), 1, 3)
        torch.manual_seed(0)
        for layer in (make(), make(kernel_size=5), IntraConv(3, 4).double()):
            assert assert_layer_equivariant(layer, feat, grid, level=level) < 1e-13
        for mode in ("max", "mean", "sum"):
            pool = VertexPool(mode)
            assert assert_layer_equivariant(pool, feat, grid, level=level, pools=True) < 1e-13


def test_a_wrong_parent_is_noticed() -> None:
    # Control for the test above.
    grid = ConcentricGrid(levels=(0, 1))
    graph = grid.graph()
    graph.edges["radial"].data["weight"] = graph.edges["radial"].data["weight"].clone()
    graph.edges["radial"].data["weight"][-1] = 0.25
    with pytest.raises(AssertionError, match="does not commute"):
        assert_layer_equivariant(lambda _, x: make()(graph, x), features(graph, 1, 3), grid)


def test_gradients_of_gradients() -> None:
    graph = ConcentricGrid(levels=(0, 1)).graph()
    layer, feat = make(), features(graph, 1, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer(graph, x), (feat,))
    assert torch.autograd.gradgradcheck(lambda x: layer(graph, x).square(), (feat,))


def test_nothing_is_left_in_the_graph() -> None:
    graph = ConcentricGrid(levels=(0, 1)).graph()
    assert_no_mutation(make(), graph, features(graph, 1, 3))


def test_weights_that_change_are_noticed() -> None:
    graph = ConcentricGrid(levels=(0, 1)).graph()
    layer, feat = make(), features(graph, 1, 3)
    layer(graph, feat)
    graph.edges["radial"].data["weight"].mul_(2)
    torch.testing.assert_close(layer(graph, feat), by_matrices(layer, graph, feat), **EXACT)
    graph.edges["radial"].data["weight"] = torch.ones(graph.num_edges("radial"), 1)
    flat = by_matrices(layer, _flat(graph), feat)
    torch.testing.assert_close(layer(graph, feat), flat, **EXACT)


def _flat(graph: Any) -> Any:
    copied = graph.clone()
    copied.edges["radial"].data["weight"] = graph.edges["radial"].data["weight"][:, 0]
    return copied


def test_weights_of_one_on_a_uniform_grid_change_nothing() -> None:
    graph = ConcentricGrid(1, 3).graph()
    layer, feat = make(), features(graph, 1, 3)
    expected = layer(graph, feat)
    graph.edges["radial"].data["weight"] = torch.ones(graph.num_edges("radial"))
    assert torch.equal(layer(graph, feat), expected)
    assert chain(graph, "radial").n_spheres == 3
    graph.edges["radial"].data["weight"] = torch.full((graph.num_edges("radial"),), 0.5)
    torch.testing.assert_close(layer(graph, feat), by_matrices(layer, graph, feat), **EXACT)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.ones(0, dtype=torch.int64), "type torch.int64, but one floating-point number"),
        (torch.ones(0, 2), "have shape .*, 2.*, but one floating-point number for each edge"),
        (torch.full((0,), torch.nan), "the weight of radial edge 0 .* is nan"),
    ],
)
def test_bad_weights(weight: Tensor, message: str) -> None:
    graph = ConcentricGrid(levels=(0, 1)).graph()
    edges = graph.num_edges("radial")
    fill = weight.new_full((edges, *weight.shape[1:]), torch.nan if "nan" in message else 1)
    graph.edges["radial"].data["weight"] = fill
    with pytest.raises(DataError, match=message):
        make()(graph, features(graph, 1, 3))


@pytest.mark.parametrize("value", [0.5, 1.0])
@pytest.mark.parametrize("grad", [True, False])
def test_weights_that_want_a_gradient_are_refused(value: float, grad: bool) -> None:
    graph = ConcentricGrid(levels=(0, 1)).graph()
    layer, feat, data = make(), features(graph, 1, 3), graph.edges["radial"].data
    shares = torch.full((graph.num_edges("radial"),), value)
    data["weight"] = shares.clone().requires_grad_()
    # What is found without gradients would be used in later calls with them.
    with torch.set_grad_enabled(grad), pytest.raises(DataError, match=r"set weight\.detach\(\)"):
        layer(graph, feat)
    data["weight"] = data["weight"].detach()
    torch.testing.assert_close(layer(graph, feat), by_matrices(layer, graph, feat), **EXACT)


def test_batches_of_graphs() -> None:
    one, two = ConcentricGrid(levels=(0, 1)).graph(), ConcentricGrid(levels=(1, 0, 1)).graph()
    layer, both = make(), dgl.batch([one, two])
    feats = features(one, 1, 3), features(two, 1, 3)
    expected = torch.cat([layer(one, feats[0]), layer(two, feats[1])])
    torch.testing.assert_close(layer(both, torch.cat(feats)), expected, **EXACT)


def test_only_grids_can_be_prepared() -> None:
    graph = ConcentricGrid(1, 3).graph()
    # Every other chain is shorter.
    graph = dgl.remove_nodes(graph, [3 * vertex + 2 for vertex in range(1, 42, 2)])
    assert chain(graph, "radial").blocks is None
    with pytest.raises(DataError, match="only a concentric grid can be prepared"):
        prepare(graph, radial="radial")
