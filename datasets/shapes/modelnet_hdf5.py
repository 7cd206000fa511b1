"""Read the HDF5 layout of ModelNet40 (``modelnet40_ply_hdf5_2048``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from csgnn_dgl._progress import each
from csgnn_dgl.datasets.columns import Column, ColumnCount
from csgnn_dgl.datasets.shapes.base import (
    ShapeDataset,
    ShapeSplit,
    as_split,
    check_points,
    overlap_warnings,
)
from csgnn_dgl.errors import DataError
from csgnn_dgl.mapping import UpAxis

__all__ = ["is_modelnet_hdf5", "load_modelnet_hdf5"]

_LISTS = {"train": "train_files.txt", "test": "test_files.txt"}
_NAMES = "shape_names.txt"
_ARRAYS = {"data": "points", "label": "classes"}


def is_modelnet_hdf5(path: Path) -> bool:
    """Whether a folder has one of the lists of HDF5 files."""
    return any((path / name).is_file() for name in _LISTS.values())


def load_modelnet_hdf5(
    path: Path, *, points: int, pool: int | None = None, up_axis: UpAxis | None = None
) -> ShapeDataset:
    """Read a folder with ``train_files.txt``, ``test_files.txt`` and ``shape_names.txt``.

    Each HDF5 file holds ``data`` ``(n, P, 3)`` and ``label`` ``(n, 1)`` or ``(n,)``. The lists hold
    paths on the author's machine, so only the file name in each line is used. The first ``pool``
    rows of each cloud are used, without centring or scaling.

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

    Raises
    ------
    DataError
        A file is missing or unreadable, has no ``data`` or too few points, has NaN, or has labels
        without a class name.
    """
    names_file = path / _NAMES
    class_names: tuple[str, ...] = ()
    if names_file.is_file():
        class_names = tuple(_lines(names_file))
    arrays = ColumnCount()
    splits = {
        which: _read_split(path, path / list_name, points if pool is None else pool, arrays)
        for which, list_name in _LISTS.items()
    }
    if len(splits["train"]) == 0:
        raise DataError(
            f"{path / _LISTS['train']} lists no shapes, so there is nothing to train on; list the "
            f"HDF5 files of the training split in it"
        )
    if not class_names:
        highest = max(int(s.labels.max()) for s in splits.values() if len(s))
        class_names = tuple(str(label) for label in range(highest + 1))
    return ShapeDataset(
        name=path.resolve().name,
        source=str(path),
        class_names=class_names,
        up_axis=up_axis or "y",
        train=splits["train"],
        test=splits["test"],
        warnings=tuple(overlap_warnings(splits["train"], splits["test"])),
        columns=(*_files(path), *arrays.columns()),
    )


def _files(path: Path) -> list[Column]:
    """The files of the folder, and their uses."""
    lists = {name: f"list for {which}" for which, name in _LISTS.items()}
    listed = {Path(line).name for name in _LISTS.values() for line in _lines(path / name)}
    meanings = {**lists, _NAMES: "class names", **dict.fromkeys(listed, "shapes")}
    there = sorted(p.name for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    return [Column("files", name, meanings.get(name)) for name in there]


def _lines(file: Path) -> list[str]:
    """Lines of a text file, stripped, without empty ones."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not text: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _read_split(folder: Path, list_file: Path, pool: int, arrays: ColumnCount) -> ShapeSplit:
    if not list_file.is_file():
        raise DataError(f"{folder} has no {list_file.name}; both lists of files are needed")
    clouds: list[np.ndarray] = []
    labels: list[int] = []
    names: list[str] = []
    for line in each(_lines(list_file), "reading shapes", unit="file"):
        file = folder / Path(line).name
        if not file.is_file():
            raise DataError(f"{list_file} names {file.name}, but {folder} has no such file")
        data, label = _read_file(file, pool, arrays)
        clouds += list(data)
        labels += label.tolist()
        names += [f"{file.name}[{index}]" for index in range(len(data))]
    return as_split(clouds, labels, names, pool)


def _read_file(path: Path, pool: int, arrays: ColumnCount) -> tuple[np.ndarray, np.ndarray]:
    import h5py  # slow to import, and not needed for other layouts

    try:
        with h5py.File(path, "r") as file:
            for key in ("data", "label"):
                if not isinstance(file.get(key), h5py.Dataset):
                    raise DataError(
                        f"{path} has no array {key!r}; it holds: {', '.join(file) or 'nothing'}"
                    )
            shape = file["data"].shape
            dtype = file["data"].dtype
            if len(shape) != 3 or shape[-1] != 3 or dtype.kind not in "fiu":
                raise DataError(
                    f"{path}: 'data' is {dtype} of shape {shape}, but numbers of shape "
                    f"(n, P, 3) are needed"
                )
            if shape[1] < pool:
                raise DataError(
                    f"{path}: clouds have {shape[1]} points, but {pool} are asked for; lower "
                    f"--points (or --pool) to at most {shape[1]}"
                )
            data = np.asarray(file["data"][:, :pool], dtype=np.float32)
            label = np.asarray(file["label"][()])
            arrays.add("HDF5 arrays", {name: _ARRAYS.get(name) for name in file})
    except OSError as error:
        raise DataError(
            f"{path} cannot be read as HDF5 ({error}); it may be damaged or truncated: get it again"
        ) from error
    if label.size != len(data) or not np.issubdtype(label.dtype, np.integer):
        raise DataError(
            f"{path}: 'label' is {label.dtype} of shape {label.shape}, but {len(data)} integers "
            f"are needed"
        )
    check_points(data, str(path))
    flat = np.ptp(data, axis=1).max(axis=1) == 0 if len(data) else np.zeros(0, dtype=bool)
    if flat.any():
        raise DataError(f"{path}: all points of cloud {int(flat.argmax())} are equal; remove it")
    return data, label.reshape(-1).astype(np.int64)
