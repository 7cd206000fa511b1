"""How far results may be apart: one table for all checks."""

from __future__ import annotations

from collections.abc import Mapping

import torch

__all__ = ["TOLERANCES", "tolerance_of"]

#: Largest relative error that rounding explains, by type of the numbers.
TOLERANCES: Mapping[torch.dtype, float] = {
    torch.float64: 1e-10,
    torch.float32: 1e-4,
    torch.float16: 0.02,
    torch.bfloat16: 0.1,
}


def tolerance_of(*dtypes: torch.dtype) -> float:
    """The tolerance of the coarsest of these types; of types without rounding, zero.

    Examples
    --------
    >>> tolerance_of(torch.float64), tolerance_of(torch.float64, torch.float32)
    (1e-10, 0.0001)
    """
    return max(TOLERANCES.get(dtype, 0.0) for dtype in dtypes)
