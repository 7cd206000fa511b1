"""Convert grids to NetworkX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import networkx

__all__ = ["to_networkx"]


def to_networkx(graph: Any) -> networkx.MultiDiGraph:
    """Convert any heterograph to a NetworkX graph, with all its data.

    Nodes are pairs ``(node type, id)``; edges have their edge type in ``etype``. Node and edge data
    become attributes: numbers, or lists of numbers.

    Examples
    --------
    >>> from csgnn_dgl.grid import ConcentricGrid
    >>> exported = to_networkx(ConcentricGrid(0, 2).graph())
    >>> exported.number_of_nodes(), exported.number_of_edges()
    (24, 144)
    >>> exported.nodes["vertex", 1]["sphere"]
    1
    """
    import networkx as nx

    exported = nx.MultiDiGraph()
    for ntype in graph.ntypes:
        columns = {name: column.tolist() for name, column in graph.nodes[ntype].data.items()}
        for node in range(graph.num_nodes(ntype)):
            exported.add_node(
                (ntype, node), **{name: values[node] for name, values in columns.items()}
            )
    for source_type, etype, destination_type in graph.canonical_etypes:
        canonical = (source_type, etype, destination_type)
        columns = {name: column.tolist() for name, column in graph.edges[canonical].data.items()}
        src, dst = graph.edges(etype=canonical, order="eid")
        for edge, (u, v) in enumerate(zip(src.tolist(), dst.tolist(), strict=True)):
            exported.add_edge(
                (source_type, u),
                (destination_type, v),
                etype=etype,
                **{name: values[edge] for name, values in columns.items()},
            )
    return exported
