"""What xyz and extxyz files declare is compared with what they hold, before anything is made."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from csgnn_dgl.datasets.atoms.structures import read_structures
from csgnn_dgl.errors import DataError

FRAME = (
    '2\nLattice="5.64 0 0 0 5.64 0 0 0 5.64" Properties=species:S:1:pos:R:3 pbc="T T T"\n'
    "Na 0 0 0\nCl 2.82 0 0\n"
)


def read(folder: Path, text: str, name: str = "a.extxyz") -> list[str]:
    path = folder / name
    path.write_text(text)
    return [s.atoms.get_chemical_formula() for s in read_structures(path)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("S:1", "S:4294967295", "atom 0 has fewer columns than the 4294967298 that are declared"),
        ("R:3", "R:100000000", "atom 0 has fewer columns than the 100000001 that are declared"),
        ("S:1", "S:" + "9" * 5000, "is not a list of NAME:TYPE:COLUMNS"),
        ("S:1", "S:-1", "is not a list of NAME:TYPE:COLUMNS"),
        ("S:1", "S:²", "is not a list of NAME:TYPE:COLUMNS"),
        ("S:1", "S", "is not a list of NAME:TYPE:COLUMNS"),
        ("species", "spices", "lacks elements (species) or pos"),
        ("pos:R:3", "pos:R:3:pos:R:3", "declares pos twice"),
        ("2.82 0 0", "2.82 0", "from line 1: atom 1 has fewer columns than the 4"),
        ("2.82 0 0", "2.82 0 0 7", "from line 1: atom 1 has more columns than the 4"),
        ("2\n", "99999999999\n", "the file ends after 2 of 99999999999 atoms"),
        ("2\n", "²\n", "line 1 should be a number of atoms, but is '²'"),
        ("2\n", "-2\n", "line 1 should be a number of atoms, but is '-2'"),
        ("2\n", "9" * 5000 + "\n", "line 1 should be a number of atoms, but is '999"),
        ("2\n", "1\n", "line 4 should be a number of atoms, but is 'Cl 2.82 0 0'"),
    ],
)
def test_wrong_declarations_are_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert read(tmp_path, FRAME) == ["ClNa"]
    with pytest.raises(DataError) as caught:
        read(tmp_path, FRAME.replace(old, new, 1))
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400


def test_declared_sizes_take_no_memory(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for old, new in (("S:1", "S:4294967295"), ("R:3", "R:400000000"), ("2\n", "4294967295\n")):
        with pytest.raises(DataError):
            read(tmp_path, FRAME.replace(old, new, 1))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # [kB]


def test_ordinary_variants_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, FRAME + "\n" + FRAME) == ["ClNa", "ClNa"]
    # A blank line between frames is no end.
    vectors = "2\ntitle\nNa 0 0 0\nCl 2.82 0 0\nVEC1 5 0 0\nVEC2 0 5 0\nVEC3 0 0 5\n"
    path = tmp_path / "a.xyz"
    path.write_text(vectors + vectors)
    assert [s.atoms.cell.volume for s in read_structures(path)] == pytest.approx([125, 125])
    path.write_bytes(b"1\n in \xc5\nNa 0 0 0\n")  # Latin-1
    assert len(read_structures(path)) == 1
    # Plain xyz may have further columns, which are nobody's.
    assert read(tmp_path, "2\ntitle\nNa 0 0 0 0.1 x\nCl 3 0 0 0.2 y\n", "a.xyz") == ["ClNa"]
    forces = FRAME.replace("pos:R:3", "pos:R:3:forces:R:3").replace("0 0\nCl", "0 0 1 2 3\nCl")
    assert read(tmp_path, forces[:-1] + " 4 5 6\n") == ["ClNa"]
    assert read(tmp_path, FRAME, "ice@300K.extxyz") == ["ClNa"]
    # A file name is not an index into another file.
    assert read(tmp_path, FRAME, "a@3.extxyz") == ["ClNa"]


def test_the_frame_that_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.extxyz\[1\], from line 5: atom 1 has fewer"):
        read(tmp_path, FRAME + FRAME.replace("2.82 0 0", "2.82"))


def test_cells_that_are_not_used_are_said(tmp_path: Path) -> None:
    path = tmp_path / "a.extxyz"
    path.write_text(FRAME.replace("T T T", "F F F"))
    (structure,) = read_structures(path)
    assert structure.warnings == (
        "the file gives a cell, but no periodic direction; the cell is not used",
    )
    path.write_text(FRAME.replace("5.64 0 0 0 5.64 0", "0 5.64 0 5.64 0 0"))
    (left,) = read_structures(path)  # of the other handedness, which changes nothing
    assert not left.warnings
