"""Fuse batch norm in evaluation into the weights of the linear layer before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["fuse_batch_norm", "is_fixed"]


def is_fixed(norm: nn.BatchNorm1d) -> bool:
    """Whether ``norm`` is in evaluation mode with statistics, and so the same for every batch."""
    return not (norm.training or norm.running_mean is None or norm.running_var is None)


def fuse_batch_norm(
    weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm1d
) -> tuple[Tensor, Tensor]:
    """Fuse ``norm`` into a linear layer; returns its weights ``(F, ...)`` and bias ``(F,)``.

    Parameters
    ----------
    weight, bias
        Parameters of the linear layer, shapes ``(F, ...)`` and ``(F,)``.
    norm
        Batch norm over ``F`` channels; see :func:`is_fixed`.

    Raises
    ------
    ValueError
        The norm depends on the batch.

    Examples
    --------
    >>> norm = nn.BatchNorm1d(1, eps=0).eval()
    >>> with torch.no_grad():
    ...     norm.running_var[0], norm.bias[0] = 4, 1
    ...     fuse_batch_norm(torch.tensor([[3.0]]), torch.tensor([4.0]), norm)
    (tensor([[1.5000]]), tensor([3.]))
    """
    if norm.training or norm.running_mean is None or norm.running_var is None:
        raise ValueError("batch norm that depends on the batch cannot be fused into weights")
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.affine:
        scale = scale * norm.weight
        shift = norm.bias - norm.running_mean * scale
    else:
        shift = -norm.running_mean * scale
    fused_bias = shift if bias is None else bias * scale + shift
    return weight * scale.view(-1, *[1] * (weight.dim() - 1)), fused_bias
