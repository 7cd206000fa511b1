"""Checks of the clouds and features that are given to the mapping."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from csgnn_dgl.errors import DataError

__all__ = ["as_flat", "as_flat_features", "check_features", "check_values"]


def as_flat(points: Tensor, batch: Tensor | None, batch_size: int | None) -> tuple[Tensor, int]:
    """Points (M, 3) and number of clouds, from either form of input."""
    shape = tuple(points.shape)
    if not points.is_floating_point():
        raise DataError(f"points are {points.dtype}, but floating-point numbers are needed")
    if batch is None:
        if points.dim() != 3 or points.shape[-1] != 3:
            hint = "; for clouds of different sizes give batch too" if points.dim() == 2 else ""
            raise DataError(f"points have shape {shape}, but (B, N, 3) is needed{hint}")
        if batch_size not in (None, shape[0]):
            raise DataError(f"batch_size is {batch_size}, but the points are {shape[0]} clouds")
        if 0 in shape:
            raise DataError(f"points have shape {shape}: there is no cloud, or a cloud is empty")
        return points.reshape(-1, 3), shape[0]
    if points.dim() != 2 or points.shape[-1] != 3:
        raise DataError(f"points have shape {shape}, but with batch (M, 3) is needed")
    if batch.shape != points.shape[:1] or batch.dtype != torch.int64:
        raise DataError(
            f"batch has shape {tuple(batch.shape)} and type {batch.dtype}, but one int64 cloud "
            f"index for each of the {shape[0]} points is needed"
        )
    if batch.device != points.device:
        raise DataError(f"points are on {points.device}, but batch is on {batch.device}")
    if shape[0] == 0:
        raise DataError("there are no points at all")
    n_clouds = int(batch.max()) + 1 if batch_size is None else batch_size
    if n_clouds < 1:
        raise DataError(f"the number of clouds is {n_clouds}, but it must be at least 1")
    return points, n_clouds


def as_flat_features(features: Tensor, points: Tensor) -> Tensor:
    """Features (M, F) of all points."""
    shape = tuple(features.shape)
    if features.dim() != points.dim() or shape[:-1] != tuple(points.shape[:-1]) or 0 in shape:
        wanted = ", ".join(map(str, points.shape[:-1]))
        raise DataError(
            f"features of points have shape {shape}, but ({wanted}, F) is needed for points of "
            f"shape {tuple(points.shape)}"
        )
    if features.dtype != points.dtype or features.device != points.device:
        raise DataError(
            f"features of points are {features.dtype} on {features.device}, but the points are "
            f"{points.dtype} on {points.device}"
        )
    return features.reshape(-1, shape[-1])


def check_features(features: Tensor) -> None:
    """Check that features (M, F) are finite."""
    within = features.isfinite()
    if not bool(within.all()):
        point, column = (int(i) for i in (~within).nonzero()[0])
        raise DataError(
            f"feature {column} of point {point} is {float(features[point, column])}, but features "
            f"must be finite numbers"
        )


def check_values(points: Tensor, cloud: Tensor | None, n_clouds: int) -> None:
    """Check that coordinates can be used; with cloud indices, also these and sizes."""
    if cloud is not None:
        if bool(((cloud < 0) | (cloud >= n_clouds)).any()):
            raise DataError(
                f"cloud indices run from {int(cloud.min())} to {int(cloud.max())}, "
                f"but with {n_clouds} clouds they must lie in 0 … {n_clouds - 1}"
            )
        counts = torch.bincount(cloud, minlength=n_clouds)
        if bool((counts == 0).any()):
            raise DataError(f"cloud {int((counts == 0).nonzero()[0])} has no points")
    # The squares of larger coordinates would overflow. NaN and infinity do not lie within, either.
    wide = torch.finfo(torch.promote_types(points.dtype, torch.float32))
    limit = min(math.sqrt(wide.max) / 2, torch.finfo(points.dtype).max)
    within = points.abs() <= limit
    if not bool(within.all()):
        bad = int((~within.all(dim=1)).nonzero()[0])
        # Index of the cloud, and of the point within it.
        if cloud is None:
            index, place = divmod(bad, len(points) // n_clouds)
        else:
            index = int(cloud[bad])
            place = int((cloud[:bad] == index).sum())
        values = ", ".join(f"{value:g}" for value in points[bad].tolist())
        if bool(points[bad].isfinite().all()):
            raise DataError(
                f"point {place} of cloud {index} is too far from the origin: ({values}); scale "
                f"clouds to the unit ball (normalize_clouds)"
            )
        raise DataError(f"point {place} of cloud {index} is not finite: ({values})")
