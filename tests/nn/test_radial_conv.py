"""RadialConv on regular grids, missing spheres and batches, against a site-by-site reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from csgnn_dgl._dgl import dgl
from csgnn_dgl.errors import DataError
from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.nn import RadialConv
from csgnn_dgl.nn.structure import chain
from csgnn_dgl.testing import assert_layer_equivariant, assert_no_mutation

EXACT = {"rtol": 1e-12, "atol": 1e-12}

kernel_sizes = pytest.mark.parametrize("kernel_size", [1, 3, 5, 9])


def make(in_feats: int = 3, out_feats: int = 4, **options: Any) -> RadialConv:
    torch.manual_seed(0)
    return RadialConv(in_feats, out_feats, **options).double()


def features(graph: Any, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(graph.num_nodes(), *shape, dtype=torch.float64, generator=generator)


def site_by_site(layer: RadialConv, graph: Any, feat: Tensor) -> Tensor:
    """Walk from every site along the edges, which may part; a missing sphere ends the walk."""
    src, dst = graph.edges(etype="radial", order="eid")
    data = graph.edges["radial"].data
    weight = data["weight"].tolist() if "weight" in data else [1.0] * len(src)
    ways = zip(src.tolist(), dst.tolist(), data["offset"].tolist(), weight, strict=True)
    step: dict[tuple[int, int], list[tuple[int, float]]] = {}
    for source, node, o, share in ways:
        step.setdefault((node, o), []).append((source, share))
    reach = layer.kernel_size // 2
    rows = []
    for node in range(graph.num_nodes()):
        total = feat[node] @ layer.weight[:, :, reach].t()
        for direction in (1, -1):
            places = [(node, 1.0)]
            for distance in range(1, reach + 1):
                places = [
                    (source, share * further)
                    for place, share in places
                    for source, further in step.get((place, direction), ())
                ]
                tap = layer.weight[:, :, reach + direction * distance]
                for place, share in places:
                    total = total + share * feat[place] @ tap.t()
        rows.append(total if layer.bias is None else total + layer.bias)
    return torch.stack(rows)


@kernel_sizes
@pytest.mark.parametrize("bias", [True, False])
def test_equals_site_by_site(graph: Any, kernel_size: int, bias: bool) -> None:
    layer = make(kernel_size=kernel_size, bias=bias)
    assert (layer.bias is not None) == bias
    feat = features(graph, 2, 3).requires_grad_()
    out, expected = layer(graph, feat), site_by_site(layer, graph, feat)
    assert out.shape == (graph.num_nodes(), 2, 4)
    torch.testing.assert_close(out, expected, **EXACT)
    inputs = [feat, *layer.parameters()]
    upstream = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(2))
    grads = torch.autograd.grad(out, inputs, upstream)
    for grad, other in zip(grads, torch.autograd.grad(expected, inputs, upstream), strict=True):
        torch.testing.assert_close(grad, other, **EXACT)


def test_holes_are_padding(holes: Any) -> None:
    # The full grid with zeros at the lost sites gives the same, as long as K = 3 jumps over none.
    full = ConcentricGrid(1, 3).graph()
    place = holes.ndata["vertex"] * 3 + holes.ndata["sphere"]
    feat = features(holes, 2, 3)
    padded = torch.zeros(full.num_nodes(), 2, 3, dtype=torch.float64)
    padded[place] = feat
    layer = make()
    torch.testing.assert_close(layer(holes, feat), layer(full, padded)[place], **EXACT)
    # Control: a wider kernel reaches across a hole in the padded grid, but the chain ends there.
    wide = make(kernel_size=5)
    assert not torch.allclose(wide(holes, feat), wide(full, padded)[place])


def test_which_graphs_are_regular(holes: Any) -> None:
    graph = ConcentricGrid(1, 3).graph()
    assert chain(graph, "radial").n_spheres == 3
    assert chain(ConcentricGrid(1, 1).graph(), "radial").n_spheres == 1
    assert chain(dgl.batch([graph, graph]), "radial").n_spheres == 3
    assert chain(holes, "radial").n_spheres is None
    mixed = dgl.batch([ConcentricGrid(0, 2).graph(), ConcentricGrid(0, 4).graph()])
    assert chain(mixed, "radial").n_spheres is None
    one_way = dgl.remove_edges(graph, torch.arange(1), etype="radial")
    assert chain(one_way, "radial").n_spheres is None


def test_doubled_edges_are_refused() -> None:
    # As many edges as two chains of two need, but one of them twice and one missing.
    ends = (torch.tensor([1, 1, 2, 3]), torch.tensor([0, 0, 3, 2]))
    graph = dgl.heterograph({("vertex", "radial", "vertex"): ends})
    graph.edges["radial"].data["offset"] = ends[0] - ends[1]
    with pytest.raises(DataError, match=r"radial edge 1 \(1 → 0\) exists twice"):
        make(1, 1)(graph, features(graph, 1))


def test_reversed_numbering_is_not_regular() -> None:
    # Chains run inwards: without data of the nodes the offsets decide, not the numbering.
    graph = ConcentricGrid(1, 3).graph().clone()
    del graph.ndata["sphere"]
    offset = graph.edges["radial"].data["offset"]
    graph.edges["radial"].data["offset"] = -offset
    layer, feat = make(), features(graph, 2, 3)
    assert chain(graph, "radial").n_spheres is None
    torch.testing.assert_close(layer(graph, feat), site_by_site(layer, graph, feat), **EXACT)
    assert not torch.allclose(layer(graph, feat), layer(ConcentricGrid(1, 3).graph(), feat))


@kernel_sizes
@pytest.mark.parametrize("spheres", [(3, 3), (2, 4), (1, 3)], ids=str)
def test_batched_graphs_equal_each_alone(kernel_size: int, spheres: tuple[int, int]) -> None:
    first, second = (ConcentricGrid(level, r).graph() for level, r in enumerate(spheres))
    layer = make(kernel_size=kernel_size)
    a, b = features(first, 2, 3), features(second, 2, 3)
    together = layer(dgl.batch([first, second]), torch.cat([a, b]))
    torch.testing.assert_close(together, torch.cat([layer(first, a), layer(second, b)]), **EXACT)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 1, 3)], ids=str)
def test_any_number_of_dimensions(graph: Any, shape: tuple[int, ...]) -> None:
    layer = make()
    out = layer(graph, features(graph, *shape))
    assert out.shape == (graph.num_nodes(), *shape[:-1], 4)
    flat = features(graph, *shape).flatten(1, -2) if len(shape) > 1 else features(graph, 3)
    expected = site_by_site(layer, graph, flat).view_as(out)
    torch.testing.assert_close(out, expected, **EXACT)


def test_one_sphere_is_a_linear_layer() -> None:
    graph = ConcentricGrid(1, 1).graph()
    layer, feat = make(), features(graph, 2, 3)
    torch.testing.assert_close(
        layer(graph, feat), F.linear(feat, layer.weight[:, :, 1], layer.bias), **EXACT
    )


def test_direction_by_sphere_numbers(holes: Any) -> None:
    layer, feat = make(kernel_size=5), features(holes, 2, 3)
    expected = layer(holes, feat)
    told = holes.clone()
    del told.edges["radial"].data["offset"]
    torch.testing.assert_close(layer(told, feat), expected, **EXACT)


def test_edges_without_direction() -> None:
    graph = ConcentricGrid(1, 3).graph().clone()
    del graph.edges["radial"].data["offset"], graph.ndata["sphere"]
    with pytest.raises(ValueError, match=r"no data 'offset' .* no data 'sphere'"):
        make()(graph, features(graph, 2, 3))


def test_offsets_other_than_one() -> None:
    graph = ConcentricGrid(1, 3).graph().clone()
    graph.edges["radial"].data["offset"] = graph.edges["radial"].data["offset"] * 2
    with pytest.raises(ValueError, match=r"radial edge 0 \(1 → 0\) has offset 2; .* ±1"):
        make()(graph, features(graph, 2, 3))


def test_edges_between_types(bipartite: Any) -> None:
    with pytest.raises(ValueError, match="joins two node types"):
        make(etype="into")(bipartite, torch.zeros(30, 3).double())


def test_unknown_edge_type() -> None:
    graph = ConcentricGrid(1, 3).graph()
    with pytest.raises(ValueError, match="no edge type 'chain'"):
        make(etype="chain")(graph, features(graph, 2, 3))


@pytest.mark.parametrize("kernel_size", [0, 2, 4, -1])
def test_kernel_size_must_be_odd(kernel_size: int) -> None:
    with pytest.raises(ValueError, match=f"kernel_size is {kernel_size}, but it must be odd"):
        RadialConv(3, 4, kernel_size=kernel_size)


def test_wrong_number_of_nodes(graph: Any) -> None:
    n = graph.num_nodes()
    with pytest.raises(ValueError, match=f"features are for {n + 1} nodes, but the graph has {n}"):
        make()(graph, torch.zeros(n + 1, 2, 3).double())


def test_wrong_number_of_channels(graph: Any) -> None:
    with pytest.raises(ValueError, match="3"):
        make()(graph, features(graph, 2, 5))


@kernel_sizes
def test_commutes_with_the_rotations(kernel_size: int) -> None:
    grid = ConcentricGrid(1, 3)
    feat = features(grid.graph(), 2, 3)
    assert_layer_equivariant(make(kernel_size=kernel_size), feat, grid, tolerance=1e-12)


def test_does_not_commute_with_other_permutations() -> None:
    graph = ConcentricGrid(1, 3).graph()
    layer, feat = make(), features(graph, 2, 3)
    order = torch.randperm(graph.num_nodes(), generator=torch.Generator().manual_seed(6))
    assert not torch.allclose(layer(graph, feat[order]), layer(graph, feat)[order])
    mirrored = torch.arange(graph.num_nodes()).view(-1, 3).flip(1).flatten()
    assert not torch.allclose(layer(graph, feat[mirrored]), layer(graph, feat)[mirrored])


@pytest.mark.parametrize("irregular", [False, True])
def test_gradcheck(irregular: bool) -> None:
    graph = ConcentricGrid(0, 2).graph()
    if irregular:
        graph = dgl.remove_nodes(graph, torch.tensor([3, 4, 5, 10, 19]))
    assert (chain(graph, "radial").n_spheres is None) == irregular
    layer = make(2, 3)
    feat = features(graph, 1, 2).requires_grad_()

    def function(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        values = {"weight": weight, "bias": bias}
        return torch.func.functional_call(layer, values, (graph, x))

    assert torch.autograd.gradcheck(function, (feat, layer.weight, layer.bias))


@kernel_sizes
def test_nothing_is_left_behind(graph: Any, kernel_size: int) -> None:
    assert_no_mutation(make(kernel_size=kernel_size), graph, features(graph, 2, 3))


def test_strides_do_not_matter(graph: Any) -> None:
    layer, feat = make(), features(graph, 2, 3)
    strided = feat.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    torch.testing.assert_close(layer(graph, strided), layer(graph, feat), **EXACT)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
def test_narrow_types(graph: Any, dtype: torch.dtype, tolerance: float) -> None:
    layer = make()
    expected = layer(graph, features(graph, 2, 3)).detach()
    out = layer.to(dtype)(graph, features(graph, 2, 3).to(dtype)).detach()
    assert out.dtype == dtype
    assert float((out - expected).abs().max()) < tolerance * float(expected.abs().max())


def test_initial_values_are_those_of_conv1d() -> None:
    torch.manual_seed(0)
    layer = RadialConv(8, 9, kernel_size=5)
    torch.manual_seed(0)
    reference = torch.nn.Conv1d(8, 9, 5)
    assert layer.bias is not None
    assert reference.bias is not None
    assert torch.equal(layer.weight, reference.weight)
    assert torch.equal(layer.bias, reference.bias)


def test_repr_names_the_sizes() -> None:
    assert repr(RadialConv(3, 4, kernel_size=5)) == "RadialConv(3, 4, kernel_size=5)"
