"""Commands on many files of which some are odd, and names that no terminal should see raw."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase.build import bulk

from csgnn_dgl.datasets.readers import Reader, register, unregister

Run = Callable[..., Any]


@pytest.fixture
def diamond(tmp_path: Path) -> Path:
    path = tmp_path / "diamond.cif"
    ase.io.write(path, bulk("C", "diamond", 3.57))
    return path


@pytest.fixture
def odd(tmp_path: Path) -> list[Path]:
    """Paths that cannot be used, each for another reason."""
    link, pipe, folder = tmp_path / "link.cif", tmp_path / "pipe.cif", tmp_path / ".hidden"
    empty, escape = tmp_path / "empty.cif", tmp_path / "a\nb\x1b[2J.cif"
    link.symlink_to(tmp_path / "absent")
    os.mkfifo(pipe)
    folder.mkdir()
    empty.touch()
    escape.write_text("no cif")
    long = tmp_path / ("x" * 300 + ".cif")
    bytes_ = Path(os.fsdecode(os.fsencode(tmp_path / "name") + b"\xff.cif"))
    return [link, pipe, folder, empty, escape, long, bytes_, Path("/dev/zero")]


@pytest.mark.parametrize("choice", ["--isolate", "--no-isolate"])
@pytest.mark.parametrize("words", [("predict", "carbon-tb"), ("describe-atoms",)])
def test_odd_files_do_not_stop_the_others(
    words: tuple[str, ...], choice: str, run: Run, diamond: Path, odd: list[Path], tmp_path: Path
) -> None:
    alone = run(*words, diamond, choice)
    assert alone.status == 0, alone.err
    result = run(*words, diamond, *odd, diamond, choice)
    assert result.status == 1, result.err
    assert result.out.count(alone.out.splitlines()[0]) == 2
    assert f"{len(odd)} of {len(odd) + 2} files cannot be used" in result.err
    for text in (result.out, result.err):
        assert all(c.isprintable() or c == "\n" for c in text)
        assert "a\nb" not in text
    listed = json.loads(run(*words, diamond, *odd, choice, "--json").out)
    assert [entry["error"] is None for entry in listed] == [True] + [False] * len(odd)
    assert listed[5]["file"] == str(odd[4])


def test_a_crash_is_an_error_of_its_file(run: Run, diamond: Path, tmp_path: Path) -> None:
    boom = tmp_path / "a.boom"
    boom.write_text("words")

    def crash(path: Path, occupancy: str) -> None:
        os.kill(os.getpid(), 11)

    mine = Reader("structure file", "mine", ".boom", lambda path: path.suffix == ".boom", crash)
    register(mine)
    try:
        result = run("describe-atoms", diamond, boom, diamond, "--isolate")
    finally:
        unregister(mine)
    assert result.status == 1
    assert "a.boom cannot be read: its reader crashed (SIGSEGV)" in result.err
    assert result.out.count("C2, 2 sites") == 2


def test_shapes_in_workers(run: Run, trained: Path, clouds: Path, tmp_path: Path) -> None:
    files = sorted(clouds.rglob("*.npy"))[:6]
    (tmp_path / "bad.npy").write_bytes(b"words")
    words = ("predict", trained, *files, tmp_path / "bad.npy", "--votes", "2")
    here, there = (run(*words, choice) for choice in ("--no-isolate", "--isolate"))
    assert (here.status, here.out, here.err) == (there.status, there.out, there.err)
    assert here.status == 1


def test_folders_in_workers(run: Run, clouds: Path, tmp_path: Path) -> None:
    """36 files: enough for workers by default."""
    copy = shutil.copytree(clouds, tmp_path / "clouds")
    pids: set[int] = set()
    mine = Reader(
        "shape file", "mine", ".npy", lambda path: path.suffix == ".npy", lambda path: np.load(path)
    )
    register(mine)
    try:
        result = run("data", "info", copy, "--points", "64")
    finally:
        unregister(mine)
    assert result.status == 0, result.err
    assert not pids
    assert "note: files are read in this process" not in result.err
    (copy / "rod" / "train" / "rod0.npy").write_bytes(b"words")
    result = run("data", "info", copy, "--points", "64")
    assert result.status == 2
    assert "rod0.npy cannot be read" in result.err


@pytest.mark.parametrize("link", [False, True])
def test_an_input_is_never_overwritten(link: bool, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "frames.extxyz"
    ase.io.write(file, [bulk("C", "diamond", 3.57)])
    before = file.read_bytes()
    output = tmp_path / "other.extxyz" if link else file
    if link:
        output.symlink_to(file)
    result = run("describe-atoms", file, "-o", output)
    assert result.status == 2
    assert "is also an input, and would be overwritten" in result.err
    assert file.read_bytes() == before
    assert run("describe-atoms", file, "-o", tmp_path / "new.extxyz").status == 0


@pytest.mark.parametrize("name", ["model.safetensors", "config.yaml", "last.ckpt"])
def test_an_export_does_not_replace_files_of_its_run(name: str, run: Run, trained: Path) -> None:
    before = (trained / name).read_bytes()
    result = run("export", trained, "-o", trained / name)
    assert result.status == 2
    assert "is also an input" in result.err
    assert (trained / name).read_bytes() == before


def test_names_in_errors_of_one_file(run: Run) -> None:
    for words in (
        ("evaluate", "a\n\x1b[2J"),
        ("predict", "a\n\x1b[2J", "x"),
        ("data", "info", "\x9b2J\u202e"),
        ("train", "modelnet", "--config", "\x1b]0;title\x07"),
        ("\x1b[2J",),
        ("train", "modelnet", "--seed", "9" * 5000),
        ("train", "modelnet", "--set", "\x1b[2J"),
    ):
        result = run(*words)
        assert result.status == 2
        assert all(c.isprintable() or c == "\n" for c in result.err), words
        assert len(result.err) < 3000
