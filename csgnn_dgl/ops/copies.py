"""Copies from the CPU to a GPU that do not wait for the GPU."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["to_device"]


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Copy ``tensor`` to ``device``.

    A plain copy from the CPU to a GPU first waits until the GPU has finished all earlier work, and
    then the GPU waits for the next kernel. A copy from pinned memory takes its turn.

    Examples
    --------
    >>> to_device(torch.ones(2), "cpu")
    tensor([1., 1.])
    """
    device = torch.device(device)
    if device.type == "cuda" and tensor.device.type == "cpu" and torch.cuda.is_available():
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
