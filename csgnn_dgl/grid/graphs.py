"""Build the DGL graphs of concentric spheres."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch

from csgnn_dgl.grid.icosphere import Icosphere, Ints
from csgnn_dgl.grid.sites import Levels, Sites, interpolation, is_uniform
from csgnn_dgl.ops.lasting import lasting

__all__ = ["coarsening_graph", "copied", "grid_graph"]


@lasting
def copied(graph: Any) -> Any:
    """Copy a graph: the structure is shared, since it never changes, and the data are copied."""
    own = graph.clone()
    for ntype in own.ntypes:
        for name, values in own.nodes[ntype].data.items():
            own.nodes[ntype].data[name] = values.clone()
    for etype in own.canonical_etypes:
        for name, values in own.edges[etype].data.items():
            own.edges[etype].data[name] = values.clone()
    return own


# Grids hand out copies of these graphs, so users cannot change them.
@cache
@lasting
def grid_graph(levels: Levels) -> Any:
    """The graph of spheres with these levels; see :meth:`ConcentricGrid.graph`."""
    from csgnn_dgl._dgl import dgl  # takes a second to import, and is not always needed

    sites = Sites.of(levels)
    within = [_intra(sites, level) for level in sorted(set(levels))]
    outer, inner = (_radial(sites, offset) for offset in (1, -1))
    graph = dgl.heterograph(
        {
            ("vertex", "intra", "vertex"): _joined([edges[:2] for edges in within]),
            ("vertex", "radial", "vertex"): _joined([outer[:2], inner[:2]]),
        },
        num_nodes_dict={"vertex": sites.num_nodes},
    )
    graph.edges["radial"].data["offset"] = torch.cat(
        [torch.full((len(edges[0]),), offset) for edges, offset in ((outer, 1), (inner, -1))]
    )
    if not is_uniform(levels):
        weight = np.concatenate([outer[2], inner[2]])
        graph.edges["radial"].data["weight"] = torch.from_numpy(weight).to(torch.float32)
    radii = np.arange(1, len(levels) + 1) / len(levels)
    vertices = Icosphere.get(max(levels)).vertices
    position = vertices[sites.vertex] * radii[sites.sphere][:, None]
    graph.ndata["position"] = torch.from_numpy(position).to(torch.float32)
    _number(graph, "vertex", sites)
    return graph


def _joined(edges: list[tuple[Ints, Ints]]) -> tuple[torch.Tensor, torch.Tensor]:
    src, dst = (np.concatenate(ends) for ends in zip(*edges, strict=True))
    return torch.from_numpy(src), torch.from_numpy(dst)


def _intra(sites: Sites, level: int) -> tuple[Ints, Ints]:
    """Edges of faces within all spheres of this level."""
    indptr, src = Icosphere.get(level).neighbors()
    dst = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    spheres = sites.on(level)
    return sites.nodes(src, spheres), sites.nodes(dst, spheres)


def _radial(sites: Sites, offset: int) -> tuple[Ints, Ints, np.ndarray[Any, np.dtype[np.float64]]]:
    """Edges from the next sphere outwards (offset 1) or inwards (−1), and their weights."""
    other = sites.sphere + offset
    dst = np.flatnonzero((other >= 0) & (other < len(sites.levels)))
    src = sites.index[sites.vertex[dst], other[dst]]
    there = src >= 0
    sources, destinations = [src[there]], [dst[there]]
    weights = [np.ones(np.count_nonzero(there))]
    missing = dst[~there]
    for sphere in np.unique(sites.sphere[missing]):
        nodes = missing[sites.sphere[missing] == sphere]
        source_sphere = sphere + offset
        weight = interpolation(sites.levels[source_sphere], sites.levels[sphere])
        rows = weight[sites.vertex[nodes]]
        sources.append(sites.index[rows.indices, source_sphere])
        destinations.append(np.repeat(nodes, np.diff(rows.indptr)))
        weights.append(rows.data)
    return np.concatenate(sources), np.concatenate(destinations), np.concatenate(weights)


def _number(graph: Any, ntype: str, sites: Sites) -> None:
    """Store the vertex and the sphere of every node in the graph."""
    graph.nodes[ntype].data["sphere"] = torch.from_numpy(sites.sphere.copy())
    graph.nodes[ntype].data["vertex"] = torch.from_numpy(sites.vertex.copy())


@cache
@lasting
def coarsening_graph(fine_levels: Levels, coarse_levels: Levels) -> Any:
    """The graph that pools each sphere to its next level, or keeps it; see ``ConcentricGrid``."""
    from csgnn_dgl._dgl import dgl

    fine, coarse = Sites.of(fine_levels), Sites.of(coarse_levels)
    # The edges of the vertices to themselves come first.
    edges = [(fine.index[coarse.vertex, coarse.sphere], np.arange(coarse.num_nodes))]
    for before in sorted(set(fine_levels)):
        spheres = np.array([r for r in fine.on(before) if coarse_levels[r] < before], dtype=int)
        if not len(spheres):
            continue
        indptr, neighbors = Icosphere.get(before).neighbors()
        kept = Icosphere.get(before - 1).num_vertices
        owner = np.repeat(np.arange(kept), np.diff(indptr[: kept + 1]))
        ring = neighbors[: indptr[kept]]
        edges.append((fine.nodes(ring, spheres), coarse.nodes(owner, spheres)))
    graph = dgl.heterograph(
        {("fine", "pool", "coarse"): _joined(edges)},
        num_nodes_dict={"fine": fine.num_nodes, "coarse": coarse.num_nodes},
    )
    _number(graph, "fine", fine)
    _number(graph, "coarse", coarse)
    return graph
