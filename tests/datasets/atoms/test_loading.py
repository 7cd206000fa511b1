"""What lies at a path is found out: each layout, whole and damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from csgnn_dgl.datasets.atoms.dos_carbon import BUILT_IN
from csgnn_dgl.datasets.atoms.loading import is_dos_folder, load_dos_dataset
from csgnn_dgl.errors import DataError
from csgnn_dgl.physics import fermi_level, refined

GRID = {
    "quantity": "electronic",
    "start": 0,
    "step": 1,
    "size": 4,
    "unit": "eV",
    "zero": "Fermi level",
    "dos_unit": "states/eV/atom",
}


def _grid(folder: Path, **more: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "grid.json").write_text(json.dumps({**GRID, **more}))
    return folder


def _frames(count: int, **info: object) -> list[Atoms]:
    frames = []
    for index in range(count):
        atoms = bulk("C", a=3.5 + 0.01 * index)
        atoms.info = {"dos": np.array([1.0, 2.0, 1.0, 1.0 + index]), **info}
        frames.append(atoms)
    return frames


# Built in, and made.


def test_the_built_in_set() -> None:
    carbon = load_dos_dataset(None)
    assert (len(carbon.train), len(carbon.validation), len(carbon.test)) == (320, 0, 80)
    groups = {record.group for record in carbon.records}
    assert len(groups) == 8
    for name in groups:
        assert sum(record.group == name for record in carbon.train) == 40
        assert sum(record.group == name for record in carbon.test) == 10
    assert not carbon.rejected
    assert not carbon.warnings
    record = carbon.train[0]
    fine, grid = refined(record.dos, carbon.grid)
    assert record.fermi_level == pytest.approx(float(fermi_level(fine, grid, 4.0)), abs=0.5)
    assert "built-in" in carbon.summary()
    assert sum(path.stat().st_size for path in BUILT_IN.iterdir()) < 2_000_000


def test_a_folder_of_trajectories(tmp_path: Path) -> None:
    shutil.copytree(BUILT_IN, tmp_path / "c")
    gone, damaged = tmp_path / "c" / "C20-300K-train.npz", tmp_path / "c" / "C20-300K-test.npz"
    gone.unlink()
    damaged.write_bytes(damaged.read_bytes()[:200])
    found = load_dos_dataset(tmp_path / "c")
    assert (len(found.train), len(found.test)) == (300, 75)
    assert [entry.name for entry in found.rejected] == ["C20-300K-test.npz"]
    assert "damaged" in found.rejected[0].reason
    assert "1 of the 32 trajectories" in found.warnings[0]
    assert gone.name in found.warnings[0]
    (tmp_path / "c" / "recipe.json").write_text("{}")
    with pytest.raises(DataError, match=r"recipe\.json is not a recipe"):
        load_dos_dataset(tmp_path / "c")


# extxyz.


def test_extxyz(tmp_path: Path) -> None:
    _grid(tmp_path, electrons={"C": 4})
    frames = _frames(3, group="cubic", id="mp-66", fermi_level=1.5)
    frames[1].info["dos"] = np.array([1.0, np.nan, 2.0, 3.0])
    del frames[2].info["dos"]
    ase.io.write(tmp_path / "train.extxyz", frames, format="extxyz")
    ase.io.write(tmp_path / "val.extxyz", _frames(2, electrons=6.0), format="extxyz")
    found = load_dos_dataset(tmp_path)
    assert (len(found.train), len(found.validation), len(found.test)) == (2, 2, 0)
    assert found.train[0].name == "train.extxyz[0] (mp-66)"
    assert (found.train[0].group, found.train[0].fermi_level) == ("cubic", 1.5)
    assert (found.train[0].electrons, found.validation[0].electrons) == (4.0, 3.0)
    assert np.isnan(found.train[1].dos[1])
    assert [(e.name, e.reason) for e in found.rejected] == [
        ("train.extxyz[2] (mp-66)", "the frame has no dos")
    ]


def test_curves_of_cells_are_divided(tmp_path: Path) -> None:
    ase.io.write(_grid(tmp_path, dos_unit="states/eV/cell") / "a.xyz", _frames(1), format="extxyz")
    np.testing.assert_array_equal(load_dos_dataset(tmp_path).train[0].dos, [0.5, 1, 0.5, 0.5])


FRAME = 'pbc="F F F" Properties=species:S:1:pos:R:3'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f'1\n{FRAME} dos="1 1"\nC 0 0 0\n', "2 values, but the grid has 4 energies"),
        (f'1\n{FRAME} dos="1 1 x 1"\nC 0 0 0\n', "'x' is not a number"),
        (f"1\n{FRAME} dos=high\nC 0 0 0\n", "'high' is not a number"),
        (f'1\n{FRAME} dos=""\nC 0 0 0\n', "the frame has no dos"),
        (
            f'1\n{FRAME} dos="1 ******** 1 1"\nC 0 0 0\n',
            "Fortran prints it for one that is too large",
        ),
        (f'1\n{FRAME} dos="0 0 0 0"\nC 0 0 0\n', "zero everywhere"),
        (f'1\n{FRAME} dos="1 1 1 1" fermi_level=high\nC 0 0 0\n', "fermi_level is 'high'"),
        (f'1\n{FRAME} dos="1 1 1 1"\nC 0 0 nan\n', "position of atom 0 is NaN"),
        (f'1\n{FRAME} dos="1 1 1 1"\nC 0 0 zero\n', "the frame cannot be read"),
        (f'2\n{FRAME} dos="1 1 1 1"\nC 0 0 0\n', "ends after 1 of 2 atoms"),
        (f'one\n{FRAME} dos="1 1 1 1"\nC 0 0 0\n', "line 4 should be a number of atoms"),
    ],
)
def test_bad_frames_are_set_aside(text: str, reason: str, tmp_path: Path) -> None:
    good = f'1\n{FRAME} dos="1 1.0-103 1 2.0D-1"\nC 0 0 0\n'
    (_grid(tmp_path) / "train.extxyz").write_text(good + text)
    found = load_dos_dataset(tmp_path)
    assert found.train[0].dos.tolist() == [1.0, 1e-103, 1.0, 0.2]
    assert len(found.rejected) == 1
    assert reason in found.rejected[0].reason
    (tmp_path / "train.extxyz").write_text(text)
    with pytest.raises(DataError, match="none of its training structures can be used"):
        load_dos_dataset(tmp_path)


# Tables.


def test_a_table(tmp_path: Path) -> None:
    _grid(tmp_path, electrons={"C": 4})
    ase.io.write(tmp_path / "one.cif", bulk("C"))
    ase.io.write(tmp_path / "POSCAR-two.vasp", bulk("C", a=3.6), format="vasp")
    (tmp_path / "train.csv").write_text("file,0,1,2,3\none,1,2,1,2\n")
    (tmp_path / "test.csv").write_text("POSCAR-two.vasp,1 nan 1 2\n")
    found = load_dos_dataset(tmp_path)
    assert found.train[0].dos.tolist() == [1, 2, 1, 2]
    assert (found.train[0].electrons, len(found.train[0].atoms)) == (4.0, 2)
    assert np.isnan(found.test[0].dos[1])
    assert not found.rejected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("two,1,1,1,1", "there is no file two, nor two.cif"),
        ("one,1,1,1,1", "the file was named in a row before"),
        (",1,1,1,1", "the row names no file"),
        ("other", "the row has no values"),
        ("other,,,,", "the row has no values"),
        ("other,1,,1,1", "value 2 of 4 is empty; write nan"),
        ("other,1,1,1", "3 values, but the grid has 4"),
        ("other,1,1,x,1", "'x' is not a number"),
        ("other,1,-1,1,1", "is negative"),
        ("bad,1,1,1,1", "holds no atom sites"),
    ],
)
def test_bad_rows_are_set_aside(row: str, reason: str, tmp_path: Path) -> None:
    _grid(tmp_path)
    ase.io.write(tmp_path / "one.cif", bulk("C"))
    ase.io.write(tmp_path / "other.cif", bulk("C", a=3.6))
    (tmp_path / "bad.cif").write_text("data_bad\n_cell_length_a 1\n")
    (tmp_path / "id_prop.csv").write_text(f"one,1,1,1,1\n{row}\n")
    found = load_dos_dataset(tmp_path)
    assert len(found.train) == 1
    assert found.rejected[0].name.startswith("id_prop.csv row 2")
    assert reason in found.rejected[0].reason


# Finding out.


def test_a_tenth_is_held_out_if_nothing_is(tmp_path: Path) -> None:
    frames = _frames(20, group="a") + _frames(20, group="b")
    ase.io.write(_grid(tmp_path) / "train.extxyz", frames, format="extxyz")
    found = load_dos_dataset(tmp_path, seed=1)
    assert (len(found.train), len(found.test)) == (36, 4)
    assert sorted(record.group for record in found.test) == ["a", "a", "b", "b"]
    assert "4 were held out by seed 1" in found.warnings[-1]
    again, other = load_dos_dataset(tmp_path, seed=1), load_dos_dataset(tmp_path, seed=0)
    assert again.fingerprint == found.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no densities of states, but nothing"),
        ({"a.txt": ""}, "holds no densities of states, but a.txt"),
        ({"train.extxyz": ""}, "there is no grid.json in"),
        ({"id_prop.csv": ""}, "there is no grid.json in"),
        ({"recipe.json": "{}"}, r"recipe\.json is not a recipe"),
        ({"grid.json": json.dumps(GRID)}, "has no train.extxyz; it has grid.json"),
        ({"grid.json": json.dumps(GRID), "train.extxyz": ""}, "holds no training structures"),
        ({"train.extxyz": "", "train.xyz": ""}, "two files for train"),
        ({"train.csv": "", "id_prop.csv": ""}, "two tables for train"),
        ({"train.csv": "", "train.extxyz": ""}, "has both train.csv and train.extxyz"),
        ({"vasprun.xml": ""}, "import them first: csgnn-dgl data import-vasp"),
    ],
)
def test_other_folders_are_explained(files: dict[str, str], message: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        load_dos_dataset(tmp_path)


def test_paths_that_are_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no data at .*gone; check --data"):
        load_dos_dataset(tmp_path / "gone")
    (tmp_path / "a.extxyz").write_text("")
    with pytest.raises(DataError, match="is a file; --data takes the folder"):
        load_dos_dataset(tmp_path / "a.extxyz")


def test_folders_of_shapes_are_none(clouds: Path, tmp_path: Path) -> None:
    assert not is_dos_folder(clouds)
    assert not is_dos_folder(tmp_path / "gone")
    assert is_dos_folder(BUILT_IN)


def test_phonons(shared_data: Path) -> None:
    found = load_dos_dataset(shared_data / "phonon_dos")
    assert (len(found.train), len(found.validation), len(found.test)) == (1192, 141, 0)
    assert (found.quantity, found.grid.unit, len(found.elements)) == ("phonon", "cm^-1", 64)
    assert not found.rejected
    assert not found.warnings
