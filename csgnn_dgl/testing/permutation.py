"""The order of a cloud's points must not matter."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from csgnn_dgl.testing.compare import assert_close

__all__ = ["assert_permutation_invariant"]


@torch.no_grad()
def assert_permutation_invariant(
    function: Callable[[Tensor], Tensor],
    points: Tensor,
    *,
    trials: int = 5,
    seed: int = 0,
    tolerance: float | None = None,
) -> float:
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
        Random seed for the orders.
    tolerance
        Largest difference, relative to the largest output; by default that of
        :data:`~csgnn_dgl.testing.TOLERANCES`.

    Returns
    -------
    float
        The largest relative error.

    Raises
    ------
    AssertionError
        It does.

    Examples
    --------
    >>> error = assert_permutation_invariant(lambda p: p.mean(dim=1), torch.rand(1, 9, 3).double())
    >>> error < 1e-14
    True
    """
    reference = function(points)
    generator = torch.Generator().manual_seed(seed)
    errors = []
    for _ in range(trials):
        order = torch.randperm(points.shape[1], generator=generator).to(points.device)
        errors.append(
            assert_close(
                function(points[:, order]),
                reference,
                "the output depends on the order of the points",
                tolerance=tolerance,
            )
        )
    return max(errors)
