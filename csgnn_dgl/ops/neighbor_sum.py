"""Sum over the sources of each destination, with a backward pass that gathers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from csgnn_dgl.ops.backend import triton_for
from csgnn_dgl.ops.csr import CSR
from csgnn_dgl.ops.rows import as_rows

__all__ = ["neighbor_mean", "neighbor_sum"]


def _sum(feat: Tensor, indptr: Tensor, indices: Tensor) -> Tensor:
    # A bag of rows per destination: one pass over contiguous rows, nothing of the size of the
    # edges is ever written.
    rows = as_rows(feat)
    if triton := triton_for(rows):
        out = triton.neighbor_sum(rows, indptr, indices)
    else:
        out = F.embedding_bag(indices, rows, indptr, mode="sum", include_last_offset=True)
    return out.view(indptr.shape[0] - 1, *feat.shape[1:])


class _NeighborSum(torch.autograd.Function):
    """Takes tensors rather than a CSR, for compilers to follow."""

    @staticmethod
    def forward(ctx: Any, feat: Tensor, *relation: Tensor) -> Tensor:
        ctx.save_for_backward(*relation)
        return _sum(feat, relation[0], relation[1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        indptr, indices, back_indptr, back_indices = ctx.saved_tensors
        back: Tensor = _NeighborSum.apply(grads[0], back_indptr, back_indices, indptr, indices)
        return back, None, None, None, None


def neighbor_sum(csr: CSR, feat: Tensor) -> Tensor:
    r"""Sum of the source features of every destination.

    .. math:: y_i = \sum_{j \in N(i)} x_j

    Equal to DGL's ``update_all(copy_u, sum)``; a destination without sources gets zero. The
    gradient is the same sum over the transposed relation, so no scatter is needed.

    Parameters
    ----------
    csr
        The relation.
    feat
        Source features, shape ``(num_columns, ...)``.

    Returns
    -------
    Tensor
        Shape ``(num_rows, ...)``.

    Examples
    --------
    >>> csr = CSR.from_edges(torch.tensor([0, 1, 2]), torch.tensor([1, 0, 1]), 2, 3)
    >>> neighbor_sum(csr, torch.tensor([[1.0], [2.0], [4.0]])).tolist()
    [[2.0], [5.0]]
    """
    if feat.shape[0] != csr.num_columns:
        raise ValueError(
            f"features of {feat.shape[0]} nodes given to a relation from {csr.num_columns} nodes"
        )
    if csr.indices.device != feat.device:
        csr = csr.to(feat.device)
    if not (torch.is_grad_enabled() and feat.requires_grad):
        return _sum(feat, csr.indptr, csr.indices)
    back = csr.transposed
    out: Tensor = _NeighborSum.apply(feat, csr.indptr, csr.indices, back.indptr, back.indices)
    return out


def neighbor_mean(csr: CSR, feat: Tensor) -> Tensor:
    """Mean of the source features of every destination; zero where there are none.

    Examples
    --------
    >>> csr = CSR.from_edges(torch.tensor([0, 1, 2]), torch.tensor([1, 0, 1]), 2, 3)
    >>> neighbor_mean(csr, torch.tensor([[1.0], [2.0], [4.0]])).tolist()
    [[2.0], [2.5]]
    """
    total = neighbor_sum(csr, feat)
    if csr.indices.device != feat.device:
        csr = csr.to(feat.device)
    degrees = csr.degrees.clamp(min=1).to(feat.dtype)
    return total / degrees.view(-1, *[1] * (feat.dim() - 1))
