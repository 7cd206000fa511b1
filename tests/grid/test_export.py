"""Grids for NetworkX: all nodes, all edges, all data."""

from __future__ import annotations

from collections import Counter

import networkx as nx
import pytest
import torch

from csgnn_dgl._dgl import dgl
from csgnn_dgl.grid import ConcentricGrid, to_networkx


@pytest.mark.parametrize(("level", "n_spheres"), [(0, 1), (0, 3), (1, 2)])
def test_grid(level: int, n_spheres: int) -> None:
    graph = ConcentricGrid(level, n_spheres).graph()
    exported = to_networkx(graph)
    assert isinstance(exported, nx.MultiDiGraph)
    assert set(exported.nodes) == {("vertex", i) for i in range(graph.num_nodes())}
    assert exported.number_of_edges() == graph.num_edges("intra") + graph.num_edges("radial")
    for node in range(graph.num_nodes()):
        data = exported.nodes["vertex", node]
        assert data["sphere"] == node % n_spheres
        assert data["vertex"] == node // n_spheres
        assert data["position"] == graph.ndata["position"][node].tolist()


def test_edges_and_their_data() -> None:
    graph = ConcentricGrid(1, 2).graph()
    found = Counter(
        (u[1], v[1], data["etype"], data.get("offset"))
        for u, v, data in to_networkx(graph).edges(data=True)
    )
    expected: Counter[tuple[int, int, str, int | None]] = Counter()
    for etype in ("intra", "radial"):
        src, dst = graph.edges(etype=etype, order="eid")
        for edge, (u, v) in enumerate(zip(src.tolist(), dst.tolist(), strict=True)):
            offset = graph.edges["radial"].data["offset"][edge] if etype == "radial" else None
            expected[u, v, etype, None if offset is None else int(offset)] += 1
    assert found == expected
    assert {offset for *_, offset in found} == {None, 1, -1}


def test_coarsening() -> None:
    graph = ConcentricGrid(1, 2).coarsening(1)
    exported = to_networkx(graph)
    assert Counter(kind for kind, _ in exported.nodes) == {"fine": 84, "coarse": 24}
    assert exported.number_of_edges() == graph.num_edges() == 12 * 6 * 2
    for (source, u), (destination, v), data in exported.edges(data=True):
        assert (source, destination) == ("fine", "coarse")
        assert data == {"etype": "pool"}
        assert graph.has_edges_between(u, v)
    assert all(exported.in_degree(("coarse", i)) == 6 for i in range(24))


def test_values_are_plain() -> None:
    exported = to_networkx(ConcentricGrid(0, 2).graph())
    data = exported.nodes["vertex", 3]
    assert {name: type(value) for name, value in data.items()} == {
        "position": list,
        "sphere": int,
        "vertex": int,
    }
    offsets = [d["offset"] for _, _, d in exported.edges(data=True) if d["etype"] == "radial"]
    assert {type(offset) for offset in offsets} == {int}


def test_double_edges_stay_two() -> None:
    graph = dgl.graph((torch.tensor([0, 0, 1]), torch.tensor([1, 1, 0])))
    graph.edata["weight"] = torch.tensor([1.0, 2.0, 3.0])
    exported = to_networkx(graph)
    assert exported.number_of_edges() == 3
    weights = sorted(d["weight"] for _, v, d in exported.edges(data=True) if v == ("_N", 1))
    assert weights == [1, 2]


def test_what_networkx_makes_of_it() -> None:
    exported = to_networkx(ConcentricGrid(1, 2).graph())
    assert nx.is_strongly_connected(exported)
    # Opposite vertices are six edges apart at level 1, and one more on the other sphere.
    assert nx.diameter(exported) == 7
