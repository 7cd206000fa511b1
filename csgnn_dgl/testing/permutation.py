"""The order of a cloud's points must not matter."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from csgnn_dgl.testing.compare import relative_error

__all__ = ["assert_permutation_invariant"]


@torch.no_grad()
def assert_permutation_invariant(
    function: Callable[[Tensor], Tensor],
    points: Tensor,
    *,
    trials: int = 5,
    seed: int = 0,
    tolerance: float = 1e-10,
) -> None:
    """The output does not depend on the order of the points.

    Parameters
    ----------
    function
        Clouds ``(B, N, 3)`` → any tensor; deterministic.
    points
        Clouds ``(B, N, 3)``, float64.
    trials
        Random orders to try.
    seed
        Of the orders.
    tolerance
        Largest difference, relative to the largest output.

    Raises
    ------
    AssertionError
        It does.

    Examples
    --------
    >>> assert_permutation_invariant(lambda p: p.mean(dim=1), torch.rand(1, 9, 3).double())
    """
    reference = function(points)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(trials):
        order = torch.randperm(points.shape[1], generator=generator).to(points.device)
        error = relative_error(function(points[:, order]), reference)
        if not error <= tolerance:
            raise AssertionError(
                f"the output depends on the order of the points: relative error {error:.2e}, "
                f"tolerance {tolerance:.0e}"
            )
