"""How far two tensors are apart."""

from __future__ import annotations

from torch import Tensor

from csgnn_dgl.testing.tolerances import tolerance_of

__all__ = ["assert_close", "relative_error"]


def relative_error(result: Tensor, reference: Tensor) -> float:
    """Largest difference, divided by the largest absolute value of the reference (if any)."""
    if result.shape != reference.shape:
        raise AssertionError(
            f"the output's shape changes from {tuple(reference.shape)} to {tuple(result.shape)}"
        )
    if reference.numel() == 0:
        raise AssertionError("the output is empty: nothing was checked")
    result, reference = result.detach(), reference.detach()
    scale = float(reference.abs().max())
    return float((result - reference).abs().max()) / (scale or 1.0)


def assert_close(
    result: Tensor, reference: Tensor, what: str, *, tolerance: float | None = None
) -> float:
    """Two tensors are equal but for rounding.

    Parameters
    ----------
    result, reference
        Tensors of one shape.
    what
        What is wrong if they are not, for the message: "the output depends on …".
    tolerance
        Largest relative error; by default that of :data:`~csgnn_dgl.testing.TOLERANCES`.

    Returns
    -------
    float
        The relative error.

    Raises
    ------
    AssertionError
        They differ, or one holds NaN.

    Examples
    --------
    >>> import torch
    >>> assert_close(torch.ones(2), torch.ones(2), "addition rounds")
    0.0
    >>> assert_close(torch.ones(2), torch.zeros(2), "one is zero")
    Traceback (most recent call last):
    ...
    AssertionError: one is zero: relative error 1.00e+00, tolerance 1e-04
    """
    error = relative_error(result, reference)
    limit = tolerance_of(result.dtype, reference.dtype) if tolerance is None else tolerance
    if not error <= limit:  # NaN fails too
        raise AssertionError(f"{what}: relative error {error:.2e}, tolerance {limit:.0e}")
    return error
