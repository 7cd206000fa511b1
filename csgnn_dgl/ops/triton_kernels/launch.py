"""Launch kernels on the device of their tensors, and check that any can be launched."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["Launcher", "on_device_of", "require_working"]

# Since this version, a compiled kernel takes all arguments, constants too.
_DIRECT = tuple(int(part) for part in triton.__version__.split(".")[:2]) >= (3, 3)


class Launcher:
    """Launches a kernel with less work on the CPU than Triton itself.

    Triton binds the arguments and looks for the compiled kernel at every launch, which takes some
    30 µs. A step of the paper's classifier has 130 launches. Here the compiled kernel is found by
    all that Triton may specialise it for, and launched.

    Parameters
    ----------
    kernel
        A function that was decorated with ``triton.jit``.
    """

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self._compiled: dict[tuple[object, ...], Any] = {}

    def __call__(
        self, grid: tuple[int, ...], *args: Any, num_warps: int = 4, **consts: Any
    ) -> None:
        """Launch with all arguments in the order of the kernel; constants come last, by name."""
        first = args[0]
        if not (_DIRECT and first.is_cuda):
            self._kernel[grid](*args, **consts, num_warps=num_warps)
            return
        key: list[object] = [first.get_device(), num_warps, *consts.values()]
        for arg in args:
            if isinstance(arg, Tensor):
                key += (arg.dtype, arg.data_ptr() % 16 == 0)
            elif isinstance(arg, int):
                # Triton specialises integers for 1, for divisibility by 16, and for their width.
                key.append((arg == 1, arg % 16 == 0, -(2**31) <= arg < 2**31))
        known = self._compiled.get(tuple(key))
        if known is None:
            if list(consts) != list(self._kernel.arg_names[len(args) :]):
                raise TypeError(f"arguments must be in the order {self._kernel.arg_names}")
            # This also launches it.
            self._compiled[tuple(key)] = self._kernel[grid](*args, **consts, num_warps=num_warps)
            return
        known[(*grid, 1, 1)[:3]](*args, *consts.values())


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
