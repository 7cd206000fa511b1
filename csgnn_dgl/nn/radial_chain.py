"""The radial relation of a graph, as the kernels want it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from csgnn_dgl.errors import DataError
from csgnn_dgl.ops import CSR, ChainBlock, Crossing
from csgnn_dgl.ops.lasting import lasting

__all__ = ["RadialChain", "find_blocks"]

# With more blocks of chains than this, many small convolutions would take longer than sums.
_MOST_BLOCKS = 32


@dataclass
class RadialChain:
    """The radial relation of one graph, sorted by offset.

    Attributes
    ----------
    n_spheres
        ``R`` if the graph is regular, that is if node ``v·R + r`` is vertex ``v`` on sphere ``r``
        and all spheres have the same edges; otherwise None.
    steps
        Relations from sources to destinations, for offsets +1 and −1.
    is_block
        Whether destinations have their own numbering, as in a block of ``dgl.to_block``.
    blocks
        If all nodes lie in few blocks of chains of the same length, in order, these blocks; on
        regular graphs, and if there are many, None.
    known_crossings
        Results of :meth:`crossings` by reach.
    """

    n_spheres: int | None
    steps: dict[int, CSR]
    is_block: bool = False
    blocks: tuple[ChainBlock, ...] | None = None
    known_crossings: dict[int, tuple[Crossing, ...]] = field(default_factory=dict)
    _further: dict[int, CSR] = field(default_factory=dict)

    def within(self, reach: int) -> dict[int, CSR]:
        """Compute relations for all offsets from ``-reach`` to ``reach`` except 0.

        Raises
        ------
        DataError
            The graph is a block, which holds only one step, and ``reach`` is longer.
        """
        if self.is_block and reach > 1:
            raise DataError(
                f"a block of dgl.to_block holds one step along the chain, but a kernel of size "
                f"{2 * reach + 1} walks {reach}; use kernel_size=3, or the whole graph"
            )
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

    def crossings(self, reach: int) -> tuple[Crossing, ...]:
        """What :meth:`within` has beyond the chains of :attr:`blocks`.

        Tracers cannot call it, but can look into :attr:`known_crossings`.
        """
        if reach not in self.known_crossings:
            assert self.blocks is not None
            chain = _chain_of_nodes(self.blocks)
            found = [
                Crossing.of(offset, _between(csr, offset, chain))
                for offset, csr in self.within(reach).items()
            ]
            self.known_crossings[reach] = tuple(each for each in found if len(each.ends))
        return self.known_crossings[reach]

    def on(self, device: torch.device, reach: int) -> RadialChain:
        """Copy of the chain with all that kernels of this reach need on a device."""
        if self.blocks is None:
            return self
        chain = RadialChain(None, self.steps, blocks=self.blocks)
        chain.known_crossings[reach] = tuple(each.to(device) for each in self.crossings(reach))
        return chain


@lasting
def _between(csr: CSR, offset: int, chain: Tensor) -> CSR:
    """The edges of an offset that do not follow a chain; ``chain`` is that of every node."""
    chain, rows = chain.to(csr.device), csr.rows
    along = (chain[csr.indices] == chain[rows]) & (csr.indices - rows == offset)
    other = torch.nonzero(~along).flatten()
    weights = None if csr.weights is None else csr.weights[other]
    return CSR.from_edges(
        csr.indices[other], rows[other], csr.num_rows, csr.num_columns, weights=weights
    )


@lasting
def _chain_of_nodes(blocks: tuple[ChainBlock, ...]) -> Tensor:
    """Number of the chain of every node."""
    lengths = torch.cat([torch.full((block.chains,), block.length) for block in blocks])
    return torch.repeat_interleave(torch.arange(len(lengths)), lengths)


@lasting
def find_blocks(steps: dict[int, CSR]) -> tuple[ChainBlock, ...] | None:
    """Find blocks of chains: runs of nodes that are joined to the next node, both ways.

    In a chain, no other edge of the same offset leads to a node that has an edge from within the
    chain, and these edges have the weight 1. So a dense convolution is the same for them.

    Examples
    --------
    >>> node = torch.arange(5)[:-1]  # five nodes in a row, of which the third starts a new chain
    >>> node = node[node != 1]
    >>> outer = CSR.from_edges(node + 1, node, 5, 5)
    >>> find_blocks({1: outer, -1: CSR.from_edges(node, node + 1, 5, 5)})
    (ChainBlock(chains=1, length=2), ChainBlock(chains=1, length=3))
    """
    outer, inner = steps[1], steps[-1]
    count = outer.num_rows
    if outer.block != 1 or count == 0:
        return None
    # Whether a node is joined to the next one.
    joined = _only_source(outer, 1)[:-1] & _only_source(inner, -1)[1:]
    ends = torch.nonzero(~joined).flatten() + 1
    lengths = torch.diff(ends, prepend=ends.new_zeros(1), append=ends.new_tensor([count]))
    values, chains = torch.unique_consecutive(lengths, return_counts=True)
    if len(values) > _MOST_BLOCKS or not bool(joined.any()):
        return None
    pairs = zip(chains.tolist(), values.tolist(), strict=True)
    return tuple(ChainBlock(chains, length) for chains, length in pairs)


def _only_source(csr: CSR, offset: int) -> Tensor:
    """Whether the only source of each node is the node at ``offset``, with the weight 1."""
    alone = csr.degrees == 1
    first = csr.indptr[:-1].clamp(max=max(csr.indices.numel() - 1, 0))
    if not csr.indices.numel():
        return alone
    alone &= csr.indices[first] == torch.arange(csr.num_rows, device=csr.device) + offset
    if csr.weights is not None:
        alone &= csr.weights[first] == 1
    return alone
