"""A scale and a shift per channel, moved into the weights of the layer before."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["Affine", "folded", "of_batch_norm"]


class Affine(NamedTuple):
    """``scale · x + shift`` per channel, each of shape ``(F,)``."""

    scale: Tensor
    shift: Tensor


def of_batch_norm(norm: nn.BatchNorm1d) -> Affine | None:
    """What ``norm`` does in evaluation; none while it normalises by the batch itself."""
    if norm.training or norm.running_mean is None or norm.running_var is None:
        return None
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.weight is None:
        return Affine(scale, -norm.running_mean * scale)
    scale = scale * norm.weight
    return Affine(scale, norm.bias - norm.running_mean * scale)


def folded(
    weight: Tensor, bias: Tensor | None, then: Affine | None
) -> tuple[Tensor, Tensor | None]:
    """Weights ``(F, ...)`` and bias of a linear layer that applies ``then`` as well.

    Examples
    --------
    >>> then = Affine(torch.tensor([2.0]), torch.tensor([1.0]))
    >>> folded(torch.tensor([[3.0]]), torch.tensor([4.0]), then)
    (tensor([[6.]]), tensor([9.]))
    """
    if then is None:
        return weight, bias
    scale, shift = then
    bias = shift if bias is None else bias * scale + shift
    return weight * scale.view(-1, *[1] * (weight.dim() - 1)), bias
