"""A fixed, invariant fingerprint of a point cloud."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["LENGTH", "shape_fingerprint"]

# Points used, neighbours of a point, and clouds computed at a time.
_POINTS, _NEAR, _CLOUDS = 384, 12, 16
_SHARES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
_FEW = (0.1, 0.3, 0.5, 0.7, 0.9)
#: Length of a fingerprint.
LENGTH = 2 * len(_SHARES) + 3 + 3 * len(_FEW) + 2


@torch.no_grad()
def shape_fingerprint(clouds: Tensor) -> Tensor:
    """Describe clouds by numbers that do not depend on orientation, nor on any training.

    It serves to compare shapes with those in training data. Its parts are

    - quantiles of the distances between points, the shape distribution D2 of Osada et al., ACM
      Trans. Graph. 21, 807, 2002, doi 10.1145/571647.571648;
    - quantiles of the distances of points from the origin;
    - the principal extents of the cloud;
    - quantiles over points of the extents of their surroundings: how dense, flat or line-like a
      cloud is where one looks at it closely.

    All are relative to the cloud's largest distance from the origin. At most 384 points are used,
    evenly spaced in their order, and computation is in double precision.

    Parameters
    ----------
    clouds
        Centred clouds.

    Shapes
    ------
    ``(B, N, 3)`` → ``(B, 46)``, float64.

    Examples
    --------
    >>> shape_fingerprint(torch.randn(2, 100, 3)).shape
    torch.Size([2, 46])
    """
    parts = [_fingerprints(part) for part in clouds.double().split(_CLOUDS)]
    return torch.cat([clouds.new_zeros((0, LENGTH), dtype=torch.float64), *parts])


def _fingerprints(clouds: Tensor) -> Tensor:
    count = clouds.shape[1]
    if count > _POINTS:
        chosen = torch.linspace(0, count - 1, _POINTS, device=clouds.device).round().long()
        clouds = clouds[:, chosen]
    radii = clouds.norm(dim=2)
    scale = radii.amax(dim=1).clamp(min=torch.finfo(clouds.dtype).tiny)
    clouds, radii = clouds / scale[:, None, None], radii / scale[:, None]
    centred = clouds - clouds.mean(dim=1, keepdim=True)
    extents = torch.linalg.eigvalsh(centred.transpose(1, 2) @ centred / clouds.shape[1])
    distances = torch.cdist(clouds, clouds)
    first, second = torch.triu_indices(clouds.shape[1], clouds.shape[1], 1, device=clouds.device)
    pairs = distances[:, first, second] if len(first) else distances[:, :, 0]
    near = min(_NEAR, clouds.shape[1])
    closest = distances.topk(near, dim=2, largest=False)
    index = closest.indices.flatten(1)[:, :, None].expand(-1, -1, 3)
    around = clouds.gather(1, index).view(*clouds.shape[:2], near, 3)
    around = around - around.mean(dim=2, keepdim=True)
    local = torch.linalg.eigvalsh(around.transpose(2, 3) @ around / near)
    return torch.cat(
        [
            _quantiles(pairs, _SHARES),
            _quantiles(radii, _SHARES),
            extents.clamp(min=0).sqrt(),
            *(_quantiles(part, _FEW) for part in local.clamp(min=0).sqrt().unbind(dim=2)),
            _quantiles(closest.values[:, :, -1], (0.1, 0.9)),
        ],
        dim=1,
    )


def _quantiles(values: Tensor, shares: tuple[float, ...]) -> Tensor:
    """Quantiles of every row, shape ``(B, len(shares))``."""
    ordered = values.sort(dim=1).values
    place = torch.tensor(shares, device=values.device) * (values.shape[1] - 1)
    return ordered[:, place.round().long()]
