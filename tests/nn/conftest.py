"""Graphs for the layers: regular, irregular, bipartite."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from csgnn_dgl._dgl import dgl
from csgnn_dgl.grid import ConcentricGrid


def _concentric() -> Any:
    return ConcentricGrid(1, 3).graph().clone()


def _with_holes() -> Any:
    """A grid that lost some of its nodes: chains of differing length, vertices without sphere 1."""
    graph = _concentric()
    lost = torch.randperm(graph.num_nodes(), generator=torch.Generator().manual_seed(3))[:40]
    return dgl.remove_nodes(graph, lost)


def _shuffled() -> Any:
    """A grid whose edges come in another order."""
    graph = _concentric()
    order = torch.Generator().manual_seed(4)
    edges, offsets = {}, {}
    for etype in graph.canonical_etypes:
        src, dst = graph.edges(etype=etype, order="eid")
        new = torch.randperm(len(src), generator=order)
        edges[etype] = (src[new], dst[new])
        offsets[etype[1]] = new
    out = dgl.heterograph(edges, num_nodes_dict={"vertex": graph.num_nodes()})
    out.ndata["sphere"] = graph.ndata["sphere"]
    out.ndata["vertex"] = graph.ndata["vertex"]
    out.ndata["position"] = graph.ndata["position"]
    offset = graph.edges["radial"].data["offset"][offsets["radial"]]
    out.edges["radial"].data["offset"] = offset
    return out


def _two_different() -> Any:
    return dgl.batch([ConcentricGrid(0, 2).graph(), ConcentricGrid(0, 4).graph()])


_GRAPHS = {
    "concentric": _concentric,
    "with holes": _with_holes,
    "shuffled": _shuffled,
    "two different": _two_different,
    "spheres of different levels": lambda: ConcentricGrid(levels=(1, 0, 2)).graph().clone(),
    "one sphere": lambda: ConcentricGrid(1, 1).graph().clone(),
}


@pytest.fixture(params=list(_GRAPHS))
def graph(request: pytest.FixtureRequest) -> Any:
    """Each kind of graph with intra and radial edges in turn."""
    return _GRAPHS[request.param]()


@pytest.fixture
def holes() -> Any:
    """A grid that lost some of its nodes."""
    return _with_holes()


@pytest.fixture
def bipartite() -> Any:
    """Any two node types, isolated nodes on both sides, edges given twice."""
    generator = torch.Generator().manual_seed(5)
    src = torch.randint(0, 25, (80,), generator=generator)
    dst = torch.randint(0, 12, (80,), generator=generator)
    edges = (torch.cat([src, src[:9]]), torch.cat([dst, dst[:9]]))
    return dgl.heterograph({("a", "into", "b"): edges}, num_nodes_dict={"a": 30, "b": 15})
