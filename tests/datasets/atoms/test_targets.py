"""A target that is no density of states goes through all that is true of any atoms' data."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from csgnn_dgl.datasets.atoms.base import AtomDataset, AtomRecord, RecordError, Target
from csgnn_dgl.datasets.atoms.extxyz_folder import gather_extxyz
from csgnn_dgl.datasets.atoms.gathering import Gathering, PlainLabels
from csgnn_dgl.datasets.atoms.loading import hold_out_test
from csgnn_dgl.datasets.atoms.table_folder import gather_table
from csgnn_dgl.errors import DataError

CHARGE = Target("charge", "e", "atom", description="charges of atoms")
GAP = Target("gap", "eV", description="band gap", required=False)


def _records(count: int) -> tuple[AtomRecord, ...]:
    rng = np.random.default_rng(0)
    found = []
    for index in range(count):
        atoms = bulk("NaCl", "rocksalt", 5.6 + 0.01 * index) if index % 2 else molecule("H2O")
        targets = {"charge": rng.normal(size=len(atoms)), **({"gap": 1.0} if index else {})}
        found.append(AtomRecord(atoms, str(index), "salt" if index % 2 else "water", targets))
    return tuple(found)


def _dataset(count: int = 20) -> AtomDataset[AtomRecord]:
    return AtomDataset("ions", "made here", _records(count), targets=(CHARGE, GAP))


def test_splits() -> None:
    training, validation = _dataset().split_validation(0.2, seed=1)
    assert (len(training), len(validation)) == (16, 4)
    assert sorted(record.group for record in validation) == ["salt"] * 2 + ["water"] * 2
    found = hold_out_test(_dataset(), seed=1)
    assert (len(found.train), len(found.test)) == (18, 2)
    assert found.targets == (CHARGE, GAP)


def test_fingerprints_know_the_values() -> None:
    one = _dataset()
    assert one.fingerprint == _dataset().fingerprint
    changed = _records(20)
    changed[3].targets["charge"][0] += 1e-9
    assert AtomDataset("i", "", changed, targets=(CHARGE, GAP)).fingerprint != one.fingerprint
    assert AtomDataset("i", "", _records(20), targets=(CHARGE,)).fingerprint != one.fingerprint


def test_the_summary_names_targets() -> None:
    text = _dataset().summary()
    assert "4 elements: H O Na Cl" in text
    assert "charges of atoms [e] of each atom\n" in text
    assert "band gap [eV] of each structure, known for 19 structures" in text
    assert "salt 10, water 10" in text
    assert "density of states" not in text


@pytest.mark.parametrize(
    ("targets", "problem"),
    [
        ({}, "it has no charge"),
        ({"charge": np.zeros(2)}, r"charge has shape \(2,\), but \(3,\) is expected"),
        ({"charge": np.full(3, np.nan)}, "only NaN"),
        ({"charge": np.array([0, 0, np.inf])}, "infinite values"),
    ],
)
def test_values_must_fit(targets: dict[str, np.ndarray], problem: str) -> None:
    record = AtomRecord(molecule("H2O"), "water", targets=targets)
    with pytest.raises(RecordError, match=problem) as caught:
        AtomDataset("ions", "", (record,), targets=(CHARGE,))
    assert caught.value.name == "water"
    assert str(caught.value).startswith("water: ")
    with pytest.raises(RecordError, match="has no atoms"):
        AtomRecord(Atoms(), "nothing")


# From files.


def _charged(charge: float) -> Atoms:
    atoms = Atoms("CO", [(0, 0, 0), (0, 0, 1.1 + charge)])
    atoms.set_array("charge", np.array([charge, -charge]))
    atoms.set_array("mass_number", np.array([12, 16]))
    atoms.info = {"gap": 6.0, "group": "oxide"}
    return atoms


def test_any_target_is_read_from_extxyz(tmp_path: Path) -> None:
    frames = [_charged(0.1), _charged(0.2)]
    ase.io.write(tmp_path / "train.extxyz", frames, format="extxyz")
    gathering = Gathering(PlainLabels((CHARGE, GAP)))
    gather_extxyz(tmp_path, gathering)
    found = gathering.dataset("ions", "here")
    assert found.train[1].targets["charge"].tolist() == [0.2, -0.2]
    assert (found.train[0].targets["gap"], found.train[0].group) == (6.0, "oxide")
    unused = [c.name for c in found.columns if c.meaning is None]
    assert unused == ["mass_number"]


def test_any_number_is_read_from_a_table(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "a.cif", bulk("C"))
    ase.io.write(tmp_path / "b.cif", bulk("Si"))
    (tmp_path / "train.csv").write_text("file,gap,mp2,group\na,5.5,1,light\nb,,2,\n")
    gathering = Gathering(PlainLabels((GAP,)))
    gather_table(tmp_path, gathering)
    found = gathering.dataset("gaps", "here")
    assert [record.targets.get("gap") for record in found.train] == [5.5, None]
    assert [record.group for record in found.train] == ["light", "all"]
    assert [c.name for c in found.columns if c.meaning is None] == ["mp2"]
    (tmp_path / "train.csv").write_text("a,5.5\n")
    with pytest.raises(DataError, match="needs a first row of names"):
        gather_table(tmp_path, Gathering(PlainLabels((GAP,))))
