"""Read the points of a single mesh or cloud file."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from csgnn_dgl._foreign import check_file, reading
from csgnn_dgl.datasets.readers import Reader, find_reader, readers
from csgnn_dgl.datasets.shapes.arrays import NUMPY_SUFFIXES, read_numpy
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


def load_shape(path: Path, *, points: int, seed: int = 0, pool: int | None = None) -> Tensor:
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

    Returns
    -------
    Tensor
        Shape ``(points, 3)``, float32.

    Raises
    ------
    DataError
        The file is missing, unreadable, empty, has NaN, no area, absurd outliers, or too few
        points.

    Warns
    -----
    DataWarning
        A few points lie so far out that they squeeze the others to a small part of the ball.
    """
    cloud = load_cloud(path, points=points, seed=seed, pool=pool)
    for note in cloud_notes(cloud.numpy()[None], (str(path),)):
        warnings.warn(note, DataWarning, stacklevel=2)
    return cloud


def load_cloud(path: Path, *, points: int, seed: int = 0, pool: int | None = None) -> Tensor:
    """Like :func:`load_shape`, without its warning.

    Callers that report warnings with their results use
    :func:`~csgnn_dgl.datasets.shapes.checks.cloud_notes`.
    """
    shape = read_shape(path)
    count = max(points, pool or points)
    if not isinstance(shape, Mesh) and len(shape) < count:
        count = points
    return torch.from_numpy(shape_points(path, shape, count, seed)[:points])


def read_shape(path: Path) -> Mesh | np.ndarray:
    """Read a mesh, or a cloud of shape ``(M, 3)``, by the file's suffix and content.

    Parameters
    ----------
    path
        The file, in a format of :data:`SHAPE_FILE_READERS` or of a reader that was registered
        (:func:`csgnn_dgl.datasets.readers.register`).

    Raises
    ------
    DataError
        The file is missing, of an unknown kind, unreadable or empty.
    """
    check_file(path)
    reader = _reader(path)
    if reader is None:
        raise DataError(
            f"{path} is not a mesh or cloud file that can be read; suffixes: {known_shape_files()}"
        )
    with reading(path, advice="it may be damaged"):
        shape: Mesh | np.ndarray = reader.load(path)
        return shape if isinstance(shape, Mesh) else _checked_cloud(path, shape)


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


def shape_points(path: Path, shape: Mesh | np.ndarray, count: int, seed: int) -> np.ndarray:
    """Choose ``count`` points of the shape read from ``path``, centred and scaled.

    The sampling depends on the seed and the shape, not on the path or the order of files.

    Returns
    -------
    numpy.ndarray
        Shape ``(count, 3)``, float32.

    Raises
    ------
    DataError
        As in :func:`load_shape`.
    """
    if not isinstance(shape, Mesh):
        check_digits(shape, str(path))
        shape = shape.astype(np.float64)
    arrays = (shape.vertices, shape.faces) if isinstance(shape, Mesh) else (shape,)
    digest = hashlib.sha256(str(seed).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    seed = int.from_bytes(digest.digest()[:4], "little")
    if isinstance(shape, Mesh):
        with reading(path):  # a mesh may need more memory than there is
            points = sample_surface(shape, count, seed, str(path))
        return center_and_scale(points, str(path)).astype(np.float32)
    if len(shape) < count:
        raise DataError(
            f"{path} has {len(shape)} points, but {count} are asked for; lower --points (or --pool)"
            f" to at most {len(shape)}"
        )
    where = str(path)
    if len(shape) > count:
        check_points(shape, where)
        where = f"{path} (a random part)"
        shape = shape[np.random.default_rng(seed).permutation(len(shape))[:count]]
    return center_and_scale(shape, where).astype(np.float32)


def _checked_cloud(path: Path, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiu" or array.ndim != 2 or array.shape[1] < 3:
        raise DataError(
            f"{path} holds {array.dtype} of shape {array.shape}, but numbers of shape (N, 3) are "
            f"needed"
        )
    if len(array) == 0:
        raise DataError(f"{path} holds no points; it may be truncated")
    if len(array) == 3 and array.shape[1] > 16:
        raise DataError(f"{path} holds an array of shape {array.shape}; transpose it to (N, 3)")
    # Further columns are normals or colours, which are not used.
    check_digits(array[:, :3], str(path))
    with np.errstate(over="ignore"):  # infinite coordinates are reported later
        return np.ascontiguousarray(array[:, :3], dtype=np.float64)


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
