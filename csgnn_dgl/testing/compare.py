"""How far two tensors are apart."""

from __future__ import annotations

from torch import Tensor

__all__ = ["relative_error"]


def relative_error(result: Tensor, reference: Tensor) -> float:
    """Largest difference, divided by the largest absolute value of the reference (if any)."""
    if result.shape != reference.shape:
        raise AssertionError(
            f"the output's shape changes from {tuple(reference.shape)} to {tuple(result.shape)}"
        )
    if reference.numel() == 0:
        raise AssertionError("the output is empty: nothing was checked")
    scale = float(reference.abs().max())
    return float((result - reference).abs().max()) / (scale or 1.0)
