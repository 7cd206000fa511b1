"""Relations on which the kernels are compared with DGL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from csgnn_dgl._dgl import dgl
from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.ops import CSR


@dataclass(frozen=True)
class Relation:
    """A bipartite graph, the same edges as rows, and DGL's message passing on them."""

    graph: Any
    csr: CSR

    def features(self, *shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
        """Random features of the sources."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(self.csr.num_sources, *shape, generator=generator, dtype=dtype)

    def by_dgl(self, feat: Tensor, reducer: str) -> Tensor:
        """``update_all(copy_u, reducer)``."""
        with self.graph.local_scope():
            self.graph.srcdata["x"] = feat
            reduce = getattr(dgl.function, reducer)
            self.graph.update_all(dgl.function.copy_u("x", "m"), reduce("m", "y"))
            out: Tensor = self.graph.dstdata["y"]
            return out


def _relation(src: Tensor, dst: Tensor, num_columns: int, num_rows: int) -> Relation:
    graph = dgl.heterograph(
        {("source", "to", "destination"): (src, dst)},
        num_nodes_dict={"source": num_columns, "destination": num_rows},
    )
    return Relation(graph, CSR.from_edges(src, dst, num_rows, num_columns))


def _grid(etype: str) -> Relation:
    graph = ConcentricGrid(2, 3).graph()
    return _relation(*graph.edges(etype=etype, order="eid"), graph.num_nodes(), graph.num_nodes())


def _coarsening() -> Relation:
    graph = ConcentricGrid(2, 3).coarsening(2)
    ends = graph.edges(order="eid")
    return _relation(*ends, graph.num_nodes("fine"), graph.num_nodes("coarse"))


def _in_blocks(relation: Relation) -> Relation:
    found = Relation(relation.graph, relation.csr.in_blocks())
    assert found.csr.block == 3
    return found


def _random() -> Relation:
    """Isolated nodes on both sides, edges given several times, degrees from 0 to 20 or so."""
    generator = torch.Generator().manual_seed(11)
    src = torch.randint(0, 35, (400,), generator=generator)
    dst = (torch.rand(400, generator=generator).square() * 45).long()
    again = torch.randint(0, 400, (60,), generator=generator)
    return _relation(torch.cat([src, src[again]]), torch.cat([dst, dst[again]]), 40, 50)


def _hub() -> Relation:
    """One destination with more sources than an 8-bit number can count."""
    src = torch.arange(300).flip(0)
    dst = torch.zeros(300, dtype=torch.int64)
    return _relation(torch.cat([src, src[:5]]), torch.cat([dst, torch.arange(1, 6)]), 300, 7)


def _edgeless() -> Relation:
    none = torch.empty(0, dtype=torch.int64)
    return _relation(none, none, 4, 3)


_RELATIONS = {
    "intra": lambda: _grid("intra"),
    "radial": lambda: _grid("radial"),
    "coarsening": _coarsening,
    "intra, in blocks": lambda: _in_blocks(_grid("intra")),
    "coarsening, in blocks": lambda: _in_blocks(_coarsening()),
    "random": _random,
    "hub": _hub,
    "edgeless": _edgeless,
}


@pytest.fixture(params=list(_RELATIONS))
def relation(request: pytest.FixtureRequest) -> Relation:
    """Each kind of relation in turn."""
    return _RELATIONS[request.param]()


@pytest.fixture
def irregular() -> Relation:
    """The random relation."""
    return _random()
