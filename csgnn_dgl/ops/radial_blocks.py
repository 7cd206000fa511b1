"""Radial convolution on spheres of different levels, in blocks of equal chains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from csgnn_dgl.ops.csr import CSR
from csgnn_dgl.ops.lasting import lasting
from csgnn_dgl.ops.neighbor_sum import neighbor_sum
from csgnn_dgl.ops.node_linear import node_linear
from csgnn_dgl.ops.radial import radial_conv_regular

__all__ = ["ChainBlock", "Crossing", "radial_conv_in_blocks"]


@dataclass(frozen=True)
class ChainBlock:
    """Consecutive chains of nodes, all of the same length: ``chains · length`` nodes."""

    chains: int
    length: int


@dataclass(frozen=True, eq=False)
class Crossing:
    """Radial edges of one offset that lead from one chain to another.

    Attributes
    ----------
    offset
        Sphere of the sources minus sphere of the ends.
    sources, ends
        Nodes from which edges start, and to which they lead, int64, each once.
    csr
        Relation from ``sources`` to ``ends``.

    Examples
    --------
    >>> csr = CSR.from_edges(torch.tensor([3, 5]), torch.tensor([7, 7]), 9, 9)
    >>> crossing = Crossing.of(-1, csr)
    >>> crossing.sources.tolist(), crossing.ends.tolist(), crossing.csr.indices.tolist()
    ([3, 5], [7], [0, 1])
    """

    offset: int
    sources: Tensor
    ends: Tensor
    csr: CSR
    _on_device: dict[torch.device, Crossing] = field(default_factory=dict, repr=False)

    @classmethod
    @lasting
    def of(cls, offset: int, csr: CSR) -> Crossing:
        """Leave out the nodes without an edge from a relation between all nodes."""
        sources, src = torch.unique(csr.indices, return_inverse=True)
        ends, dst = torch.unique(csr.rows, return_inverse=True)
        edges = CSR.from_edges(src, dst, len(ends), len(sources), weights=csr.weights)
        return cls(offset, sources, ends, edges)

    def to(self, device: torch.device) -> Crossing:
        """Copy to another device, with all that is derived, because tracers cannot derive it.

        The copy is made once and kept: a copy in each step would wait for a GPU, and a step that
        copies cannot be recorded.
        """
        if device in self._on_device:
            return self._on_device[device]
        csr = self.csr.to(device)
        _ = csr.num_sources, csr.num_destinations, csr.transposed
        with torch.inference_mode(False):
            sources, ends = self.sources.to(device), self.ends.to(device)
        copied = Crossing(self.offset, sources, ends, csr)
        # Tensors of a tracer cannot be used outside of it, so they are not kept.
        if type(sources) is Tensor:
            self._on_device[device] = copied
        return copied


class _Divide(torch.autograd.Function):
    """Blocks of the features, and copies of some of their rows."""

    @staticmethod
    def forward(ctx: Any, feat: Tensor, sizes: list[int], *rows: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(*rows)
        return *feat.split(sizes), *(feat.index_select(0, some) for some in rows)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rows = ctx.saved_tensors
        blocks = len(grads) - len(rows)
        # In place, because nothing else has the result of the concatenation. Autograd would fill a
        # tensor of the size of all nodes for every part, and add them up.
        out = torch.cat(grads[:blocks])
        for some, grad in zip(rows, grads[blocks:], strict=True):
            out = out.index_add_(0, some, grad)
        return out, None, *(None,) * len(rows)


def radial_conv_in_blocks(
    feat: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    blocks: tuple[ChainBlock, ...],
    crossings: Sequence[Crossing],
) -> Tensor:
    """Radial convolution where nodes form blocks of equal chains, zero padded.

    Within a block it is :func:`~csgnn_dgl.ops.radial_conv_regular`. What a chain gets from others,
    at the ends of the spheres that have its vertex, is added.

    Parameters
    ----------
    feat
        Shape ``(num_nodes, B, C)``.
    weight
        Shape ``(F, C, K)``, ``K`` odd.
    bias
        Shape ``(F,)``, or None.
    blocks
        Chains of all nodes, in order.
    crossings
        Edges between chains, for each offset within the kernel.

    Returns
    -------
    Tensor
        Shape ``(num_nodes, B, F)``.
    """
    sizes = [block.chains * block.length for block in blocks]
    parts = _Divide.apply(feat, sizes, *(each.sources for each in crossings))
    inside, between = parts[: len(blocks)], parts[len(blocks) :]
    out = torch.cat(
        [
            radial_conv_regular(part, weight, bias, block.length)
            for part, block in zip(inside, blocks, strict=True)
        ]
    )
    middle = weight.shape[2] // 2
    for part, each in zip(between, crossings, strict=True):
        # The product comes first, because a vertex is the parent of several.
        shares = neighbor_sum(each.csr, node_linear(part, weight[:, :, middle + each.offset]))
        # In place, because the gradient of a concatenation does not need its result.
        out = out.index_add_(0, each.ends, shares.to(out.dtype))
    return out
