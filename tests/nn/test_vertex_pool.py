"""VertexPool on coarsening graphs and on any bipartite graph, against DGL."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from csgnn_dgl._dgl import dgl
from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.nn import VertexPool
from csgnn_dgl.nn.vertex_pool import PoolMode
from csgnn_dgl.testing import assert_layer_equivariant, assert_no_mutation

EXACT = {"rtol": 1e-12, "atol": 1e-12}

modes = pytest.mark.parametrize("mode", ["max", "mean", "sum"])


def features(num_nodes: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(num_nodes, *shape, dtype=torch.float64, generator=generator)


def by_dgl(graph: Any, feat: Tensor, mode: str, etype: str | None = None) -> Tensor:
    source, _, destination = graph.to_canonical_etype(etype or graph.etypes[0])
    with graph.local_scope():
        graph.nodes[source].data["x"] = feat
        reduce = getattr(dgl.function, mode)
        graph.update_all(dgl.function.copy_u("x", "m"), reduce("m", "y"), etype=etype)
        out: Tensor = graph.nodes[destination].data["y"]
        return out


def assert_equals_dgl(graph: Any, feat: Tensor, mode: PoolMode) -> None:
    feat = feat.clone().requires_grad_()
    out = VertexPool(mode, etype=graph.etypes[0])(graph, feat)
    expected = by_dgl(graph, feat, mode)
    torch.testing.assert_close(out, expected, **EXACT)
    upstream = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(2))
    (grad,) = torch.autograd.grad(out, feat, upstream)
    (expected_grad,) = torch.autograd.grad(expected, feat, upstream)
    torch.testing.assert_close(grad, expected_grad, **EXACT)


@modes
@pytest.mark.parametrize(("level", "n_spheres"), [(1, 1), (1, 3), (2, 2)])
def test_coarsening_equals_dgl(mode: PoolMode, level: int, n_spheres: int) -> None:
    graph = ConcentricGrid(level, n_spheres).coarsening(level)
    assert_equals_dgl(graph, features(graph.num_nodes("fine"), 2, 3), mode)


@modes
def test_any_bipartite_graph_equals_dgl(bipartite: Any, mode: PoolMode) -> None:
    assert_equals_dgl(bipartite, features(30, 2, 3), mode)


@modes
def test_rectified_features(mode: PoolMode) -> None:
    # Ties at zero: the gradient goes where DGL sends it.
    graph = ConcentricGrid(1, 3).coarsening(1)
    assert_equals_dgl(graph, features(126, 2, 8).clamp(min=0), mode)


@modes
def test_every_neighbourhood(mode: PoolMode) -> None:
    graph = ConcentricGrid(1, 2).coarsening(1)
    feat = features(84, 3)
    out = VertexPool(mode)(graph, feat)
    for node in range(24):
        sites = feat[graph.in_edges(node)[0]]
        expected = {"max": sites.amax(0), "mean": sites.mean(0), "sum": sites.sum(0)}[mode]
        torch.testing.assert_close(out[node], expected, **EXACT)


@modes
def test_coarse_nodes_without_edges_get_zero(bipartite: Any, mode: PoolMode) -> None:
    out = VertexPool(mode, etype="into")(bipartite, features(30, 3) - 9)
    isolated = bipartite.in_degrees() == 0
    assert isolated.any()
    assert (out[isolated] == 0).all()
    assert (out[~isolated] < 0).all()


def test_modes_differ() -> None:
    graph = ConcentricGrid(1, 2).coarsening(1)
    feat = features(84, 3)
    largest, mean, total = (VertexPool(mode)(graph, feat) for mode in ("max", "mean", "sum"))
    assert (largest > mean).all()
    torch.testing.assert_close(total, mean * graph.in_degrees()[:, None], **EXACT)


@modes
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 3)], ids=str)
def test_any_number_of_dimensions(mode: PoolMode, shape: tuple[int, ...]) -> None:
    graph = ConcentricGrid(1, 2).coarsening(1)
    feat = features(84, *shape)
    out = VertexPool(mode)(graph, feat)
    assert out.shape == (24, *shape)
    torch.testing.assert_close(out.flatten(), by_dgl(graph, feat, mode).flatten(), **EXACT)


@modes
def test_batch_of_nothing(mode: PoolMode) -> None:
    graph = ConcentricGrid(1, 2).coarsening(1)
    assert VertexPool(mode)(graph, features(84, 0, 3)).shape == (24, 0, 3)


@modes
def test_commutes_with_the_rotations(mode: PoolMode) -> None:
    grid = ConcentricGrid(2, 2)
    feat = features(grid.num_nodes(), 2, 3)
    assert_layer_equivariant(VertexPool(mode), feat, grid, pools=True, tolerance=1e-12)


@modes
def test_does_not_commute_with_other_permutations(mode: PoolMode) -> None:
    grid = ConcentricGrid(1, 2)
    feat = features(84, 3)
    order = torch.randperm(84, generator=torch.Generator().manual_seed(6))
    graph, pool = grid.coarsening(1), VertexPool(mode)
    kept = torch.from_numpy(grid.node_permutations(0)[7])
    assert not torch.allclose(pool(graph, feat[order])[kept], pool(graph, feat))


@modes
def test_gradcheck(bipartite: Any, mode: PoolMode) -> None:
    # Values far apart, so that a small step changes no winner.
    order = torch.randperm(60, generator=torch.Generator().manual_seed(2))
    feat = order.double().view(30, 1, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: VertexPool(mode, etype="into")(bipartite, x), feat)


@modes
def test_nothing_is_left_behind(bipartite: Any, mode: PoolMode) -> None:
    graph = ConcentricGrid(1, 2).coarsening(1)
    assert_no_mutation(VertexPool(mode), graph, features(84, 2, 3))
    assert_no_mutation(VertexPool(mode, etype="into"), bipartite, features(30, 2, 3))


@modes
def test_edge_type_by_name(mode: PoolMode) -> None:
    graph = ConcentricGrid(1, 3).graph()
    feat = features(126, 2, 3)
    out = VertexPool(mode, etype="radial")(graph, feat)
    torch.testing.assert_close(out, by_dgl(graph, feat, mode, "radial"), **EXACT)


def test_unknown_edge_type() -> None:
    with pytest.raises(ValueError, match="no edge type 'pool'"):
        VertexPool()(ConcentricGrid(1, 3).graph(), features(126, 2, 3))


@modes
def test_wrong_number_of_nodes(mode: PoolMode) -> None:
    with pytest.raises(ValueError, match="features are for 24 nodes, but the relation is from 84"):
        VertexPool(mode)(ConcentricGrid(1, 2).coarsening(1), features(24, 2, 3))


def test_unknown_mode() -> None:
    with pytest.raises(ValueError, match=r"mode is 'median', but it must be one of"):
        VertexPool("median")  # type: ignore[arg-type]


def test_has_no_parameters_and_names_its_mode() -> None:
    assert list(VertexPool().parameters()) == []
    assert repr(VertexPool("mean")) == "VertexPool('mean')"
