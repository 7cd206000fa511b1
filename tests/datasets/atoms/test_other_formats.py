"""Formats of ASE whose readers leave out symmetry, or believe what a header declares."""

from __future__ import annotations

from pathlib import Path

import ase.io
import pytest
from ase.build import bulk

from csgnn_dgl.datasets.atoms.other_formats import check_other
from csgnn_dgl.datasets.atoms.structures import read_structures
from csgnn_dgl.errors import DataError

PDB = (
    "CRYST1   10.000   10.000   10.000  90.00  90.00  90.00 P 1           1\n"
    "ATOM      1  C   MOL A   1       1.000   2.000   3.000  1.00  0.00           C\n"
    "ATOM      2  C   MOL A   1       2.400   2.000   3.000  1.00  0.00           C\n"
    "END\n"
)
RES = "TITL a\nCELL 0.7 5 5 5 90 90 90\nLATT -1\nSFAC C\nC 1 0.1 0.2 0.3 1.0\nEND\n"
CUBE = "a\nb\n 1 0 0 0\n 2 1 0 0\n 2 0 1 0\n 2 0 0 1\n 6 6 0.1 0.2 0.3\n 0 1 2 3 4 5 6 7\n"
DUMP = (
    "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS pp pp pp\n0 5\n0 5\n0 5\n"
    "ITEM: ATOMS id type element x y z\n1 1 C 0 0 0\n"
)
DATA = (
    "c\n\n1 atoms\n1 atom types\n0 5 xlo xhi\n0 5 ylo yhi\n0 5 zlo zhi\n\n"
    "Masses\n\n1 12.011\n\nAtoms # atomic\n\n1 1 0 0 0\n"
)
GRO = "x\n 1\n    1ALA     CA    1   0.000   0.000   0.000\n 1.0 1.0 1.0\n"


@pytest.mark.parametrize(
    ("name", "text"), [("a.pdb", PDB), ("a.res", RES), ("a.cube", CUBE), ("a.dump", DUMP)]
)
def test_sound_files_are_read(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    (structure,) = read_structures(tmp_path / name)
    assert set(structure.atoms.symbols) == {"C"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.pdb", PDB.replace("P 1     ", "P 21 21 21"), "has the space group 'P 21 21 21'"),
        ("a.res", RES.replace("LATT -1", "LATT 1"), "has symmetry ('LATT 1')"),
        ("a.res", RES.replace("SFAC", "SYMM -x,y,-z\nSFAC"), "has symmetry ('SYMM -x,y,-z')"),
        ("a.cube", CUBE.replace(" 2 1 0 0", " 900000000 1 0 0"), "a grid of 900000000 × 2 × 2"),
        ("a.cube", CUBE.replace(" 1 0 0 0", " 99999999999 0 0 0"), "declares 99999999999 atoms"),
        ("a.dump", DUMP.replace("type element", "kind type"), "names no elements; write them"),
        ("a.lammps-data", DATA.replace("Masses\n\n1 12.011\n\n", ""), "names no elements; write"),
        ("a.json", "[" * 100_000, "it is nested too deeply"),
        ("a.unknown", "words", "it is in no format that ASE knows"),
        ("a.xml", '<?xml version="1.0" encoding="klingon"?><a/>', "no format that ASE knows"),
    ],
)
def test_unusable_files_are_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as caught:
        read_structures(tmp_path / name)
    assert message in str(caught.value)
    assert name in str(caught.value)


def test_partial_occupancies_of_a_pdb_are_said(tmp_path: Path) -> None:
    (tmp_path / "a.pdb").write_text(PDB.replace("3.000  1.00", "3.000  0.50", 1))
    (structure,) = read_structures(tmp_path / "a.pdb")
    assert structure.warnings == ("1 atoms of occupancy below 1 taken as full",)


@pytest.mark.parametrize(
    ("name", "text", "note"),
    [
        ("a.lammps-data", DATA, "elements were guessed from masses"),
        ("a.gro", GRO, "elements were guessed from the names of atoms"),
        ("a.pdb", PDB.replace("0.00           C", "0.00"), "guessed from the names of atoms"),
    ],
)
def test_elements_that_are_guessed_are_said(
    name: str, text: str, note: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    (structure,) = read_structures(tmp_path / name)
    assert set(structure.atoms.symbols) == {"C"}
    assert any(note in warning for warning in structure.warnings)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (b"[[8, 3]", b"[[9, 9]", "declares an array of shape"),
        (b"[[8, 3]", b"[[9e9,3", "cannot be read"),
        (32, 2**60, "declares 1152921504606846976 frames"),
        (40, 2**60, "declares 1 frames"),
    ],
)
def test_trajectories_that_declare_more_than_they_hold(
    old: bytes | int, new: bytes | int, what: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.traj"
    ase.io.write(path, bulk("NaCl", "rocksalt", 5.6, cubic=True))
    assert check_other(path) == []
    content = path.read_bytes()
    if isinstance(old, int):
        assert isinstance(new, int)
        changed = content[:old] + new.to_bytes(8, "little") + content[old + 8 :]
    else:
        assert isinstance(new, bytes)
        assert old in content
        changed = content.replace(old, new)
    path.write_bytes(changed)
    with pytest.raises(DataError, match=what):
        check_other(path)
