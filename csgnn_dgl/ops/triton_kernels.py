"""Triton kernels for CUDA. Imported only where they are used, because CPUs do not need Triton.

Each program of a kernel computes a part of one node's row, so neighbours stream through registers,
and no tensor of the size of the edges is written. Sums are in float32 for all types of features.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

__all__ = [
    "add_point_weights",
    "neighbor_sum",
    "neighborhood_max",
    "neighborhood_max_backward",
]

_MOST = 1024  # largest count of numbers of a row per program


def _grid(num_rows: int, width: int) -> tuple[tuple[int, int], int]:
    block = min(_MOST, triton.next_power_of_2(max(width, 1)))
    return (num_rows, triton.cdiv(width, block)), block


@triton.jit
def _sum_kernel(x, indptr, indices, y, width, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < width
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for edge in range(tl.load(indptr + row), tl.load(indptr + row + 1)):
        source = tl.load(indices + edge)
        total += tl.load(x + source * width + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(y + row * width + column, total.to(y.dtype.element_ty), mask=inside)


def neighbor_sum(rows: Tensor, indptr: Tensor, indices: Tensor) -> Tensor:
    """Sum over the sources of every row: ``(num_columns, width)`` → ``(num_rows, width)``."""
    rows = rows.contiguous()
    out = rows.new_empty(indptr.shape[0] - 1, rows.shape[1])
    grid, block = _grid(*out.shape)
    if out.numel():
        _sum_kernel[grid](rows, indptr, indices, out, rows.shape[1], BLOCK=block)
    return out


@triton.jit
def _max_kernel(x, indptr, indices, y, winner, width, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < width
    first = tl.load(indptr + row)
    last = tl.load(indptr + row + 1)
    best = tl.full((BLOCK,), float("-inf"), dtype=tl.float32)
    place = tl.zeros((BLOCK,), dtype=tl.int32)
    for edge in range(first, last):
        source = tl.load(indices + edge)
        value = tl.load(x + source * width + column, mask=inside, other=0.0).to(tl.float32)
        # The first edge always wins, so that the slot is valid for NaN and -inf, too.
        greater = (value > best) | (value != value) | (edge == first)
        place = tl.where(greater, (edge - first).to(tl.int32), place)
        best = tl.where(greater, value, best)
    tl.store(y + row * width + column, best.to(y.dtype.element_ty), mask=inside)
    tl.store(winner + row * width + column, place.to(winner.dtype.element_ty), mask=inside)


def neighborhood_max(rows: Tensor, indptr: Tensor, indices: Tensor, winner: Tensor) -> Tensor:
    """Maximum over the sources of every row; its slot is written to ``winner``."""
    rows = rows.contiguous()
    out = rows.new_empty(winner.shape)
    grid, block = _grid(*out.shape)
    if out.numel():
        _max_kernel[grid](rows, indptr, indices, out, winner, rows.shape[1], BLOCK=block)
    return out


@triton.jit
def _max_backward_kernel(grad, winner, indptr, indices, slots, y, width, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < width
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for edge in range(tl.load(indptr + row), tl.load(indptr + row + 1)):
        parent = tl.load(indices + edge)
        slot = tl.load(slots + edge)
        won = tl.load(winner + parent * width + column, mask=inside, other=-1).to(tl.int32) == slot
        value = tl.load(grad + parent * width + column, mask=inside, other=0.0).to(tl.float32)
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
        _max_backward_kernel[grid](
            grad, winner, back_indptr, back_indices, back_slots, out, grad.shape[1], BLOCK=block
        )
    return out


@triton.jit
def _point_weights_kernel(
    distance,
    chord,
    corner,
    cloud,
    gamma,
    out,
    num_points,
    n_spheres,
    n_clouds,
    channels,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    point = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    channel = tl.arange(0, CHANNELS)
    real = point < num_points
    away = tl.load(distance + point, mask=real, other=1.0)
    # Keep the index within the table for any distance, including NaN.
    shell = tl.maximum(tl.minimum(away * n_spheres, n_spheres - 1.0), 0.0).to(tl.int32)
    decay = -tl.load(gamma + shell, mask=real, other=1.0)[:, None]
    radius = (shell[:, None] * channels + channel[None, :] + 1).to(tl.float32)
    radius = radius / (n_spheres * channels)
    falloff = decay * (away[:, None] - radius) * (away[:, None] - radius)
    slope = decay * away[:, None] * radius
    sample = tl.load(cloud + point, mask=real, other=0)
    # A point at the origin has no direction; the caller marks it by a negative distance.
    counted = (real & ((away >= 0) | (away != away)))[:, None] & (channel < channels)[None, :]
    for k in tl.static_range(3):
        place = k * num_points + point
        weight = tl.exp(falloff + slope * tl.load(chord + place, mask=real, other=0.0)[:, None])
        vertex = tl.load(corner + place, mask=real, other=0)
        site = (vertex * n_spheres + shell) * n_clouds + sample
        where = out + site[:, None] * channels + channel[None, :]
        tl.atomic_add(where, weight, mask=counted)


def add_point_weights(
    out: Tensor, distance: Tensor, chord: Tensor, corner: Tensor, cloud: Tensor, gamma: Tensor
) -> None:
    """Add the weights of points at the sites around them to ``out``, in no fixed order.

    The weights are those of :class:`~csgnn_dgl.mapping.PointMapping` with ``radial="shell"``.

    Parameters
    ----------
    out
        Shape ``(V, R, B, C)``, float32, contiguous; it is written to.
    distance
        Distance of each point from the origin, shape ``(M,)``; points with a negative distance are
        left out.
    chord, corner
        Squared chords to the corners of each point's face, and the vertices of these corners,
        shape ``(3, M)``.
    cloud
        Cloud index of each point, shape ``(M,)``.
    gamma
        Bandwidth of each shell, shape ``(R,)``.
    """
    _, n_spheres, n_clouds, channels = out.shape
    wide = triton.next_power_of_2(channels)
    block = max(16, 512 // wide)
    points = distance.shape[0]
    if points:
        _point_weights_kernel[(triton.cdiv(points, block),)](
            distance.contiguous(),
            chord.contiguous(),
            corner.contiguous(),
            cloud.contiguous(),
            gamma,
            out,
            points,
            n_spheres,
            n_clouds,
            channels,
            CHANNELS=wide,
            BLOCK=block,
        )
