"""Batch norm, ReLU and residual of a block in few passes, on CUDA."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from csgnn_dgl.ops.backend import triton_for

__all__ = ["can_norm_relu", "norm_relu"]

_TYPES = (torch.float32, torch.bfloat16, torch.float16)


def can_norm_relu(norm: nn.BatchNorm1d, feat: Tensor) -> bool:
    """Whether :func:`norm_relu` can do what ``norm`` would do after a convolution of ``feat``.

    Examples
    --------
    >>> can_norm_relu(nn.BatchNorm1d(3), torch.zeros(4, 3))  # not on a CPU
    False
    """
    if feat.dtype not in _TYPES or feat.numel() == 0 or triton_for(feat) is None:
        return False
    if not norm.affine or norm.running_mean is None or norm.running_var is None:
        return False
    if norm.weight.dtype not in _TYPES or norm.weight.device != feat.device:
        return False
    # With fixed statistics there is no backward pass: the weights would be fused for one.
    return norm.momentum is not None if norm.training else not torch.is_grad_enabled()


class _NormReLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        weight: Tensor,
        shift: Tensor,
        own: Tensor | None,
        bias: Tensor | None,
        norm: nn.BatchNorm1d,
    ) -> Tensor:
        kernels = triton_for(rows)
        assert kernels is not None
        out: Tensor
        out, mean, rstd = kernels.norm_relu(
            rows,
            weight,
            shift,
            own,
            norm.running_mean,
            norm.running_var,
            bias,
            norm.eps,
            norm.momentum,
        )
        ctx.save_for_backward(rows, weight, shift, mean, rstd, bias)
        ctx.eps = norm.eps
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        rows, weight, shift, mean, rstd, bias = ctx.saved_tensors
        kernels = triton_for(grad)
        slopes: tuple[Tensor, ...]
        if torch.is_grad_enabled() or kernels is None:
            slopes = _differentiable(rows, weight, shift, grad, ctx.eps)
        else:
            slopes = kernels.norm_relu_backward(grad, rows, weight, shift, mean, rstd)
        of_rows, of_weight, of_shift = slopes
        # The norm removes a constant, so its gradient is zero.
        of_bias = None if bias is None else torch.zeros_like(bias)
        return (
            of_rows,
            of_weight.to(weight.dtype),
            of_shift.to(shift.dtype),
            grad if ctx.needs_input_grad[3] else None,
            of_bias,
            None,
        )


def _differentiable(
    rows: Tensor, weight: Tensor, shift: Tensor, grad: Tensor, eps: float
) -> tuple[Tensor, ...]:
    """Gradients that can themselves be differentiated, for second derivatives."""
    with torch.enable_grad():
        given = [
            t if t.requires_grad else t.detach().requires_grad_() for t in (rows, weight, shift)
        ]
        out = F.relu(F.batch_norm(given[0], None, None, given[1], given[2], True, 0.0, eps))
        return torch.autograd.grad(out, given, grad, create_graph=True)


def norm_relu(
    norm: nn.BatchNorm1d, feat: Tensor, own: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    r"""Batch norm over all rows, ReLU, and residual.

    .. math:: y = \operatorname{ReLU}(\operatorname{norm}(x + b)) + x_\text{own}

    PyTorch would add ``bias`` in a pass of its own, and sum up its gradient in another. In training
    the norm removes it again, so its gradient is exactly zero here, and rounding noise otherwise.

    Parameters
    ----------
    norm
        The norm. In training, its running statistics are updated.
    feat
        Shape ``(..., F)``; see :func:`can_norm_relu`. In evaluation it is overwritten.
    own
        Shape ``(..., F)``, or None.
    bias
        Shape ``(F,)``, or None.

    Returns
    -------
    Tensor
        Shape ``(..., F)``.

    Raises
    ------
    ValueError
        There is only one row in training.
    """
    rows = feat.reshape(-1, feat.shape[-1]).contiguous()
    if own is not None:
        own = own.reshape(rows.shape).contiguous()
    if not norm.training:
        kernels = triton_for(rows)
        assert kernels is not None
        fixed: Tensor = kernels.fixed_norm_relu(
            rows,
            norm.weight,
            norm.bias,
            own,
            norm.running_mean,
            norm.running_var,
            bias,
            norm.eps,
        )
        return fixed.view(feat.shape)
    if len(rows) < 2:
        raise ValueError(f"expected more than 1 value per channel in training, got {len(rows)}")
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    out: Tensor = _NormReLU.apply(rows, norm.weight, norm.bias, own, bias, norm)
    return out.view(feat.shape)
