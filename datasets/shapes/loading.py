"""Recognise the layout of shapes at a path, and read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from csgnn_dgl._foreign import excerpt
from csgnn_dgl.datasets.readers import Reader, find_reader, readers
from csgnn_dgl.datasets.shapes.attributes import width
from csgnn_dgl.datasets.shapes.base import ShapeDataset
from csgnn_dgl.datasets.shapes.families import KINDS, load_families
from csgnn_dgl.datasets.shapes.folder import load_shape_folder
from csgnn_dgl.datasets.shapes.modelnet_hdf5 import is_modelnet_hdf5, load_modelnet_hdf5
from csgnn_dgl.datasets.shapes.solids import load_solids
from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.mapping import UpAxis

__all__ = ["BUILT_IN", "SHAPE_READERS", "ShapeOptions", "is_built_in", "load_dataset"]


@dataclass(frozen=True)
class ShapeOptions:
    """Options for a reader of shapes; see :func:`load_dataset`.

    Parameters
    ----------
    points
        Points per cloud that will be used.
    pool
        Points to keep per shape; None for the reader's default.
    up_axis
        The axis that points up; None for the reader's default.
    seed
        Random seed for sampling and splits.
    cache_dir
        Folder for sampled points; None for the user's cache.
    attributes
        Attributes of the points that are wanted, in the order of the columns of
        ``ShapeSplit.attributes``.
    """

    points: int
    pool: int | None = None
    up_axis: UpAxis | None = None
    seed: int = 0
    cache_dir: Path | None = None
    attributes: tuple[str, ...] = ()


def _load_hdf5(path: Path, options: ShapeOptions) -> ShapeDataset:
    return load_modelnet_hdf5(
        path,
        points=options.points,
        pool=options.pool,
        up_axis=options.up_axis,
        attributes=options.attributes,
    )


def _load_folder(path: Path, options: ShapeOptions) -> ShapeDataset:
    return load_shape_folder(path, **vars(options))


#: Layouts of shapes, in the order in which they are tried; the last takes any folder.
SHAPE_READERS = (
    Reader(
        "shapes",
        "HDF5",
        "train_files.txt, test_files.txt, shape_names.txt, *.h5",
        is_modelnet_hdf5,
        _load_hdf5,
    ),
    Reader("shapes", "folder of classes", "CLASS/train/*, CLASS/test/*", Path.is_dir, _load_folder),
)


#: Data sets that are made, by the name that stands in place of a path.
BUILT_IN: Mapping[str, Callable[..., ShapeDataset]] = {
    "solids": load_solids,
    "families": load_families,
    "kinds": partial(load_families, kinds=KINDS, train_per_class=24, test_per_class=4),
}


def is_built_in(path: Path | None) -> bool:
    """Whether data are made: without a path, or with one of the names of :data:`BUILT_IN`.

    A folder of that name goes before it.

    Examples
    --------
    >>> is_built_in(None), is_built_in(Path("families")), is_built_in(Path("ModelNet10"))
    (True, True, False)
    """
    return path is None or (str(path) in BUILT_IN and not path.exists())


def load_dataset(
    path: Path | None,
    *,
    points: int = 1024,
    pool: int | None = None,
    up_axis: UpAxis | None = None,
    seed: int = 0,
    cache_dir: Path | None = None,
    attributes: Sequence[str] = (),
    members: int | None = None,
) -> ShapeDataset:
    """Load shapes from a folder, or make those of a built-in data set.

    Parameters
    ----------
    path
        None for the built-in solids; a name of :data:`BUILT_IN`; or a folder in one of the layouts
        of :data:`SHAPE_READERS`, or of a reader that was registered
        (:func:`csgnn_dgl.datasets.readers.register`).
    points
        Points per cloud that will be used.
    pool
        Points to keep per shape; the default depends on the layout.
    up_axis
        The axis that points up; the default depends on the layout.
    seed
        Random seed for sampling and splits.
    cache_dir
        Folder for sampled points.
    attributes
        Attributes of the points to read, too: ``"normals"`` of meshes and of files that have them,
        or columns by name.
    members
        Training shapes to make of each class, for built-in data only; default: their own number.

    Raises
    ------
    ConfigError
        ``pool`` is below ``points``, or ``members`` is given for data that are read.
    DataError
        The path holds no data that can be used, or the points lack an attribute; the message says
        what was found.

    Examples
    --------
    >>> solids = load_dataset(None, points=64)
    >>> solids.up_axis, solids.train.points.shape[1:]
    ('z', torch.Size([256, 3]))
    """
    if pool is not None and pool < points:
        raise ConfigError(f"pool is {pool}, but it must be at least points, which is {points}")
    if is_built_in(path):
        return BUILT_IN["solids" if path is None else str(path)](
            points=4 * points if pool is None else pool,
            seed=seed,
            up_axis=up_axis or "z",
            attributes=attributes,
            **({} if members is None else {"train_per_class": members}),
        )
    assert path is not None
    if members is not None:
        raise ConfigError(f"members is {members}, but {path} is no built-in data set; leave it out")
    if not path.exists():
        raise DataError(
            f"there is no data at {path}; check --data, or get some: csgnn-dgl data download "
            f"modelnet40. Built-in data: {', '.join(BUILT_IN)}"
        )
    reader = find_reader(path, readers("shapes", SHAPE_READERS))
    if reader is None:
        raise DataError(f"{path} is a file; --data takes a folder (csgnn-dgl data info --help)")
    try:
        loaded: ShapeDataset = reader.load(
            path, ShapeOptions(points, pool, up_axis, seed, cache_dir, tuple(attributes))
        )
    except PermissionError as error:
        raise DataError(
            f"there is no permission to read {error.filename or path}; change its permissions"
        ) from error
    except OSError as error:
        raise DataError(
            f"{excerpt(error.filename or path)} cannot be read: {error.strerror or error}"
        ) from error
    for split in (loaded.train, loaded.test):
        found = 0 if split.attributes is None else split.attributes.shape[-1]
        if found != width(attributes):
            raise DataError(
                f"{path}: the reader {reader.name!r} gave {found} columns of attributes, but "
                f"{width(attributes)} are needed for {', '.join(attributes)}"
            )
    return loaded
