"""Maximum over the sources of each destination."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from csgnn_dgl.ops.backend import triton_for
from csgnn_dgl.ops.csr import CSR
from csgnn_dgl.ops.global_pool import global_max_beside
from csgnn_dgl.ops.rows import from_rows, source_rows

__all__ = ["neighborhood_and_global_max", "neighborhood_max"]


# Size of a piece; the piece, its candidates and their comparison together fit a level-2 cache.
_CACHED_BYTES = 1024 * 1024


def _in_blocks(rows: Tensor) -> bool:
    """Whether to work on pieces: on a CPU, but not for a compiler."""
    return rows.device.type == "cpu" and not torch.compiler.is_compiling()


def _maximum(rows: Tensor, table: Tensor, winner: Tensor | None) -> Tensor:
    """Maximum over the columns of ``table``; its slots are written to ``winner``."""
    num_rows, width = table.shape[1], rows.shape[1]
    best = rows.new_empty(num_rows, width)
    step = max(1, _CACHED_BYTES // max(width * rows.element_size(), 1))
    for start in range(0, num_rows, step):
        block = slice(start, start + step)
        top = best[block]
        torch.index_select(rows, 0, table[0, block], out=top)
        # Slots have the features' own type, because conversions would take most of the time.
        slots = torch.zeros_like(top) if winner is not None else None
        for slot in range(1, table.shape[0]):
            candidate = rows.index_select(0, table[slot, block])
            if slots is not None:
                # Strictly greater, so that the first of equals wins, as in DGL. Slots ascend, so
                # the last slot that was greater is the largest number.
                greater = torch.gt(candidate, top, out=torch.empty_like(top))
                torch.maximum(slots, greater.mul_(slot), out=slots)
            torch.maximum(top, candidate, out=top)
        if winner is not None and slots is not None:
            winner[block] = slots
    return best


def _maximum_at_once(
    rows: Tensor, table: Tensor, winner: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Like :func:`_maximum`, on whole tensors and without writing in place."""
    best = rows.index_select(0, table[0])
    for slot in range(1, table.shape[0]):
        candidate = rows.index_select(0, table[slot])
        if winner is not None:
            winner = torch.where(candidate > best, slot, winner)
        best = torch.maximum(best, candidate)
    return best, winner


def _with_winners(
    rows: Tensor, table: Tensor, indptr: Tensor, indices: Tensor, triton: bool
) -> tuple[Tensor, Tensor]:
    """Maximum over the sources of every row, and its slots."""
    # The slots are kept for the backward pass, so their type is as small as possible.
    slot_type = torch.int8 if table.shape[0] <= 127 else torch.int16
    winner = rows.new_zeros(table.shape[1], rows.shape[1], dtype=slot_type)
    if triton and (kernels := triton_for(rows)):
        return kernels.neighborhood_max(rows, indptr, indices, winner), winner
    if _in_blocks(rows):
        return _maximum(rows, table, winner), winner
    best, slots = _maximum_at_once(rows, table, winner)
    assert slots is not None
    return best, slots


def _to_winners(
    grad: Tensor, num_columns: int, winner: Tensor, indptr: Tensor, indices: Tensor, *back: Tensor
) -> Tensor:
    """Compute the gradient of the sources in a new tensor."""
    if back and not torch.is_grad_enabled() and (triton := triton_for(grad)):
        gathered: Tensor = triton.neighborhood_max_backward(grad, winner, *back)
        return gathered
    # A row without sources after the last edge has no gradient, but needs a valid index.
    first = indptr[:-1].clamp(max=indices.shape[0] - 1)
    source = indices.take(first[:, None] + winner)
    return grad.new_zeros(num_columns, grad.shape[1]).scatter_add_(0, source, grad)


# It takes ``back`` for Triton: the transposed relation, and the slots of its edges.
class _NeighborhoodMax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, table: Tensor, indptr: Tensor, indices: Tensor, *back: Tensor
    ) -> Tensor:
        best, winner = _with_winners(rows, table, indptr, indices, bool(back))
        ctx.num_columns = rows.shape[0]
        ctx.save_for_backward(winner, indptr, indices, *back)
        return best

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        out = _to_winners(grads[0], ctx.num_columns, *ctx.saved_tensors)
        return out, *(None,) * len(ctx.saved_tensors)


def neighborhood_max(csr: CSR, feat: Tensor) -> Tensor:
    r"""Channel-wise maximum over the sources of every destination.

    .. math:: y_i = \max_{j \in N(i)} x_j

    The result equals DGL's ``update_all(copy_u, max)``. The first of equal maxima gets the
    gradient, and a destination without sources gets zero.

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
    >>> neighborhood_max(csr, torch.tensor([[1.0], [2.0], [4.0]])).tolist()
    [[2.0], [4.0]]
    """
    rows = source_rows(csr, feat)
    if csr.indices.device != feat.device:
        csr = csr.to(feat.device)
    if csr.indices.numel() == 0:
        return feat.new_zeros(csr.num_destinations, *feat.shape[1:]) + feat[:0].sum()
    table = csr.padded_sources
    best: Tensor
    if torch.is_grad_enabled() and feat.requires_grad:
        best = _NeighborhoodMax.apply(rows, table, csr.indptr, csr.indices, *_back(csr, feat))
    elif triton := triton_for(rows):
        best = triton.neighborhood_max(rows, csr.indptr, csr.indices, None)
    elif _in_blocks(rows):
        best = _maximum(rows, table, None)
    else:
        best, _ = _maximum_at_once(rows, table, None)
    return _finished(csr, best, feat)


def _back(csr: CSR, feat: Tensor) -> tuple[Tensor, ...]:
    if triton_for(feat) is None:
        return ()
    return csr.transposed.indptr, csr.transposed.indices, csr.back_slots


def _finished(csr: CSR, best: Tensor, feat: Tensor) -> Tensor:
    if csr.has_childless:
        best = best.masked_fill((csr.degrees == 0)[:, None], 0)
    return from_rows(csr, best, feat)


def neighborhood_and_global_max(csr: CSR, feat: Tensor) -> tuple[Tensor, Tensor]:
    """Compute :func:`neighborhood_max` and :func:`global_max` of the same features.

    If every source has a destination, the maximum of all sources is that of all neighbourhoods,
    which are fewer. Its gradient then takes the same way back.

    Parameters
    ----------
    csr
        The relation.
    feat
        Source features, shape ``(num_sources, ...)``.

    Returns
    -------
    tuple of Tensor
        Shapes ``(num_destinations, ...)`` and ``(...)``.

    Examples
    --------
    >>> csr = CSR.from_edges(torch.tensor([0, 1, 2]), torch.tensor([1, 0, 1]), 2, 3)
    >>> best, largest = neighborhood_and_global_max(csr, torch.tensor([[1.0], [2.0], [4.0]]))
    >>> best.tolist(), largest.tolist()
    ([[2.0], [4.0]], [4.0])
    """
    if csr.reaches_all:
        return global_max_beside(neighborhood_max(csr, feat))
    feat, largest = global_max_beside(feat)
    return neighborhood_max(csr, feat), largest
