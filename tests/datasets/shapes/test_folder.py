"""Folders of classes: layouts, splits, cache, and what is wrong with them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from csgnn_dgl.datasets.shapes import load_dataset, load_shape_folder
from csgnn_dgl.datasets.shapes.cache import PointCache
from csgnn_dgl.errors import ConfigError, DataError

CUBE = """OFF
8 12 0
0 0 0
1 0 0
1 1 0
0 1 0
0 0 1
1 0 1
1 1 1
0 1 1
3 0 2 1
3 0 3 2
3 4 5 6
3 4 6 7
3 0 1 5
3 0 5 4
3 1 2 6
3 1 6 5
3 2 3 7
3 2 7 6
3 3 0 4
3 3 4 7
"""


@pytest.fixture
def folder(clouds: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return shutil.copytree(clouds, tmp_path / "data")


def test_official_split(clouds: Path) -> None:
    data = load_dataset(clouds, points=64)
    assert data.class_names == ("ball", "disc", "rod")
    assert data.up_axis == "z"
    assert data.train.points.shape == (18, 64, 3)
    assert data.test.labels.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert data.test.names[0].endswith("ball/test/ball0.npy")
    assert "18 training and 18 test shapes in 3 classes" in data.summary()
    assert load_dataset(clouds, points=64, up_axis="y").up_axis == "y"
    assert load_dataset(clouds, points=64, pool=80).train.points.shape[1] == 80


def test_split_by_seed(folder: Path) -> None:
    for name in ("ball", "disc", "rod"):
        for file in (folder / name / "train").iterdir():
            file.rename(folder / name / file.name)
        shutil.rmtree(folder / name / "train")
        shutil.rmtree(folder / name / "test")
    splits = [load_shape_folder(folder, points=64, seed=seed) for seed in (0, 0, 1, 2)]
    for data in splits:
        assert (len(data.train), len(data.test)) == (15, 3)
        assert not set(data.train.names) & set(data.test.names)
    assert splits[0].test.names == splits[1].test.names
    assert len({data.test.names for data in splits}) > 1
    assert splits[0].fingerprint == splits[1].fingerprint != splits[2].fingerprint


def test_validation_is_stratified_and_seeded(clouds: Path) -> None:
    data = load_dataset(clouds, points=64)
    training, validation = data.split_validation(0.34, 0)
    assert torch.bincount(validation.labels).tolist() == [2, 2, 2]
    assert set(training.names) | set(validation.names) == set(data.train.names)
    assert not set(training.names) & set(validation.names)
    assert data.split_validation(0.34, 0)[1].names == validation.names
    assert data.split_validation(0.34, 5)[1].names != validation.names
    # However small or large the share, each class keeps shapes on both sides.
    for fraction, count in ((1e-6, 1), (0.999, 5)):
        held = data.split_validation(fraction, 0)[1]
        assert torch.bincount(held.labels).tolist() == [count] * 3
    with pytest.raises(ConfigError, match="validation fraction"):
        data.split_validation(1.0, 0)


@pytest.mark.usefixtures("open3d")
def test_meshes_get_a_larger_pool_and_are_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, stretch in (("cube", 1.0), ("slab", 0.3)):
        for which in ("train", "test"):
            place = tmp_path / "data" / name / which
            place.mkdir(parents=True)
            for index in range(2):
                lines = CUBE.splitlines()
                scale = stretch * (1 + 0.1 * index + 0.01 * (which == "test"))
                vertices = [
                    f"{x} {y} {float(z) * scale}" for x, y, z in (v.split() for v in lines[2:10])
                ]
                text = "\n".join([*lines[:2], *vertices, *lines[10:]])
                (place / f"{index}.off").write_text(text)
    cache = tmp_path / "cache"
    first = load_shape_folder(tmp_path / "data", points=32, cache_dir=cache)
    assert first.train.points.shape == (4, 128, 3)
    kept = sorted(cache.rglob("*.points"))
    assert len(kept) == 8
    before = {path: path.read_bytes() for path in kept}

    import csgnn_dgl.datasets.shapes.folder as module

    def refuse(*arguments: object) -> None:
        raise AssertionError("the cache should have been used")

    with monkeypatch.context() as patch:
        patch.setattr(module, "read_shape", refuse)
        again = load_shape_folder(tmp_path / "data", points=32, cache_dir=cache)
        assert again.fingerprint == first.fingerprint
        # Other parameters are other points.
        with pytest.raises(DataError, match="should have been used"):
            load_shape_folder(tmp_path / "data", points=32, seed=1, cache_dir=cache)
    # Damaged files are made again, not trusted.
    kept[0].write_bytes(b"")
    kept[1].write_bytes(before[kept[1]][:-12])
    damaged = bytearray(before[kept[2]])
    damaged[40] ^= 1
    kept[2].write_bytes(damaged)
    repaired = load_shape_folder(tmp_path / "data", points=32, cache_dir=cache)
    assert repaired.fingerprint == first.fingerprint
    assert {path: path.read_bytes() for path in kept} == before


def test_a_cache_that_cannot_be_written_is_done_without(clouds: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    data = load_shape_folder(clouds, points=64, cache_dir=tmp_path / "file")
    assert len(data.train) == 18


def test_cache_keys_depend_on_content_and_parameters() -> None:
    keys = {PointCache.key(content, pool=pool) for content in (b"a", b"b") for pool in (1, 2)}
    assert len(keys) == 4


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def one_class(folder: Path) -> None:
    shutil.rmtree(folder / "rod")
    shutil.rmtree(folder / "disc")


def no_training_shapes(folder: Path) -> None:
    shutil.rmtree(folder / "rod" / "train")


def loose_files(folder: Path) -> None:
    (folder / "rod" / "train" / "rod0.npy").rename(folder / "rod" / "rod0.npy")


def one_shape(folder: Path) -> None:
    for name in ("rod", "disc", "ball"):
        for file in (folder / name / "train").iterdir():
            file.rename(folder / name / file.name)
        shutil.rmtree(folder / name / "train")
        shutil.rmtree(folder / name / "test")
    for file in sorted((folder / "rod").iterdir())[1:]:
        file.unlink()


def bad_file(folder: Path) -> None:
    np.save(folder / "rod" / "test" / "rod0.npy", np.full((96, 3), np.nan))


def bad_files(folder: Path) -> None:
    for file in (folder / "rod" / "test").iterdir():
        file.write_bytes(b"")


def name_that_is_no_text(folder: Path) -> None:
    os.rename(folder / "rod", os.fsencode(folder) + b"/rod\xff")


def name_of_two_lines(folder: Path) -> None:
    (folder / "rod").rename(folder / "ro\nd")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "rod" / "test" / "pipe.npy")


def link_to_nowhere(folder: Path) -> None:
    (folder / "rod" / "test" / "gone.npy").symlink_to(folder / "nowhere.npy")


def endless(folder: Path) -> None:
    (folder / "rod" / "test" / "zero.xyz").symlink_to("/dev/zero")


def long_line(folder: Path) -> None:
    (folder / "rod" / "test" / "a.xyz").write_text("9" * 100_000)


def nested(folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    for name in ("rod", "disc", "ball"):
        (folder / name).rename(inner / name)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "there is no data at"),
        (empty, "holds no folders; at least two folders, one per class, are needed"),
        (one_class, "holds only the class 'ball'"),
        (no_training_shapes, "train holds no shapes"),
        (loose_files, "holds 1 shapes outside train/ and test/"),
        (one_shape, "class 'rod' has 1 shape"),
        (bad_file, "rod0.npy: 96 points have NaN or infinite coordinates"),
        (bad_files, "6 of 36 files cannot be used"),
        (name_that_is_no_text, "a class is called 'rod\\\\udcff'; names need at most 200"),
        (name_of_two_lines, "a class is called 'ro d'"),
        (pipe, "pipe.npy is a device, a pipe or a socket"),
        (link_to_nowhere, "gone.npy does not exist"),
        (endless, "zero.xyz is a device"),
        (long_line, "a.xyz holds float64 of shape (1, 1)"),
        (nested, "inner: give"),
    ],
)
def test_unusable_folders_are_named(
    damage: Callable[[Path], None], message: str, folder: Path
) -> None:
    damage(folder)
    with pytest.raises(DataError) as caught:
        load_dataset(folder, points=64)
    assert message in str(caught.value)


def test_too_few_points_are_named(clouds: Path) -> None:
    with pytest.raises(DataError, match="has 96 points, but 97 are asked for; lower --points"):
        load_dataset(clouds, points=97)


def test_a_file_is_not_a_data_set(clouds: Path) -> None:
    with pytest.raises(DataError, match="is a file"):
        load_dataset(clouds / "rod" / "test" / "rod0.npy")


def test_a_folder_that_may_not_be_read_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:  # not by chmod: root may read anything
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match=r"no permission to read .*data; change its permissions"):
        load_dataset(folder, points=64)


def test_files_of_other_kinds_are_reported(folder: Path) -> None:
    (folder / "rod" / "train" / ".rod0.npy").write_text("what a file system keeps beside rod0.npy")
    assert not load_dataset(folder, points=64).warnings
    (folder / "rod" / "train" / "rod9.step").write_text("x")
    (folder / "rod" / "notes.md").write_text("x")
    (warning,) = load_dataset(folder, points=64).warnings
    assert warning.startswith("2 files of other kinds")
    assert "notes.md" in warning


def test_folders_in_folders_are_reported(folder: Path) -> None:
    (folder / "rod" / "train" / ".hidden").mkdir()
    assert not load_dataset(folder, points=64).warnings
    inner = folder / "rod" / "train" / "more"
    inner.mkdir()
    shutil.copy(folder / "rod" / "train" / "rod0.npy", inner / "rod9.npy")
    (warning,) = load_dataset(folder, points=64).warnings
    assert "1 files of other kinds (or folders in folders)" in warning
    assert str(inner) in warning


def test_one_shape_in_two_classes_is_reported(folder: Path) -> None:
    shutil.copy(folder / "rod" / "train" / "rod0.npy", folder / "disc" / "train" / "disc0.npy")
    (warning,) = load_dataset(folder, points=64).warnings
    assert "1 shapes have the points of a shape of another class" in warning
    assert "disc0.npy (disc) and" in warning


def test_an_outlier_is_reported_also_from_the_cache(folder: Path, tmp_path: Path) -> None:
    points = np.load(folder / "rod" / "train" / "rod0.npy")
    points[0] = 80
    np.save(folder / "rod" / "train" / "rod0.npy", points)
    for _ in range(2):
        found = load_shape_folder(folder, points=96, cache_dir=tmp_path / "cache").warnings
        assert ["rod0.npy: 1 of 96 points lie more than 10 times" in w for w in found] == [True]


def test_leaks_and_gaps_are_reported(folder: Path) -> None:
    shutil.copy(folder / "rod" / "train" / "rod0.npy", folder / "rod" / "test" / "rod0.npy")
    shutil.rmtree(folder / "disc" / "test")
    text = " ".join(load_dataset(folder, points=64).warnings)
    assert "1 test shapes are identical to training shapes" in text
    assert "these classes have no test shapes: disc" in text
