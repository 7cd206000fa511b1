"""How far from invariant a function is under rotations that the grid does not share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import torch
from torch import Tensor

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.mapping import rotate_clouds

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
            turns = _turns(len(points), float(angle), generator).to(points)
            moved = function(rotate_clouds(points, turns)).flatten(1)
            errors.append((moved - reference).norm(dim=1) / size)
        found = torch.stack(errors).double()
        rows.append({"angle": angle, "mean": float(found.mean()), "largest": float(found.max())})
    return pd.DataFrame(rows)


def _turns(n: int, angle: float, generator: torch.Generator) -> Tensor:
    """Rotations ``(n, 3, 3)`` by an angle in degrees about random axes (Rodrigues' formula)."""
    axis = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    x, y, z = (axis / axis.norm(dim=1, keepdim=True)).unbind(1)
    zero = torch.zeros_like(x)
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    cross = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    radians = torch.deg2rad(torch.tensor(angle, dtype=torch.float64))
    identity = torch.eye(3, dtype=torch.float64)
    return identity + radians.sin() * cross + (1 - radians.cos()) * (cross @ cross)
