"""Launch kernels on the device of their tensors, and check that any can be launched."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["on_device_of", "require_working"]


def on_device_of(tensor: Tensor) -> AbstractContextManager[object]:
    """Context in which kernels start on the device of ``tensor``; Triton uses the current one."""
    if tensor.is_cuda and tensor.get_device() != torch.cuda.current_device():
        return torch.cuda.device(tensor.device)
    return nullcontext()


@triton.jit
def _double_kernel(x):
    place = x + tl.arange(0, 16)
    tl.store(place, 2 * tl.load(place))


def require_working(device: torch.device) -> None:
    """Compile and run a small kernel.

    Raises
    ------
    Exception
        Triton cannot compile, the device is too old, or the numbers are wrong.
    """
    numbers = torch.arange(16, device=device)
    with on_device_of(numbers):
        _double_kernel[(1,)](numbers)
    if numbers.tolist() != list(range(0, 32, 2)):
        raise RuntimeError("a kernel computed wrong numbers")
