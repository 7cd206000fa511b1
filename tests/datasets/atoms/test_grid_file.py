"""``grid.json``, and what is asked of a curve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from csgnn_dgl.datasets.atoms.dos import DOSRecord
from csgnn_dgl.datasets.atoms.dos_labels import DOSLabels, checked_curve
from csgnn_dgl.datasets.atoms.gathering import Entry, Gathering, parse_number
from csgnn_dgl.datasets.atoms.grid_file import GridFile, read_grid_file, write_grid_file
from csgnn_dgl.errors import DataError
from csgnn_dgl.physics import EnergyGrid

GRID = EnergyGrid(0.0, 1.0, 4, "eV", "Fermi level")
WHOLE: dict[str, Any] = {
    "quantity": "electronic",
    "start": 0,
    "step": 1,
    "size": 4,
    "unit": "eV",
    "zero": "Fermi level",
    "dos_unit": "states/eV/atom",
}


def _read(folder: Path, **said: object) -> GridFile:
    path = folder / "grid.json"
    path.write_text(json.dumps({key: v for key, v in said.items() if v is not None}))
    return read_grid_file(path)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    about = GridFile(GRID, "electronic", "states/eV/atom", electrons={"C": 4.0}, name="a")
    write_grid_file(tmp_path / "grid.json", about)
    assert read_grid_file(tmp_path / "grid.json") == about
    assert about.electrons_of(Atoms("C2")) == 4.0
    assert about.electrons_of(Atoms("CH")) is None


def test_a_whole_file_needs_no_warning(tmp_path: Path) -> None:
    assert _read(tmp_path, **WHOLE).warnings == ()


def test_curves_of_cells_are_known(tmp_path: Path) -> None:
    about = _read(tmp_path, **{**WHOLE, "dos_unit": "states/eV/cell"})
    assert (about.per_cell, about.dos_unit) == (True, "states/eV/atom")


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (
            {"quantity": None},
            "gives no quantity; electronic was assumed, because energies are in eV",
        ),
        ({"unit": None}, "gives no unit of the energies"),
        ({"zero": None}, "gives no zero of energy"),
        ({"dos_unit": None}, "gives no dos_unit; curves are assumed to be per atom"),
        ({"dos_unit": "states/eV"}, "neither per atom nor per cell; per atom was assumed"),
        ({"elektrons": {}}, "unknown entry 'elektrons', which was ignored (is 'electrons' meant?)"),
    ],
)
def test_what_is_not_said_is_warned_of(
    change: dict[str, Any], warning: str, tmp_path: Path
) -> None:
    assert any(warning in text for text in _read(tmp_path, **{**WHOLE, **change}).warnings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"energies": [0, 1, 3], "start": None}, "not ascending in even steps"),
        ({"energies": [0, 1, 2]}, "size is 4, but that of energies is 3"),
        ({"energies": ["a", 1]}, "energies are not all numbers"),
        ({"start": None, "step": None}, r"gives no energies: .* \(start, step missing\)"),
        ({"step": -1}, "but both must be finite"),
        ({"step": "one"}, "step is 'one'; it must be a number"),
        ({"size": 3.5}, "size is 3.5; it must be a whole number"),
        ({"quantity": "magnetic"}, 'quantity is \'magnetic\'; say "electronic" or "phonon"'),
        ({"quantity": None, "unit": "meV"}, "gives no quantity; say"),
        ({"unit": 3}, "unit is 3; it must be text"),
        ({"electrons": 4}, r"give electrons per atom by element, as \{\"C\": 4\}"),
        ({"electrons": {"Xx": 4}}, "'Xx', which is not an element"),
        ({"electrons": {"C": -4}}, "electrons of C is -4; it cannot be negative"),
        ({"electrons": {"C": 10**40}}, "C has 34 hexadecimal digits; it is too large"),
        ({"size": 10**400}, "size has 333 hexadecimal digits; it is too large"),
        ({"size": 10**9}, "size is 1e\\+09; it must be a whole number, .* at most 100000"),
        ({"size": True}, "size is True; it must be a number"),
        ({"energies": [0, 1, 10**300], "start": None}, "energies are not all numbers"),
        ({"energies": [False, True], "start": None}, "energies are not all numbers"),
        ({"energies": [[0, 1], [2]], "start": None}, "energies are not all numbers"),
        ({"unit": ["x" * 5000]}, "unit is .{40,70}…; it must be text"),
        ({"electrons": {"C": None}}, "electrons of C is None; it must be a number"),
    ],
)
def test_mistakes_are_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        _read(tmp_path, **{**WHOLE, **change})


@pytest.mark.parametrize("content", ["", "[1]", "{"])
def test_other_files_are_named(content: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no grid.json in .*; it gives the energies"):
        read_grid_file(tmp_path / "grid.json")
    (tmp_path / "grid.json").write_text(content)
    with pytest.raises(DataError, match=r"grid.json (is not JSON|holds a list|is empty)"):
        read_grid_file(tmp_path / "grid.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"size": ' + b"9" * 5000 + b"}", "cannot be read: .*digits"),
        (b'{"size": 3, "size": 4}', "the entry 'size' is given twice"),
        (b"\xff\xfe{", "cannot be read"),
    ],
)
def test_damaged_json(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "grid.json").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_grid_file(tmp_path / "grid.json")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("dos", "reason"),
    [
        (np.array([True] * 4), r"dos is array\(\[ True"),
        (np.array([1 + 1j] * 4), "not numbers"),
        (np.array(["a"] * 4), "not numbers"),
        (np.ones((2, 2)), r"dos has shape \(2, 2\)"),
        (np.ones((1, 4)), None),
        ("1 2 3 x²" + "9" * 5000, "is not a number"),
        (1.0, "it has 1 values, but the grid has 4"),
    ],
)
def test_columns_of_other_types(dos: object, reason: str | None) -> None:
    gathering = _gathering()
    gathering.take("train", Entry("a", bulk("C"), {"dos": dos}))
    if reason is None:
        assert len(gathering.dataset("n", "s").train) == 1
        return
    with pytest.raises(DataError, match=reason):
        gathering.dataset("n", "s")


@pytest.mark.parametrize("value", [True, "²", "9" * 5000 + "x", [1.0, 2.0], 10**400, "inf"])
def test_numbers_that_are_none(value: object) -> None:
    with pytest.raises(DataError, match=r"fermi_level is .* not a number") as caught:
        parse_number({"fermi_level": value}, "fermi_level")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2, 3], "3 values, but the grid has 4 energies"),
        ([1, 2, 3, np.inf], "value 4 is infinite"),
        ([np.nan] * 4, "every value is nan"),
        ([0, 0, 0, 0], "zero everywhere, as if it were missing"),
        ([0, np.nan, 0, 0], "zero everywhere"),
        ([1, -0.5, 1, 1], "is negative, down to -0.5"),
    ],
)
def test_bad_curves(values: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        checked_curve(values, GRID)


def test_undefined_energies_stay_undefined() -> None:
    np.testing.assert_array_equal(checked_curve([1, np.nan, 0, 2], GRID)[0], [1, np.nan, 0, 2])


def _gathering() -> Gathering[DOSRecord]:
    return Gathering(DOSLabels(GridFile(GRID, "electronic", "states/eV/atom")))


def _entry(name: str, atoms: Atoms, **more: object) -> Entry:
    return Entry(name, atoms, {"dos": [1.0, 1, 1, 1], **more})


@pytest.mark.parametrize(
    ("electrons", "kept", "reason"),
    [
        (3.0, 3.0, None),
        (3.5, 3.5, None),
        (4.0, 4.0, None),
        (4.01, 4.0, None),
        (5.0, None, r"holds 4 states per atom up to 3\.5 eV, but there are 5 electrons: the Fermi"),
        (0.0, None, "the number of electrons is 0; it must be positive"),
        (np.nan, None, "electrons_per_atom is nan"),
    ],
)
def test_electrons_fit_the_curve(electrons: float, kept: float | None, reason: str | None) -> None:
    gathering = _gathering()
    gathering.take("train", _entry("a", bulk("C"), electrons_per_atom=electrons))
    if reason is not None:
        with pytest.raises(DataError, match=f"a: .*{reason}"):
            gathering.dataset("n", "s")
        return
    found = gathering.dataset("n", "s")
    assert found.train[0].electrons == kept
    assert any("lowered" in text for text in found.warnings) == (kept != electrons)


@pytest.mark.parametrize(
    ("atoms", "reason"),
    [
        (Atoms("C2", [[0, 0, 0], [0, 0, 0]]), "0.000 Å apart, at one place"),
        (Atoms("C", [[0, 0, np.nan]]), "the position of atom 0 is NaN"),
        (Atoms(), "has no atoms"),
        (Atoms("C", cell=[[1, 0, 0], [1, 0, 0], [0, 0, 1]], pbc=True), "is singular"),
    ],
)
def test_structures_that_cannot_be_are_set_aside(atoms: Atoms, reason: str) -> None:
    gathering = _gathering()
    gathering.take("train", _entry("good", bulk("C")))
    gathering.take("train", _entry("bad", atoms))
    found = gathering.dataset("n", "s")
    assert len(found.train) == 1
    assert [entry.name for entry in found.rejected] == ["bad"]
    assert reason in found.rejected[0].reason


def test_test_structures_that_are_trained_on_are_warned_of() -> None:
    gathering = _gathering()
    gathering.take("train", _entry("a", bulk("C")))
    gathering.take("test", _entry("b", bulk("C")))
    assert "1 validation or test structures" in gathering.dataset("n", "s").warnings[0]
