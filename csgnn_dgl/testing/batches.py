"""Samples of a batch must not see each other."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from csgnn_dgl.testing.compare import assert_close

__all__ = ["assert_batch_independent"]


@torch.no_grad()
def assert_batch_independent(
    function: Callable[[Tensor], Tensor], samples: Tensor, *, tolerance: float | None = None
) -> float:
    """What a sample gives does not depend on the others of its batch, nor on its place there.

    Parameters
    ----------
    function
        Samples ``(B, …)`` → ``(B, …)``; deterministic, such as a model in evaluation mode.
    samples
        At least two, which differ.
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
    >>> clouds = torch.rand(3, 9, 3, dtype=torch.float64)
    >>> assert_batch_independent(lambda p: p.mean(dim=1), clouds) < 1e-14
    True
    >>> assert_batch_independent(lambda p: p.mean(dim=1) - p.mean(), clouds)
    Traceback (most recent call last):
    ...
    AssertionError: a sample's output depends on the others of its batch: ...
    """
    reference = function(samples)
    alone = torch.cat([function(sample[None]) for sample in samples])
    what = "a sample's output depends on the others of its batch"
    errors = [assert_close(alone, reference, what, tolerance=tolerance)]
    what = "a sample's output depends on its place in the batch"
    turned = function(samples.flip(0)).flip(0)
    errors.append(assert_close(turned, reference, what, tolerance=tolerance))
    return max(errors)
