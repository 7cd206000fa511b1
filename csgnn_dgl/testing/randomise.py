"""Weights as after some training."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["randomise"]


@torch.no_grad()
def randomise(module: nn.Module, seed: int = 0) -> None:
    """Move all weights and statistics away from where they start.

    Freshly made modules have zeros and ones where trained ones have none, which hides mistakes.

    Parameters
    ----------
    module
        The module, changed in place.
    seed
        Random seed.

    Examples
    --------
    >>> norm = nn.BatchNorm1d(2)
    >>> randomise(norm)
    >>> bool((norm.bias == 0).any()), bool((norm.running_var > 0).all())
    (False, True)
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)

    for parameter in module.parameters():
        size = 0.3 / max(1, parameter[0].numel()) ** 0.5 if parameter.dim() > 1 else 0.3
        parameter.add_(size * noise(parameter))
    for part in module.modules():
        if isinstance(part, _BatchNorm) and part.running_mean is not None:
            assert part.running_var is not None  # torch has both or neither
            part.running_mean.add_(0.3 * noise(part.running_mean))
            part.running_var.mul_((0.3 * noise(part.running_var)).exp())
