"""What the kernels need to know of a DGL graph, found out once per graph and kept beside it.

Nothing is written into the graph. The memory is held by weak references, so it goes when the graph
goes, and it is dropped when the graph's structure has been changed in place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from csgnn_dgl.errors import DataError
from csgnn_dgl.ops import CSR

__all__ = ["Prepared", "RadialChain", "chain", "prepare", "relation", "source_features"]


@dataclass
class RadialChain:
    """The radial relation of one graph, sorted by offset.

    Attributes
    ----------
    n_spheres
        ``R`` if the graph is regular, that is if node ``v·R + r`` is vertex ``v`` on sphere ``r``
        and all spheres are alike; otherwise none.
    steps
        For offset +1 and −1, who feeds whom.
    """

    n_spheres: int | None
    steps: dict[int, CSR]
    _further: dict[int, CSR] = field(default_factory=dict)

    def within(self, reach: int) -> dict[int, CSR]:
        """Relations for all offsets from ``-reach`` to ``reach`` but 0, by walking the chain."""
        for direction in (1, -1):
            for distance in range(1, reach + 1):
                offset = direction * distance
                if offset not in self._further:
                    self._further[offset] = (
                        self.steps[direction]
                        if distance == 1
                        else self._further[offset - direction].compose(self.steps[direction])
                    )
        return {o: csr for o, csr in sorted(self._further.items()) if abs(o) <= reach}


@dataclass
class Prepared:
    """What the kernels need of one graph, without the graph: layers take it in the graph's place.

    Tracers (``torch.compile``, ``torch.export``) can follow it, which they cannot do with DGL.

    Attributes
    ----------
    relations
        By edge type.
    radial
        The chain, if there is one.
    """

    relations: dict[str, CSR]
    radial: RadialChain | None


@dataclass
class _KnownChain:
    chain: RadialChain
    directions: Tensor  # the data that it was made from, which may be replaced or changed
    version: int


@dataclass
class _Known:
    index: object  # DGL's own handle of the structure: replaced whenever edges or nodes change
    relations: dict[tuple[str, str, str], CSR] = field(default_factory=dict)
    chains: dict[tuple[str, str, str], _KnownChain] = field(default_factory=dict)


_known: WeakKeyDictionary[Any, _Known] = WeakKeyDictionary()


def _memory(graph: Any) -> _Known:
    known = _known.get(graph)
    if known is None or known.index is not graph._graph:
        known = _known[graph] = _Known(graph._graph)
    return known


def _canonical(graph: Any, etype: str) -> tuple[str, str, str]:
    types = graph.canonical_etypes
    if len(types) == 1:
        only: tuple[str, str, str] = types[0]
        return only
    if etype not in graph.etypes:
        raise DataError(
            f"the graph has no edge type {etype!r}; it has {sorted(set(graph.etypes))}. Build it "
            f"with ConcentricGrid, or name the relation with the layer's `etype` argument"
        )
    found: tuple[str, str, str] = graph.to_canonical_etype(etype)
    return found


@torch.inference_mode(False)
def _edges(graph: Any, etype: tuple[str, str, str]) -> tuple[Tensor, Tensor]:
    formats = graph.formats()
    if "coo" not in (*formats["created"], *formats["not created"]):
        graph = graph.formats("coo")  # restricted to another format: a copy, once per structure
    src, dst = graph.edges(etype=etype, order="eid")
    return src.to(torch.int64), dst.to(torch.int64)


def relation(graph: Any, etype: str) -> CSR:
    """The edges of ``etype`` as rows of sources; a graph with a single edge type needs no name.

    Raises
    ------
    ValueError
        The graph has several edge types, and ``etype`` is none of them.
    """
    if isinstance(graph, Prepared):
        return graph.relations[etype]
    canonical = _canonical(graph, etype)
    relations = _memory(graph).relations
    if canonical not in relations:
        source_type, _, destination_type = canonical
        csr = CSR.from_edges(
            *_edges(graph, canonical),
            graph.num_nodes(destination_type),
            graph.num_nodes(source_type),
        )
        relations[canonical] = csr.in_blocks()
    return relations[canonical]


def _directions(graph: Any, etype: tuple[str, str, str]) -> tuple[bool, Tensor]:
    """The data that say where radial edges point; whether these are of the edges or the nodes."""
    if "offset" in graph.edges[etype].data:
        return True, graph.edges[etype].data["offset"]
    if "sphere" in graph.nodes[etype[0]].data:
        return False, graph.nodes[etype[0]].data["sphere"]
    raise DataError(
        f"the radial edges {etype} carry no data 'offset' (sphere of the source minus sphere of "
        f"the destination) and the nodes no data 'sphere' to compute it from; set one of them"
    )


def _regular_spheres(num_nodes: int, src: Tensor, dst: Tensor, offset: Tensor) -> int | None:
    """``R`` if the edges are just the chains of ``v·R + r``, else none."""
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
    single = torch.unique(src * num_nodes + dst).numel() == expected
    return n_spheres if same_chain and single and bool((offset.abs() == 1).all()) else None


def chain(graph: Any, etype: str) -> RadialChain:
    """The radial relation of ``graph``, by offset.

    Raises
    ------
    ValueError
        No such edge type, or its edges do not say which way they point (see ``offset``), or an
        offset other than ±1.
    """
    if isinstance(graph, Prepared):
        if graph.radial is None:
            raise DataError(f"the prepared graph has no chain of edge type {etype!r}")
        return graph.radial
    canonical = _canonical(graph, etype)
    source_type, _, destination_type = canonical
    if source_type != destination_type:
        raise DataError(f"radial edges join nodes of one type, not {canonical}")
    of_edges, directions = _directions(graph, canonical)
    chains = _memory(graph).chains
    known = chains.get(canonical)
    version = 0 if directions.is_inference() else directions._version
    # Data may be replaced, or changed in place, without touching the structure.
    if known is None or known.directions is not directions or known.version != version:
        src, dst = _edges(graph, canonical)
        offset = directions if of_edges else directions[src] - directions[dst]
        offset = offset.to(torch.int64)
        wrong = torch.nonzero(offset.abs() != 1).flatten()
        if wrong.numel():
            edge = int(wrong[0])
            raise DataError(
                f"radial edge {edge} ({int(src[edge])} → {int(dst[edge])}) has offset "
                f"{int(offset[edge])}; radial edges join consecutive spheres, so it must be ±1. "
                f"Wider kernels walk along the chain by themselves"
            )
        num_nodes = graph.num_nodes(source_type)
        steps = {
            o: CSR.from_edges(src[offset == o], dst[offset == o], num_nodes, num_nodes)
            for o in (1, -1)
        }
        radial = RadialChain(_regular_spheres(num_nodes, src, dst, offset), steps)
        known = chains[canonical] = _KnownChain(radial, directions, version)
    return known.chain


def prepare(
    graph: Any, device: torch.device, *, radial: str | None = None, self_loops: bool = True
) -> Prepared:
    """Find out what kernels on ``device`` ask of ``graph``.

    Parameters
    ----------
    graph
        A DGL graph. Later changes to it go unnoticed.
    device
        Where the features will be.
    radial
        Edge type of the chain, if there is one; it must be regular.
    self_loops
        Whether layers will count each node among its own sources.

    Raises
    ------
    ValueError
        As :func:`chain`; also a chain that is not regular.
    """
    found = Prepared({}, None if radial is None else chain(graph, radial))
    if found.radial is not None and found.radial.n_spheres is None:
        raise DataError("only a regular grid can be prepared")
    for etype in graph.etypes:
        if etype == radial:
            continue
        csr = relation(graph, etype).to(device)
        found.relations[etype] = csr
        # Tracers are to see finished values only.
        if csr.num_rows == csr.num_columns:
            used = [csr.with_self_loops if self_loops else csr]
            used.append(used[0].transposed)
        else:
            used = [csr, csr.transposed]
            _ = csr.degrees, csr.has_childless, csr.padded_sources
        for each in used:
            _ = each.num_sources, each.num_destinations
    return found


def source_features(feat: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    """Features of the nodes that edges start from.

    Layers of DGL may be given a pair, of the sources and of the destinations; ``HeteroGraphConv``
    always gives one.
    """
    return feat[0] if isinstance(feat, tuple) else feat
