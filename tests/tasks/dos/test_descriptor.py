"""The descriptor and the density of states by a call."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from csgnn_dgl.datasets.atoms.structure import Structure
from csgnn_dgl.descriptor import AtomDescriptor, UnseenElementWarning, predict_dos
from csgnn_dgl.errors import CheckpointError, ConfigError, DataError, StructureError
from csgnn_dgl.physics import density_of_states
from csgnn_dgl.tasks import shipped
from csgnn_dgl.tasks.dos.predict import _plain_structure
from csgnn_dgl.tasks.dos.prediction import _analysed
from csgnn_dgl.tasks.dos.trained import load_dos_model
from csgnn_dgl.tasks.votes import vote_rotations

SALT = bulk("NaCl", "rocksalt", 5.64) * (2, 1, 1)
DIAMOND = bulk("C", "diamond", 3.57)


def test_one_structure_or_many(phonon_weights: Path) -> None:
    descriptor = AtomDescriptor(phonon_weights)
    one = descriptor.create(SALT)
    assert one.shape == (4, descriptor.get_number_of_features()) == (4, 16)
    assert one.dtype == np.float32
    assert descriptor.elements == (6, 11, 17)
    assert descriptor.cutoff == 7.0

    def stream() -> Iterator[Atoms]:
        yield from (SALT, DIAMOND, SALT)

    for many in ([SALT, DIAMOND, SALT], (SALT, DIAMOND, SALT), stream()):
        found = descriptor.create(many)
        assert [part.shape for part in found] == [(4, 16), (2, 16), (4, 16)]
        np.testing.assert_allclose(found[0], one, atol=1e-6)
    assert descriptor.create([]) == []


def test_double_precision(phonon_weights: Path) -> None:
    # Nudged: in a perfect crystal neighbours lie on edges of faces, where rounding decides.
    nudged = SALT.copy()
    nudged.rattle(0.05, seed=1)
    double = AtomDescriptor(phonon_weights, dtype=np.float64).create(nudged)
    assert double.dtype == np.float64
    single = AtomDescriptor(phonon_weights, dtype="float32").create(nudged)
    np.testing.assert_allclose(double, single, atol=1e-4)
    with pytest.raises(ConfigError, match="unknown dtype 'int64'"):
        AtomDescriptor(phonon_weights, dtype=int)


def test_centers(phonon_weights: Path) -> None:
    descriptor = AtomDescriptor(phonon_weights)
    whole = descriptor.create(SALT)
    some = descriptor.create(SALT, centers=[2, 0, 2])
    np.testing.assert_allclose(some, whole[[2, 0, 2]], atol=1e-6)
    lists = descriptor.create([SALT, DIAMOND, SALT], centers=[[1], None, []])
    assert [part.shape for part in lists] == [(1, 16), (2, 16), (0, 16)]
    np.testing.assert_allclose(lists[0], whole[[1]], atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"check_domain": False}, {"votes": 2}])
def test_no_centers_at_all(phonon_weights: Path, options: dict[str, Any]) -> None:
    descriptor = AtomDescriptor(phonon_weights, dtype="float64", **options)
    assert descriptor.create(SALT, centers=[]).shape == (0, 16)
    assert descriptor.create(SALT, centers=[]).dtype == np.float64
    large = SALT * (5, 5, 5)  # computed by itself
    shapes = [f.shape for f in descriptor.create([SALT, large, SALT], centers=[[], [], [1]])]
    assert shapes == [(0, 16), (0, 16), (1, 16)]
    # Structures are checked as with centers.
    with pytest.raises(DataError, match="at one place"):
        descriptor.create([Atoms("Na2", [[0, 0, 0]] * 2)], centers=[[]])


def test_atoms_of_no_element_have_no_curves(carbon_weights: Path, phonon_weights: Path) -> None:
    for weights in (carbon_weights, phonon_weights):
        for number in (-1, 0, 150):
            atoms = Atoms([6, number], [[0, 0, 0], [0, 0, 2]])
            with pytest.raises(DataError, match=r"1 \(CX\): atom 1 is of no known element"):
                predict_dos([DIAMOND, atoms], weights)
            with pytest.raises(DataError, match=r"\(CX\): atom 1 is of no known element"):
                AtomDescriptor(weights).create(atoms)


@pytest.mark.parametrize(
    ("system", "centers", "message"),
    [
        (SALT, [4], "structure 0 has atoms 0 to 3, but center 4 is given"),
        (SALT, [-1], "center -1 is given"),
        (SALT, [[0.0, 0.0, 0.0]], "points in space cannot be described"),
        ([SALT, SALT], [[0]], "1 lists of centers"),
        ([SALT], [[0], [1]], "2 lists of centers for 1 structures"),
        (["salt.cif"], None, "structure 0 is the path 'salt.cif': salt.cif does not exist"),
        ([SALT, {"a": 1}], None, "structure 1 is a dict, not ASE Atoms, a pymatgen Structure"),
        (None, None, "the structures are None (NoneType), not a list of structures"),
        ({"a": SALT}, None, "the structures are a dict, not a list of structures"),
        (np.zeros((2, 3)), None, "structure 0 is an array of the shape (3,), not ASE Atoms"),
        (Atoms("Na2", [[0, 0, 0]] * 2), None, "at one place"),
        (Atoms("Na", [[0, 0, np.nan]]), None, "NaN"),
        (Atoms(), None, "has no atoms"),
        (Atoms("NaX", [[0, 0, 0], [0, 0, 3]]), None, "(NaX): atom 1 is of no known element"),
        ([SALT, Atoms([-1])], None, "structure 1 (X): atom 0 is of no known element"),
        (Atoms([150]), None, "structure 0 (X): atom 0 is of no known element"),
        (Atoms([150]), [], "structure 0 (X): atom 0 is of no known element"),
    ],
)
def test_what_cannot_be_described(
    system: Any, centers: Any, message: str, phonon_weights: Path
) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        AtomDescriptor(phonon_weights).create(system, centers)


def test_isolated_atoms_have_a_descriptor(phonon_weights: Path) -> None:
    found = AtomDescriptor(phonon_weights).create(Atoms("Na"))
    assert found.shape == (1, 16)
    assert np.isfinite(found).all()


def test_unseen_elements_are_named_once(phonon_weights: Path, carbon_weights: Path) -> None:
    descriptor = AtomDescriptor(phonon_weights)
    with pytest.warns(UnseenElementWarning) as caught:
        descriptor.create([molecule("H2O"), SALT, molecule("H2O")])
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 2
    assert messages[0].startswith("H was not among the 3 elements that")
    assert messages[1].startswith("O was not among")
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        descriptor.create(molecule("H2O"))
    with pytest.warns(UnseenElementWarning, match="H was not among"):
        AtomDescriptor(phonon_weights).create(molecule("H2"))
    with pytest.warns(UnseenElementWarning, match="Cl is treated as C, the only element"):
        AtomDescriptor(carbon_weights).create(Atoms("Cl"))


def test_weights_by_name(monkeypatch: pytest.MonkeyPatch, phonon_weights: Path) -> None:
    with pytest.raises(CheckpointError, match="did you mean 'phonon-dos'"):
        AtomDescriptor("phonon-doss")
    entry = shipped.shipped_models()["phonon-dos"]
    monkeypatch.setattr(
        shipped,
        "shipped_models",
        lambda: {"phonon-dos": shipped.ShippedModel(**{**entry.__dict__, "path": phonon_weights})},
    )
    assert AtomDescriptor().create(SALT).shape == (4, 16)
    gone = shipped.ShippedModel(**{**entry.__dict__, "path": phonon_weights.parent / "gone"})
    monkeypatch.setattr(shipped, "shipped_models", lambda: {"phonon-dos": gone})
    with pytest.raises(CheckpointError, match="not part of this installation"):
        AtomDescriptor()


def test_density_of_states_and_what_follows(carbon_weights: Path) -> None:
    found = predict_dos(DIAMOND, carbon_weights)
    assert found.dos.shape == found.energies.shape == (41,)
    assert found.per_atom.shape == (2, 41)
    np.testing.assert_allclose(found.per_atom.mean(axis=0), found.dos)
    assert (found.unit, found.grid.unit, found.grid.zero) == (
        "states/eV/atom",
        "eV",
        "vacuum level",
    )
    assert found.electrons == 4
    assert found.fermi_level is not None
    assert -10 < found.fermi_level < 10
    filled = found.energies <= found.fermi_level
    mean = (found.energies * found.dos)[filled].sum() * found.grid.step
    assert found.band_energy == pytest.approx(mean, rel=0.1)
    assert found.gap == 0
    assert f"E_F {found.fermi_level:.3f} eV (zero: vacuum level)" in found.summary
    more = predict_dos(DIAMOND, carbon_weights, electrons=5).fermi_level
    assert more is not None
    assert more > found.fermi_level
    with pytest.raises(DataError, match=r"energy window of -10 … 10 eV \(per atom of C2\)"):
        predict_dos(DIAMOND, carbon_weights, electrons=50)
    for electrons in ("4", True, [4.0]):
        given: Any = electrons
        with pytest.raises(ConfigError, match=r"electrons is .*, but it must be a number"):
            predict_dos(DIAMOND, carbon_weights, electrons=given)
    whole: Any = np.int64(4)
    assert predict_dos(DIAMOND, carbon_weights, electrons=whole).fermi_level == found.fermi_level
    with pytest.raises(DataError, match="Na cannot be told from C"):
        predict_dos(Atoms("NaC", [[0, 0, 0], [0, 0, 2]]), carbon_weights)


def test_a_gap_that_the_energies_cut_is_no_metal(carbon_weights: Path) -> None:
    trained = load_dos_model(carbon_weights)
    curve = density_of_states([-5.0, -5.0, 12.0], trained.grid, width=0.5)
    found = _analysed(trained, DIAMOND, np.stack([curve, curve]), None)
    assert found.gap is None
    assert found.at_least["fermi_level"] == found.fermi_level == pytest.approx(-3.5, abs=0.7)
    assert 11 < found.at_least["gap"] < 14
    assert "E_F at least -" in found.summary
    assert "gap of the curve at least 1" in found.summary
    assert "no gap" not in found.summary
    assert "energies, which end at 10 eV: Fermi level and gap are only" in found.notes[0]
    row = json.loads(json.dumps(_plain_structure(Structure(DIAMOND, "x", "none"), found, [])))
    assert row["gap"] is None
    assert row["at_least"]["gap"] == found.at_least["gap"]


def test_unknown_electrons_are_not_guessed(salt_weights: Path, phonon_weights: Path) -> None:
    found = predict_dos(SALT, salt_weights)
    assert found.fermi_level is found.band_energy is found.gap is found.electrons is None
    assert "there is no Fermi level: give --electrons" in found.notes[0]
    counted = SALT.copy()
    counted.info["electrons"] = 16
    assert predict_dos(counted, salt_weights).electrons == 4
    phonon = predict_dos([SALT], phonon_weights)[0]
    assert phonon.fermi_level is None
    assert not phonon.notes
    assert "phonon DOS, mean at" in phonon.summary
    with pytest.raises(ConfigError, match="electrons were given"):
        predict_dos(SALT, phonon_weights, electrons=4)
    with pytest.warns(UnseenElementWarning, match="H was not among the 3"):
        predict_dos(molecule("CH4"), phonon_weights)


def test_orientations_are_averaged(phonon_weights: Path) -> None:
    plain = predict_dos(SALT, phonon_weights).dos
    one, two = (predict_dos(SALT, phonon_weights, votes=4).dos for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, plain)
    np.testing.assert_allclose(one, plain, rtol=0.5)


@pytest.mark.parametrize("vote_set", ["designed", "random"])
def test_descriptors_are_averaged(phonon_weights: Path, vote_set: Any) -> None:
    nudged = SALT.copy()
    nudged.rattle(0.05, seed=1)
    many = [nudged] * 17 + [DIAMOND]  # more than are computed at once
    options: dict[str, Any] = {"dtype": "float64", "check_domain": False}
    plain = AtomDescriptor(phonon_weights, **options)
    found = AtomDescriptor(phonon_weights, votes=3, vote_set=vote_set, **options).create(many)
    turned = []
    for rotation in vote_rotations(3, 0, vote_set=vote_set):
        copy = nudged.copy()
        matrix = rotation[0].double().numpy().T
        copy.set_cell(copy.cell.array @ matrix)
        copy.positions = nudged.positions @ matrix
        turned.append(plain.create(copy))
    for part in (found[0], found[16]):
        np.testing.assert_allclose(part, np.mean(turned, axis=0), atol=1e-10)
    assert np.abs(found[0] - plain.create(nudged)).max() > 1e-6
    # Chosen atoms, another seed.
    other = AtomDescriptor(phonon_weights, votes=3, vote_set=vote_set, **options)
    some = other.create(many, centers=[[2]] * 17 + [[1, 0]])
    np.testing.assert_allclose(some[16], found[16][[2]], atol=1e-10)
    np.testing.assert_allclose(some[17], found[17][[1, 0]], atol=1e-10)
    seeded = AtomDescriptor(phonon_weights, votes=3, vote_set=vote_set, seed=1, **options)
    assert np.abs(seeded.create(nudged) - found[0]).max() > 1e-6


def test_votes_that_do_not_exist(phonon_weights: Path) -> None:
    with pytest.raises(ConfigError, match="0 votes"):
        AtomDescriptor(phonon_weights, votes=0)
    for votes in (2.5, "4", True):
        given: Any = votes
        with pytest.raises(ConfigError, match=r"votes is .*, but it must be a whole number"):
            AtomDescriptor(phonon_weights, votes=given)
        with pytest.raises(ConfigError, match=r"votes is .*, but it must be a whole number"):
            predict_dos(SALT, phonon_weights, votes=given)
    assert predict_dos(SALT, phonon_weights, votes=np.int64(2)).dos.shape
    wrong: Any = "designd"
    with pytest.raises(ConfigError, match="designed"):
        AtomDescriptor(phonon_weights, votes=2, vote_set=wrong)


def test_references_are_compared(carbon_weights: Path) -> None:
    atoms = DIAMOND.copy()
    atoms.info["dos"] = np.full(41, 0.5)
    found = predict_dos(atoms, carbon_weights)
    assert found.error == pytest.approx(np.abs(found.dos - 0.5).mean())
    atoms.info["dos"] = np.where(np.arange(41) < 20, np.nan, 0.5)
    assert predict_dos(atoms, carbon_weights).error == pytest.approx(
        np.abs(found.dos - 0.5)[20:].mean()
    )
    infinite = np.where(np.arange(41) < 2, (-1.0) ** np.arange(41) * np.inf, 0.5)
    for other, note in (
        (np.ones(7), "shape (7,)"),
        ("words", "not made of numbers"),
        (infinite, "the dos in the file is infinite at 2 of 41 energies; it is not compared"),
    ):
        atoms.info["dos"] = other
        found = predict_dos(atoms, carbon_weights)
        assert found.reference is None
        assert note in found.notes[0]


@pytest.mark.parametrize("check", [False, True])
def test_the_structure_of_an_error_is_counted_from_the_first(
    carbon_weights: Path, check: bool
) -> None:
    flat = DIAMOND.copy()
    flat.positions[1] = flat.positions[0]
    describe = AtomDescriptor(carbon_weights, check_domain=check).create
    with pytest.raises(StructureError) as caught:
        describe([DIAMOND * (3, 3, 3)] * 12 + [flat])
    assert caught.value.index == 12
