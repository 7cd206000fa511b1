"""Find out what lies at a path, and read it."""

from __future__ import annotations

from pathlib import Path

from csgnn_dgl.datasets.shapes.base import ShapeDataset
from csgnn_dgl.datasets.shapes.folder import load_shape_folder
from csgnn_dgl.datasets.shapes.modelnet_hdf5 import is_modelnet_hdf5, load_modelnet_hdf5
from csgnn_dgl.datasets.shapes.solids import load_solids
from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.mapping import UpAxis

__all__ = ["load_dataset"]


def load_dataset(
    path: Path | None,
    *,
    points: int = 1024,
    pool: int | None = None,
    up_axis: UpAxis | None = None,
    seed: int = 0,
    cache_dir: Path | None = None,
) -> ShapeDataset:
    """Shapes from a folder, or the built-in solids.

    Parameters
    ----------
    path
        ModelNet40's HDF5 layout (:func:`~csgnn_dgl.datasets.shapes.load_modelnet_hdf5`), a folder
        of classes (:func:`~csgnn_dgl.datasets.shapes.load_shape_folder`), or None for the solids.
    points
        Points per cloud that will be asked for.
    pool
        Points to keep per shape; see the loaders for their defaults.
    up_axis
        The axis that points up, if the loader's default is wrong.
    seed
        Of sampling and splits.
    cache_dir
        Where sampled points are kept.

    Raises
    ------
    ConfigError
        ``pool`` is below ``points``.
    DataError
        Nothing usable is there; the message says what was found.

    Examples
    --------
    >>> solids = load_dataset(None, points=64)
    >>> solids.up_axis, solids.train.points.shape[1:]
    ('z', torch.Size([256, 3]))
    """
    if pool is not None and pool < points:
        raise ConfigError(f"pool is {pool}, but it must be at least points, which is {points}")
    if path is None:
        return load_solids(
            points=4 * points if pool is None else pool, seed=seed, up_axis=up_axis or "z"
        )
    if not path.exists():
        raise DataError(
            f"there is no data at {path}; check --data, or get some: csgnn-dgl data download "
            f"modelnet40"
        )
    if not path.is_dir():
        raise DataError(f"{path} is a file; --data takes a folder (csgnn-dgl data info --help)")
    try:
        if is_modelnet_hdf5(path):
            return load_modelnet_hdf5(path, points=points, pool=pool, up_axis=up_axis)
        return load_shape_folder(
            path, points=points, pool=pool, up_axis=up_axis, seed=seed, cache_dir=cache_dir
        )
    except PermissionError as error:
        raise DataError(
            f"{error.filename or path} may not be read: change its permissions"
        ) from error
