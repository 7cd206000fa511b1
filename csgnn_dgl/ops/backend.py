"""Choose the library that runs a kernel. Only this module does so."""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from types import ModuleType

import torch
from torch import Tensor

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
def _triton() -> ModuleType | None:
    if importlib.util.find_spec("triton") is None:
        return None
    from csgnn_dgl.ops import triton_kernels

    return triton_kernels


def triton_for(feat: Tensor) -> ModuleType | None:
    """Get :mod:`csgnn_dgl.ops.triton_kernels` for CUDA features if ``CSGNN_TRITON=1``, else None.

    The environment variable is required until ``benchmarks/gpu.py`` has timed the kernels on a GPU.
    ``torch.compile`` always gets PyTorch's operations, which it can fuse.

    Examples
    --------
    >>> triton_for(torch.zeros(3)) is None
    True
    """
    if feat.device.type != "cuda" or torch.compiler.is_compiling():
        return None
    return _triton() if os.environ.get("CSGNN_TRITON") == "1" else None
