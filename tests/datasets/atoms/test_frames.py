"""Frames of large files are found, and read one by one."""

from __future__ import annotations

import gc
import gzip
import json
import pickle
import sqlite3
import sys
import tracemalloc
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.db.row import AtomsRow
from ase.io.jsonio import encode

from csgnn_dgl.datasets.atoms.frames import (
    column_kinds,
    read_pieces,
    structure_marks,
    structure_sources,
)
from csgnn_dgl.datasets.atoms.structure import Structure
from csgnn_dgl.datasets.atoms.structures import read_structures
from csgnn_dgl.datasets.pieces import Frame, partitions
from csgnn_dgl.errors import DataError


def make_structures(count: int = 7) -> list[Atoms]:
    found = []
    for index in range(count):
        atoms = bulk(("Si", "Cu", "Al")[index % 3]) * (1 + index % 2, 1, 1)
        atoms.rattle(0.05, seed=index)
        atoms.info.update(tag=f"t{index}", height=0.5 * index)
        found.append(atoms)
    return found


def read_all(inputs: Sequence[Path], size: int = 3, **options: Any) -> list[Frame[Structure]]:
    marks = structure_marks(structure_sources(inputs))
    return [frame for part in partitions(marks, size) for frame in read_pieces(part, **options)]


def assert_same(frames: Sequence[Frame[Structure]], structures: Sequence[Atoms]) -> None:
    assert [frame.error for frame in frames] == [None] * len(structures)
    for frame, atoms in zip(frames, structures, strict=True):
        assert frame.item is not None
        np.testing.assert_allclose(frame.item.atoms.positions, atoms.positions, atol=1e-7)
        np.testing.assert_array_equal(frame.item.atoms.numbers, atoms.numbers)
        np.testing.assert_array_equal(frame.item.atoms.pbc, atoms.pbc)


def write_database(path: Path, structures: Sequence[Atoms]) -> None:
    with ase.db.connect(path) as database:
        for atoms in structures:
            database.write(atoms, **atoms.info)


def write_lmdb(path: Path, structures: Sequence[Atoms], *, folder: bool = False) -> None:
    lmdb = pytest.importorskip("lmdb")
    with (
        lmdb.open(str(path), subdir=folder, map_size=1 << 24) as opened,
        opened.begin(write=True) as transaction,
    ):
        for number, atoms in enumerate(structures, start=1):
            row = AtomsRow(atoms)
            content = {
                key: row[key] for key in ("numbers", "positions", "cell", "pbc", "unique_id")
            }
            content["cell"] = np.asarray(content["cell"])
            content["key_value_pairs"] = dict(atoms.info)
            transaction.put(str(number).encode(), zlib.compress(encode(content).encode()))
        transaction.put(b"nextid", zlib.compress(str(len(structures) + 1).encode()))


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n \n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_extxyz(tmp_path: Path, ending: str, start: bytes) -> None:
    path = tmp_path / "a.extxyz"
    structures = make_structures()
    ase.io.write(path, structures)
    frames = path.read_bytes().decode().split("\n")
    text = "\n".join(frames)
    if ending == "\n \n":  # blank lines between frames
        text = text.replace("\n1\nLattice", "\n \n1\nLattice")
    else:
        text = text.replace("\n", ending)
    path.write_bytes(start + text.encode())
    found = read_all([path])
    assert_same(found, structures)
    plain = read_structures(path)
    assert [frame.item.source for frame in found if frame.item] == [s.source for s in plain]


def test_other_ends_of_lines_and_compressed_files(tmp_path: Path) -> None:
    structures = make_structures()
    ase.io.write(tmp_path / "a.extxyz", structures)
    text = (tmp_path / "a.extxyz").read_bytes()
    (tmp_path / "b.extxyz").write_bytes(text.replace(b"\n", b"\r"))
    (tmp_path / "c.extxyz").write_bytes(text.decode().encode("utf-16"))
    (tmp_path / "d.extxyz.gz").write_bytes(gzip.compress(text))
    for name in ("b.extxyz", "c.extxyz", "d.extxyz.gz"):
        assert_same(read_all([tmp_path / name]), structures)


def test_a_bad_frame_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "a.extxyz"
    structures = make_structures(5)
    structures[1].positions[0] = np.nan
    ase.io.write(path, structures)
    lines = path.read_text().split("\n")
    row = next(number for number, line in enumerate(lines) if line.startswith("Al"))
    lines[row] = "Al 1 2"
    path.write_text("\n".join(lines))
    found = read_all([path])
    assert [frame.frame for frame in found if frame.error] == [1, 2]
    assert "a.extxyz[1]: positions are NaN" in str(found[1].error)
    assert "a.extxyz[2]" in str(found[2].error)
    assert "fewer columns" in str(found[2].error)


def test_the_rest_of_a_broken_file_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "a.extxyz"
    ase.io.write(path, make_structures(4))
    text = path.read_text()
    lines = len(text.rstrip("\n").split("\n"))
    path.write_text(text + "what\nis this\n")
    found = read_all([path])
    assert [frame.frame for frame in found if frame.error] == [4]
    assert f"line {lines + 1} should be a number of atoms" in str(found[4].error)
    path.write_text(text[: -len(text) // 12])
    (error,) = [frame.error for frame in read_all([path]) if frame.error]
    assert "ends after" in error


def test_databases(tmp_path: Path) -> None:
    structures = make_structures()
    write_database(tmp_path / "a.db", structures)
    with ase.db.connect(tmp_path / "a.db") as database:
        database.delete([3, 4])
    left = [atoms for index, atoms in enumerate(structures) if index not in (2, 3)]
    found = read_all([tmp_path / "a.db"], columns=["tag", "height", "id", "nothing"])
    assert_same(found, left)
    assert [frame.frame for frame in found] == [0, 1, 2, 3, 4]
    assert [frame.columns["tag"] for frame in found] == ["t0", "t1", "t4", "t5", "t6"]
    assert [frame.columns["id"] for frame in found] == [1, 2, 5, 6, 7]
    assert found[0].columns["nothing"] is None


def test_a_damaged_row_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    write_database(path, make_structures())
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE systems SET positions=X'0102' WHERE id=2")
    connection.close()
    found = read_all([path])
    assert [frame.frame for frame in found if frame.error] == [1]
    assert "row 2" in str(found[1].error)


def test_other_databases_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    (frame,) = read_all([path])
    assert "not one of ASE" in str(frame.error)


@pytest.mark.parametrize("folder", [False, True])
def test_lmdb(tmp_path: Path, folder: bool) -> None:
    structures = make_structures()
    path = tmp_path / ("data" if folder else "a.aselmdb")
    write_lmdb(path, structures, folder=folder)
    found = read_all([tmp_path], columns=["tag"])
    assert_same(found, structures)
    assert [frame.columns["tag"] for frame in found] == [f"t{index}" for index in range(7)]


def test_pickles_in_lmdb_are_refused(tmp_path: Path) -> None:
    lmdb = pytest.importorskip("lmdb")
    with (
        lmdb.open(str(tmp_path / "a.lmdb"), subdir=False, map_size=1 << 20) as opened,
        opened.begin(write=True) as transaction,
    ):
        transaction.put(b"0", pickle.dumps({"pos": 1}))
        transaction.put(b"length", pickle.dumps(1))
    (frame,) = read_all([tmp_path / "a.lmdb"])
    assert "pickled Python object" in str(frame.error)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({b"x": b"y"}, "lacks the entry 'nextid'"),
        ({b"nextid": zlib.compress(b"99999999999")}, "has fewer entries"),
        ({b"nextid": b"99"}, "cannot be read"),
        ({b"nextid": zlib.compress(b"2"), b"1": zlib.compress(b"[1]")}, "no row of a database"),
        ({b"nextid": zlib.compress(b"3"), b"1": b"", b"7": b""}, "row 2 is missing"),
        (
            {
                b"nextid": zlib.compress(b"2"),
                b"1": zlib.compress(
                    json.dumps({"numbers": {"__ndarray__": [[10**9], "int64", [1]]}}).encode()
                ),
            },
            "declares an array",
        ),
    ],
)
def test_damaged_lmdb(tmp_path: Path, entries: dict[bytes, bytes], message: str) -> None:
    lmdb = pytest.importorskip("lmdb")
    with (
        lmdb.open(str(tmp_path / "a.lmdb"), subdir=False, map_size=1 << 20) as opened,
        opened.begin(write=True) as transaction,
    ):
        for key, value in entries.items():
            transaction.put(key, value)
    assert any(message in str(frame.error) for frame in read_all([tmp_path / "a.lmdb"]))


def test_no_lmdb(tmp_path: Path) -> None:
    pytest.importorskip("lmdb")
    (tmp_path / "a.lmdb").write_bytes(b"no database" * 1000)
    (frame,) = read_all([tmp_path / "a.lmdb"])
    assert "no LMDB file" in str(frame.error)


def test_folders_mix_everything(tmp_path: Path) -> None:
    structures = make_structures(4)
    ase.io.write(tmp_path / "b.cif", structures[0])
    ase.io.write(tmp_path / "POSCAR", structures[1])
    ase.io.write(tmp_path / "c.extxyz", structures[2:])
    write_database(tmp_path / "d.db", structures[:2])
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "e.cif").write_text("data_x\n")
    found = read_all([tmp_path])
    assert [frame.file.rpartition("/")[2] for frame in found] == [
        *("POSCAR", "b.cif", "c.extxyz", "c.extxyz", "d.db", "d.db", "e.cif")
    ]
    assert [frame.file for frame in found if frame.error] == [str(tmp_path / "e.cif")]


def test_columns_are_known_before_anything_is_read(tmp_path: Path) -> None:
    write_database(tmp_path / "a.db", make_structures())
    ase.io.write(tmp_path / "b.extxyz", make_structures())
    ase.io.write(tmp_path / "c.cif", make_structures()[0])
    sources = [(path, path.name) for path in (tmp_path / "a.db", tmp_path / "b.extxyz")]
    assert column_kinds(iter(sources), ["tag", "height"]) == {"tag": str, "height": float}
    with pytest.raises(DataError, match=r"a.db has no column 'tog': did you mean 'tag'\?"):
        column_kinds(iter(sources), ["tog"])
    with pytest.raises(DataError, match=r"c.cif has no columns"):
        column_kinds(iter([(tmp_path / "c.cif", "c.cif")]), ["tag"])
    other = make_structures()
    for atoms in other:
        atoms.info["height"] = "tall"
    ase.io.write(tmp_path / "d.extxyz", other)
    with pytest.raises(DataError, match="of another type"):
        column_kinds(iter([*sources, (tmp_path / "d.extxyz", "d.extxyz")]), ["height"])


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    frame = "1\n\nSi 0 0 0\n"

    def read(count: int) -> int:
        """Read so many frames; the largest memory that it took."""
        path.write_text(frame * count)
        gc.collect()
        tracemalloc.start()
        try:
            frames = sum(
                piece.count
                for part in partitions(structure_marks(structure_sources([path])), 100)
                for piece in part
            )
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert frames == count
        return peak

    read(1_000)  # the first call imports modules
    # Anything that is kept of every frame takes at least a pointer and a small number. Less than
    # this may come from other threads of the test process, which tracemalloc counts, too.
    per_frame = 8 + sys.getsizeof(1)
    assert read(50_000) < read(10_000) + 40_000 * per_frame / 2
