"""How far from invariant a function is under rotations that the grid does not share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import torch
from torch import Tensor

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.mapping import axis_rotations, rotate_clouds

__all__ = ["equivariance_curve"]


@torch.no_grad()
def equivariance_curve(
    function: Callable[[Tensor], Tensor],
    points: Tensor,
    *,
    angles: Sequence[float] = (0, 1, 2, 5, 10, 20, 45, 90, 180),
    rotations: int = 8,
    seed: int = 0,
) -> pd.DataFrame:
    """Error of invariance against the angle of rotation, about random axes.

    The error of a cloud is ``|f(R p) − f(p)| / |f(p)|``, in Euclidean norms over all its outputs.

    Parameters
    ----------
    function
        Clouds ``(B, N, 3)`` → ``(B, …)``; deterministic.
    points
        Clouds ``(B, N, 3)``.
    angles
        Angles [degrees].
    rotations
        Random axes per angle.
    seed
        Random seed for the axes.

    Returns
    -------
    pandas.DataFrame
        Columns ``angle`` [degrees], ``mean`` and ``largest`` error over clouds and axes.

    Raises
    ------
    ConfigError
        No angles, or no rotations.

    Examples
    --------
    >>> curve = equivariance_curve(lambda p: p.norm(dim=-1), torch.rand(2, 8, 3).double())
    >>> bool(curve["largest"].max() < 1e-14)
    True
    """
    if len(angles) == 0 or rotations < 1:
        raise ConfigError("at least one angle and one rotation per angle are needed")
    generator = torch.Generator().manual_seed(seed)
    reference = function(points).flatten(1)
    size = reference.norm(dim=1).clamp(min=torch.finfo(reference.dtype).tiny)
    rows = []
    for angle in angles:
        errors = []
        for _ in range(rotations):
            axes = torch.randn(len(points), 3, generator=generator, dtype=torch.float64)
            turns = axis_rotations(axes, float(angle)).to(points)
            moved = function(rotate_clouds(points, turns)).flatten(1)
            errors.append((moved - reference).norm(dim=1) / size)
        found = torch.stack(errors).double()
        rows.append({"angle": angle, "mean": float(found.mean()), "largest": float(found.max())})
    return pd.DataFrame(rows)
