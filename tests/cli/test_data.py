"""``csgnn-dgl data``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

Run = Callable[..., Any]

GRID = {
    "quantity": "electronic",
    "start": 0,
    "step": 1,
    "size": 4,
    "unit": "eV",
    "zero": "Fermi level",
    "dos_unit": "states/eV/atom",
    "electrons": {"C": 4},
}
CARBON = bulk("C")


def test_info_of_a_folder(run: Run, clouds: Path) -> None:
    result = run("data", "info", clouds, "--points", 64)
    assert result.status == 0
    assert "18 training and 18 test shapes in 3 classes" in result.out
    assert "fingerprint" in result.out


def test_info_names_every_column(run: Run, tmp_path: Path) -> None:
    (tmp_path / "grid.json").write_text(json.dumps({**GRID, "dos_units": "states/eV/atom"}))
    atoms = CARBON.copy()
    atoms.info = {"dos": np.array([1.0, 2.0, 3.0, 4.0]), "energy": -9.0}
    atoms.set_array("pdos", np.array([[1.0, 2.0, 3.0, 4.0]] * 2))
    atoms.set_array("spin", np.array([1.0, -1.0]))
    ase.io.write(tmp_path / "train.extxyz", atoms, format="extxyz")
    result = run("data", "info", tmp_path)
    assert result.status == 0, result.err
    used, unused = result.out.split("columns that are not used:")
    assert "train.extxyz header: Lattice (the structure), pbc (the structure), dos (" in used
    assert "pdos (curves of single atoms)" in used
    assert "grid.json: dos_units (is 'dos_unit' meant?)" in unused
    assert "train.extxyz header: energy\n" in unused
    assert "train.extxyz atoms: spin\n" in unused
    assert "1 structures have curves of their atoms" in result.out


def test_info_of_the_solids(run: Run) -> None:
    result = run("data", "info", "--points", 16)
    assert result.status == 0
    assert "built-in solids" in result.out
    assert "trefoil" in result.out


def test_make_carbon(run: Run, tmp_path: Path) -> None:
    words = ("data", "make", "carbon-tb", "--to", tmp_path / "c", "--structure", "C20")
    words += ("--snapshots", 1, "--test-snapshots", 2, "--processes", 1)
    result = run(*words)
    assert result.status == 0, result.err
    assert "4 trajectories of 1 structures" in result.out
    assert run(*words).status == 0  # nothing left to do
    other = run(*words, "--seed", 1)
    assert other.status == 2
    assert "other options (seed)" in other.err


def test_make_labels_for_structures(run: Run, tmp_path: Path) -> None:
    import ase.io
    from ase.build import bulk, molecule

    ase.io.write(tmp_path / "mine.extxyz", [bulk("C", "diamond", 3.57), molecule("CH4")])
    words = ("data", "make", "carbon-tb", "--structures", tmp_path / "mine.extxyz")
    words += ("--kpoint-spacing", 0.9, "--processes", 1, "--to", tmp_path / "out")
    result = run(*words)
    assert result.status == 1
    assert "structures: 1 for train" in result.out
    assert "knows carbon only" in result.err
    assert "1 structures" in run("data", "info", tmp_path / "out").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["download", "modelnet41"], "did you mean 'modelnet40'"),
        (["download", "modelnet40", "--mirror", "http://example.org/a.zip"], "is not fetched"),
        (["make", "carbon-tb", "--structure", "C61"], "unknown carbon structure 'C61'"),
        (["make", "carbon-tb", "--test-snapshots", "3"], "cannot be divided evenly"),
        (["make", "carbon-tb", "--structures", "gone.extxyz"], "gone.extxyz"),
        (
            ["make", "carbon-tb", "--structures", "a.extxyz", "--snapshots", "3"],
            "--snapshots is an option for making snapshots",
        ),
        (["make", "carbon-tb", "--kpoint-spacing", "0.3"], "is an option of --structures"),
        (["info", "gone"], "there is no data at gone"),
        (["info", "gone", "--kind", "dos"], "there is no data at gone; check --data, leave it out"),
        (
            ["info", "--kind", "dos", "--points", "9"],
            "--points and --up-axis are options for shapes",
        ),
    ],
)
def test_mistakes_are_named(
    words: list[str], message: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("data", *words)
    assert result.status == 2
    assert message in result.err
    assert not list(tmp_path.iterdir())


# Densities of states.


def _extxyz(folder: Path, *curves: str, grid: dict[str, Any] | None = None) -> Path:
    folder.mkdir()
    (folder / "grid.json").write_text(json.dumps({**GRID, **(grid or {})}))
    frames = []
    for curve in curves:
        atoms = CARBON.copy()
        atoms.info = {"dos": curve} if curve else {}
        frames.append(atoms)
    ase.io.write(folder / "train.extxyz", frames, format="extxyz")
    return folder


def _paper(folder: Path, row: str = "", poscar: str = "", rows: int = 311) -> Path:
    place = folder / "graphite" / "300K" / "1"
    place.mkdir(parents=True)
    ase.io.write(place / "POSCAR", CARBON, format="vasp")
    if poscar:
        text = (place / "POSCAR").read_text()
        (place / "POSCAR").write_text(text.replace("\n   2\n", f"\n   {poscar}\n"))
    lines = [f"{-30 + 0.1 * index:.1f} 0.2" for index in range(rows)]
    (place / "doscar_s").write_text("\n".join([row or lines[0], *lines[1:]]))
    return folder


def _table(folder: Path, text: str, cif: str = "") -> Path:
    folder.mkdir()
    (folder / "grid.json").write_text(json.dumps(GRID))
    ase.io.write(folder / "a.cif", CARBON)
    if cif:
        (folder / "a.cif").write_text(cif)
    (folder / "id_prop.csv").write_text(text)
    return folder


def _coincident(folder: Path) -> Path:
    _extxyz(folder)
    atoms = Atoms("C2", [[0, 0, 0], [0, 0, 0.0]], info={"dos": "2 2 2 2"})
    ase.io.write(folder / "train.extxyz", atoms, format="extxyz")
    return folder


def test_info_says_what_was_understood_and_what_was_not(run: Run, tmp_path: Path) -> None:
    folder = _extxyz(tmp_path / "d", "2 2 2 2", "", "2 nan 2 2", "0 1 1 0")
    result = run("data", "info", folder)
    assert result.status == 0, result.err
    for part in (
        "2 training, 0 validation and 0 test structures of 2 to 2 atoms",
        "1 elements: C",
        "electronic density of states [states/eV/atom] at 4 energies 0 … 3 eV",
        "zero at the Fermi level",
        "electrons: 4 per atom",
        "rejected: 2",
        "train.extxyz[1]: the frame has no dos",
        "train.extxyz[3]: the curve holds 2 states per atom up to 3.5 eV, but there are 4",
    ):
        assert part in result.out


def test_info_of_the_built_in_carbon(run: Run) -> None:
    result = run("data", "info", "--kind", "dos")
    assert result.status == 0, result.err
    assert "carbon-tb-small: the built-in carbon set" in result.out
    assert "320 training, 0 validation and 80 test structures of 20 to 152 atoms" in result.out


def test_info_of_real_phonons(run: Run, shared_data: Path) -> None:
    result = run("data", "info", shared_data / "phonon_dos")
    assert "1192 training, 141 validation and 0 test structures of 2 to 40 atoms" in result.out


BAD: list[tuple[str, Callable[[Path], Path], str]] = [
    ("no label", lambda p: _extxyz(p, ""), "the frame has no dos"),
    ("other grid", lambda p: _extxyz(p, "1 2 3"), "3 values, but the grid has 4 energies"),
    ("all nan", lambda p: _extxyz(p, "nan nan nan nan"), "every value is nan"),
    ("zeros", lambda p: _extxyz(p, "0 0 0 0"), "zero everywhere, as if it were missing"),
    ("electrons", lambda p: _extxyz(p, "0 1 1 1"), "the Fermi level lies above the energies"),
    ("uneven", lambda p: _extxyz(p, "1 1 1 1", grid={"energies": [0, 1, 3, 4]}), "in even steps"),
    ("two grids", lambda p: _extxyz(p, "1 1 1 1", grid={"energies": [0, 1]}), "size is 4, but"),
    ("one place", _coincident, "0.000 Å apart, at one place"),
    ("short", lambda p: _paper(p, rows=300), "has 300 rows, but 311 are expected"),
    ("nan", lambda p: _paper(p, row="-30.0 nan"), "has nan at -30.0 eV"),
    ("exponent", lambda p: _paper(p, row="-30.0 1.0-10x"), "'1.0-10x' is not a number"),
    ("counts", lambda p: _paper(p, poscar="3"), "but 2 rows of positions follow"),
    ("file", lambda p: _table(p, "b,1,1,1,1\n"), "there is no file b, nor b.cif"),
    ("empty cell", lambda p: _table(p, "a,1,,1,1\n"), "value 2 of 4 is empty; write nan"),
    ("cif", lambda p: _table(p, "a,2,2,2,2\n", cif="data_a\n"), "holds no atom sites"),
]


@pytest.mark.parametrize(("make", "message"), [case[1:] for case in BAD], ids=[c[0] for c in BAD])
def test_data_that_cannot_be_used(
    make: Callable[[Path], Path], message: str, run: Run, tmp_path: Path
) -> None:
    folder = make(tmp_path / "d")
    before = sorted(tmp_path.rglob("*"))
    result = run("data", "info", folder)
    assert result.status == 2
    assert result.err.startswith("error: ")
    assert message in result.err
    assert "Traceback" not in result.err
    assert result.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def _vasp(folder: Path, row: str = "0.0 2.0 2.0", rows: int = 6) -> Path:
    folder.mkdir()
    ase.io.write(folder / "POSCAR", CARBON, format="vasp")
    head = "2 2 0 0\na\nb\nCAR\ncarbon\n5.0 0.0 6 3.5 1.0\n"
    lines = [row, *(f"{e}.0 2.0 {2 * e + 2}.0" for e in range(1, rows))]
    (folder / "DOSCAR").write_text(head + "\n".join(lines) + "\n")
    return folder


def test_import_vasp(run: Run, tmp_path: Path) -> None:
    good, bad = _vasp(tmp_path / "good", "0.0 1.0-103 0.0"), _vasp(tmp_path / "bad", rows=3)
    words = ("data", "import-vasp", good, bad, tmp_path / "gone", "--to", tmp_path / "out")
    strict = run(*words, "--strict")
    assert strict.status == 2
    assert "ends after 3 of 6 rows" in strict.err
    assert not (tmp_path / "out").exists()
    result = run(*words)
    assert result.status == 1
    assert "out: 1 calculations" in result.out
    assert f"rejected: {bad}: DOSCAR ends after 3 of 6 rows" in result.err
    assert f"{tmp_path / 'gone'} does not exist" in result.err
    assert run("data", "info", tmp_path / "out").status == 0
    again = run(*words)
    assert again.status == 2
    assert "out exists already" in again.err
    good_only = run("data", "import-vasp", good, "--to", tmp_path / "two")
    assert good_only.status == 0, good_only.err
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".tmp")]


@pytest.mark.parametrize(
    ("row", "words", "message"),
    [
        ("0.0 nan 2.0", [], "row 1 of the density of states is nan"),
        ("0.0 ***** 2.0", [], "Fortran prints it for one that is too large"),
        ("0.0 2.0", [], "DOSCAR"),
        ("0.0 2.0 2.0", ["--start", "0"], "all three are needed"),
        ("0.0 2.0 2.0", ["--width", "-1"], "the width of the broadening is -1"),
        ("0.0 2.0 2.0", ["--zero", "fermy"], "fermy"),
    ],
)
def test_imports_that_fail_write_nothing(
    row: str, words: list[str], message: str, run: Run, tmp_path: Path
) -> None:
    folder = _vasp(tmp_path / "d", row)
    before = sorted(tmp_path.rglob("*"))
    result = run("data", "import-vasp", folder, "--to", tmp_path / "out", *words)
    assert result.status == 2
    assert message in result.err
    assert "Traceback" not in result.err
    assert sorted(tmp_path.rglob("*")) == before
