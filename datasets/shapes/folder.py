"""Read a folder of classes with meshes or clouds."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from csgnn_dgl._foreign import check_file, reading
from csgnn_dgl._progress import working
from csgnn_dgl.datasets.columns import Column, ColumnCount
from csgnn_dgl.datasets.isolation import read_each
from csgnn_dgl.datasets.readers import find_reader, readers
from csgnn_dgl.datasets.shapes.attributes import width
from csgnn_dgl.datasets.shapes.base import (
    ShapeDataset,
    ShapeSplit,
    as_split,
    split_warnings,
)
from csgnn_dgl.datasets.shapes.cache import PointCache
from csgnn_dgl.datasets.shapes.file_columns import file_columns
from csgnn_dgl.datasets.shapes.meshes import MESH_SUFFIXES
from csgnn_dgl.datasets.shapes.shape_files import (
    SHAPE_FILE_READERS,
    is_shape_file,
    known_shape_files,
    read_shape,
    shape_points,
)
from csgnn_dgl.datasets.splits import hold_out
from csgnn_dgl.errors import DataError
from csgnn_dgl.mapping import UpAxis

__all__ = ["load_shape_folder"]

_SPLITS = ("train", "test")
_TEST = 0x7E57


@dataclass(frozen=True)
class _Files:
    """Files of one split, with labels."""

    paths: list[Path]
    labels: list[int]


def load_shape_folder(
    path: Path,
    *,
    points: int,
    pool: int | None = None,
    up_axis: UpAxis | None = None,
    seed: int = 0,
    test_fraction: float = 0.2,
    cache_dir: Path | None = None,
    attributes: Sequence[str] = (),
) -> ShapeDataset:
    """Read ``path/<class>/train/*`` and ``path/<class>/test/*``, or ``path/<class>/*``.

    In the second case a part of each class becomes the test split, chosen by the seed.

    Parameters
    ----------
    path
        The folder. Class names are the names of its subfolders, sorted.
    points
        Points per cloud that will be used.
    pool
        Points to keep per shape. Default: ``4 · points`` for surfaces (``points`` if clouds are
        among the files), ``points`` for clouds.
    up_axis
        ``"z"`` by default, as in ModelNet's original meshes.
    seed
        Random seed for the sampling and the split.
    test_fraction
        Share of each class that becomes the test split, if the folders do not define one.
    cache_dir
        Folder for sampled points; the user's cache by default. Points from readers that were
        registered are not kept.
    attributes
        Attributes of the points to read, too; see
        :func:`~csgnn_dgl.datasets.shapes.shape_files.read_shape`.

    Raises
    ------
    DataError
        There are no classes; a class has no files; a class has too few shapes for a split; or files
        cannot be used or lack an attribute (all of them are listed).
    """
    classes = _class_folders(path)
    splits = _find_files(path, classes, seed, test_fraction)
    files = [file for split in splits.values() for file in split.paths]
    if pool is None:
        # A .ply may be a surface or a cloud. Only its content tells, so it counts as a cloud.
        surfaces = all(
            f.suffix.lower() in MESH_SUFFIXES and f.suffix.lower() != ".ply" for f in files
        )
        pool = 4 * points if surfaces else points
    cache = PointCache(cache_dir)
    columns = ColumnCount()
    loaded = _load(splits, pool, seed, cache, columns, tuple(attributes))
    missing = [c.name for i, c in enumerate(classes) if i not in splits["test"].labels]
    class_names = tuple(folder.name for folder in classes)
    warnings = split_warnings(loaded["train"], loaded["test"], class_names)
    others = _other_files(classes)
    if others:
        warnings.append(
            f"{len(others)} files of other kinds (or folders in folders) were left out "
            f"({others[0]}, …)"
        )
    if missing:
        warnings.append(f"these classes have no test shapes: {', '.join(missing)}")
    return ShapeDataset(
        name=path.resolve().name,
        source=str(path),
        class_names=class_names,
        up_axis=up_axis or "z",
        train=loaded["train"],
        test=loaded["test"],
        warnings=tuple(warnings),
        columns=(*_kinds(files, "shapes"), *_kinds(others, None), *columns.columns()),
    )


def _kinds(files: list[Path], meaning: str | None) -> list[Column]:
    """Count the files of each suffix."""
    counts = Counter(file.suffix.lower() or file.name for file in files)
    return [Column("files", kind, meaning, f"{count} files") for kind, count in counts.items()]


def _class_folders(path: Path) -> list[Path]:
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    if {folder.name for folder in folders} <= {*_SPLITS} and len(folders) == 2:
        raise DataError(
            f"{path} holds the folders train and test, but a folder for each class is needed: move "
            f"the files to CLASS/train and CLASS/test"
        )
    if len(folders) >= 2:
        return folders
    if len(folders) == 1 and _shape_files(folders[0]) == []:
        inner = [p for p in folders[0].iterdir() if p.is_dir() and p.name not in _SPLITS]
        if len(inner) >= 2:
            raise DataError(f"{path} holds only the folder {folders[0].name}: give {folders[0]}")
    found = f"only the class {folders[0].name!r}" if folders else "no folders"
    raise DataError(
        f"{path} holds {found}; at least two folders, one per class, are needed (or the HDF5 "
        f"layout with train_files.txt and test_files.txt)"
    )


def _shape_files(folder: Path) -> list[Path]:
    return [file for file in _visible_files(folder) if is_shape_file(file)]


def _visible_files(folder: Path) -> list[Path]:
    # Systems make hidden files, such as .DS_Store, and ._chair.off beside chair.off. Pipes and
    # links that lead nowhere are listed, too: whoever reads them says what is wrong.
    return sorted(p for p in folder.iterdir() if not p.is_dir() and not p.name.startswith("."))


def _other_files(classes: list[Path]) -> list[Path]:
    """Files of kinds that are not read, and folders that are not looked into."""
    folders = [f for c in classes for f in (c, *(c / which for which in _SPLITS)) if f.is_dir()]
    inner = [
        path
        for folder in folders
        for path in sorted(folder.iterdir())
        if path.is_dir() and not path.name.startswith(".") and path not in folders
    ]
    return [
        *(file for folder in folders for file in _visible_files(folder) if not is_shape_file(file)),
        *inner,
    ]


def _find_files(
    path: Path, classes: list[Path], seed: int, test_fraction: float
) -> dict[str, _Files]:
    found = {which: _Files([], []) for which in _SPLITS}
    official = any((folder / which).is_dir() for folder in classes for which in _SPLITS)
    for label, folder in enumerate(classes):
        loose = _shape_files(folder)
        if official:
            parts = {w: _shape_files(folder / w) if (folder / w).is_dir() else [] for w in _SPLITS}
            if loose:
                raise DataError(
                    f"{folder} holds {len(loose)} shapes outside train/ and test/ "
                    f"({loose[0].name}, …); other classes have these folders: move the files there"
                )
            if not parts["train"]:
                raise DataError(f"{folder / 'train'} holds no shapes ({known_shape_files()})")
        else:
            parts = split_by_seed(folder, loose, seed, label, test_fraction)
        for which in _SPLITS:
            found[which].paths.extend(parts[which])
            found[which].labels.extend([label] * len(parts[which]))
    return found


def split_by_seed(
    folder: Path, files: list[Path], seed: int, label: int, test_fraction: float
) -> dict[str, list[Path]]:
    """Divide the files of a class: at least one for testing, two for training and validation."""
    if not files:
        raise DataError(f"{folder} holds no shapes ({known_shape_files()})")
    if len(files) < 3:
        raise DataError(
            f"class {folder.name!r} has {len(files)} shape{'s' * (len(files) > 1)} ({folder}); at "
            f"least three are needed, for training, validation and testing"
        )
    stream = (seed, label, _TEST)
    held = set(hold_out([label] * len(files), test_fraction, stream, at_least=1, leave=2))
    return {
        "train": [file for index, file in enumerate(files) if index not in held],
        "test": [file for index, file in enumerate(files) if index in held],
    }


def _load(
    splits: dict[str, _Files],
    pool: int,
    seed: int,
    cache: PointCache,
    columns: ColumnCount,
    attributes: tuple[str, ...],
) -> dict[str, ShapeSplit]:
    everything = [file for files in splits.values() for file in files.paths]
    total = len(everything)
    problems: list[str] = []
    loaded = {}
    read = partial(_pool_of, pool=pool, seed=seed, cache=cache, attributes=attributes)
    with (
        working("reading shapes", total, unit="file") as done,
        contextlib.closing(read_each(read, everything)) as contents,
    ):
        for which, files in splits.items():
            clouds = []
            for file, content in zip(files.paths, contents, strict=False):
                if isinstance(content, DataError):
                    problems.append(str(content))
                else:
                    columns.add(f"*{file.suffix.lower()}", content.columns)
                    clouds.append(content.points)
                done(1)
            if not problems:
                names = [str(file) for file in files.paths]
                loaded[which] = as_split(clouds, files.labels, names, pool, width(attributes))
    if problems:
        more = f"\n  and {len(problems) - 8} more" if len(problems) > 8 else ""
        heading = f"{len(problems)} of {total} files cannot be used; repair or remove them:\n  "
        raise DataError(
            problems[0] if len(problems) == 1 else heading + "\n  ".join(problems[:8]) + more
        )
    return loaded


class _Content(NamedTuple):
    """Points of a file, and the uses of its columns."""

    points: np.ndarray
    columns: dict[str, str | None]


def _pool_of(
    file: Path, *, pool: int, seed: int, cache: PointCache, attributes: tuple[str, ...]
) -> _Content:
    check_file(file)
    with reading(file):
        content = file.read_bytes()
    # The suffix decides how the bytes are read, so it is part of the key.
    further = {"attributes": attributes} if attributes else {}
    key = cache.key(content, suffix=file.suffix.lower(), pool=pool, seed=seed, **further)
    # A key cannot tell that the code of a user's own reader has changed.
    cached = find_reader(file, readers("shape file", SHAPE_FILE_READERS)) in SHAPE_FILE_READERS
    points = cache.read(key, 3 + width(attributes)) if cached else None
    if points is None or len(points) != pool:
        points = shape_points(file, read_shape(file, attributes), pool, seed, attributes)
        if cached:
            cache.write(key, points)
    return _Content(points, file_columns(file, content, attributes))
