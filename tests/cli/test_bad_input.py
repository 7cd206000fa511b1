"""Bad input of every kind: status 2 and one clear line, nothing lost, nothing left behind."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

Run = Callable[..., Any]
Damage = Callable[[Path], None]

CORNERS = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n"
FACES = "3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"
TINY = [
    *("--level", "1", "--n-spheres", "2", "--channels", "2", "--base-width", "4"),
    *("--hidden", "8", "--points", "64", "--batch-size", "4", "--validation-fraction", "0.34"),
    *("--accelerator", "cpu", "--epochs", "1"),
]


def off(vertices: str = CORNERS, faces: str = FACES, header: str = "OFF\n4 4 0\n") -> str:
    return header + vertices + faces


def holding(name: str, content: str | bytes) -> Damage:
    """Puts a file among the training shapes."""

    def damage(data: Path) -> None:
        raw = content.encode() if isinstance(content, str) else content
        (data / "rod" / "train" / name).write_bytes(raw)

    return damage


def cloud(points: np.ndarray) -> Damage:
    """Replaces one of the training shapes."""
    return lambda data: np.save(data / "rod" / "train" / "rod0.npy", points)


def not_a_number(value: float) -> np.ndarray:
    points = np.random.default_rng(0).normal(size=(96, 3))
    points[7, 1] = value
    return points


def empty(data: Path) -> None:
    shutil.rmtree(data)
    data.mkdir()


def one_training_shape(data: Path) -> None:
    for file in sorted((data / "rod" / "train").iterdir())[1:]:
        file.unlink()


def empty_class(data: Path) -> None:
    shutil.rmtree(data / "rod")
    (data / "rod").mkdir()
    (data / "rod" / "train").mkdir()


def splits_before_classes(data: Path) -> None:
    classes = sorted(data.iterdir())
    for which in ("train", "test"):
        (data / which).mkdir()
        for folder in classes:
            (folder / which).rename(data / which / folder.name)
    for folder in classes:
        folder.rmdir()


def hdf5(**replaced: Any) -> Damage:
    """Replaces all by ModelNet40's layout, with some arrays replaced or left out (None)."""

    def damage(data: Path) -> None:
        empty(data)
        rng = np.random.default_rng(0)
        for which in ("train", "test"):
            arrays = {"data": rng.normal(size=(12, 64, 3)), "label": np.arange(12) % 3}
            with h5py.File(data / f"{which}0.h5", "w") as file:
                for name, array in {**arrays, **replaced}.items():
                    if array is not None:
                        file[name] = array
            (data / f"{which}_files.txt").write_text(f"{which}0.h5\n")
        (data / "shape_names.txt").write_text("ball\ndisc\nrod\n")

    return damage


def truncated_hdf5(data: Path) -> None:
    hdf5()(data)
    file = data / "train0.h5"
    file.write_bytes(file.read_bytes()[:2000])


def binary_names(data: Path) -> None:
    hdf5()(data)
    (data / "shape_names.txt").write_bytes(b"\xff\xfe\x00ball")


BAD_DATA: dict[str, tuple[Damage, str]] = {
    "missing path": (shutil.rmtree, "there is no data at"),
    "empty folder": (empty, "holds no folders"),
    "class of one shape": (one_training_shape, "class 'rod' has one training shape only"),
    "class of none": (empty_class, "train holds no shapes"),
    "splits before classes": (splits_before_classes, "CLASS/train and CLASS/test"),
    "empty mesh file": (holding("a.off", ""), "a.off is empty (0 bytes)"),
    "empty mesh": (holding("a.off", "OFF\n0 0 0\n"), "a.off holds no vertices"),
    "truncated mesh": (holding("a.off", off()[:-20]), "a.off announces 4 vertices and 4 faces"),
    "unreadable mesh": (
        holding("a.off", b"OFF\n\xff\xfe"),
        "a.off: no counts of vertices and faces follow",
    ),
    "truncated stl": (holding("a.stl", bytes(80) + b"\x09\0\0\0"), "a.stl announces 9 triangles"),
    "face past the vertices": (
        holding("a.off", off(faces=FACES.replace("1 2 3", "1 2 4"))),
        "a.off: a face refers to vertex 4, but there are vertices 0 … 3",
    ),
    "polygon far past the vertices": (
        holding("a.off", off(faces="4 0 1 2 99999999999999999999\n", header="OFF\n4 1 0\n")),
        "refers to vertex 9223372036854775807",
    ),
    "no area": (holding("a.off", off("0 0 0\n1 0 0\n2 0 0\n3 0 0\n")), "a.off: the mesh has no"),
    "NaN in a mesh": (holding("a.off", off(CORNERS.replace("0 1 0", "0 nan 0"))), "NaN or inf"),
    "empty cloud file": (holding("a.npy", b""), "a.npy is empty (0 bytes)"),
    "empty cloud": (holding("a.xyz", "\n"), "a.xyz holds no points"),
    "truncated cloud": (holding("a.pts", "9\n1 2 3\n"), "announces 9 points and holds 1"),
    "unreadable cloud": (holding("a.npy", b"words"), "a.npy cannot be read"),
    "NaN in a cloud": (cloud(not_a_number(np.nan)), "1 points have NaN or infinite coordinates"),
    "infinity in a cloud": (cloud(not_a_number(np.inf)), "1 points have NaN or infinite"),
    "all points equal": (cloud(np.ones((96, 3))), "all 96 points are equal"),
    "fewer points than asked": (cloud(np.eye(3)), "has 3 points, but 64 are asked for"),
    "HDF5 without data": (hdf5(data=None), "has no array 'data'; it holds: label"),
    "HDF5 of words": (hdf5(data=np.full((12, 64, 3), b"word")), "'data' is |S4"),
    "HDF5 with too few points": (hdf5(data=np.ones((12, 9, 3))), "clouds have 9 points, but 64"),
    "label outside the names": (hdf5(label=np.arange(12)), "has label 3, but there are 3 class"),
    "negative label": (hdf5(label=-np.ones(12, dtype=int)), "has label -1"),
    "truncated HDF5": (truncated_hdf5, "cannot be read as HDF5"),
    "names that are no text": (binary_names, "shape_names.txt is not text"),
}


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def assert_one_clear_line(result: Any, message: str) -> None:
    assert result.status == 2, result.err
    lines = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.err
    assert message in lines[0]
    assert "Traceback" not in result.err


@pytest.mark.parametrize("kind", BAD_DATA)
@pytest.mark.usefixtures("open3d")
def test_data_that_cannot_be_trained_on(kind: str, run: Run, clouds: Path, tmp_path: Path) -> None:
    data = shutil.copytree(clouds, tmp_path / "data")
    damage, message = BAD_DATA[kind]
    damage(data)
    before = contents(data)
    result = run("train", "modelnet", "--data", data, "--output", tmp_path / "new" / "run", *TINY)
    assert_one_clear_line(result, message)
    assert contents(data) == before
    leftovers = [p for p in (tmp_path / "new").rglob("*") if p.suffix in (".ckpt", ".safetensors")]
    assert not leftovers


@pytest.mark.usefixtures("open3d")
def test_a_header_glued_to_its_counts_is_understood(run: Run, clouds: Path, tmp_path: Path) -> None:
    data = shutil.copytree(clouds, tmp_path / "data")
    holding("glued.off", off(header="OFF4 4 0\n"))(data)
    result = run("data", "info", data, "--points", 64)
    assert result.status == 0, result.err
    assert "19 training and 18 test shapes" in result.out


def test_a_corrupt_cache_file_is_rebuilt(
    run: Run, clouds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CSGNN_CACHE", str(tmp_path / "cache"))
    words = ("data", "info", clouds, "--points", 64)
    first = run(*words)
    kept = sorted((tmp_path / "cache").rglob("*.points"))
    assert len(kept) == 36
    before = contents(tmp_path / "cache")
    kept[0].write_bytes(b"")
    kept[1].write_bytes(kept[1].read_bytes()[:-12])
    kept[2].write_bytes(kept[2].read_bytes()[:-1] + b"x")
    again = run(*words)
    assert (again.status, again.out) == (0, first.out)
    assert contents(tmp_path / "cache") == before


def replace_header(old: bytes, new: bytes) -> Damage:
    def damage(path: Path) -> None:
        weights = path / "model.safetensors"
        content = weights.read_bytes()
        assert old in content
        weights.write_bytes(content.replace(old, new))

    return damage


def without(*names: str) -> Damage:
    return lambda path: [(path / name).unlink() for name in names]  # type: ignore[func-returns-value,return-value]


def replaced(name: str, content: bytes) -> Damage:
    return lambda path: (path / name).write_bytes(content)  # type: ignore[return-value]


def another_checkpoint(path: Path) -> None:
    content = torch.load(path / "last.ckpt", weights_only=True)
    state = content["state_dict"]
    name = next(name for name in state if name.endswith("weight"))
    state[name] = torch.zeros(7, 5)
    torch.save(content, path / "last.ckpt")


BAD_RUNS: dict[str, tuple[Damage, str, str]] = {
    "no run to resume": (shutil.rmtree, "resume", "there is no run"),
    "no run to evaluate": (shutil.rmtree, "evaluate", "there is no run"),
    "no configuration": (without("config.yaml"), "evaluate", "it holds no config.yaml"),
    "no weights": (without("model.safetensors"), "evaluate", "there are no weights"),
    "checkpoint of another model": (another_checkpoint, "resume", "last.ckpt belongs to another"),
    "no checkpoint": (replaced("last.ckpt", b"words"), "resume", "last.ckpt cannot be read: File"),
    "empty checkpoint": (replaced("last.ckpt", b""), "resume", "last.ckpt is empty (0 bytes)"),
    "another schema": (
        replace_header(b'\\"schema\\": 4', b'\\"schema\\": 9'),
        "evaluate",
        "has schema version 9, and this version of csgnn-dgl reads versions 1 to 4",
    ),
    "another kind of model": (
        replace_header(b'\\"kind\\": \\"classifier\\"', b'\\"kind\\": \\"dispersion\\"'),
        "evaluate",
        "holds a model of the kind 'dispersion'",
    ),
    "unknown key in the configuration": (
        replaced("config.yaml", b"epoch: 3\n"),
        "resume",
        "unknown key 'epoch'",
    ),
}


@pytest.mark.parametrize("kind", BAD_RUNS)
def test_runs_that_cannot_be_used(kind: str, run: Run, trained: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(trained, tmp_path / "run")
    damage, command, message = BAD_RUNS[kind]
    damage(copy)
    before = contents(copy)
    words = ("evaluate", copy) if command == "evaluate" else ("train", "modelnet", "--resume", copy)
    assert_one_clear_line(run(*words), message)
    after = contents(copy)
    assert all(after[name] == digest for name, digest in before.items() if name != ".lock")


def test_an_existing_run_is_not_overwritten(run: Run, trained: Path, clouds: Path) -> None:
    before = contents(trained)
    result = run("train", "modelnet", "--data", clouds, "--output", trained, *TINY)
    assert_one_clear_line(result, "exists and holds a run; nothing was changed")
    assert contents(trained) == before


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "permission denied"),
        (errno.ENOSPC, "the disk is full"),
    ],
)
@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_places_that_cannot_be_written(
    command: str,
    number: int,
    message: str,
    run: Run,
    trained: Path,
    clouds: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The system's refusal is imitated: these tests often run as root, who may write anywhere."""
    import csgnn_dgl._files as files

    copy = shutil.copytree(trained, tmp_path / "run")
    before = contents(copy)
    real = files._open

    def refuse(path: Any, mode: str) -> Any:
        if "x" in mode and Path(path).is_relative_to(tmp_path):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, mode)

    monkeypatch.setattr(files, "_open", refuse)
    words: tuple[Any, ...] = ("evaluate", copy)
    if command == "train":
        words = ("train", "modelnet", "--data", clouds, "--output", tmp_path / "new", *TINY)
    assert_one_clear_line(run(*words), message)
    assert contents(copy) == before


@pytest.mark.parametrize(
    ("level", "n_spheres", "message"),
    [
        ("12", "64", "needs at least"),
        ("40", "1", "needs at least"),
        ("2", "99999999", "GiB are available; choose a smaller"),
    ],
)
def test_impossible_sizes_say_what_memory_they_need(
    level: str, n_spheres: str, message: str, run: Run, clouds: Path, tmp_path: Path
) -> None:
    words = ["train", "modelnet", "--data", clouds, "--output", tmp_path / "run", *TINY]
    result = run(*words, "--level", level, "--n-spheres", n_spheres)
    assert_one_clear_line(result, message)
    assert "GiB of memory" in result.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (f"--hidden={9 * 10**18}", "cannot be made with these options"),
        (f"--level={9 * 10**18}", "less than or equal to 50"),
        (f"--base-width={10**30}", "beyond 64 bits"),
        (f"--hidden={'9' * 5000}", "is not a list of whole numbers"),
    ],
    ids=lambda text: text[:30],
)
def test_sizes_beyond_all_machines(
    option: str, message: str, run: Run, clouds: Path, tmp_path: Path
) -> None:
    words = ["train", "modelnet", "--data", clouds, "--output", tmp_path / "run", *TINY]
    assert_one_clear_line(run(*words, option), message)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), "not enough memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 9 GiB"), "not enough memory"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: permission denied"),
        (OSError(errno.EIO, "Input/output error", "/x"), "/x: Input/output error"),
    ],
)
def test_what_the_system_refuses_later_is_named(
    error: Exception, message: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import csgnn_dgl.datasets.shapes as shapes

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(shapes, "load_dataset", fail)
    assert_one_clear_line(run("data", "info"), message)


def test_other_errors_are_not_hidden(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import csgnn_dgl.datasets.shapes as shapes

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a mistake in the program")

    monkeypatch.setattr(shapes, "load_dataset", fail)
    with pytest.raises(RuntimeError, match="a mistake in the program"):
        run("data", "info")
