"""Where a kernel of our own takes the place of PyTorch's: decided here and nowhere else."""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from types import ModuleType

import torch
from torch import Tensor

__all__ = ["triton_for"]


@cache
def _triton() -> ModuleType | None:
    if importlib.util.find_spec("triton") is None:
        return None
    from csgnn_dgl.ops import triton_kernels

    return triton_kernels


def triton_for(feat: Tensor) -> ModuleType | None:
    """:mod:`csgnn_dgl.ops.triton_kernels` if ``feat`` is to go there, else none.

    That is on CUDA, with the environment variable ``CSGNN_TRITON=1``: the kernels have not been
    timed on a GPU yet (``benchmarks/gpu.py`` does), so they have to be asked for. A compiler gets
    PyTorch's operations, which it fuses itself.

    Examples
    --------
    >>> triton_for(torch.zeros(3)) is None
    True
    """
    if feat.device.type != "cuda" or torch.compiler.is_compiling():
        return None
    return _triton() if os.environ.get("CSGNN_TRITON") == "1" else None
