"""Clouds of users, from arrays and from files, as a classifier needs them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from csgnn_dgl._foreign import reading
from csgnn_dgl.datasets.shapes.attributes import NORMALS, width
from csgnn_dgl.datasets.shapes.checks import check_normals, cloud_notes
from csgnn_dgl.datasets.shapes.shape_files import load_cloud, shape_points
from csgnn_dgl.errors import DataError
from csgnn_dgl.tasks.classes.trained import TrainedClassifier

__all__ = ["clouds_of_arrays", "reader_of", "squeezed"]


def reader_of(trained: TrainedClassifier, seed: int) -> Callable[[Path], tuple[Tensor]]:
    """A function that reads the cloud of a file, with the same points as in evaluation.

    Worker processes can call it. ``seed`` is the random seed for points of surfaces.
    """
    return partial(
        _read,
        points=trained.points,
        pool=trained.pool,
        cloud_pool=trained.cloud_pool,
        seed=seed,
        attributes=trained.attributes,
    )


def _read(
    file: Path, *, points: int, pool: int, cloud_pool: int, seed: int, attributes: tuple[str, ...]
) -> tuple[Tensor]:
    cloud = load_cloud(
        file, points=points, pool=pool, cloud_pool=cloud_pool, seed=seed, attributes=attributes
    )
    return (cloud,)


def clouds_of_arrays(trained: TrainedClassifier, points: npt.ArrayLike, seed: int) -> Tensor:
    """Clouds in memory with as many points as in training, ``(n, N, 3 + A)``.

    Parameters
    ----------
    trained
        The classifier.
    points
        One cloud ``(N, 3)`` or several ``(n, N, 3)``, in any unit, with the model's attributes in
        further columns. If there are more points than in training, a random part is used.
    seed
        Random seed for that part.

    Raises
    ------
    DataError
        The points are no numbers, have another shape, masked values, NaN, too few rows, absurd
        outliers or normals of length 0, or are all equal.
    """
    _refuse_masked(points)
    with reading("the array of points"):
        clouds = np.asarray(points)
        if clouds.dtype.kind not in "fiu":
            raise DataError(f"clouds are of type {clouds.dtype}, but numbers are needed")
    if clouds.ndim == 2:
        clouds = clouds[None]
    columns = 3 + width(trained.attributes)
    if clouds.ndim != 3 or clouds.shape[-1] != columns:
        listed = ", ".join(trained.attributes)
        needed = f": coordinates and {listed}" if listed else ""
        raise DataError(
            f"clouds have shape {np.shape(points)}, but (N, {columns}) or (n, N, {columns}) is "
            f"needed{needed}"
        )
    if NORMALS in trained.attributes:
        first = 3 + width(trained.attributes[: trained.attributes.index(NORMALS)])
        for index, cloud in enumerate(clouds):
            check_normals(cloud[:, first : first + 3], f"cloud {index}")
    # The same points as of a file with this cloud.
    count = trained.cloud_pool if clouds.shape[1] >= trained.cloud_pool else trained.points
    ready = [
        shape_points(Path(f"cloud {index}"), cloud, count, seed, trained.attributes)
        for index, cloud in enumerate(clouds)
    ]
    if not ready:
        return torch.zeros(0, trained.points, columns)
    return torch.from_numpy(np.stack(ready)[:, : trained.points])


def _refuse_masked(points: npt.ArrayLike) -> None:
    """Refuse masked values, which NumPy's functions would take for values that are given."""
    # A list of masked arrays becomes an array without a mask.
    for part in points if isinstance(points, (list, tuple)) else (points,):
        if np.ma.is_masked(part):
            hidden = np.ma.getmaskarray(part)
            raise DataError(
                f"the array of points has a mask that hides {int(hidden.sum())} of its "
                f"{hidden.size} numbers; leave these points out, and give an array without a mask"
            )


def squeezed(clouds: Tensor) -> list[str]:
    """Warn of clouds ``(n, N, 3 + A)`` that outliers squeeze; at most one sentence."""
    if not len(clouds):
        return []
    names = tuple(f"cloud {index}" for index in range(len(clouds)))
    return cloud_notes(clouds[:, :, :3].numpy(), names)
