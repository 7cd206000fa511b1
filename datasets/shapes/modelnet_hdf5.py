"""Read the HDF5 layout of ModelNet40 (``modelnet40_ply_hdf5_2048``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from csgnn_dgl._foreign import check_file, excerpt, reading
from csgnn_dgl._progress import each
from csgnn_dgl.datasets.columns import Column, ColumnCount
from csgnn_dgl.datasets.shapes.arrays import check_unpacked
from csgnn_dgl.datasets.shapes.attributes import (
    NORMALS,
    check_attributes,
    refuse_missing,
    width,
)
from csgnn_dgl.datasets.shapes.base import (
    ShapeDataset,
    ShapeSplit,
    as_split,
    split_warnings,
)
from csgnn_dgl.datasets.shapes.checks import check_points
from csgnn_dgl.datasets.shapes.shape_files import center_and_scale
from csgnn_dgl.errors import DataError
from csgnn_dgl.mapping import UpAxis

if TYPE_CHECKING:
    import h5py

__all__ = ["is_modelnet_hdf5", "load_modelnet_hdf5"]

_LISTS = {"train": "train_files.txt", "test": "test_files.txt"}
_NAMES = "shape_names.txt"
_ARRAYS = {"data": "points", "label": "classes"}
# A cloud is used as it is if its mean is at most this far from the origin, and its farthest point
# about at distance 1. Published clouds were centred with more points than the first N.
_CENTRED, _SCALED = 0.1, (0.8, 1.25)


def is_modelnet_hdf5(path: Path) -> bool:
    """Whether a folder has one of the lists of HDF5 files."""
    return any((path / name).is_file() for name in _LISTS.values())


def load_modelnet_hdf5(
    path: Path,
    *,
    points: int,
    pool: int | None = None,
    up_axis: UpAxis | None = None,
    attributes: Sequence[str] = (),
) -> ShapeDataset:
    """Read a folder with ``train_files.txt``, ``test_files.txt`` and ``shape_names.txt``.

    Each HDF5 file holds ``data`` ``(n, P, 3)`` and ``label`` ``(n, 1)`` or ``(n,)``. The lists hold
    paths on the author's machine, so only the file name in each line is used. The first ``pool``
    rows of each cloud are used, as they are if they are centred and scaled already, as in published
    sets; other clouds are centred and scaled like those of all other formats, with a warning.

    Parameters
    ----------
    path
        The folder.
    points
        Points per cloud that will be used.
    pool
        Rows to keep of each cloud; ``points`` by default.
    up_axis
        ``"y"`` by default, as in ModelNet40 in this layout.
    attributes
        Attributes of the points to read, too: ``"normals"`` from the arrays ``normal`` or
        ``normals`` ``(n, P, 3)``, others from an array ``(n, P)`` of their name.

    Raises
    ------
    DataError
        A file is missing or unreadable, has no ``data`` or too few points, has NaN or absurd
        outliers, declares more than it holds, takes its arrays from other files, or has labels
        without a class name.
    """
    names_file = path / _NAMES
    class_names: tuple[str, ...] = ()
    if names_file.is_file():
        class_names = tuple(_lines(names_file))
    arrays = ColumnCount()
    moved: list[str] = []
    splits = {
        which: _read_split(
            path, path / list_name, points if pool is None else pool, arrays, attributes, moved
        )
        for which, list_name in _LISTS.items()
    }
    if len(splits["train"]) == 0:
        raise DataError(
            f"{path / _LISTS['train']} lists no shapes, so there is nothing to train on; list the "
            f"HDF5 files of the training split in it"
        )
    if not class_names:
        highest = max(int(s.labels.max()) for s in splits.values() if len(s))
        total = sum(len(s) for s in splits.values())
        if highest >= total:
            raise DataError(
                f"{path}: a shape has the label {highest}, but there are only {total} shapes; name "
                f"the classes in {_NAMES}, or repair the labels"
            )
        class_names = tuple(str(label) for label in range(highest + 1))
    return ShapeDataset(
        name=path.resolve().name,
        source=str(path),
        class_names=class_names,
        up_axis=up_axis or "y",
        train=splits["train"],
        test=splits["test"],
        warnings=(
            *split_warnings(splits["train"], splits["test"], class_names),
            *_moved_warning(moved),
        ),
        columns=(*_files(path), *arrays.columns()),
    )


def _files(path: Path) -> list[Column]:
    """The files of the folder, and their uses."""
    lists = {name: f"list for {which}" for which, name in _LISTS.items()}
    listed = {Path(line).name for name in _LISTS.values() for line in _lines(path / name)}
    meanings = {**lists, _NAMES: "class names", **dict.fromkeys(listed, "shapes")}
    there = sorted(p.name for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    return [Column("files", name, meanings.get(name)) for name in there]


def _moved_warning(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    return [
        f"{len(names)} clouds ({names[0]}, …) were not centred with their farthest point at "
        f"distance 1, and are now, as clouds of all other formats"
    ]


def _lines(file: Path) -> list[str]:
    """Lines of a text file, stripped, without empty ones."""
    check_file(file)
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not text: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _read_split(
    folder: Path,
    list_file: Path,
    pool: int,
    arrays: ColumnCount,
    attributes: Sequence[str],
    moved: list[str],
) -> ShapeSplit:
    if not list_file.is_file():
        raise DataError(f"{folder} has no {list_file.name}; both lists of files are needed")
    clouds: list[np.ndarray] = []
    labels: list[int] = []
    names: list[str] = []
    for line in each(_lines(list_file), "reading shapes", unit="file"):
        file = folder / Path(line).name
        with reading(file, advice="it may be damaged or truncated: get it again"):
            if not file.exists():
                name = excerpt(file.name)
                raise DataError(f"{list_file} names {name}, but {folder} has no such file")
            check_file(file)
            data, label, others = _read_file(file, pool, arrays, attributes)
        clouds += list(data)
        labels += label.tolist()
        names += [f"{file.name}[{index}]" for index in range(len(data))]
        moved += [f"{file.name}[{index}]" for index in others]
    return as_split(clouds, labels, names, pool, width(attributes))


def _read_file(
    path: Path, pool: int, arrays: ColumnCount, attributes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Clouds ``(n, pool, 3 + A)``, their labels, and the numbers of those that were moved."""
    import h5py  # slow to import, and not needed for other layouts

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(
            f"{path} cannot be read as HDF5 ({excerpt(error)}); it may be damaged or truncated: "
            f"get it again"
        ) from error
    with file:
        points, classes = (_dataset(path, file, key) for key in ("data", "label"))
        shape = points.shape
        if points.dtype.kind not in "fiu" or len(shape) != 3 or shape[-1] != 3:
            raise DataError(
                f"{path}: 'data' is {excerpt(points.dtype, 60)} of shape {shape}, but numbers of "
                f"shape (n, P, 3) are needed"
            )
        if shape[1] < pool:
            raise DataError(
                f"{path}: clouds have {shape[1]} points, but {pool} are asked for; lower "
                f"--points (or --pool) to at most {shape[1]}"
            )
        if classes.dtype.kind not in "iu" or classes.shape not in ((shape[0],), (shape[0], 1)):
            raise DataError(
                f"{path}: 'label' is {excerpt(classes.dtype, 60)} of shape {classes.shape}, but "
                f"{shape[0]} integers are needed"
            )
        _check_stored(path, points)
        _check_stored(path, classes)
        data = np.asarray(points[:, :pool])
        label = np.asarray(classes[()]).reshape(-1)
        own = [_attribute(path, file, name, shape, pool) for name in attributes]
        meanings = _ARRAYS | {key: "attributes" for key, _ in own}
        arrays.add("HDF5 arrays", {excerpt(name, 60): meanings.get(name) for name in file})
    check_points(data, str(path))
    if len(label) and label.max() > np.iinfo(np.int64).max:
        raise DataError(f"{path}: a shape has the label {label.max()}; repair the labels")
    for name, (_, values) in zip(attributes, own, strict=True):
        check_attributes(values.reshape(-1, values.shape[-1]), [name], str(path))
    placed, moved = _placed(data, str(path))
    clouds = np.concatenate([placed, *(values for _, values in own)], axis=-1)
    return clouds.astype(np.float32), label.astype(np.int64), moved


def _placed(clouds: np.ndarray, where: str) -> tuple[np.ndarray, list[int]]:
    """Centre and scale the clouds ``(n, N, 3)`` that are not, and give the numbers of these."""
    found, moved = np.empty(clouds.shape), []
    for index, cloud in enumerate(clouds):
        points = cloud.astype(np.float64)
        with np.errstate(over="ignore"):  # infinity is no distance of 1
            radius = np.linalg.norm(points, axis=1).max(initial=0)
            centred = np.linalg.norm(points.mean(axis=0)) <= _CENTRED
        if not (centred and _SCALED[0] <= radius <= _SCALED[1]):
            points = center_and_scale(points, f"{where}, cloud {index}")
            moved.append(index)
        found[index] = points
    return found, moved


def _attribute(
    path: Path, file: h5py.File, name: str, shape: tuple[int, ...], pool: int
) -> tuple[str, np.ndarray]:
    """The key of an attribute of points, and its values ``(n, pool, 1 or 3)``."""
    known = {key: key for key in file if key not in _ARRAYS}
    if normal := next((key for key in ("normal", NORMALS) if key in known), None):
        known[NORMALS] = known.pop(normal)
    refuse_missing([name], list(known), str(path))
    array = _dataset(path, file, known[name])
    wanted = shape if name == NORMALS else shape[:2]
    if array.dtype.kind not in "fiu" or array.shape != wanted:
        raise DataError(
            f"{path}: {known[name]!r} is {excerpt(array.dtype, 60)} of shape {array.shape}, but "
            f"numbers of shape {wanted} are needed"
        )
    _check_stored(path, array)
    return known[name], np.asarray(array[:, :pool], dtype=np.float64).reshape(len(array), pool, -1)


def _dataset(path: Path, file: h5py.File, key: str) -> h5py.Dataset:
    """An array of the file itself: an external link could lead to any other file."""
    import h5py

    link = file.get(key, getlink=True)
    if isinstance(link, h5py.HardLink):
        found = file.get(key)
        if isinstance(found, h5py.Dataset) and found.shape is not None:
            if found.external or found.is_virtual:
                raise DataError(f"{path}: {key!r} is stored in other files, which are not read")
            return found
    elif link is not None:
        raise DataError(f"{path}: {key!r} is a link, which is not followed; store the array itself")
    listed = excerpt(", ".join(file)) or "nothing"
    raise DataError(f"{path} has no array {key!r}; it holds: {listed}")


def _check_stored(path: Path, array: h5py.Dataset) -> None:
    """Refuse arrays of which the file holds no values, or far fewer than it declares.

    HDF5 fills chunks that were never written with zeros.
    """
    stored = array.id.get_storage_size()
    if array.size and stored == 0:
        raise DataError(f"{path}: {array.name!r} declares {array.shape} but holds no values")
    if array.chunks is None and stored < array.nbytes:
        raise DataError(
            f"{path}: {array.name!r} declares {array.nbytes} bytes but holds {stored}: truncated"
        )
    check_unpacked(array.nbytes, stored, f"{path}: {array.name!r}")
