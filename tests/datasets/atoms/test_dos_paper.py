"""The layout of the paper's carbon data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk

from csgnn_dgl.datasets.atoms.dos_paper import PAPER_GRID
from csgnn_dgl.datasets.atoms.loading import is_dos_folder, load_dos_dataset
from csgnn_dgl.errors import DataError

ENERGIES = -30 + 0.1 * np.arange(311)
# Five states per atom, four of them well below zero.
CURVE = 5 * np.exp(-((ENERGIES + 12) ** 2) / 2) / np.sqrt(2 * np.pi)


def _write(place: Path, curve: np.ndarray = CURVE, energies: np.ndarray = ENERGIES) -> Path:
    place.mkdir(parents=True)
    ase.io.write(place / "POSCAR", bulk("C", cubic=True), format="vasp")
    rows = [f"{e:.3f} {g:.6f} 0.0" for e, g in zip(energies, curve, strict=True)]
    (place / "doscar_s").write_text("\n".join(rows) + "\n")
    return place


@pytest.mark.parametrize("atoms_per_curve", [1, 8])
def test_curves_of_atoms_or_of_structures(atoms_per_curve: int, tmp_path: Path) -> None:
    for place in ("graphite/300K/1", "graphite/600K/1", "C60/300K/9", "test/C60/300K/2"):
        _write(tmp_path / place, CURVE * atoms_per_curve)
    _write(tmp_path / "graphite" / "300K" / "test" / "7", CURVE * atoms_per_curve)
    assert is_dos_folder(tmp_path)
    found = load_dos_dataset(tmp_path)
    assert (found.grid, found.dos_unit) == (PAPER_GRID, "states/eV/atom")
    assert [record.name for record in found.train] == [
        "C60/300K/9",
        "graphite/300K/1",
        "graphite/600K/1",
    ]
    assert sorted(record.group for record in found.test) == ["C60", "graphite"]
    for record in found.records:
        np.testing.assert_allclose(record.dos, CURVE[:310], atol=1e-6)
        assert record.electrons == 4.0
    said = "of whole structures" if atoms_per_curve > 1 else "the electrons of one atom"
    assert said in found.warnings[0]


def test_they_may_not_be_mixed(tmp_path: Path) -> None:
    _write(tmp_path / "a" / "300K" / "1")
    _write(tmp_path / "a" / "300K" / "2", CURVE * 8)
    with pytest.raises(DataError, match=r"a/300K/2 holds .* whole structure, but that of a/300K/1"):
        load_dos_dataset(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("-12.000 1.994711 0.0", "-12.000", "line 181 has 1 columns"),
        ("\n1.000 0.000000 0.0\n", "\n", "has 310 rows, but 311 are expected"),
        ("-12.000 1.994711", "-12.000 nan", "has nan at -12.0 eV"),
        ("-12.000 1.994711", "-12.000 ********", "line 181: '********' is not a number: Fortran"),
        ("-12.000 1.994711", "-12.000 high", "line 181: 'high' is not a number"),
        ("-12.000 1.994711", "-11.000 1.994711", "has energies -30 … 0.9 eV"),
        ("-12.000 1.994711", "-12.000 -1.994711", "is negative, down to -1.99"),
    ],
)
def test_damaged_curves_are_set_aside(old: str, new: str, reason: str, tmp_path: Path) -> None:
    _write(tmp_path / "a" / "300K" / "1")
    file = _write(tmp_path / "a" / "300K" / "2") / "doscar_s"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    found = load_dos_dataset(tmp_path)
    assert [record.name for record in found.train] == ["a/300K/1"]
    assert [entry.name for entry in found.rejected] == ["a/300K/2"]
    assert reason in found.rejected[0].reason


def test_fortran_exponents(tmp_path: Path) -> None:
    file = _write(tmp_path / "a" / "300K" / "1") / "doscar_s"
    file.write_text(file.read_text().replace("-30.000 0.000000", "-30.000 1.0-103"))
    assert load_dos_dataset(tmp_path).train[0].dos[0] == 1e-103


def test_one_without_the_other(tmp_path: Path) -> None:
    _write(tmp_path / "a" / "300K" / "1")
    (_write(tmp_path / "a" / "300K" / "2") / "POSCAR").unlink()
    (_write(tmp_path / "a" / "300K" / "3") / "doscar_s").unlink()
    found = load_dos_dataset(tmp_path)
    reasons = {entry.name: entry.reason for entry in found.rejected}
    assert "POSCAR does not exist" in reasons["a/300K/2"]
    assert "there is no doscar_s: a structure without its label" in reasons["a/300K/3"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda lines: lines[:-1], "counts 8 atoms (8), but 7 rows of positions follow"),
        (lambda lines: [*lines, lines[-1]], "counts 8 atoms (8), but 9 rows of positions follow"),
        (lambda lines: lines[:4], "is not a POSCAR"),
        (lambda lines: [*lines[:-1], "0.1 0.2 nan"], "positions are NaN or infinite: atom 7"),
    ],
)
def test_damaged_structures_are_set_aside(
    change: Callable[[list[str]], list[str]], reason: str, tmp_path: Path
) -> None:
    _write(tmp_path / "a" / "300K" / "1")
    file = _write(tmp_path / "a" / "300K" / "2") / "POSCAR"
    file.write_text("\n".join(change(file.read_text().rstrip().splitlines())) + "\n")
    found = load_dos_dataset(tmp_path)
    assert len(found.train) == 1
    assert reason in found.rejected[0].reason


def test_fewer_states_than_electrons(tmp_path: Path) -> None:
    _write(tmp_path / "a" / "300K" / "1", CURVE / 5)
    with pytest.raises(DataError, match=r"holds 1 states per atom up to 0\.95 eV, but there are 4"):
        load_dos_dataset(tmp_path)
