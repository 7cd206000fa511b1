"""Batch norm over rows, with ReLU and residual, in as few passes as possible.

Training needs the statistics of the whole tensor before it can change a number. So the forward pass
reads the rows twice and writes them once, and the backward pass reads rows and gradients twice and
writes once. Sums are in float32 and in a fixed order. They are taken around one of the rows, so
that a mean that is much larger than the spread costs no digits.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from csgnn_dgl.ops.triton_kernels.launch import on_device_of

__all__ = ["fixed_norm_relu", "norm_relu", "norm_relu_backward"]

_PROGRAMS = 1024  # programs that sum up parts of the rows, several for each multiprocessor
_NUMBERS = 4096  # numbers of a tile


def _tile(channels: int) -> tuple[int, int]:
    """Rows and channels of a tile."""
    wide = min(triton.next_power_of_2(channels), 64)
    return _NUMBERS // wide, wide


def _parts(rows: int, channels: int) -> tuple[int, int]:
    """Number of parts of the rows, and number of rows in each, a multiple of those of a tile."""
    tall, wide = _tile(channels)
    tiles = triton.cdiv(rows, tall)
    parts = min(tiles, max(1, _PROGRAMS // triton.cdiv(channels, wide)))
    each = triton.cdiv(tiles, parts)
    return triton.cdiv(tiles, each), each * tall


# Triton compiles a kernel again for integers divisible by 16. That only pays for strides.
_VARYING = ["rows", "each", "parts"]


@triton.jit(do_not_specialize=_VARYING)
def _moments_kernel(
    x, partial, rows, channels, each, parts, TALL: tl.constexpr, WIDE: tl.constexpr
):
    part = tl.program_id(0)
    column = tl.program_id(1) * WIDE + tl.arange(0, WIDE)
    there = column < channels
    first = part.to(tl.int64) * each
    last = tl.minimum(first + each, rows)
    around = tl.load(x + first * channels + column, mask=there, other=0.0).to(tl.float32)
    total = tl.zeros((TALL, WIDE), dtype=tl.float32)
    squares = tl.zeros((TALL, WIDE), dtype=tl.float32)
    for start in range(first, last, TALL):
        row = start + tl.arange(0, TALL)
        inside = (row < last)[:, None] & there[None, :]
        place = row[:, None] * channels + column[None, :]
        value = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
        away = tl.where(inside, value - around[None, :], 0.0)
        total += away
        squares += away * away
    count = (last - first).to(tl.float32)
    shift = tl.sum(total, 0) / count
    spread = tl.maximum(tl.sum(squares, 0) - count * shift * shift, 0.0)
    tl.store(partial + part * channels + column, around + shift, mask=there)
    tl.store(partial + (parts + part) * channels + column, spread, mask=there)


@triton.jit(do_not_specialize=_VARYING)
def _join_moments_kernel(
    partial,
    mean_of,
    rstd_of,
    running_mean,
    running_var,
    bias,
    rows,
    channels,
    each,
    parts,
    eps,
    momentum,
    HAS_BIAS: tl.constexpr,
    PARTS: tl.constexpr,
    WIDE: tl.constexpr,
):
    column = tl.program_id(0) * WIDE + tl.arange(0, WIDE)
    there = column < channels
    part = tl.arange(0, PARTS)
    real = (part < parts)[:, None] & there[None, :]
    count = tl.where(part < parts, tl.minimum(each, rows - part.to(tl.int64) * each), 0)
    count = count.to(tl.float32)[:, None]
    place = part[:, None] * channels + column[None, :]
    means = tl.load(partial + place, mask=real, other=0.0)
    spreads = tl.load(partial + parts * channels + place, mask=real, other=0.0)
    mean = tl.sum(means * count, 0) / rows
    away = tl.where(real, means - mean[None, :], 0.0)
    # The mean of means is rounded; a second step takes the rounding back.
    mean += tl.sum(away * count, 0) / rows
    away = tl.where(real, means - mean[None, :], 0.0)
    variance = tl.sum(spreads + count * away * away, 0) / rows
    tl.store(mean_of + column, mean, mask=there)
    tl.store(rstd_of + column, 1.0 / tl.sqrt(variance + eps), mask=there)
    shifted = mean
    if HAS_BIAS:
        shifted += tl.load(bias + column, mask=there, other=0.0).to(tl.float32)
    old = tl.load(running_mean + column, mask=there, other=0.0).to(tl.float32)
    new = old + momentum * (shifted - old)
    tl.store(running_mean + column, new.to(running_mean.dtype.element_ty), mask=there)
    unbiased = variance * (rows / (rows - 1.0))
    old = tl.load(running_var + column, mask=there, other=0.0).to(tl.float32)
    new = old + momentum * (unbiased - old)
    tl.store(running_var + column, new.to(running_var.dtype.element_ty), mask=there)


@triton.jit(do_not_specialize=_VARYING)
def _apply_kernel(
    x,
    own,
    y,
    mean_of,
    spread_of,
    weight,
    shift,
    bias,
    rows,
    channels,
    eps,
    FIXED: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_OWN: tl.constexpr,
    TALL: tl.constexpr,
    WIDE: tl.constexpr,
):
    column = tl.program_id(1) * WIDE + tl.arange(0, WIDE)
    there = column < channels
    row = tl.program_id(0).to(tl.int64) * TALL + tl.arange(0, TALL)
    inside = (row < rows)[:, None] & there[None, :]
    place = row[:, None] * channels + column[None, :]
    mean = tl.load(mean_of + column, mask=there, other=0.0).to(tl.float32)
    scale = tl.load(spread_of + column, mask=there, other=1.0).to(tl.float32)
    if FIXED:  # the spread is a variance
        scale = 1.0 / tl.sqrt(scale + eps)
    if HAS_BIAS:
        mean -= tl.load(bias + column, mask=there, other=0.0).to(tl.float32)
    scale *= tl.load(weight + column, mask=there, other=0.0).to(tl.float32)
    move = tl.load(shift + column, mask=there, other=0.0).to(tl.float32)
    value = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
    value = (value - mean[None, :]) * scale[None, :] + move[None, :]
    # A NaN stays a NaN.
    value = tl.where(value < 0, 0.0, value)
    if HAS_OWN:
        value = value.to(y.dtype.element_ty).to(tl.float32)
        value += tl.load(own + place, mask=inside, other=0.0).to(tl.float32)
    tl.store(y + place, value.to(y.dtype.element_ty), mask=inside)


def _apply(
    x: Tensor,
    own: Tensor | None,
    y: Tensor,
    mean: Tensor,
    spread: Tensor,
    weight: Tensor,
    shift: Tensor,
    bias: Tensor | None,
    eps: float,
    fixed: bool,
) -> None:
    rows, channels = x.shape
    tall, wide = _tile(channels)
    _apply_kernel[(triton.cdiv(rows, tall), triton.cdiv(channels, wide))](
        x,
        x if own is None else own,
        y,
        mean,
        spread,
        weight,
        shift,
        weight if bias is None else bias,
        rows,
        channels,
        eps,
        FIXED=fixed,
        HAS_BIAS=bias is not None,
        HAS_OWN=own is not None,
        TALL=tall,
        WIDE=wide,
    )


def fixed_norm_relu(
    x: Tensor,
    weight: Tensor,
    shift: Tensor,
    own: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    bias: Tensor | None,
    eps: float,
) -> Tensor:
    """Compute ``relu(norm(x + bias)) + own`` with given statistics, in the memory of ``x``.

    The parameters are those of :func:`norm_relu`.
    """
    if x.numel():
        with on_device_of(x):
            _apply(x, own, x, mean, variance, weight, shift, bias, eps, fixed=True)
    return x


def norm_relu(
    x: Tensor,
    weight: Tensor,
    shift: Tensor,
    own: Tensor | None,
    running_mean: Tensor,
    running_var: Tensor,
    bias: Tensor | None,
    eps: float,
    momentum: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute ``relu(norm(x + bias)) + own`` with the statistics of this batch.

    Parameters
    ----------
    x
        Shape ``(N, F)``, contiguous, at least two rows.
    weight, shift
        Weight and bias of the norm, shape ``(F,)``.
    own
        What to add at the end, shape ``(N, F)``, contiguous, or None.
    running_mean, running_var
        Running statistics, shape ``(F,)``; they are updated.
    bias
        What to add to the rows, shape ``(F,)``, or None. The norm removes it again, so that it only
        counts for the running mean.
    eps, momentum
        As of :class:`torch.nn.BatchNorm1d`.

    Returns
    -------
    tuple of Tensor
        The result; mean of ``x``, and one over its standard deviation, shape ``(F,)``, float32.
    """
    rows, channels = x.shape
    _, wide = _tile(channels)
    parts, each = _parts(rows, channels)
    partial = torch.empty(2, parts, channels, device=x.device, dtype=torch.float32)
    mean, rstd = torch.empty(2, channels, device=x.device, dtype=torch.float32)
    y = torch.empty_like(x)
    narrow = 8
    with on_device_of(x):
        _moments_kernel[(parts, triton.cdiv(channels, wide))](
            x, partial, rows, channels, each, parts, TALL=_NUMBERS // wide, WIDE=wide
        )
        _join_moments_kernel[(triton.cdiv(channels, narrow),)](
            partial,
            mean,
            rstd,
            running_mean,
            running_var,
            mean if bias is None else bias,
            rows,
            channels,
            each,
            parts,
            eps,
            momentum,
            HAS_BIAS=bias is not None,
            PARTS=max(64, triton.next_power_of_2(parts)),
            WIDE=narrow,
            num_warps=8,
        )
        _apply(x, own, y, mean, rstd, weight, shift, None, eps, fixed=False)
    return y, mean, rstd


@triton.jit(do_not_specialize=_VARYING)
def _sums_kernel(
    x,
    grad,
    partial,
    mean_of,
    rstd_of,
    weight,
    shift,
    rows,
    channels,
    each,
    parts,
    TALL: tl.constexpr,
    WIDE: tl.constexpr,
):
    part = tl.program_id(0)
    column = tl.program_id(1) * WIDE + tl.arange(0, WIDE)
    there = column < channels
    first = part.to(tl.int64) * each
    last = tl.minimum(first + each, rows)
    mean = tl.load(mean_of + column, mask=there, other=0.0)
    rstd = tl.load(rstd_of + column, mask=there, other=0.0)
    scale = rstd * tl.load(weight + column, mask=there, other=0.0).to(tl.float32)
    move = tl.load(shift + column, mask=there, other=0.0).to(tl.float32)
    total = tl.zeros((TALL, WIDE), dtype=tl.float32)
    along = tl.zeros((TALL, WIDE), dtype=tl.float32)
    for start in range(first, last, TALL):
        row = start + tl.arange(0, TALL)
        inside = (row < last)[:, None] & there[None, :]
        place = row[:, None] * channels + column[None, :]
        away = tl.load(x + place, mask=inside, other=0.0).to(tl.float32) - mean[None, :]
        slope = tl.load(grad + place, mask=inside, other=0.0).to(tl.float32)
        slope = tl.where(away * scale[None, :] + move[None, :] > 0, slope, 0.0)
        total += slope
        along += slope * away
    tl.store(partial + part * channels + column, tl.sum(total, 0), mask=there)
    tl.store(partial + (parts + part) * channels + column, tl.sum(along, 0) * rstd, mask=there)


@triton.jit(do_not_specialize=_VARYING)
def _slope_kernel(
    x,
    grad,
    out,
    mean_of,
    rstd_of,
    weight,
    shift,
    sums,
    rows,
    channels,
    TALL: tl.constexpr,
    WIDE: tl.constexpr,
):
    column = tl.program_id(1) * WIDE + tl.arange(0, WIDE)
    there = column < channels
    row = tl.program_id(0).to(tl.int64) * TALL + tl.arange(0, TALL)
    inside = (row < rows)[:, None] & there[None, :]
    place = row[:, None] * channels + column[None, :]
    mean = tl.load(mean_of + column, mask=there, other=0.0)
    rstd = tl.load(rstd_of + column, mask=there, other=0.0)
    scale = rstd * tl.load(weight + column, mask=there, other=0.0).to(tl.float32)
    move = tl.load(shift + column, mask=there, other=0.0).to(tl.float32)
    constant = tl.load(sums + column, mask=there, other=0.0) / rows
    linear = tl.load(sums + channels + column, mask=there, other=0.0) / rows * rstd
    away = tl.load(x + place, mask=inside, other=0.0).to(tl.float32) - mean[None, :]
    slope = tl.load(grad + place, mask=inside, other=0.0).to(tl.float32)
    slope = tl.where(away * scale[None, :] + move[None, :] > 0, slope, 0.0)
    slope = (slope - constant[None, :] - away * linear[None, :]) * scale[None, :]
    tl.store(out + place, slope.to(out.dtype.element_ty), mask=inside)


def norm_relu_backward(
    grad: Tensor, x: Tensor, weight: Tensor, shift: Tensor, mean: Tensor, rstd: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the rows, and of weight and bias of the norm (float32)."""
    grad = grad.contiguous()
    rows, channels = x.shape
    tall, wide = _tile(channels)
    parts, each = _parts(rows, channels)
    columns = triton.cdiv(channels, wide)
    partial = torch.empty(2, parts, channels, device=x.device, dtype=torch.float32)
    out = torch.empty_like(x)
    known = (mean, rstd, weight, shift)
    tile = {"TALL": tall, "WIDE": wide}
    with on_device_of(x):
        _sums_kernel[(parts, columns)](
            x, grad, partial, *known, rows, channels, each, parts, **tile
        )
        sums = partial.sum(dim=1)
        _slope_kernel[(triton.cdiv(rows, tall), columns)](
            x, grad, out, *known, sums, rows, channels, **tile
        )
    return out, sums[1], sums[0]
