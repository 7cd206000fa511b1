"""Index tensors of a graph that tracers can follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from csgnn_dgl.nn.radial_chain import RadialChain
from csgnn_dgl.ops import CSR

__all__ = ["Prepared", "finish", "finish_tangents"]


@dataclass
class Prepared:
    """Index tensors of one graph, which layers accept in place of the graph.

    Tracers (``torch.compile``, ``torch.export``) cannot trace DGL graphs, but they can trace this
    class. All other attributes are those of the graph, so that layers that do not know this class,
    such as DGL's own, accept it too.

    Attributes
    ----------
    relations
        Prepared relations by name; others are looked up in the graph.
    radial
        The chain, if there is one.
    self_loops
        Whether the relations are prepared for layers with self loops.
    graph
        Returns the graph.
    reach
        Largest number of steps along the chain that is prepared.
    tangents
        Weights of gradients, by relation; others are looked up in the graph.
    """

    relations: dict[str, CSR]
    radial: RadialChain | None
    self_loops: bool
    graph: Callable[[], Any]
    reach: int = 1
    tangents: dict[str, CSR] = field(default_factory=dict)

    def on(self, device: torch.device, graph: Callable[[], Any]) -> Prepared:
        """Copy to another device, for another graph of the same structure."""
        relations = {name: csr.to(device) for name, csr in self.relations.items()}
        for csr in relations.values():
            finish(csr, self.self_loops)
        directions = {name: found.to(device) for name, found in self.tangents.items()}
        for found in directions.values():
            finish_tangents(found)
        radial = None if self.radial is None else self.radial.on(device, self.reach)
        return Prepared(relations, radial, self.self_loops, graph, self.reach, directions)

    def __getitem__(self, etype: str | tuple[str, str, str]) -> Any:
        return self.graph()[etype]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "graph" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.graph(), name)


def finish(csr: CSR, self_loops: bool) -> None:
    """Compute all derived tensors of a relation now, because tracers cannot compute them."""
    if csr.num_rows == csr.num_columns:
        used = [csr.with_self_loops if self_loops else csr]
        used.append(used[0].transposed)
    else:
        used = [csr, csr.transposed]
        _ = csr.degrees, csr.has_childless, csr.reaches_all, csr.padded_sources
    for each in used:
        _ = each.num_sources, each.num_destinations


def finish_tangents(found: CSR) -> None:
    """Do the same for the weights of gradients."""
    for each in (found, found.transposed):
        _ = each.num_sources, each.num_destinations
