"""The calculator of ASE: the same numbers as predict, kept until something changes."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError

from csgnn_dgl.cli.main import main
from csgnn_dgl.descriptor import OutOfDomainWarning, UnseenElementWarning, predict_dos
from csgnn_dgl.errors import CheckpointError, ConfigError, DataError, DataWarning
from csgnn_dgl.interop import DOSCalculator
from csgnn_dgl.interop import ase as module

SNAPSHOT = Path(__file__).parents[2] / "docs" / "examples" / "c60-300K.extxyz"
DIAMOND = bulk("C", "diamond", 3.57)
SALT = bulk("NaCl", "rocksalt", 5.64)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of atoms of all predictions that were computed."""
    calls: list[int] = []
    original = module.predict_structures

    def predict(trained: Any, structures: Any, **options: Any) -> Any:
        calls.extend(len(atoms) for atoms in structures)
        return original(trained, structures, **options)

    monkeypatch.setattr(module, "predict_structures", predict)
    return calls


def test_the_same_as_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["predict", "carbon-tb", str(SNAPSHOT), "--json"])
    assert stop.value.code == 0
    [entry] = json.loads(capsys.readouterr().out)[0]["structures"]
    atoms = ase.io.read(SNAPSHOT)
    calculator = DOSCalculator("carbon-tb", atoms=atoms)
    assert atoms.calc is calculator
    assert calculator.get_fermi_level(atoms) == pytest.approx(entry["fermi_level"], abs=1e-9)
    for name, key in (
        ("band_energy", "band_energy_per_atom"),
        ("gap", "gap"),
        ("electrons", "electrons_per_atom"),
        ("out_of_domain_score", "out_of_domain_score"),
    ):
        assert calculator.get_property(name, atoms) == pytest.approx(entry[key], abs=1e-9)
    np.testing.assert_allclose(calculator.get_property("dos", atoms), entry["dos"], atol=1e-8)
    np.testing.assert_allclose(calculator.results["dos_energies"], entry["energies"], atol=1e-8)
    np.testing.assert_allclose(calculator.results["atom_scores"], entry["atom_scores"], atol=1e-6)
    for name in ("dos", "fermi_level", "band_energy", "gap"):
        known = entry["uncertainty"].get(name)
        assert calculator.results[f"{name}_uncertainty"] == pytest.approx(known["0.68"])
    assert calculator.prediction.summary == predict_dos(atoms).summary


def test_curves_are_those_of_ase(carbon_weights: Path) -> None:
    calculator = DOSCalculator(carbon_weights)
    atoms = DIAMOND * (2, 1, 1)
    total, parts = calculator.get_dos(atoms), calculator.get_pdos(atoms)
    assert len(parts) == 4
    assert parts[2].info["symbol"] == "C"
    assert parts[2].info["index"] == "2"
    assert total.info["zero"] == "vacuum level"
    np.testing.assert_allclose(parts.sum_all().get_weights(), total.get_weights())
    np.testing.assert_allclose(total.get_weights(), 4 * calculator.results["dos"])
    np.testing.assert_allclose(total.get_energies(), calculator.results["dos_energies"])
    # ASE's smearing keeps the number of states.
    smeared = total.sample_grid(npts=400, xmin=-20, xmax=20, width=1.5)
    states = smeared.get_weights().sum() * np.diff(smeared.get_energies())[0]
    assert states == pytest.approx(total.get_weights().sum() * 0.5, rel=0.02)


def test_results_are_kept_until_something_changes(carbon_weights: Path, counted: list[int]) -> None:
    atoms = DIAMOND.copy()
    calculator = atoms.calc = DOSCalculator(carbon_weights)
    first = calculator.get_fermi_level(atoms)
    calculator.get_property("gap", atoms)
    calculator.get_dos(atoms)
    assert calculator.get_fermi_level() == first
    assert counted == [2]
    assert not calculator.calculation_required(atoms, ["dos", "gap"])
    atoms.set_initial_charges([1.0, -1.0])  # which the model does not see
    calculator.get_fermi_level(atoms)
    assert counted == [2]
    atoms.positions[0, 0] += 0.1
    assert calculator.calculation_required(atoms, ["dos"])
    assert calculator.get_fermi_level(atoms) != first
    atoms.set_cell(atoms.cell * 1.01, scale_atoms=True)
    calculator.get_fermi_level(atoms)
    assert counted == [2, 2, 2]
    returned = calculator.get_property("dos", atoms)
    returned[:] = 0
    assert calculator.results["dos"].any()


def test_a_lower_bound_is_not_given_as_a_fermi_level(
    carbon_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calculator = DOSCalculator(carbon_weights)
    original = module.predict_structures

    def cut(*args: Any, **options: Any) -> Any:
        return [
            replace(each, gap=None, at_least={"fermi_level": each.fermi_level, "gap": 5.0})
            for each in original(*args, **options)
        ]

    calculator.get_fermi_level(DIAMOND)  # without a warning, which would be an error
    calculator.reset()
    monkeypatch.setattr(module, "predict_structures", cut)
    calculator.get_property("dos", DIAMOND)
    for _ in range(2):
        with pytest.warns(DataWarning, match="C2: hardly any states .* at least -?[0-9.]+ eV"):
            calculator.get_fermi_level(DIAMOND)
    with pytest.raises(DataError, match="C2 has no gap"):
        calculator.get_property("gap", DIAMOND)


def test_several_frames(carbon_weights: Path, counted: list[int]) -> None:
    frames = [DIAMOND * (n, 1, 1) for n in (1, 2, 3)]
    for number, frame in enumerate(frames):
        frame.rattle(0.05, seed=number)
    calculator = DOSCalculator(carbon_weights)
    found = [calculator.get_property("band_energy", frame) for frame in frames]
    wanted = [each.band_energy for each in predict_dos(frames, carbon_weights)]
    np.testing.assert_allclose(found, wanted, atol=1e-9)
    assert counted == [2, 4, 6]


def test_parameters(carbon_weights: Path, counted: list[int]) -> None:
    calculator = DOSCalculator(carbon_weights)
    first = calculator.get_fermi_level(DIAMOND)
    assert calculator.set(electrons=5.0) == {"electrons": 5.0}
    assert not calculator.results
    more = calculator.get_fermi_level(DIAMOND)
    assert more == predict_dos(DIAMOND, carbon_weights, electrons=5.0).fermi_level
    assert more > first
    assert calculator.set(electrons=5.0) == {}
    assert calculator.get_fermi_level(DIAMOND) == more
    assert counted == [2, 2]
    calculator.set(electrons=None, votes=3, seed=7)
    voted = predict_dos(DIAMOND, carbon_weights, votes=3, seed=7).fermi_level
    assert calculator.get_fermi_level(DIAMOND) == pytest.approx(voted, abs=1e-9)
    assert calculator.todict() == {"weights": str(carbon_weights), "votes": 3, "seed": 7}


def test_electrons_of_the_structure(salt_weights: Path, counted: list[int]) -> None:
    calculator, atoms = DOSCalculator(salt_weights), SALT.copy()
    assert calculator.get_property("dos", atoms).shape == (41,)
    with pytest.raises(DataError, match=r"ClNa has no fermi_level: the number of electrons"):
        calculator.get_fermi_level(atoms)
    atoms.info["electrons"] = 8
    level = calculator.get_fermi_level(atoms)
    atoms.info["electrons"] = 10
    assert calculator.get_fermi_level(atoms) > level
    assert len(counted) == 4


def test_other_weights(carbon_weights: Path, phonon_weights: Path) -> None:
    calculator = DOSCalculator(carbon_weights)
    assert "fermi_level" in calculator.implemented_properties
    calculator.set(weights=str(phonon_weights))
    assert "fermi_level" not in calculator.implemented_properties
    assert calculator.get_dos(SALT).info["unit"] == "cm^-1"
    for name in ("fermi_level", "energy", "forces", "nonsense"):
        with pytest.raises(PropertyNotImplementedError):
            calculator.get_property(name, SALT)


def test_energies_and_forces_are_not_invented(carbon_weights: Path) -> None:
    atoms = DIAMOND.copy()
    atoms.calc = DOSCalculator(carbon_weights)
    for call in (atoms.get_potential_energy, atoms.get_forces, atoms.get_stress):
        with pytest.raises(PropertyNotImplementedError):
            call()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"weights": "carbon-tbb"}, CheckpointError, "did you mean 'carbon-tb'"),
        ({"device": "abacus"}, ConfigError, "abacus"),
        ({"votes": 0}, ConfigError, "vote"),
        ({"vote_set": "desined"}, ConfigError, "did you mean 'designed'"),
    ],
)
def test_what_there_is_not(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        DOSCalculator(**arguments)


def test_refusals(carbon_weights: Path, phonon_weights: Path) -> None:
    calculator = DOSCalculator(carbon_weights)
    with pytest.raises(ConfigError, match="no parameter 'vots': did you mean 'votes'"):
        calculator.set(vots=3)
    with pytest.raises(DataError, match="nothing was computed yet"):
        _ = calculator.prediction
    with pytest.raises(DataError, match=r"^NaC|^CNa: Na cannot be told from C"):
        calculator.get_fermi_level(Atoms("NaC", [[0, 0, 0], [0, 0, 2]]))
    with pytest.raises(DataError, match="at one place"):
        calculator.get_property("dos", Atoms("C2", [[0, 0, 0]] * 2))
    # What failed is not kept.
    assert calculator.get_fermi_level(DIAMOND) == predict_dos(DIAMOND, carbon_weights).fermi_level
    with pytest.raises(ConfigError, match="electrons were given"):
        DOSCalculator(phonon_weights, electrons=4.0).get_property("dos", SALT)


def test_warnings_are_passed_on(phonon_weights: Path) -> None:
    calculator = DOSCalculator("carbon-tb")
    strange = Atoms("C4", [[0, 0, 0], [0, 0, 0.9], [0, 0.9, 0], [0.9, 0, 0]])
    with pytest.warns(OutOfDomainWarning, match=r"^C4: outside what carbon-tb was") as caught:
        calculator.get_property("dos", strange)
    assert caught[0].filename == __file__
    assert np.isnan(calculator.results["dos_uncertainty"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calculator.get_fermi_level(strange)  # told already, and kept
        calculator.get_property("dos", ase.io.read(SNAPSHOT))
    with pytest.warns(UnseenElementWarning, match="Mg was not among the 3"):
        DOSCalculator(phonon_weights).get_property("dos", bulk("Mg"))


def test_copies_and_files(carbon_weights: Path, tmp_path: Path) -> None:
    atoms = DIAMOND.copy()
    atoms.calc = DOSCalculator(carbon_weights, votes=2)
    level = atoms.calc.get_fermi_level(atoms)
    assert dict(atoms.calc.export_properties()) == {"fermi_level": level}
    for other in (copy.deepcopy(atoms.calc), pickle.loads(pickle.dumps(atoms.calc))):
        assert other.get_fermi_level(atoms) == pytest.approx(level, abs=1e-9)
    for name in ("a.extxyz", "a.traj", "a.json", "a.db"):
        ase.io.write(tmp_path / name, atoms)
        assert len(ase.io.read(tmp_path / name)) == 2
