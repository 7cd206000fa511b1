"""Choose the library that runs a kernel. Only this module does so."""

from __future__ import annotations

import importlib.util
import os
import warnings
from functools import cache
from types import ModuleType

import torch
from torch import Tensor, nn

__all__ = ["onednn_for", "triton_for"]

_ONEDNN = torch.backends.mkldnn.is_available()


def onednn_for(feat: Tensor, *types: torch.dtype) -> bool:
    """Whether oneDNN runs a convolution of ``feat``: on CPUs, if it has one of these ``types``.

    Examples
    --------
    >>> onednn_for(torch.zeros(3, dtype=torch.float64), torch.float32)
    False
    """
    return _ONEDNN and feat.device.type == "cpu" and feat.dtype in types


@cache
def _triton(device: torch.device) -> ModuleType | None:
    """Our Triton kernels, if Triton can compile and run one of them on this device."""
    if importlib.util.find_spec("triton") is None:
        return None
    try:
        from csgnn_dgl.ops import triton_kernels

        triton_kernels.require_working(device)
    except Exception as error:  # Triton raises errors of its own, of compilers and of drivers
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        warnings.warn(
            f"Triton cannot be used on {device} ({reason}), so slower kernels are used. Triton "
            f"needs a C compiler and a GPU of compute capability 7.0 or newer",
            stacklevel=2,
        )
        return None
    return triton_kernels


def triton_for(feat: Tensor) -> ModuleType | None:
    """Get :mod:`csgnn_dgl.ops.triton_kernels` for features on a CUDA device, else None.

    On an H100, a neighbour sum takes a seventh of the time of PyTorch's, see
    ``docs/performance.md``. The environment variable ``CSGNN_TRITON=0`` switches the kernels off.
    ``torch.compile`` always gets PyTorch's operations, which it can fuse, and subclasses of Tensor
    hold no memory that a kernel could read.

    Examples
    --------
    >>> triton_for(torch.zeros(3)) is None
    True
    """
    if not feat.is_cuda or torch.compiler.is_compiling():
        return None
    if type(feat) is not Tensor and type(feat) is not nn.Parameter:
        return None
    if os.environ.get("CSGNN_TRITON") == "0":
        return None
    return _triton(feat.device)
