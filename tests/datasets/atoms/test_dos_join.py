"""Data sets of densities of states are joined without a change to their structures and curves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from csgnn_dgl.cli.main import main
from csgnn_dgl.datasets.atoms.dos import DOSRecord
from csgnn_dgl.datasets.atoms.dos_folder import write_extxyz
from csgnn_dgl.datasets.atoms.dos_join import join_dos
from csgnn_dgl.datasets.atoms.grid_file import GridFile, write_grid_file
from csgnn_dgl.datasets.atoms.loading import load_dos_dataset
from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.physics import EnergyGrid

GRID = EnergyGrid(-2.0, 0.5, 12, "eV", "vacuum level")


def record(number: int, *, projected: bool = True, group: str = "all") -> DOSRecord:
    random = np.random.default_rng(number)
    atoms = Atoms("C2", random.normal(size=(2, 3)) + np.array([[0, 0, 0], [4, 0, 0]]))
    curves = random.uniform(0.5, 1.0, (2, GRID.size)).astype(np.float16)
    return DOSRecord(
        atoms,
        curves.astype(np.float64).mean(axis=0),
        f"structure {number}",
        group,
        electrons=2.0,
        band_energy=-1.25 - number,
        atom_dos=curves if projected else None,
    )


def folder(place: Path, name: str, grid: EnergyGrid = GRID, **splits: list[DOSRecord]) -> Path:
    path = place / name
    path.mkdir()
    for split, records in splits.items():
        write_extxyz(path / f"{split}.extxyz", records)
    write_grid_file(path / "grid.json", GridFile(grid, "electronic", "states/eV/atom", name=name))
    return path


@pytest.mark.parametrize("scale", [1e-9, 3e-6, 1.0, 1e6])
def test_curves_of_atoms_in_any_unit(scale: float, tmp_path: Path) -> None:
    """Half precision would lose small ones and end at 65,504."""
    given = record(1)
    assert given.atom_dos is not None
    curves = given.atom_dos.astype(np.float64) * scale
    scaled = DOSRecord(given.atoms, curves.mean(axis=0), "x", electrons=scale, atom_dos=curves)
    [read] = load_dos_dataset(folder(tmp_path, "scaled", train=[scaled])).train
    assert read.atom_dos is not None
    np.testing.assert_allclose(read.atom_dos, curves, rtol=1e-3)


def test_structures_and_curves_are_those_of_the_sets(tmp_path: Path) -> None:
    first = folder(
        tmp_path,
        "first",
        train=[record(1, group="tube"), record(2)],
        test=[record(3, projected=False)],
    )
    second = folder(tmp_path, "second", train=[record(4, projected=False)], test=[record(5)])
    result = join_dos([first, second], tmp_path / "both")
    assert result.counts == {"train": 3, "validation": 0, "test": 2}
    for path, note in zip((first, second), result.notes, strict=True):
        structures = 3 if path == first else 2
        assert note.startswith(
            f"{path}: 1 of {structures} structures have no curves of their atoms"
        )
    sets = [load_dos_dataset(first), load_dos_dataset(second)]
    joined = load_dos_dataset(tmp_path / "both")
    assert joined.grid == GRID
    assert not joined.rejected
    for split in ("train", "test"):
        given = [(found.name, r) for found in sets for r in getattr(found, split)]
        for own, (name, other) in zip(getattr(joined, split), given, strict=True):
            assert other.name in own.name
            assert own.group == ("tube" if other.group == "tube" else name)
            np.testing.assert_allclose(own.atoms.positions, other.atoms.positions, atol=1e-7)
            np.testing.assert_array_equal(own.dos, other.dos)
            assert (own.electrons, own.band_energy) == (other.electrons, other.band_energy)
            if other.atom_dos is None:
                assert own.atom_dos is None
            else:
                np.testing.assert_array_equal(own.atom_dos, other.atom_dos)
    assert any("have no curves of their atoms" in warning for warning in joined.warnings)


def test_validation_sees_every_set(tmp_path: Path) -> None:
    first = folder(tmp_path, "first", train=[record(n) for n in range(10)])
    # Data with neither validation nor test structures lose a tenth to a test split when read.
    second = folder(
        tmp_path, "second", train=[record(n) for n in range(20, 24)], validation=[record(30)]
    )
    result = join_dos([first, second], tmp_path / "both", validation_fraction=0.3)
    assert result.counts == {"train": 10, "validation": 4, "test": 1}
    drawn, note = result.notes
    assert drawn == (
        f"{first}: no test structures are given; 1 were held out by seed 0; in the joined set they "
        f"count as given ones"
    )
    assert note.startswith(f"{first}: 3 of 9 training structures are held out for validation")
    joined = load_dos_dataset(tmp_path / "both")
    assert {r.group for r in joined.validation} == {"first", "second"}
    everything = (*joined.train, *joined.validation, *joined.test)
    assert len({r.name.split("structure ")[-1] for r in everything}) == 15
    again = join_dos([first, second], tmp_path / "again", validation_fraction=0.3)
    assert again.counts == result.counts
    assert load_dos_dataset(tmp_path / "again").fingerprint == joined.fingerprint


def test_structures_in_two_splits_are_named(tmp_path: Path) -> None:
    # The same structure, with a curve that was computed in another way.
    other = DOSRecord(record(1).atoms, record(1).dos * 1.01, "again", electrons=2.0)
    first = folder(tmp_path, "first", train=[record(1)], test=[record(2)])
    second = folder(tmp_path, "second", train=[record(3)], test=[other, record(4)])
    # The set's own warning, that this structure lacks curves of atoms, precedes it.
    _, note = join_dos([first, second], tmp_path / "both").notes
    assert note.startswith("1 validation or test structures are also training structures")
    third = folder(tmp_path, "third", train=[record(1), record(5)], test=[record(6)])
    assert join_dos([first, third], tmp_path / "again").notes == (
        "1 structures repeat others of their split, and count again",
    )


def test_warnings_of_the_sets_are_repeated(tmp_path: Path) -> None:
    """What a set does not say, the joined one does not say either."""
    sets = [
        folder(tmp_path, name, train=[record(n)], test=[record(n + 1)])
        for n, name in ((1, "first"), (3, "second"))
    ]
    about = {"quantity": "electronic", "start": -2.0, "step": 0.5, "size": GRID.size}
    for path in sets:
        (path / "grid.json").write_text(json.dumps(about))
    missing = (
        "grid.json gives no unit of the energies",
        "grid.json gives no zero of energy",
        "grid.json gives no dos_unit; curves are assumed to be per atom",
    )
    result = join_dos(sets, tmp_path / "both")
    assert result.notes == tuple(f"{path}: {warning}" for path in sets for warning in missing)
    joined = load_dos_dataset(tmp_path / "both")
    assert joined.warnings == missing
    assert (joined.grid, joined.dos_unit) == (
        load_dos_dataset(sets[0]).grid,
        "unspecified, per atom",
    )


def test_many_warnings_are_counted(tmp_path: Path) -> None:
    first = folder(tmp_path, "first", train=[record(n) for n in range(10)])
    second = folder(tmp_path, "second", train=[record(20)], test=[record(21)])
    said = json.loads((first / "grid.json").read_text())
    said |= {f"remark {number}": number for number in range(9)}
    (first / "grid.json").write_text(json.dumps(said))
    notes = join_dos([first, second], tmp_path / "both").notes
    assert len(notes) == 7
    assert "no test structures are given; 1 were held out by seed 0" in notes[0]
    assert "'remark 0'" in notes[1]
    assert notes[-1] == f"{first}: 4 more warnings (csgnn-dgl data info {first} prints all)"


def test_curves_of_atoms_that_are_all_nan_are_named(tmp_path: Path) -> None:
    path = folder(tmp_path, "first", train=[record(1), record(2)], test=[record(3)])
    for split, atoms in (("train", 4), ("test", 2)):
        np.savez(path / f"{split}.npz", pdos=np.full((atoms, GRID.size), np.nan))
    data = load_dos_dataset(path)
    assert all(r.atom_dos is None for r in data.records)
    assert any("nan for all atoms of 3 structures" in warning for warning in data.warnings)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (EnergyGrid(-2.0, 0.5, 11, "eV", "vacuum level"), "energies differ: 12 from -2 to 3.5 eV"),
        (EnergyGrid(-2.1, 0.5, 12, "eV", "vacuum level"), "energies differ"),
        (EnergyGrid(-2.0, 0.5, 12, "eV", "Fermi level"), "zeros of energy differ: vacuum level"),
        (EnergyGrid(-2.0, 0.5, 12, "Ha", "vacuum level"), "units of energy differ: eV, and Ha"),
    ],
)
def test_curves_that_do_not_fit_together_are_refused(
    tmp_path: Path, grid: EnergyGrid, message: str
) -> None:
    first = folder(tmp_path, "first", train=[record(1)], test=[record(2)])
    other = record(3)
    shorter = DOSRecord(other.atoms, other.dos[: grid.size], other.name)
    second = folder(tmp_path, "second", grid, train=[shorter], test=[shorter])
    with pytest.raises(DataError, match=message):
        join_dos([first, second], tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_what_is_there_already_stays(tmp_path: Path) -> None:
    first = folder(tmp_path, "first", train=[record(1)], test=[record(2)])
    with pytest.raises(ConfigError, match="name two or more different folders"):
        join_dos([first, first], tmp_path / "both")
    second = folder(tmp_path, "second", train=[record(3)], test=[record(4)])
    with pytest.raises(DataError, match="exists already"):
        join_dos([first, second], second)
    assert json.loads((second / "grid.json").read_text())["name"] == "second"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = folder(tmp_path, "first", train=[record(n) for n in range(9)], test=[record(9)])
    second = folder(
        tmp_path, "second", train=[record(20)], validation=[record(21)], test=[record(22)]
    )
    out = tmp_path / "both"
    words = ["data", "join", str(first), str(second), "--to", str(out)]

    def status() -> int:
        with pytest.raises(SystemExit) as ended:
            main(words)
        return int(ended.value.code or 0)

    assert status() == 0
    said = capsys.readouterr()
    assert f"{out}: structures: 8 for train, 3 for validation, 2 for test" in said.out
    assert "are held out for validation" in said.err
    assert status() == 2
    assert "exists already; remove it, or name another folder" in capsys.readouterr().err
