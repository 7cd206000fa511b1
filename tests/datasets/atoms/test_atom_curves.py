"""Curves of single atoms in users' files: taken, scaled or left out, and never silently."""

from __future__ import annotations

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from csgnn_dgl.datasets.atoms.atom_curves import fitted_curves
from csgnn_dgl.datasets.atoms.dos import DOSDataset
from csgnn_dgl.datasets.atoms.loading import load_dos_dataset
from csgnn_dgl.errors import DataError

GRID = {
    "quantity": "electronic",
    "start": 0,
    "step": 1,
    "size": 4,
    "unit": "eV",
    "zero": "Fermi level",
    "dos_unit": "states/eV/atom",
}
CURVES = np.array([[2.0, 1.0, 0.0, 3.0], [0.0, 1.0, 4.0, 1.0]])
DOS = CURVES.mean(axis=0)


def _frame(index: int, pdos: np.ndarray | None, dos: np.ndarray = DOS) -> Atoms:
    atoms = bulk("NaCl", "rocksalt", 5.6 + 0.01 * index)
    atoms.info = {"dos": dos}
    if pdos is not None:
        atoms.set_array("pdos", pdos)
    return atoms


def _folder(path: Path, frames: list[Atoms], **grid: object) -> Path:
    (path / "grid.json").write_text(json.dumps({**GRID, **grid}))
    with (path / "train.extxyz").open("w") as file:
        for atoms in frames:
            extra = ["pdos"] if "pdos" in atoms.arrays else []
            columns = ["symbols", "positions", *extra]
            ase.io.write(file, atoms, format="extxyz", columns=columns)
    return path


def _load(path: Path, frames: list[Atoms], **grid: object) -> DOSDataset:
    return load_dos_dataset(_folder(path, frames, **grid))


def _spoiled(value: float) -> np.ndarray:
    curves = CURVES.copy()
    curves[1, 2] = value
    return curves


def _warned(found: DOSDataset, text: str) -> str:
    (warning,) = [warning for warning in found.warnings if text in warning]
    return warning


def test_columns_of_extxyz_are_labels(tmp_path: Path) -> None:
    found = _load(tmp_path, [_frame(0, CURVES), _frame(1, CURVES)])
    for record in found.train:
        assert record.atom_dos is not None
        np.testing.assert_allclose(record.atom_dos, CURVES)
        assert set(record.atoms.arrays) == {"numbers", "positions"}
    assert not any("pdos" in warning for warning in found.warnings)
    assert "2 structures have curves of their atoms" in found.summary()
    bare = tmp_path / "bare"
    bare.mkdir()
    without = _load(bare, [_frame(0, None), _frame(1, None)])
    assert without.train[0].atom_dos is None
    # Runs that were trained before curves of atoms were read go on.
    assert without.fingerprint == found.fingerprint


def test_curves_of_cells_are_divided_and_those_of_atoms_are_not(tmp_path: Path) -> None:
    found = _load(tmp_path, [_frame(0, CURVES, 2 * DOS)], dos_unit="states/eV/cell")
    np.testing.assert_allclose(found.train[0].dos, DOS)
    assert found.train[0].atom_dos is not None
    np.testing.assert_allclose(found.train[0].atom_dos, CURVES)


def test_projections_that_lack_states_are_scaled_and_told(tmp_path: Path) -> None:
    lacking = CURVES * np.array([0.9, 0.5, 0.7, 0.0])
    found = _load(tmp_path, [_frame(0, lacking), _frame(1, CURVES)])
    curves = found.train[0].atom_dos
    assert curves is not None
    np.testing.assert_allclose(curves.mean(axis=0), DOS, rtol=1e-6)
    np.testing.assert_allclose(curves[:, :3], CURVES[:, :3], rtol=1e-6)  # shares stay
    np.testing.assert_allclose(curves[:, 3], DOS[3])  # nobody has any: all the same
    text = _warned(found, "scaled, energy by energy")
    share = np.abs(lacking.mean(axis=0) - DOS).sum() / DOS.sum()
    assert f"(train.extxyz[0]: {100 * share:.0f} %)" in text


@pytest.mark.parametrize(
    ("pdos", "reason"),
    [
        (CURVES[:, :3], r"they have shape (2, 3), but (2, 4) is expected: a row for each atom"),
        (_spoiled(np.nan), "the curve of atom 1 is nan where dos is defined"),
        (_spoiled(np.inf), "the curve of atom 1 is infinite somewhere"),
        (CURVES - 1, "the curve of atom 0 is negative, down to -1"),
        (0 * CURVES, "they are zero everywhere"),
        (CURVES / 4, "their mean differs from dos by 75 %"),
        (CURVES * 3, "their mean differs from dos by 200 %"),
    ],
)
def test_curves_that_cannot_be_are_left_out(pdos: np.ndarray, reason: str, tmp_path: Path) -> None:
    found = _load(tmp_path, [_frame(0, pdos), _frame(1, CURVES)])
    assert len(found.train) == 2
    assert found.train[0].atom_dos is None
    assert found.train[1].atom_dos is not None
    text = _warned(found, "pdos was left out, and dos was kept")
    assert reason in text
    assert "(train.extxyz[0])" in text
    assert "the first is train.extxyz[0]" in _warned(found, "1 of 2 structures have no curves")


def test_curves_divided_by_the_atoms_are_recognised() -> None:
    curves = np.random.default_rng(0).random((5, 6))
    with pytest.raises(DataError, match="80 %; their sum is the dos per atom, so multiply them"):
        fitted_curves(curves / 5, curves.mean(axis=0), 5)


def test_nan_where_the_density_of_states_is_nan(tmp_path: Path) -> None:
    dos, curves = DOS.copy(), CURVES.copy()
    dos[1] = np.nan
    found = _load(tmp_path, [_frame(0, curves, dos)])
    assert found.train[0].atom_dos is not None
    assert np.isnan(found.train[0].atom_dos[:, 1]).all()
    np.testing.assert_allclose(found.train[0].atom_dos[:, [0, 2, 3]], CURVES[:, [0, 2, 3]])


def test_small_dips_are_set_to_zero() -> None:
    curves = CURVES.copy()
    curves[0, 2] = -0.01
    found, scaled = fitted_curves(curves, DOS, 2)
    assert found.min() == 0.0
    assert scaled is None


# Arrays beside files of structures.


def test_an_archive_beside_extxyz(tmp_path: Path) -> None:
    frames = [_frame(0, None), _frame(1, None)]
    _folder(tmp_path, frames)
    both = np.concatenate([CURVES, CURVES[::-1]])
    numbers = np.concatenate([atoms.numbers for atoms in frames])
    np.savez(tmp_path / "train.npz", pdos=both, numbers=numbers, remark=np.array("x"))
    # A frame that is no use keeps its rows.
    text = (tmp_path / "train.extxyz").read_text()
    (tmp_path / "train.extxyz").write_text(text.replace("dos=", "doss=", 1))
    found = load_dos_dataset(tmp_path)
    assert [entry.name for entry in found.rejected] == ["train.extxyz[0]"]
    assert found.train[0].atom_dos is not None
    np.testing.assert_allclose(found.train[0].atom_dos, CURVES[::-1])
    assert "'doss', which is not used; is 'dos' meant?" in " ".join(found.warnings)
    by_name = {(c.place, c.name): c.meaning for c in found.columns}
    assert by_name["train.npz", "pdos"] == "curves of single atoms"
    assert by_name["train.npz", "numbers"] == "checked against the structure"
    assert by_name["train.npz", "remark"] is None


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"pdos": CURVES}, "pdos has 2 rows, but there are 4 atoms"),
        ({"pdos": np.array(1.0)}, "pdos has 0 rows, but there are 4 atoms"),
        ({"pdos": np.zeros((4, 4)), "numbers": np.full(4, 6)}, "the atomic numbers are not those"),
        ({"pdos": np.zeros((4, 4)), "positions": np.ones((4, 3))}, "the positions are not those"),
        (None, "cannot be read"),
    ],
)
def test_archives_of_other_atoms_are_left_out(
    arrays: dict[str, np.ndarray] | None, reason: str, tmp_path: Path
) -> None:
    _folder(tmp_path, [_frame(0, None), _frame(1, None)])
    if arrays is None:
        (tmp_path / "train.npz").write_bytes(b"PK damaged")
    else:
        np.savez(tmp_path / "train.npz", **arrays)  # type: ignore[arg-type]
    found = load_dos_dataset(tmp_path)
    assert [record.atom_dos for record in found.train] == [None, None]
    assert reason in _warned(found, "left out")


def test_frames_come_before_the_archive(tmp_path: Path) -> None:
    _folder(tmp_path, [_frame(0, CURVES)])
    np.savez(tmp_path / "train.npz", pdos=CURVES[::-1])
    found = load_dos_dataset(tmp_path)
    assert found.train[0].atom_dos is not None
    np.testing.assert_allclose(found.train[0].atom_dos, CURVES)
    assert "that of the frames was taken" in _warned(found, "train.npz")


def test_archives_beside_the_structures_of_a_table(tmp_path: Path) -> None:
    (tmp_path / "grid.json").write_text(json.dumps(GRID))
    cell = bulk("NaCl", "rocksalt", 5.6)
    ase.io.write(tmp_path / "a.vasp", cell, format="vasp")
    ase.io.write(tmp_path / "b.cif", cell)
    ase.io.write(tmp_path / "c.cif", bulk("NaCl", "rocksalt", 5.7))
    values = ",".join(map(str, DOS))
    (tmp_path / "train.csv").write_text("".join(f"{name},{values}\n" for name in "abc"))
    np.savez(tmp_path / "a.npz", pdos=CURVES)
    np.savez(tmp_path / "b.npz", pdos=CURVES, scaled_positions=cell.get_scaled_positions() + 1)
    np.savez(tmp_path / "c.npz", pdos=CURVES)
    found = load_dos_dataset(tmp_path)
    assert [record.atom_dos is not None for record in found.train] == [True, True, False]
    np.savez(tmp_path / "b.npz", pdos=CURVES, scaled_positions=cell.get_scaled_positions()[::-1])
    assert "their order must be checked" in _warned(
        found, "c.npz needs an array 'scaled_positions'"
    )
    assert load_dos_dataset(tmp_path).train[1].atom_dos is None
