"""Networks with weights and statistics as after some training."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn


def _randomise(model: nn.Module, seed: int = 7) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            # As large as the usual initial values, but no bias is zero and no scale one.
            size = 0.5 / max(1, parameter[0].numel()) ** 0.5 if parameter.dim() > 1 else 0.5
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * size)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d):
                assert module.running_mean is not None
                assert module.running_var is not None
                shape = module.running_mean.shape
                module.weight.add_(1)
                module.running_mean.copy_(torch.randn(shape, generator=generator) * 0.3)
                module.running_var.copy_(torch.rand(shape, generator=generator) + 0.5)


@pytest.fixture(scope="session")
def randomise() -> Callable[[nn.Module], None]:
    """Random nonzero weights and running statistics, the same ones at each call."""
    return _randomise
