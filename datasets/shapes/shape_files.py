"""Read the points of a single mesh or cloud file."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from csgnn_dgl._foreign import check_file, reading
from csgnn_dgl.datasets.readers import Reader, find_reader, readers
from csgnn_dgl.datasets.shapes.arrays import NUMPY_SUFFIXES, read_numpy
from csgnn_dgl.datasets.shapes.attributes import (
    NORMALS,
    check_attributes,
    numbered,
    pick,
    refuse_missing,
)
from csgnn_dgl.datasets.shapes.checks import check_digits, check_points, cloud_notes, scale_exponent
from csgnn_dgl.datasets.shapes.meshes import MESH_SUFFIXES, Mesh, read_mesh, sample_surface
from csgnn_dgl.datasets.shapes.tables import TABLE_SUFFIXES, read_table
from csgnn_dgl.errors import DataError, DataWarning

__all__ = [
    "SHAPE_FILE_READERS",
    "center_and_scale",
    "is_shape_file",
    "known_shape_files",
    "load_cloud",
    "load_shape",
    "read_shape",
    "shape_points",
]


def center_and_scale(points: np.ndarray, where: str = "the cloud") -> np.ndarray:
    """Move the mean of a cloud ``(N, 3)`` to the origin and its farthest point to distance 1.

    Both steps commute with rotations about the origin.

    Parameters
    ----------
    points
        Shape ``(N, 3)``, any unit.
    where
        Origin of the points, for messages.

    Raises
    ------
    DataError
        The points are NaN, infinite or all equal, or a few are so far out that all others would
        become one point (:func:`~csgnn_dgl.datasets.shapes.checks.check_points`).

    Examples
    --------
    >>> center_and_scale(np.array([[1.0, 0.0, 0.0], [5.0, 0.0, 0.0]]))[:, 0].tolist()
    [-1.0, 1.0]
    """
    check_points(points, where)
    # Powers of two change no digit. With them, squares neither overflow nor vanish.
    scaled = np.ldexp(points, -scale_exponent(points))
    centred = scaled - scaled.mean(axis=0)
    centred = np.ldexp(centred, -scale_exponent(centred))
    return np.asarray(centred / np.linalg.norm(centred, axis=1).max())


def load_shape(
    path: Path,
    *,
    points: int,
    seed: int = 0,
    pool: int | None = None,
    attributes: Sequence[str] = (),
) -> Tensor:
    """Read the points of one file, centred and scaled.

    A surface is sampled uniformly by area. If a cloud has more than ``points`` points, a random
    part is kept.

    Parameters
    ----------
    path
        A mesh (.off .obj .ply .stl) or a cloud (.npy .npz .ply .xyz .pts .txt).
    points
        Number of points to return.
    seed
        Random seed for the sampling.
    pool
        Number of points to sample, of which the first ``points`` are returned. With the pool size
        of a data set, the points are the same as in the data set. It is ignored for a cloud with
        fewer points.
    attributes
        Attributes of the points to read, too: ``"normals"``, of a mesh or of a file that has them,
        or columns by name; see :func:`read_shape`.

    Returns
    -------
    Tensor
        Shape ``(points, 3)``, or ``(points, 3 + A)`` with the columns of attributes, float32.

    Raises
    ------
    DataError
        The file is missing, unreadable, empty, has NaN, no area, absurd outliers, too few points,
        or lacks an attribute.

    Warns
    -----
    DataWarning
        A few points lie so far out that they squeeze the others to a small part of the ball.
    """
    cloud = load_cloud(path, points=points, seed=seed, pool=pool, attributes=attributes)
    for note in cloud_notes(cloud[None, :, :3].numpy(), (str(path),)):
        warnings.warn(note, DataWarning, stacklevel=2)
    return cloud


def load_cloud(
    path: Path,
    *,
    points: int,
    seed: int = 0,
    pool: int | None = None,
    cloud_pool: int | None = None,
    attributes: Sequence[str] = (),
) -> Tensor:
    """Like :func:`load_shape`, without its warning.

    ``cloud_pool`` takes the place of ``pool`` for files that hold a cloud.

    Callers that report warnings with their results use
    :func:`~csgnn_dgl.datasets.shapes.checks.cloud_notes`.
    """
    shape = read_shape(path, attributes)
    wanted = pool if isinstance(shape, Mesh) or cloud_pool is None else cloud_pool
    count = max(points, wanted or points)
    if not isinstance(shape, Mesh) and len(shape) < count:
        count = points
    return torch.from_numpy(shape_points(path, shape, count, seed, attributes)[:points])


def read_shape(path: Path, attributes: Sequence[str] = ()) -> Mesh | np.ndarray:
    """Read a mesh, or a cloud of shape ``(M, 3 + A)``, by the file's suffix and content.

    Parameters
    ----------
    path
        The file, in a format of :data:`SHAPE_FILE_READERS` or of a reader that was registered
        (:func:`csgnn_dgl.datasets.readers.register`).
    attributes
        Attributes of a cloud's points to read, too, in this order. In .ply files they are named in
        the header. In tables and arrays they are called column4, column5, …, and columns 4 to 6 are
        ``"normals"`` if every row of them has the length 1. A mesh has the normals of its faces,
        which come with the points that are sampled on it.

    Raises
    ------
    DataError
        The file is missing, of an unknown kind, unreadable or empty, or lacks an attribute.
    """
    check_file(path)
    reader = _reader(path)
    if reader is None:
        raise DataError(
            f"{path} is not a mesh or cloud file that can be read; suffixes: {known_shape_files()}"
        )
    with reading(path, advice="it may be damaged"):
        if reader.load is read_mesh:
            found = read_mesh(path, attributes)
            if not isinstance(found, Mesh):
                named = found[:, 3:] if attributes else None
                return _checked_cloud(path, found, attributes, named)
        else:
            found = reader.load(path)
        if isinstance(found, Mesh):
            refuse_missing(attributes, (NORMALS,), str(path))
            return found
        return _checked_cloud(path, found, attributes)


def is_shape_file(path: Path) -> bool:
    """Whether there is a reader for a file with this name.

    Examples
    --------
    >>> is_shape_file(Path("chair.off")), is_shape_file(Path("chair.jpg"))
    (True, False)
    """
    return _reader(path) is not None


def known_shape_files() -> str:
    """Suffixes of the files that can be read, in a line."""
    return " ".join(reader.layout for reader in readers("shape file", SHAPE_FILE_READERS))


def _reader(path: Path) -> Reader | None:
    return find_reader(path, readers("shape file", SHAPE_FILE_READERS))


def shape_points(
    path: Path,
    shape: Mesh | np.ndarray,
    count: int,
    seed: int,
    attributes: Sequence[str] = (),
) -> np.ndarray:
    """Choose ``count`` points of the shape read from ``path``, centred and scaled.

    The sampling depends on the seed and the shape, not on the path or the order of files, nor on
    attributes.

    Returns
    -------
    numpy.ndarray
        Shape ``(count, 3 + A)``, float32, with the columns of attributes. A cloud must have them
        already (:func:`read_shape`).

    Raises
    ------
    DataError
        As in :func:`load_shape`.
    """
    if not isinstance(shape, Mesh):
        check_digits(shape[:, :3], str(path))
        shape = shape.astype(np.float64)
    arrays = (shape.vertices, shape.faces) if isinstance(shape, Mesh) else (shape[:, :3],)
    digest = hashlib.sha256(str(seed).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    seed = int.from_bytes(digest.digest()[:4], "little")
    if isinstance(shape, Mesh):
        with reading(path):  # a mesh may need more memory than there is
            points = sample_surface(shape, count, seed, str(path), normals=NORMALS in attributes)
        return _placed(points, str(path))
    if len(shape) < count:
        raise DataError(
            f"{path} has {len(shape)} points, but {count} are asked for; lower --points (or --pool)"
            f" to at most {len(shape)}"
        )
    where = str(path)
    check_attributes(shape[:, 3:], attributes, where)
    if len(shape) > count:
        check_points(shape[:, :3], where)
        where = f"{path} (a random part)"
        shape = shape[np.random.default_rng(seed).permutation(len(shape))[:count]]
    return _placed(shape, where)


def _placed(points: np.ndarray, where: str) -> np.ndarray:
    """Centre and scale the coordinates of points ``(M, 3 + A)``, and keep their attributes."""
    placed = center_and_scale(points[:, :3], where)
    return np.concatenate([placed, points[:, 3:]], axis=1).astype(np.float32)


def _checked_cloud(
    path: Path,
    array: np.ndarray,
    attributes: Sequence[str] = (),
    named: np.ndarray | None = None,
) -> np.ndarray:
    """Coordinates and attributes of points; the latter from ``named``, or else by position."""
    if array.dtype.kind not in "fiu" or array.ndim != 2 or array.shape[1] < 3:
        raise DataError(
            f"{path} holds {array.dtype} of shape {array.shape}, but numbers of shape (N, 3) are "
            f"needed"
        )
    if len(array) == 0:
        raise DataError(f"{path} holds no points; it may be truncated")
    if len(array) == 3 and array.shape[1] > 16:
        raise DataError(f"{path} holds an array of shape {array.shape}; transpose it to (N, 3)")
    check_digits(array[:, :3], str(path))
    with np.errstate(over="ignore"):  # infinite coordinates are reported later
        points = np.ascontiguousarray(array[:, :3], dtype=np.float64)
    if not attributes:
        return points
    own = pick(numbered(array), attributes, str(path)) if named is None else named
    return np.concatenate([points, own], axis=1)


def _by_suffix(
    name: str, suffixes: tuple[str, ...], load: Callable[[Path], Mesh | np.ndarray]
) -> Reader:
    return Reader(
        "shape file",
        name,
        " ".join(suffixes),
        lambda path: path.suffix.lower() in suffixes,
        load,
    )


#: Formats of meshes and clouds, in the order in which they are tried.
SHAPE_FILE_READERS = (
    _by_suffix("mesh", MESH_SUFFIXES, read_mesh),
    _by_suffix("NumPy", NUMPY_SUFFIXES, read_numpy),
    _by_suffix("table", TABLE_SUFFIXES, read_table),
)
