"""A folder of classes, holding meshes or clouds."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from csgnn_dgl.datasets.shapes.base import (
    ShapeDataset,
    ShapeSplit,
    as_split,
    overlap_warnings,
)
from csgnn_dgl.datasets.shapes.cache import PointCache
from csgnn_dgl.datasets.shapes.meshes import MESH_SUFFIXES
from csgnn_dgl.datasets.shapes.shape_files import SHAPE_SUFFIXES, read_shape, shape_points
from csgnn_dgl.errors import DataError
from csgnn_dgl.mapping import UpAxis

__all__ = ["load_shape_folder"]

_SPLITS = ("train", "test")


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
) -> ShapeDataset:
    """Read ``path/<class>/train/*`` and ``path/<class>/test/*``, or ``path/<class>/*``.

    In the second case a part of each class becomes the test split, chosen by the seed.

    Parameters
    ----------
    path
        The folder. Class names are the names of its folders, sorted.
    points
        Points per cloud that will be asked for.
    pool
        Points to keep per shape. Default: ``4 · points`` for surfaces (``points`` if clouds are
        among the files), ``points`` for clouds.
    up_axis
        ``"z"`` by default, as in ModelNet's original meshes.
    seed
        Of the sampling and of the split.
    test_fraction
        Share of each class that becomes the test split where the folders make none.
    cache_dir
        Where sampled points are kept; the user's cache by default.

    Raises
    ------
    DataError
        No classes, a class without files, a class of one shape where a split must be made, or files
        that cannot be used (all of them are listed).
    """
    classes = _class_folders(path)
    splits = _find_files(path, classes, seed, test_fraction)
    files = [file for split in splits.values() for file in split.paths]
    if pool is None:
        # A .ply may be either; only reading it tells, so it counts as the smaller.
        surfaces = all(
            f.suffix.lower() in MESH_SUFFIXES and f.suffix.lower() != ".ply" for f in files
        )
        pool = 4 * points if surfaces else points
    cache = PointCache(cache_dir)
    loaded = _load(splits, pool, seed, cache)
    missing = [c.name for i, c in enumerate(classes) if i not in splits["test"].labels]
    warnings = overlap_warnings(loaded["train"], loaded["test"])
    warnings += _left_out(classes)
    if missing:
        warnings.append(f"no test shapes in: {', '.join(missing)}")
    return ShapeDataset(
        name=path.resolve().name,
        source=str(path),
        class_names=tuple(folder.name for folder in classes),
        up_axis=up_axis or "z",
        train=loaded["train"],
        test=loaded["test"],
        warnings=tuple(warnings),
    )


def _class_folders(path: Path) -> list[Path]:
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    if {folder.name for folder in folders} <= {*_SPLITS} and len(folders) == 2:
        raise DataError(
            f"{path} holds train and test; classes come first here: move the files to "
            f"CLASS/train and CLASS/test"
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
    return [file for file in _visible_files(folder) if file.suffix.lower() in SHAPE_SUFFIXES]


def _visible_files(folder: Path) -> list[Path]:
    # Hidden ones are the system's: .DS_Store, and ._chair.off beside chair.off.
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))


def _left_out(classes: list[Path]) -> list[str]:
    """A warning if some files are not of a kind that is read."""
    folders = [f for c in classes for f in (c, *(c / which for which in _SPLITS)) if f.is_dir()]
    others = [
        file
        for folder in folders
        for file in _visible_files(folder)
        if file.suffix.lower() not in SHAPE_SUFFIXES
    ]
    if not others:
        return []
    return [f"{len(others)} files are of other kinds and were left out ({others[0]}, …)"]


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
                raise DataError(f"{folder / 'train'} holds no shapes ({' '.join(SHAPE_SUFFIXES)})")
        else:
            parts = _split_by_seed(folder, loose, seed, label, test_fraction)
        for which in _SPLITS:
            found[which].paths.extend(parts[which])
            found[which].labels.extend([label] * len(parts[which]))
    return found


def _split_by_seed(
    folder: Path, files: list[Path], seed: int, label: int, test_fraction: float
) -> dict[str, list[Path]]:
    if not files:
        raise DataError(f"{folder} holds no shapes ({' '.join(SHAPE_SUFFIXES)})")
    if len(files) < 3:
        raise DataError(
            f"class {folder.name!r} has {len(files)} shape{'s' * (len(files) > 1)} ({folder}); at "
            f"least three are needed: to train, to validate and to test"
        )
    count = min(max(1, round(test_fraction * len(files))), len(files) - 2)
    order = np.random.default_rng([seed, label, 0x7E57]).permutation(len(files))
    test = {files[i] for i in order[:count]}
    return {"train": [f for f in files if f not in test], "test": sorted(test)}


def _load(
    splits: dict[str, _Files], pool: int, seed: int, cache: PointCache
) -> dict[str, ShapeSplit]:
    total = sum(len(files.paths) for files in splits.values())
    problems: list[str] = []
    loaded = {}
    with tqdm(
        total=total,
        desc="reading shapes",
        unit="file",
        leave=False,
        disable=not sys.stderr.isatty(),
    ) as bar:
        for which, files in splits.items():
            clouds = []
            for file in files.paths:
                try:
                    clouds.append(_pool_of(file, pool, seed, cache))
                except DataError as error:
                    problems.append(str(error))
                bar.update()
            if not problems:
                names = [str(file) for file in files.paths]
                loaded[which] = as_split(clouds, files.labels, names, pool)
    if problems:
        more = f"\n  and {len(problems) - 8} more" if len(problems) > 8 else ""
        heading = f"{len(problems)} of {total} files cannot be used; repair or remove them:\n  "
        raise DataError(
            problems[0] if len(problems) == 1 else heading + "\n  ".join(problems[:8]) + more
        )
    return loaded


def _pool_of(file: Path, pool: int, seed: int, cache: PointCache) -> np.ndarray:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}") from error
    # The suffix decides how the bytes are read, so it is part of what the points are made of.
    key = cache.key(content, suffix=file.suffix.lower(), pool=pool, seed=seed)
    points = cache.read(key)
    if points is None or len(points) != pool:
        points = shape_points(file, read_shape(file), pool, seed)
        cache.write(key, points)
    return points
