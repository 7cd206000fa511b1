"""Read the points of a single mesh or cloud file."""

from __future__ import annotations

import hashlib
import io
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from csgnn_dgl.datasets.readers import Reader, find_reader, readers
from csgnn_dgl.datasets.shapes.base import check_points
from csgnn_dgl.datasets.shapes.meshes import MESH_SUFFIXES, Mesh, read_mesh, sample_surface
from csgnn_dgl.errors import DataError

__all__ = [
    "SHAPE_FILE_READERS",
    "center_and_scale",
    "is_shape_file",
    "known_shape_files",
    "load_shape",
    "read_shape",
    "shape_points",
]

_NUMPY_SUFFIXES = (".npy", ".npz")
_TABLE_SUFFIXES = (".xyz", ".pts", ".txt")


def center_and_scale(points: np.ndarray) -> np.ndarray:
    """Move the mean of a cloud ``(N, 3)`` to the origin and its farthest point to distance 1.

    Both steps commute with rotations about the origin.

    Examples
    --------
    >>> center_and_scale(np.array([[1.0, 0.0, 0.0], [5.0, 0.0, 0.0]]))[:, 0].tolist()
    [-1.0, 1.0]
    """
    centred = points - points.mean(axis=0)
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
        The file is missing, unreadable, empty, has NaN, no area, or too few points.
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
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise DataError(f"{path} {what}")
    reader = _reader(path)
    if reader is None:
        raise DataError(
            f"{path} is not a mesh or cloud file that can be read; suffixes: {known_shape_files()}"
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes); get it again")
    try:
        shape: Mesh | np.ndarray = reader.load(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
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
    arrays = (shape.vertices, shape.faces) if isinstance(shape, Mesh) else (shape,)
    digest = hashlib.sha256(str(seed).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    seed = int.from_bytes(digest.digest()[:4], "little")
    if isinstance(shape, Mesh):
        return center_and_scale(sample_surface(shape, count, seed, str(path))).astype(np.float32)
    if len(shape) < count:
        raise DataError(
            f"{path} has {len(shape)} points, but {count} are asked for; lower --points (or --pool)"
            f" to at most {len(shape)}"
        )
    check_points(shape, str(path))
    if len(shape) > count:
        shape = shape[np.random.default_rng(seed).permutation(len(shape))[:count]]
        check_points(shape, f"{path} (a random part)")
    return center_and_scale(shape).astype(np.float32)


def _checked_cloud(path: Path, array: np.ndarray) -> np.ndarray:
    if array.ndim != 2 or array.shape[1] < 3 or not np.issubdtype(array.dtype, np.number):
        raise DataError(
            f"{path} holds {array.dtype} of shape {array.shape}, but numbers of shape (N, 3) are "
            f"needed"
        )
    if len(array) == 0:
        raise DataError(f"{path} holds no points; it may be truncated")
    # Further columns are normals or colours, which are not used.
    return np.ascontiguousarray(array[:, :3], dtype=np.float64)


def _read_numpy(path: Path) -> np.ndarray:
    try:
        # Opened here, because numpy does not close a file that turns out not to be an archive.
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return content
            names = list(content)
            name = "points" if "points" in names else names[0] if len(names) == 1 else None
            if name is not None:
                return np.asarray(content[name])
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read by numpy ({error}); it may be damaged") from error
    raise DataError(
        f"{path} holds the arrays {', '.join(names) or '(none)'}; name one of them 'points'"
    )


def _read_table(path: Path) -> np.ndarray:
    """Read rows of numbers, separated by blanks or commas; a first line with a count is skipped."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text: {error}") from error
    lines = [line for line in text.replace(",", " ").splitlines() if line.strip()]
    count: int | None = None
    if lines and len(lines[0].split()) == 1 and lines[0].strip().isdigit():
        count, lines = int(lines[0]), lines[1:]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # numpy warns about an empty file
            table = np.loadtxt(io.StringIO("\n".join(lines)), ndmin=2, comments=("#", "//"))
    except ValueError as error:
        raise DataError(f"{path} is not a table of numbers ({error})") from error
    if count is not None and count != len(table):
        raise DataError(
            f"{path} announces {count} points and holds {len(table)}; it may be truncated"
        )
    return table if table.size else np.zeros((0, 3))


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
    _by_suffix("NumPy", _NUMPY_SUFFIXES, _read_numpy),
    _by_suffix("table", _TABLE_SUFFIXES, _read_table),
)
