"""Sum over the sources of each destination, with a backward pass that is a gather, too."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from csgnn_dgl.ops.backend import triton_for
from csgnn_dgl.ops.csr import CSR
from csgnn_dgl.ops.rows import from_rows, source_rows

__all__ = ["neighbor_mean", "neighbor_sum"]


def _sum(rows: Tensor, indptr: Tensor, indices: Tensor, weights: Tensor | None) -> Tensor:
    # With one bag of rows per destination, this is one pass over contiguous rows. No tensor of the
    # size of the edges is written.
    if triton := triton_for(rows):
        out: Tensor = triton.neighbor_sum(rows, indptr, indices, weights)
        return out
    if weights is not None:
        weights = weights.to(rows.dtype)
    return F.embedding_bag(
        indices, rows, indptr, mode="sum", include_last_offset=True, per_sample_weights=weights
    )


class _NeighborSum(torch.autograd.Function):
    """Takes tensors rather than a CSR, so that compilers can trace it."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        indptr: Tensor,
        indices: Tensor,
        weights: Tensor | None,
        *back: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(indptr, indices, weights, *back)
        return _sum(rows, indptr, indices, weights)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        relation = ctx.saved_tensors
        back: Tensor = _NeighborSum.apply(grads[0], *relation[3:], *relation[:3])
        return back, *(None,) * 6


def neighbor_sum(csr: CSR, feat: Tensor) -> Tensor:
    r"""Sum of the source features of every destination.

    .. math:: y_i = \sum_{j \in N(i)} w_{ij} x_j

    Edges have the weight 1 unless the relation has others. The result equals DGL's
    ``update_all(copy_u, sum)``, or ``update_all(u_mul_e, sum)`` with weights. A destination without
    sources gets zero. The gradient is the same sum over the transposed relation, so no scatter is
    needed.

    Parameters
    ----------
    csr
        The relation.
    feat
        Source features, shape ``(num_sources, ...)``.

    Returns
    -------
    Tensor
        Shape ``(num_destinations, ...)``.

    Examples
    --------
    >>> csr = CSR.from_edges(torch.tensor([0, 1, 2]), torch.tensor([1, 0, 1]), 2, 3)
    >>> neighbor_sum(csr, torch.tensor([[1.0], [2.0], [4.0]])).tolist()
    [[2.0], [5.0]]
    """
    rows = source_rows(csr, feat)
    if csr.indices.device != feat.device:
        csr = csr.to(feat.device)
    if torch.is_grad_enabled() and feat.requires_grad:
        back = csr.transposed
        out = _NeighborSum.apply(
            rows, csr.indptr, csr.indices, csr.weights, back.indptr, back.indices, back.weights
        )
    else:
        out = _sum(rows, csr.indptr, csr.indices, csr.weights)
    return from_rows(csr, out, feat)


def neighbor_mean(csr: CSR, feat: Tensor) -> Tensor:
    """Mean of the source features of every destination; zero without sources.

    Examples
    --------
    >>> csr = CSR.from_edges(torch.tensor([0, 1, 2]), torch.tensor([1, 0, 1]), 2, 3)
    >>> neighbor_mean(csr, torch.tensor([[1.0], [2.0], [4.0]])).tolist()
    [[2.0], [2.5]]
    """
    total = neighbor_sum(csr, feat)
    if csr.indices.device != feat.device:
        csr = csr.to(feat.device)
    degrees = csr.degrees.clamp(min=1).repeat_interleave(csr.block).to(feat.dtype)
    return total / degrees.view(-1, *[1] * (feat.dim() - 1))
