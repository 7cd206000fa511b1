"""Every column that is found is named, with what becomes of it."""

from __future__ import annotations

import json
from pathlib import Path

import ase.io
import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from csgnn_dgl.datasets.atoms.dos_carbon import BUILT_IN
from csgnn_dgl.datasets.atoms.loading import load_dos_dataset
from csgnn_dgl.datasets.columns import Column, ColumnCount, column_lines, unused_files
from csgnn_dgl.datasets.shapes import load_dataset
from csgnn_dgl.datasets.shapes.file_columns import file_columns
from csgnn_dgl.errors import DataError

GRID = {
    "quantity": "electronic",
    "start": 0,
    "step": 1,
    "size": 4,
    "units": "eV",
    "zero": "Fermi level",
    "dos_unit": "states/eV/atom",
}


def _by_name(columns: tuple[Column, ...]) -> dict[tuple[str, str], str | None]:
    return {(column.place, column.name): column.meaning for column in columns}


def test_extxyz(tmp_path: Path) -> None:
    (tmp_path / "grid.json").write_text(json.dumps({**GRID, "note": "x", "electrns": {"C": 4}}))
    frames = []
    for index in range(3):
        atoms = bulk("C", a=3.5 + 0.1 * index)
        atoms.info = {"dos": np.ones(4), "energy": -9.0, "origin": "here"}
        atoms.set_array("forces", np.zeros((2, 3)))
        atoms.set_array("pdos", np.ones((2, 4)))
        frames.append(atoms)
    frames[0].info["fermi_levl"] = 1.0
    ase.io.write(tmp_path / "train.extxyz", frames, format="extxyz")
    found = load_dos_dataset(tmp_path)
    columns = _by_name(found.columns)
    header, atoms_place = "train.extxyz header", "train.extxyz atoms"
    used = {
        ("grid.json", "quantity"),
        ("grid.json", "start"),
        ("grid.json", "step"),
        ("grid.json", "size"),
        ("grid.json", "units"),
        ("grid.json", "zero"),
        ("grid.json", "dos_unit"),
        (header, "Lattice"),
        (header, "pbc"),
        (header, "dos"),
        (atoms_place, "species"),
        (atoms_place, "pos"),
        (atoms_place, "pdos"),
    }
    unused = {
        ("grid.json", "note"),
        ("grid.json", "electrns"),
        (header, "energy"),
        (header, "origin"),
        (header, "fermi_levl"),
        (atoms_place, "forces"),
    }
    assert {key for key, meaning in columns.items() if meaning is not None} == used
    assert {key for key, meaning in columns.items() if meaning is None} == unused
    text = found.summary()
    assert "fermi_levl (is 'fermi_level' meant?, in 1 of 3)" in text
    assert "electrns (is 'electrons' meant?)" in text
    # Slips are told in training, too; columns that merely are not needed are not.
    assert sum("meant?" in warning for warning in found.warnings) == 2
    assert not any("origin" in warning or "energy" in warning for warning in found.warnings)


def test_tables(tmp_path: Path) -> None:
    (tmp_path / "grid.json").write_text(json.dumps(GRID))
    for index, name in enumerate("ab"):
        ase.io.write(tmp_path / f"{name}.cif", bulk("C", a=3.5 + index))
    table = tmp_path / "train.csv"
    table.write_text("file,group,0,1,2,3,comment\na,x,1,2,1,2,none\nb,y,1,2,1,2,\n")
    found = load_dos_dataset(tmp_path)
    assert [record.dos.tolist() for record in found.train] == [[1, 2, 1, 2]] * 2
    assert [record.group for record in found.train] == ["x", "y"]
    columns = _by_name(found.columns)
    assert columns["train.csv", "file"] == "the structure"
    assert columns["train.csv", "group"] == "type of structure"
    assert columns["train.csv", "0 … 3"] == "density of states"
    assert columns["train.csv", "comment"] is None
    # Which of the values belong to the curve cannot be told here.
    table.write_text("file,mp2,0,1,2,3\na,1,1,2,1,2\n")
    with pytest.raises(DataError, match="5 values, but the grid has 4 energies"):
        load_dos_dataset(tmp_path)
    table.write_text("a,1,2,1,2\n")
    columns = _by_name(load_dos_dataset(tmp_path).columns)
    assert columns["train.csv", "others"] == "density of states"
    table.write_text("file,electrons,dos\na,4,1 2 1 2\n")
    found = load_dos_dataset(tmp_path)
    assert (found.train[0].dos.tolist(), found.train[0].electrons) == ([1, 2, 1, 2], 2.0)


def test_trajectories_and_the_papers_layout(tmp_path: Path) -> None:
    columns = _by_name(load_dos_dataset(BUILT_IN).columns)
    assert columns["recipe.json", "structures"] is not None
    assert columns["recipe.json", "friction"] is None
    assert columns["*.npz", "dos"] == "density of states"
    place = tmp_path / "C20" / "300K" / "1"
    place.mkdir(parents=True)
    ase.io.write(place / "POSCAR", Atoms("C", cell=[9, 9, 9], pbc=True), format="vasp")
    rows = [f"{-30 + 0.1 * index:.2f} 0.5 0.1 0.4" for index in range(311)]
    (place / "doscar_s").write_text("\n".join(rows))
    columns = _by_name(load_dos_dataset(tmp_path).columns)
    assert columns == {
        ("doscar_s", "column 1"): "energies, checked",
        ("doscar_s", "column 2"): "density of states",
        ("doscar_s", "columns 3 to 4"): None,
    }


# Shapes.


def test_hdf5(tmp_path: Path) -> None:
    for which in ("train", "test"):
        with h5py.File(tmp_path / f"{which}.h5", "w") as file:
            file["data"] = np.random.default_rng(0).random((4, 32, 3))
            file["label"] = np.array([0, 1, 0, 1])
            file["normal"] = np.zeros((4, 32, 3))
            if which == "train":
                file["faceId"] = np.zeros((4, 32))
        (tmp_path / f"{which}_files.txt").write_text(f"data/{which}.h5\n")
    (tmp_path / "forgotten.h5").write_bytes(b"")
    found = load_dataset(tmp_path, points=16)
    columns = _by_name(found.columns)
    assert columns == {
        ("files", "forgotten.h5"): None,
        ("files", "test.h5"): "shapes",
        ("files", "test_files.txt"): "list for test",
        ("files", "train.h5"): "shapes",
        ("files", "train_files.txt"): "list for train",
        ("HDF5 arrays", "data"): "points",
        ("HDF5 arrays", "label"): "classes",
        ("HDF5 arrays", "faceId"): None,
        ("HDF5 arrays", "normal"): None,
    }
    assert "faceId (in 1 of 2)" in found.summary()


def test_folders_of_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("rod", "disc"):
        (tmp_path / name).mkdir()
        for index in range(3):
            np.savez(tmp_path / name / f"{index}.npz", points=rng.random((40, 3)), normals=[0])
            np.save(tmp_path / name / f"{index}.npy", rng.random((40, 6)))
        (tmp_path / name / "photo.jpg").write_bytes(b"x")
    found = load_dataset(tmp_path, points=16)
    assert _by_name(found.columns) == {
        ("files", ".npy"): "shapes",
        ("files", ".npz"): "shapes",
        ("files", ".jpg"): None,
        ("*.npy", "columns 1 to 3"): "points",
        ("*.npy", "columns 4 to 6"): None,
        ("*.npz", "points"): "points",
        ("*.npz", "normals"): None,
    }
    assert ".jpg (2 files)" in found.summary()


PLY = b"""ply
format ascii 1.0
element vertex 1
property float x
property float y
property float z
property uchar red
element face 0
property list uchar int vertex_indices
end_header
0 0 0 255
"""


@pytest.mark.parametrize(
    ("name", "content", "used", "unused"),
    [
        ("a.obj", b"v 0 0 0\nvn 0 0 1\nf 1 2 3\nmtllib a\n", ["v", "f"], ["vn", "mtllib"]),
        ("a.off", b"", ["vertices", "faces"], []),
        ("a.stl", b"", ["triangles"], ["normals"]),
        ("a.pts", b"2\n0 0 0 7\n1 1 1 7\n", ["columns 1 to 3"], ["column 4"]),
        ("a.txt", b"# x y z\n0,0,0\n", ["columns 1 to 3"], []),
        ("a.npz", b"damaged", [], []),
        ("a.npy", b"damaged", [], []),
        ("a.mine", b"", [], []),
        (
            "a.ply",
            PLY,
            ["vertex x", "vertex y", "vertex z", "face vertex_indices"],
            ["vertex red"],
        ),
    ],
)
def test_files_of_shapes(name: str, content: bytes, used: list[str], unused: list[str]) -> None:
    found = file_columns(Path(name), content)
    assert [column for column, meaning in found.items() if meaning] == used
    assert [column for column, meaning in found.items() if not meaning] == unused


def test_lines() -> None:
    count = ColumnCount()
    assert column_lines(count.columns()) == []
    count.add("a", {"dos": "curve"})
    assert column_lines(count.columns())[-1] == "  columns that are not used: none"
    count.add("a", {"dos": "curve", "x": None})
    lines = column_lines(count.columns())
    assert lines[1:] == [
        "    a: dos (curve)",
        "  columns that are not used:",
        "    a: x (in 1 of 2)",
    ]


def test_files_that_are_not_read_are_listed(tmp_path: Path) -> None:
    for name in ("train.extxyz", "old.extxyz", "a.npz", "notes.txt", ".hidden.csv"):
        (tmp_path / name).write_text("")
    read = [Column("train.extxyz header", "dos", "density of states"), Column("*.npz", "dos", "x")]
    assert [column.name for column in unused_files(tmp_path, read)] == ["old.extxyz"]
    assert unused_files(tmp_path / "absent", read) == []
