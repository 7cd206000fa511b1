"""Sums and maxima over the sources of each row.

Each program computes a part of one row, so neighbours stream through registers, and no tensor of
the size of the edges is written. Sums are in float32, or in float64 for such features. Programs
that run at the same time work on the same columns of consecutive rows. So a source is read from
memory about once, and from the cache afterwards.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from csgnn_dgl.ops.triton_kernels.launch import on_device_of

__all__ = ["neighbor_sum", "neighborhood_max", "neighborhood_max_backward"]

_MOST = 1024  # largest count of numbers of a row per program


def _grid(num_rows: int, width: int) -> tuple[tuple[int, int], int]:
    block = min(_MOST, triton.next_power_of_2(max(width, 1)))
    return (num_rows, triton.cdiv(width, block)), block


def _wide(rows: Tensor) -> tl.dtype:
    """Type in which numbers are added up and compared."""
    return tl.float64 if rows.dtype == torch.float64 else tl.float32


@triton.jit
def _sum_kernel(
    x,
    indptr,
    indices,
    weights,
    y,
    width,
    WEIGHTED: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < width
    total = tl.zeros((BLOCK,), dtype=WIDE)
    for edge in range(tl.load(indptr + row), tl.load(indptr + row + 1)):
        source = tl.load(indices + edge)
        value = tl.load(x + source * width + column, mask=inside, other=0.0).to(WIDE)
        if WEIGHTED:
            value *= tl.load(weights + edge).to(WIDE)
        total += value
    tl.store(y + row * width + column, total.to(y.dtype.element_ty), mask=inside)


def neighbor_sum(
    rows: Tensor, indptr: Tensor, indices: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Sum over the sources of every row: ``(num_columns, width)`` → ``(num_rows, width)``.

    Each edge may have a weight, shape ``(num_edges,)``.
    """
    rows = rows.contiguous()
    out = rows.new_empty(indptr.shape[0] - 1, rows.shape[1])
    grid, block = _grid(*out.shape)
    if out.numel():
        with on_device_of(rows):
            _sum_kernel[grid](
                rows,
                indptr,
                indices,
                rows if weights is None else weights,
                out,
                rows.shape[1],
                WEIGHTED=weights is not None,
                WIDE=_wide(rows),
                BLOCK=block,
            )
    return out


@triton.jit
def _max_kernel(
    x,
    indptr,
    indices,
    y,
    winner,
    width,
    WITH_WINNER: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < width
    first = tl.load(indptr + row)
    last = tl.load(indptr + row + 1)
    best = tl.full((BLOCK,), float("-inf"), dtype=WIDE)
    place = tl.zeros((BLOCK,), dtype=tl.int32)
    for edge in range(first, last):
        source = tl.load(indices + edge)
        value = tl.load(x + source * width + column, mask=inside, other=0.0).to(WIDE)
        # The first edge always wins, so that the slot is valid for NaN and -inf, too.
        greater = (value > best) | (value != value) | (edge == first)
        if WITH_WINNER:
            place = tl.where(greater, (edge - first).to(tl.int32), place)
        best = tl.where(greater, value, best)
    tl.store(y + row * width + column, best.to(y.dtype.element_ty), mask=inside)
    if WITH_WINNER:
        tl.store(winner + row * width + column, place.to(winner.dtype.element_ty), mask=inside)


def neighborhood_max(
    rows: Tensor, indptr: Tensor, indices: Tensor, winner: Tensor | None
) -> Tensor:
    """Maximum over the sources of every row; its slot is written to ``winner``, if given."""
    rows = rows.contiguous()
    out = rows.new_empty(indptr.shape[0] - 1, rows.shape[1])
    grid, block = _grid(*out.shape)
    if out.numel():
        with on_device_of(rows):
            _max_kernel[grid](
                rows,
                indptr,
                indices,
                out,
                out if winner is None else winner,
                rows.shape[1],
                WITH_WINNER=winner is not None,
                WIDE=_wide(rows),
                BLOCK=block,
            )
    return out


@triton.jit
def _max_backward_kernel(
    grad, winner, indptr, indices, slots, y, width, WIDE: tl.constexpr, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < width
    total = tl.zeros((BLOCK,), dtype=WIDE)
    for edge in range(tl.load(indptr + row), tl.load(indptr + row + 1)):
        parent = tl.load(indices + edge)
        slot = tl.load(slots + edge)
        won = tl.load(winner + parent * width + column, mask=inside, other=-1).to(tl.int32) == slot
        value = tl.load(grad + parent * width + column, mask=inside, other=0.0).to(WIDE)
        total += tl.where(won, value, 0.0)
    tl.store(y + row * width + column, total.to(y.dtype.element_ty), mask=inside)


def neighborhood_max_backward(
    grad: Tensor, winner: Tensor, back_indptr: Tensor, back_indices: Tensor, back_slots: Tensor
) -> Tensor:
    """Compute the gradient of every source by a gather from its destinations, in a fixed order.

    Parameters
    ----------
    grad, winner
        Gradient of the maximum and its slots, shape ``(num_rows, width)``.
    back_indptr, back_indices
        The transposed relation.
    back_slots
        Slot of each of its edges in the row of the destination, int32.
    """
    grad = grad.contiguous()
    out = grad.new_empty(back_indptr.shape[0] - 1, grad.shape[1])
    grid, block = _grid(*out.shape)
    if out.numel():
        with on_device_of(grad):
            _max_backward_kernel[grid](
                grad,
                winner,
                back_indptr,
                back_indices,
                back_slots,
                out,
                grad.shape[1],
                WIDE=_wide(grad),
                BLOCK=block,
            )
    return out
