"""Refuse graphs on which a layer would silently compute a wrong result.

DGL's transforms do not know about spheres. ``add_self_loop`` sets the ``offset`` of new edges to 1,
``add_reverse_edges`` doubles relations that go both ways already, and ``reverse`` keeps offsets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from csgnn_dgl.errors import DataError
from csgnn_dgl.ops import CSR

__all__ = ["check_block", "check_offsets", "check_one_relation", "check_sites", "check_weights"]

Canonical = tuple[str, str, str]


def _first(condition: Tensor) -> int | None:
    """Index of the first true value; None if there is none."""
    where = torch.nonzero(condition).flatten()
    return int(where[0]) if where.numel() else None


def _repeated(keys: Tensor) -> int | None:
    """Index of a value that occurs earlier; None if all are different."""
    order = torch.argsort(keys, stable=True)
    sorted_keys = keys[order]
    again = _first(sorted_keys[1:] == sorted_keys[:-1])
    return None if again is None else int(order[again + 1])


def check_one_relation(edge_data: Mapping[str, Tensor]) -> None:
    """Refuse anonymous edges of several kinds, which ``dgl.to_homogeneous`` makes.

    Raises
    ------
    DataError
        There are several kinds.
    """
    kinds = edge_data.get("_TYPE")
    if kinds is not None and bool((kinds != kinds[:1]).any()):
        raise DataError(
            "the graph was made by dgl.to_homogeneous and mixes several edge types in one; give "
            "the layer the heterograph itself, or a graph with the edges of one type"
        )


def check_block(graph: Any, etype: Canonical, dst: Tensor) -> None:
    """Refuse a block of ``dgl.to_block`` whose destinations are not its first sources.

    Raises
    ------
    DataError
        The destinations are not the first sources, or edges lead to other nodes.
    """
    count = graph.number_of_dst_nodes(etype[2])
    if dst.numel() and int(dst.max()) >= count:
        raise DataError(
            f"the block has {count} destinations, but an edge of {etype} leads to number "
            f"{int(dst.max())}; make it from the edges into these nodes: "
            f"dgl.to_block(dgl.in_subgraph(graph, nodes), nodes)"
        )
    if etype[0] != etype[2]:
        return
    sources = graph.srcnodes[etype[0]].data.get("_ID")
    destinations = graph.dstnodes[etype[2]].data.get("_ID")
    if (
        sources is None
        or destinations is None
        or not torch.equal(sources[: len(destinations)], destinations)
    ):
        raise DataError(
            f"the destinations of a block of {etype} must be its first sources, in the same order, "
            f"and both must have their numbers (data '_ID'); make it with "
            f"dgl.to_block(graph, include_dst_in_src=True)"
        )


def check_sites(
    csr: CSR, etype: Canonical, source_sphere: Tensor | None, sphere: Tensor | None
) -> None:
    """Refuse doubled edges, and ``intra`` edges between spheres, on nodes with the data ``sphere``.

    On other nodes all edges are allowed, as in DGL: parallel edges may be periodic images.

    Raises
    ------
    DataError
        An edge cannot belong to a concentric grid.
    """
    if source_sphere is None or sphere is None:
        return
    twice = _repeated(csr.rows * csr.num_columns + csr.indices)
    if twice is not None:
        u, v = int(csr.indices[twice]) * csr.block, int(csr.rows[twice]) * csr.block
        raise DataError(
            f"{etype} joins node {u} to node {v} more than once, so it would count more than once. "
            f"The relations of a grid go both ways already: dgl.add_reverse_edges only doubles "
            f"them. Use the graph as it was, or dgl.to_simple"
        )
    if etype[1] != "intra":
        return
    by_node = csr.by_node
    across = _first(source_sphere[by_node.indices] != sphere[by_node.rows])
    if across is not None:
        u, v = int(by_node.indices[across]), int(by_node.rows[across])
        raise DataError(
            f"an edge of {etype} leads from node {u} on sphere {int(source_sphere[u])} to node {v} "
            f"on sphere {int(sphere[v])}, but it must stay within a sphere; correct the node data "
            f"'sphere', or give the edges another type, and the layer that type as `etype`"
        )


def check_offsets(
    etype: Canonical, src: Tensor, dst: Tensor, offset: Tensor | None, between: Tensor | None
) -> Tensor:
    """Offset of every radial edge, int64: +1 if its source is the next sphere outwards, else −1.

    Parameters
    ----------
    etype
        The relation, for messages.
    src, dst
        Ends of the edges, shape ``(num_edges,)``.
    offset
        Edge data ``offset``, if there are any.
    between
        Sphere of the source minus sphere of the destination, if nodes have the data ``sphere``.

    Raises
    ------
    DataError
        Neither is given, or they contradict each other, or an edge cannot belong to a chain.
    """
    if offset is None and between is None:
        raise DataError(
            f"the radial edges {etype} have no data 'offset' (sphere of the source minus sphere of "
            f"the destination), and the nodes have no data 'sphere' to compute it from; set one of "
            f"them"
        )
    found = between if offset is None else offset.to(torch.int64)
    assert found is not None
    loop = _first(src == dst)
    if loop is not None:
        raise DataError(
            f"radial edge {loop} joins node {int(src[loop])} to itself, but a chain leads from "
            f"sphere to sphere, and the layer's middle tap is the node itself. If "
            f"dgl.add_self_loop has added it: dgl.remove_self_loop(graph, {etype[1]!r})"
        )
    wrong = _first(found.abs() != 1)
    if wrong is not None:
        raise DataError(
            f"radial edge {wrong} ({int(src[wrong])} → {int(dst[wrong])}) has offset "
            f"{int(found[wrong])}; radial edges join consecutive spheres, so it must be ±1. "
            f"Wider kernels walk along the chain by themselves"
        )
    contradiction = None if between is None else _first(found != between)
    if contradiction is not None:
        assert between is not None
        u, v = int(src[contradiction]), int(dst[contradiction])
        raise DataError(
            f"radial edge {contradiction} ({u} → {v}) has offset {int(found[contradiction])}, but "
            f"the nodes' data 'sphere' say {int(between[contradiction])} (sphere of the source "
            f"minus sphere of the destination). DGL's transforms copy offsets that no longer fit; "
            f"delete the edge data 'offset', and it is computed from the spheres"
        )
    twice = _repeated(dst * (int(src.max()) + 1 if src.numel() else 1) + src)
    if twice is not None:
        raise DataError(
            f"radial edge {twice} ({int(src[twice])} → {int(dst[twice])}) exists twice, so it "
            f"would count twice. A grid's radial edges go both ways already: "
            f"dgl.add_reverse_edges only doubles them. Use the graph as it was, or dgl.to_simple"
        )
    return found


def check_weights(etype: Canonical, weight: Tensor) -> Tensor | None:
    """Weights of radial edges, one floating-point number for each edge; None if all are 1.

    Raises
    ------
    DataError
        They have another shape or type, are not finite, or require a gradient.
    """
    # Also without gradients: the weights are kept for later calls, which may want them.
    if weight.requires_grad:
        raise DataError(
            f"the edge data 'weight' of {etype} require a gradient, but the layer treats them as "
            f"constants and would give them none; set weight.detach() as the edge data, or weight "
            f"the features of the nodes yourself"
        )
    if weight.dim() == 2 and weight.shape[1] == 1:
        weight = weight[:, 0]  # the form that DGL's own functions broadcast
    if weight.dim() != 1 or not weight.is_floating_point():
        raise DataError(
            f"the edge data 'weight' of {etype} have shape {tuple(weight.shape)} and type "
            f"{weight.dtype}, but one floating-point number for each edge is needed; remove them, "
            f"or give them another name, if they are not weights of sources"
        )
    bad = _first(~weight.isfinite())
    if bad is not None:
        raise DataError(f"the weight of radial edge {bad} of {etype} is {float(weight[bad])}")
    return None if bool((weight == 1).all()) else weight.detach()
