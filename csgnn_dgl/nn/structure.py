"""Index tensors of a DGL graph for the kernels, computed once per graph and cached.

Nothing is written into the graph. The cache uses weak references, so its entries are freed with the
graph. They are also dropped when the graph's structure is changed in place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from csgnn_dgl.errors import DataError
from csgnn_dgl.nn.graph_checks import (
    check_block,
    check_offsets,
    check_one_relation,
    check_sites,
    check_weights,
)
from csgnn_dgl.nn.normals import node_normals
from csgnn_dgl.nn.prepared import Prepared, finish, finish_tangents
from csgnn_dgl.nn.radial_chain import RadialChain, find_blocks
from csgnn_dgl.ops import CSR, tangential_relation
from csgnn_dgl.ops.lasting import lasting

__all__ = [
    "EdgeType",
    "Prepared",
    "chain",
    "destination_features",
    "prepare",
    "relation",
    "source_features",
    "tangents",
]

#: Name of a relation, or the triple ``(source type, name, destination type)``.
EdgeType = str | tuple[str, str, str]
Canonical = tuple[str, str, str]

# DGL's default edge type of graphs made by dgl.graph.
_ANONYMOUS = "_E"


# Data of a graph, with their versions: users may replace or change them.
Versions = tuple[tuple[Tensor | None, int], ...]


@dataclass
class _KnownChain:
    chain: RadialChain
    data: Versions  # from which it was made


@dataclass
class _KnownTangents:
    tangents: CSR
    data: Versions


@dataclass
class _Known:
    index: object  # DGL's handle of the structure, which it replaces when edges or nodes change
    relations: dict[tuple[Canonical, bool], CSR] = field(default_factory=dict)
    chains: dict[Canonical, _KnownChain] = field(default_factory=dict)
    tangents: dict[Canonical, _KnownTangents] = field(default_factory=dict)


_known: WeakKeyDictionary[Any, _Known] = WeakKeyDictionary()


def _memory(graph: Any) -> _Known:
    known = _known.get(graph)
    if known is None or known.index is not graph._graph:
        known = _known[graph] = _Known(graph._graph)
    return known


def _canonical(graph: Any, etype: EdgeType) -> Canonical:
    """Find the relation called ``etype``; an anonymous relation matches any name."""
    types: list[Canonical] = graph.canonical_etypes
    if isinstance(etype, tuple):
        fitting = [one for one in types if one == etype]
    else:
        fitting = [one for one in types if one[1] == etype]
    if not fitting and [one[1] for one in types] == [_ANONYMOUS]:
        fitting = types
    if not fitting:
        raise DataError(
            f"the graph has no edge type {etype!r}; it has {sorted({one[1] for one in types})}. "
            f"Build it with ConcentricGrid, or name the relation with the layer's `etype` argument"
        )
    if len(fitting) > 1:
        raise DataError(
            f"the graph has several edge types {etype!r}: {fitting}; give the layer one of these "
            f"triples as its `etype` argument"
        )
    return fitting[0]


def _edges(graph: Any, etype: Canonical) -> tuple[Tensor, Tensor]:
    formats = graph.formats()
    if "coo" not in (*formats["created"], *formats["not created"]):
        graph = graph.formats("coo")  # a copy, made once per structure, if COO is not allowed
    src, dst = graph.edges(etype=etype, order="eid")
    return src.to(torch.int64), dst.to(torch.int64)


def relation(graph: Any, etype: EdgeType, *, self_loops: bool = False) -> CSR:
    """Get the edges of ``etype`` as rows of sources; anonymous edges (``dgl.graph``) need no name.

    Parameters
    ----------
    graph
        A DGL graph, a block of ``dgl.to_block``, or a :class:`Prepared`.
    etype
        Edge type, by name or as a triple.
    self_loops
        Treat each destination as one of its own sources.

    Raises
    ------
    DataError
        The graph lacks the edge type, or nodes with the data ``sphere`` have edges that cannot
        belong to a concentric grid.
    """
    if isinstance(graph, Prepared):
        csr = graph.relations.get(etype if isinstance(etype, str) else etype[1])
        if csr is None:
            return relation(graph.graph(), etype, self_loops=self_loops)
        return csr.with_self_loops if self_loops else csr
    canonical = _canonical(graph, etype)
    relations = _memory(graph).relations
    if (canonical, self_loops) not in relations:
        relations[canonical, self_loops] = _relation(graph, canonical, self_loops)
    return relations[canonical, self_loops]


@lasting
def _relation(graph: Any, etype: Canonical, self_loops: bool) -> CSR:
    source_type, name, destination_type = etype
    edge_data = graph.edges[etype].data
    if name == _ANONYMOUS:
        check_one_relation(edge_data)
    known = _memory(graph).relations
    if (etype, False) not in known:
        src, dst = _edges(graph, etype)
        if graph.is_block:
            check_block(graph, etype, dst)
        sources, destinations = _num_nodes(graph, etype)
        csr = CSR.from_edges(src, dst, destinations, sources).in_blocks()
        check_sites(
            csr,
            etype,
            graph.srcnodes[source_type].data.get("sphere"),
            graph.dstnodes[destination_type].data.get("sphere"),
        )
        known[etype, False] = csr
    csr = known[etype, False]
    if not self_loops:
        return csr
    if "sphere" in graph.srcnodes[source_type].data and source_type == destination_type:
        loops = torch.nonzero(csr.rows == csr.indices).flatten()
        if loops.numel():
            node = int(csr.rows[loops[0]]) * csr.block
            raise DataError(
                f"an edge of {etype} leads from node {node} to itself, but the layer treats every "
                f"node as its own neighbour, so it would count twice. Make the layer with "
                f"self_loop=False, or remove the edges with dgl.remove_self_loop(graph, {name!r})"
            )
    return csr.with_own_sources() if graph.is_block else csr.with_self_loops


def _num_nodes(graph: Any, etype: Canonical) -> tuple[int, int]:
    """Numbers of sources and destinations; a block numbers them separately."""
    if graph.is_block:
        return graph.number_of_src_nodes(etype[0]), graph.number_of_dst_nodes(etype[2])
    return graph.num_nodes(etype[0]), graph.num_nodes(etype[2])


def _version(data: Tensor | None) -> int:
    return 0 if data is None or data.is_inference() else data._version


def _versions(*data: Tensor | None) -> Versions:
    return tuple((tensor, _version(tensor)) for tensor in data)


def _changed(before: Versions, now: Versions) -> bool:
    return any(
        old is not new or first != second
        for (old, first), (new, second) in zip(before, now, strict=True)
    )


def _regular_spheres(num_nodes: int, src: Tensor, dst: Tensor, offset: Tensor) -> int | None:
    """``R`` if the edges are exactly the chains of nodes ``v·R + r``, else None."""
    vertices = num_nodes - src.numel() // 2
    if vertices <= 0 or num_nodes % vertices:
        return None
    n_spheres = num_nodes // vertices
    expected = 2 * vertices * (n_spheres - 1)
    if src.numel() != expected or not torch.equal(src - dst, offset):
        return None
    same_chain = torch.equal(
        torch.div(src, n_spheres, rounding_mode="floor"),
        torch.div(dst, n_spheres, rounding_mode="floor"),
    )
    return n_spheres if same_chain else None


def chain(graph: Any, etype: EdgeType) -> RadialChain:
    """Get the radial relation of ``graph``, by offset.

    Raises
    ------
    DataError
        The graph lacks the edge type; edges join two node types, have no direction, or have one
        that contradicts the nodes' ``sphere``; an offset is not ±1; or a node is joined to itself,
        or twice to another.
    """
    if isinstance(graph, Prepared):
        return chain(graph.graph(), etype) if graph.radial is None else graph.radial
    canonical = _canonical(graph, etype)
    source_type, _, destination_type = canonical
    if source_type != destination_type:
        raise DataError(f"{canonical} joins two node types, but radial edges join nodes of one")
    data = _versions(
        graph.edges[canonical].data.get("offset"),
        graph.edges[canonical].data.get("weight"),
        graph.srcnodes[source_type].data.get("sphere"),
        graph.dstnodes[source_type].data.get("sphere"),
    )
    chains = _memory(graph).chains
    known = chains.get(canonical)
    if known is None or _changed(known.data, data):
        offset, weight, outer, inner = (tensor for tensor, _ in data)
        radial = _chain(graph, canonical, offset, weight, outer, inner)
        known = chains[canonical] = _KnownChain(radial, data)
    return known.chain


@lasting
def _chain(
    graph: Any,
    etype: Canonical,
    offset: Tensor | None,
    weight: Tensor | None,
    source_sphere: Tensor | None,
    sphere: Tensor | None,
) -> RadialChain:
    src, dst = _edges(graph, etype)
    if graph.is_block:
        check_block(graph, etype, dst)
    between = None
    if source_sphere is not None and sphere is not None:
        between = source_sphere[src].to(torch.int64) - sphere[dst].to(torch.int64)
    offset = check_offsets(etype, src, dst, offset, between)
    weight = None if weight is None else check_weights(etype, weight)
    sources, destinations = _num_nodes(graph, etype)
    steps = {}
    for o in (1, -1):
        some = offset == o
        own = None if weight is None else weight[some]
        steps[o] = CSR.from_edges(src[some], dst[some], destinations, sources, weights=own)
    if graph.is_block:
        return RadialChain(None, steps, is_block=True)
    spheres = None if weight is not None else _regular_spheres(sources, src, dst, offset)
    return RadialChain(spheres, steps, blocks=find_blocks(steps) if spheres is None else None)


def tangents(graph: Any, etype: EdgeType) -> CSR:
    """Get the weights of gradients: :func:`~csgnn_dgl.ops.tangential_relation` of ``etype``.

    The node data ``position`` are the nodes' positions relative to the common centre of the
    spheres.

    Raises
    ------
    DataError
        The graph lacks the edge type or the positions, a node is at the centre, or edges join two
        node types.
    """
    if isinstance(graph, Prepared):
        found = graph.tangents.get(etype if isinstance(etype, str) else etype[1])
        return tangents(graph.graph(), etype) if found is None else found
    csr = relation(graph, etype)
    canonical = _canonical(graph, etype)
    source_type, _, destination_type = canonical
    if source_type != destination_type:
        raise DataError(
            f"{canonical} joins two node types, but gradients need differences between nodes of one"
        )
    nodes = graph.srcnodes[source_type].data
    data = _versions(nodes.get("position"), nodes.get("vertex"))
    memory = _memory(graph).tangents
    known = memory.get(canonical)
    if known is None or _changed(known.data, data):
        known = memory[canonical] = _KnownTangents(_tangents(csr, *(t for t, _ in data)), data)
    return known.tangents


@lasting
def _tangents(csr: CSR, position: Tensor | None, vertex: Tensor | None) -> CSR:
    normals = node_normals(position, vertex)
    in_blocks = normals.view(-1, csr.block, 3)
    first = in_blocks[:, 0]
    if bool((in_blocks == first[:, None]).all()):
        return tangential_relation(csr, first)
    return tangential_relation(csr.by_node, normals)


def prepare(
    graph: Any,
    *,
    radial: str | None = None,
    self_loops: bool = True,
    reach: int = 1,
    gradients: bool = False,
) -> Prepared:
    """Compute all index tensors that kernels need of a graph.

    Parameters
    ----------
    graph
        A DGL graph. Later changes to it have no effect.
    radial
        Edge type of the chain, if there is one; its nodes must form blocks of equal chains.
    self_loops
        Whether layers will treat each node as one of its own sources.
    reach
        Largest number of steps along the chain that kernels will walk, ``K // 2``.
    gradients
        Whether layers will compute gradients along the spheres.

    Raises
    ------
    DataError
        As in :func:`chain` and :func:`tangents`; also if the chain's nodes do not form blocks of
        equal chains.
    """
    found = None if radial is None else chain(graph, radial)
    if found is not None and found.n_spheres is None and found.blocks is None:
        raise DataError(
            "the chains are of many lengths or not in order, but only a concentric grid can be "
            "prepared"
        )
    relations = {etype: relation(graph, etype) for etype in graph.etypes if etype != radial}
    for csr in relations.values():
        finish(csr, self_loops)
    if found is not None and found.blocks is not None:
        found.crossings(reach)
    directions = {etype: tangents(graph, etype) for etype in relations} if gradients else {}
    for each in directions.values():
        finish_tangents(each)
    return Prepared(relations, found, self_loops, lambda: graph, reach, directions)


def source_features(feat: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    """Features of the nodes at which edges start.

    DGL's layers also accept a pair of features, of sources and of destinations, and
    ``HeteroGraphConv`` always passes a pair.
    """
    return feat[0] if isinstance(feat, tuple) else feat


def destination_features(
    graph: Any, etype: EdgeType, feat: Tensor | tuple[Tensor, Tensor]
) -> Tensor:
    """Features of the nodes at which edges end. A block's destinations are its first sources.

    Raises
    ------
    DataError
        Only features of the sources are given, and edges join two node types.
    """
    if isinstance(feat, tuple):
        return feat[1]
    if isinstance(graph, Prepared):
        return feat
    canonical = _canonical(graph, etype)
    if canonical[0] != canonical[2]:
        raise DataError(
            f"{canonical} leads to nodes of another type, whose features are needed too: give the "
            f"layer a pair (features of {canonical[0]!r}, features of {canonical[2]!r})"
        )
    return feat[: graph.number_of_dst_nodes(canonical[2])] if graph.is_block else feat
