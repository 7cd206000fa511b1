"""The concentric grid as DGL graphs: numbering, edges, coarsening, symmetry, errors."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

from csgnn_dgl._dgl import dgl
from csgnn_dgl.errors import ConfigError, ResourceError
from csgnn_dgl.grid import ConcentricGrid, Icosphere

SIZES = [(0, 1), (0, 3), (1, 1), (1, 2), (2, 4), (3, 2)]
sizes = pytest.mark.parametrize(("level", "n_spheres"), SIZES)


def edge_set(graph: Any, etype: str) -> set[tuple[int, int]]:
    src, dst = graph.edges(etype=etype)
    return set(zip(src.tolist(), dst.tolist(), strict=True))


@sizes
def test_counts(level: int, n_spheres: int) -> None:
    grid = ConcentricGrid(level, n_spheres)
    graph = grid.graph()
    vertices = 10 * 4**level + 2
    assert grid.num_nodes() == graph.num_nodes() == vertices * n_spheres
    assert graph.num_edges("intra") == 60 * 4**level * n_spheres
    assert graph.num_edges("radial") == 2 * vertices * (n_spheres - 1)
    for etype in ("intra", "radial"):
        assert len(edge_set(graph, etype)) == graph.num_edges(etype)


def test_types() -> None:
    graph = ConcentricGrid(1, 2).graph()
    assert graph.ntypes == ["vertex"]
    assert sorted(graph.canonical_etypes) == [
        ("vertex", "intra", "vertex"),
        ("vertex", "radial", "vertex"),
    ]
    assert graph.idtype == torch.int64
    kinds = {name: (column.dtype, column.shape) for name, column in graph.ndata.items()}
    assert kinds == {
        "position": (torch.float32, (84, 3)),
        "sphere": (torch.int64, (84,)),
        "vertex": (torch.int64, (84,)),
    }
    assert dict(graph.edges["intra"].data) == {}
    assert list(graph.edges["radial"].data) == ["offset"]
    assert graph.edges["radial"].data["offset"].dtype == torch.int64


@sizes
def test_numbering_and_positions(level: int, n_spheres: int) -> None:
    graph = ConcentricGrid(level, n_spheres).graph()
    vertices = Icosphere.get(level).vertices
    position = graph.ndata["position"].numpy()
    sphere, vertex = graph.ndata["sphere"].tolist(), graph.ndata["vertex"].tolist()
    for v in range(len(vertices)):
        for r in range(n_spheres):
            node = v * n_spheres + r
            assert (vertex[node], sphere[node]) == (v, r)
            expected = vertices[v] * (r + 1) / n_spheres
            np.testing.assert_allclose(position[node], expected, rtol=0, atol=1e-7)


def test_radii() -> None:
    radii = ConcentricGrid(0, 4).radii
    assert radii.dtype == np.float64
    assert radii.tolist() == [0.25, 0.5, 0.75, 1]
    assert ConcentricGrid(0, 1).radii.tolist() == [1]


@sizes
def test_intra_edges(level: int, n_spheres: int) -> None:
    graph = ConcentricGrid(level, n_spheres).graph()
    expected = {
        (a * n_spheres + r, b * n_spheres + r)
        for u, v in Icosphere.get(level).edges.tolist()
        for a, b in ((u, v), (v, u))
        for r in range(n_spheres)
    }
    assert edge_set(graph, "intra") == expected
    degrees = graph.in_degrees(etype="intra").view(-1, n_spheres)
    assert (degrees[:12] == 5).all()
    assert (degrees[12:] == 6).all()


@sizes
def test_radial_edges(level: int, n_spheres: int) -> None:
    graph = ConcentricGrid(level, n_spheres).graph()
    src, dst = graph.edges(etype="radial", order="eid")
    sphere, vertex = graph.ndata["sphere"], graph.ndata["vertex"]
    assert torch.equal(vertex[src], vertex[dst])
    offset = graph.edges["radial"].data["offset"]
    assert torch.equal(offset, sphere[src] - sphere[dst])
    assert (offset.abs() == 1).all()
    assert int(offset.sum()) == 0
    # The meaning in space: a source with offset +1 lies farther out.
    radius = graph.ndata["position"].norm(dim=1)
    assert torch.equal((radius[src] > radius[dst]), offset == 1)


@sizes
def test_both_directions(level: int, n_spheres: int) -> None:
    graph = ConcentricGrid(level, n_spheres).graph()
    for etype in ("intra", "radial"):
        edges = edge_set(graph, etype)
        assert {(v, u) for u, v in edges} == edges
        assert all(u != v for u, v in edges)


@pytest.mark.parametrize("n_spheres", [1, 3])
@pytest.mark.parametrize("level", [1, 2, 3])
def test_coarsening(level: int, n_spheres: int) -> None:
    grid = ConcentricGrid(level, n_spheres)
    graph = grid.coarsening(level)
    assert graph.canonical_etypes == [("fine", "pool", "coarse")]
    assert graph.num_nodes("fine") == grid.num_nodes(level)
    assert graph.num_nodes("coarse") == grid.num_nodes(level - 1)
    pooled = graph.in_degrees().view(-1, n_spheres)
    assert (pooled[:12] == 6).all()
    assert (pooled[12:] == 7).all()
    kept = grid.num_nodes(level - 1)
    assert (graph.out_degrees()[:kept] == 1).all()
    assert (graph.out_degrees()[kept:] == 2).all()


@pytest.mark.parametrize("n_spheres", [1, 3])
@pytest.mark.parametrize("level", [1, 2])
def test_coarsening_neighbourhoods(level: int, n_spheres: int) -> None:
    grid = ConcentricGrid(level, n_spheres)
    graph = grid.coarsening(level)
    fine = grid.graph(level)
    for node in range(grid.num_nodes(level - 1)):
        sources = graph.in_edges(node)[0].tolist()
        ring = fine.in_edges(node, etype="intra")[0].tolist()
        assert sorted(sources) == sorted([node, *ring])
    # The vertex itself is the first edge: among equals it wins.
    src, dst = graph.edges(order="eid")
    assert torch.equal(src[: grid.num_nodes(level - 1)], torch.arange(grid.num_nodes(level - 1)))
    assert torch.equal(dst[: grid.num_nodes(level - 1)], torch.arange(grid.num_nodes(level - 1)))


@pytest.mark.parametrize("level", [1, 2])
def test_midpoints_go_to_their_two_parents(level: int) -> None:
    n_spheres = 2
    graph = ConcentricGrid(level, n_spheres).coarsening(level)
    parents = Icosphere.get(level).parents
    kept = Icosphere.get(level - 1).num_vertices
    for index, ends in enumerate(parents.tolist()):
        for r in range(n_spheres):
            destinations = graph.out_edges((kept + index) * n_spheres + r)[1].tolist()
            assert sorted(destinations) == sorted(end * n_spheres + r for end in ends)


@pytest.mark.parametrize(("level", "n_spheres"), [(0, 3), (1, 2), (2, 3)])
def test_rotations_keep_both_relations(level: int, n_spheres: int) -> None:
    grid = ConcentricGrid(level, n_spheres)
    graph = grid.graph()
    permutations = grid.node_permutations()
    assert permutations.shape == (60, grid.num_nodes())
    assert permutations.dtype == np.int64
    sphere = graph.ndata["sphere"].numpy()
    for etype in ("intra", "radial"):
        edges = edge_set(graph, etype)
        for permutation in permutations:
            assert np.array_equal(np.sort(permutation), np.arange(grid.num_nodes()))
            assert np.array_equal(sphere[permutation], sphere)
            assert {(permutation[u], permutation[v]) for u, v in edges} == edges
        # Control: an arbitrary permutation does not.
        other = np.random.default_rng(0).permutation(grid.num_nodes())
        assert {(other[u], other[v]) for u, v in edges} != edges


def test_vertices_alone_may_not_be_shuffled() -> None:
    # Control: shuffling vertices, alike on all spheres, keeps the chains but not the faces.
    grid = ConcentricGrid(1, 3)
    order = np.random.default_rng(0).permutation(42)
    other = (order[:, None] * 3 + np.arange(3)).reshape(-1)
    for etype, kept in (("radial", True), ("intra", False)):
        edges = edge_set(grid.graph(), etype)
        assert ({(other[u], other[v]) for u, v in edges} == edges) == kept


@pytest.mark.parametrize("level", [1, 2])
def test_rotations_keep_the_coarsening(level: int) -> None:
    grid = ConcentricGrid(level, 2)
    edges = edge_set(grid.coarsening(level), "pool")
    fine, coarse = grid.node_permutations(level), grid.node_permutations(level - 1)
    for g in range(60):
        assert {(fine[g][u], coarse[g][v]) for u, v in edges} == edges
    # Control: the two levels must turn together.
    assert {(fine[7][u], coarse[8][v]) for u, v in edges} != edges


@pytest.mark.parametrize("n_spheres", [1, 3])
def test_permutations_turn_the_positions(n_spheres: int) -> None:
    from csgnn_dgl.grid import icosahedral_rotations

    grid = ConcentricGrid(2, n_spheres)
    position = grid.graph().ndata["position"].double().numpy()
    turned = np.einsum("gij,nj->gni", icosahedral_rotations(), position)
    np.testing.assert_allclose(position[grid.node_permutations()], turned, rtol=0, atol=1e-6)


def test_coarser_levels_of_one_grid() -> None:
    grid = ConcentricGrid(2, 3)
    for level in range(3):
        other = ConcentricGrid(level, 3)
        for etype in ("intra", "radial"):
            ends, others = grid.graph(level).edges(etype=etype), other.graph().edges(etype=etype)
            assert all(torch.equal(a, b) for a, b in zip(ends, others, strict=True))
        assert grid.num_nodes(level) == other.num_nodes()
        assert np.array_equal(grid.node_permutations(level), other.node_permutations())
    assert grid.graph() is grid.graph(2)


def test_graphs_are_built_once() -> None:
    grid = ConcentricGrid(1, 2)
    assert grid.graph() is grid.graph()
    assert grid.coarsening(1) is grid.coarsening(1)
    assert grid.graph() is not ConcentricGrid(1, 2).graph()


def spoil(grid: ConcentricGrid) -> None:
    """Change whatever can be changed in a grid's graphs."""
    for graph in (grid.graph(), grid.coarsening(grid.level)):
        for ntype in graph.ntypes:
            data = graph.nodes[ntype].data
            data["sphere"].fill_(7)
            data["x"] = torch.ones(graph.num_nodes(ntype))
            del data["vertex"]
        graph.edges[graph.etypes[-1]].data["weight"] = torch.ones(graph.num_edges(graph.etypes[-1]))
    grid.graph().edges["radial"].data["offset"].neg_()
    grid.graph().ndata["position"].zero_()
    grid.graph().remove_edges(torch.arange(5), etype="intra")
    grid.graph().add_edges([0], [0], etype="radial")
    grid.coarsening(grid.level).remove_edges(torch.arange(5))


def contents(grid: ConcentricGrid) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for graph in (grid.graph(), grid.coarsening(grid.level)):
        for ntype in graph.ntypes:
            found += [(ntype, k, v.tolist()) for k, v in graph.nodes[ntype].data.items()]
        for etype in graph.etypes:
            found += [(etype, k, v.tolist()) for k, v in graph.edges[etype].data.items()]
            found.append((etype, [ends.tolist() for ends in graph.edges(etype=etype)]))
    return found


@pytest.mark.parametrize("first", [True, False])
def test_what_is_done_to_one_grid_is_not_seen_by_others(first: bool) -> None:
    grid, other, larger = ConcentricGrid(2, 4), ConcentricGrid(2, 4), ConcentricGrid(3, 4)
    expected = contents(ConcentricGrid(2, 4))
    if first:  # the others have their graphs already
        assert contents(other) == expected
        larger.graph(2)
    spoil(grid)
    assert contents(grid) != expected
    assert contents(other) == expected
    assert contents(ConcentricGrid(2, 4)) == expected
    assert "x" not in larger.graph(2).ndata
    assert int(larger.graph(2).ndata["sphere"].max()) == 3


def test_copies_and_pickles_begin_anew() -> None:
    grid = ConcentricGrid(1, 2)
    expected = contents(ConcentricGrid(1, 2))
    spoil(grid)
    for made in (copy.deepcopy(grid), copy.copy(grid), pickle.loads(pickle.dumps(grid))):
        assert (made.level, made.n_spheres, made.coarsest) == (1, 2, 0)
        assert contents(made) == expected
        spoil(made)
    assert contents(ConcentricGrid(1, 2)) == expected


def test_plain_graphs_for_dgl() -> None:
    graph = ConcentricGrid(1, 2).graph()
    batched = dgl.batch([graph, graph])
    assert batched.batch_size == 2
    assert batched.num_nodes() == 168
    with graph.local_scope():
        graph.ndata["one"] = torch.ones(84, 1)
        copy_one = dgl.function.copy_u("one", "m")
        graph.multi_update_all(
            {name: (copy_one, dgl.function.sum("m", "y")) for name in ("intra", "radial")}, "sum"
        )
        expected = graph.in_degrees(etype="intra") + graph.in_degrees(etype="radial")
        assert torch.equal(graph.ndata["y"].flatten(), expected.float())
    assert "one" not in graph.ndata


def test_numpy_sizes() -> None:
    grid = ConcentricGrid(np.int64(1), np.int32(2), coarsest=np.int64(1))  # type: ignore[arg-type]
    assert grid.graph(np.int64(1)).num_nodes() == 84
    assert type(grid.level) is type(grid.n_spheres) is type(grid.coarsest) is int


def test_coarsest_level() -> None:
    grid = ConcentricGrid(2, 2, coarsest=1)
    assert grid.graph(1).num_nodes() == 84
    assert grid.coarsening(2).num_nodes("coarse") == 84
    for call in (grid.graph, grid.node_permutations, grid.num_nodes, grid.sphere_levels):
        with pytest.raises(ConfigError, match="no level 0 here, only 1 to 2"):
            call(0)
    with pytest.raises(ConfigError, match="no level 1 here, only 2 to 2"):
        grid.coarsening(1)


def test_levels_that_a_grid_does_not_have() -> None:
    grid = ConcentricGrid(1, 2)
    for level in (-1, 2):
        with pytest.raises(ConfigError, match=f"no level {level} here, only 0 to 1"):
            grid.graph(level)
        with pytest.raises(ConfigError, match=f"no level {level} here, only 0 to 1"):
            grid.node_permutations(level)
    for level in (0, 2):
        with pytest.raises(ConfigError, match=f"no level {level} here, only 1 to 1"):
            grid.coarsening(level)
    fraction: Any = 0.5
    with pytest.raises(ConfigError, match=r"level is 0\.5, but it must be a whole number"):
        grid.num_nodes(fraction)


@pytest.mark.parametrize("coarsening", ["together", "in_turn"])
@pytest.mark.parametrize("level", [-1, 0, 3, 9])
def test_sizes_of_levels_that_a_grid_does_not_have(level: int, coarsening: Any) -> None:
    grid = ConcentricGrid(2, 4, coarsest=1, coarsening=coarsening)
    for call in (grid.num_nodes, grid.sphere_levels):
        with pytest.raises(ConfigError, match=f"no level {level} here, only 1 to 2"):
            call(level)
    assert [grid.num_nodes(own) for own in (1, 2)] == [168, 648]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": -1, "n_spheres": 2}, "level is -1, but it must be at least 0"),
        ({"level": 1, "n_spheres": 0}, "n_spheres is 0, but it must be at least 1"),
        ({"level": 1, "n_spheres": 2, "coarsest": -1}, "coarsest is -1, but it must be at least 0"),
        ({"level": 1.0, "n_spheres": 2}, "level is 1.0, but it must be a whole number"),
        ({"level": 1, "n_spheres": "2"}, "n_spheres is '2', but it must be a whole number"),
        ({"level": True, "n_spheres": 2}, "level is True, but it must be a whole number"),
        ({"level": 1, "n_spheres": None}, "n_spheres is None, but it must be a whole number"),
        ({"level": 1, "n_spheres": 2, "coarsest": 2}, "coarsest is 2, but the finest level is 1"),
    ],
)
def test_bad_sizes(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ConcentricGrid(**arguments)


def test_more_than_the_memory() -> None:
    with pytest.raises(ResourceError, match=r"level 12 with 64 spheres .* GiB of memory") as caught:
        ConcentricGrid(12, 64)
    assert "choose a lower level" in str(caught.value)


def test_the_estimate_counts_nodes_and_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    # What the finest graph holds in its two index arrays and its data must be in the estimate.
    from csgnn_dgl.grid import memory

    graph = ConcentricGrid(2, 4).graph()
    edges = graph.num_edges("intra") + graph.num_edges("radial")
    smallest = edges * 16 + graph.num_nodes() * 28
    monkeypatch.setattr(memory, "available_memory", lambda: smallest)
    with pytest.raises(ResourceError, match="level 2 with 4 spheres"):
        ConcentricGrid(2, 4)
    monkeypatch.setattr(memory, "available_memory", lambda: 10 * smallest)
    ConcentricGrid(2, 4)


def test_repr() -> None:
    assert repr(ConcentricGrid(2, 4)) == "ConcentricGrid(level=2, n_spheres=4)"
