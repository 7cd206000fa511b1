"""Densities of states as objects of pymatgen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, graphene, molecule, nanotube

from csgnn_dgl.descriptor import AtomDescriptor, predict_dos
from csgnn_dgl.errors import DataError

pytest.importorskip("pymatgen.io.ase")
from pymatgen.core import Element
from pymatgen.electronic_structure.core import OrbitalType, Spin
from pymatgen.electronic_structure.dos import CompleteDos
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.phonon.dos import CompletePhononDos

from csgnn_dgl.interop.pymatgen import complete_dos

SNAPSHOT = Path(__file__).parents[2] / "docs" / "examples" / "c60-300K.extxyz"
DIAMOND = bulk("C", "diamond", 3.57)
SALT = bulk("NaCl", "rocksalt", 5.64)


def test_structures_of_pymatgen_are_taken(carbon_weights: Path, phonon_weights: Path) -> None:
    structure = AseAtomsAdaptor.get_structure(DIAMOND)
    one = predict_dos(structure, carbon_weights)
    np.testing.assert_allclose(one.dos, predict_dos(DIAMOND, carbon_weights).dos, atol=1e-6)
    many = predict_dos([structure, DIAMOND], carbon_weights)
    assert len(many) == 2
    rows = AtomDescriptor(phonon_weights).create([structure, DIAMOND])
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-5)


def test_complete_dos(carbon_weights: Path) -> None:
    atoms = DIAMOND * (2, 1, 1)
    atoms.rattle(0.05, seed=1)
    prediction = predict_dos(atoms, carbon_weights)
    found = complete_dos(prediction)
    assert isinstance(found, CompleteDos)
    assert found.efermi == prediction.fermi_level
    np.testing.assert_allclose(found.energies, prediction.energies)
    np.testing.assert_allclose(found.get_densities(), 4 * prediction.dos)
    for site, curve in zip(found.structure, prediction.per_atom, strict=True):
        np.testing.assert_allclose(found.get_site_dos(site).densities[Spin.up], curve)
    carbon = found.get_element_dos()[Element("C")]
    np.testing.assert_allclose(carbon.densities[Spin.up], found.densities[Spin.up])
    np.testing.assert_allclose(
        AseAtomsAdaptor.get_atoms(found.structure).get_all_distances(mic=True),
        atoms.get_all_distances(mic=True),
        atol=1e-9,
    )


def test_the_gap_is_that_of_the_curve() -> None:
    prediction = predict_dos(SNAPSHOT, "carbon-tb")
    assert prediction.gap > 0.5
    found = complete_dos(prediction)
    # In states/eV of 60 atoms, where ours counts states/eV/atom.
    gap = found.get_gap(tol=0.6, abs_tol=True)
    assert gap == pytest.approx(prediction.gap, abs=2 * prediction.grid.step)


def test_orbitals_are_refused(carbon_weights: Path) -> None:
    found: Any = complete_dos(predict_dos(DIAMOND, carbon_weights))
    site = found.structure[0]
    for call in (
        found.get_spd_dos,
        lambda: found.get_site_spd_dos(site),
        lambda: found.get_element_spd_dos("C"),
        lambda: found.get_site_orbital_dos(site, None),
        lambda: found.get_site_t2g_eg_resolved_dos(site),
        lambda: found.get_band_center(OrbitalType.d),
        lambda: found.get_dos_fp("s"),
    ):
        with pytest.raises(DataError, match="not of orbitals; use get_site_dos"):
            call()
    for kind in ("summed_pdos", "tdos"):
        assert np.isfinite(found.get_dos_fp(kind).densities).all()


def test_json_can_be_read_by_pymatgen_alone(carbon_weights: Path) -> None:
    found = complete_dos(predict_dos(DIAMOND, carbon_weights))
    content = json.loads(json.dumps(found.as_dict()))
    assert content["@class"] == "CompleteDos"
    assert "spd_dos" not in content
    again = CompleteDos.from_dict(content)
    np.testing.assert_allclose(again.get_densities(), found.get_densities())
    np.testing.assert_allclose(
        again.get_site_dos(again.structure[1]).get_densities(),
        found.get_site_dos(found.structure[1]).get_densities(),
    )


def test_phonons(phonon_weights: Path) -> None:
    prediction = predict_dos(SALT, phonon_weights)
    found = complete_dos(prediction)
    assert isinstance(found, CompletePhononDos)
    assert found.frequencies[1] == pytest.approx(20 * 0.0299792458)
    np.testing.assert_allclose(found.densities, 2 * prediction.dos)
    assert set(found.get_element_dos()) == {Element("Na"), Element("Cl")}
    # Densities per unit of frequency follow the unit.
    per_unit = complete_dos(replace(prediction, unit="states/cm^-1/atom"))
    np.testing.assert_allclose(per_unit.densities, found.densities / 0.0299792458)
    odd = replace(prediction, grid=replace(prediction.grid, unit="furlong"))
    with pytest.raises(DataError, match="over THz, and the energies are in 'furlong'"):
        complete_dos(odd)


@pytest.mark.parametrize(
    "atoms",
    [molecule("C60"), nanotube(5, 5, length=2), graphene(vacuum=None), graphene(vacuum=8.0)],
    ids=["molecule", "tube", "sheet without a vector", "sheet"],
)
def test_structures_that_are_not_periodic(atoms: Atoms, carbon_weights: Path) -> None:
    found = complete_dos(predict_dos(atoms, carbon_weights))
    assert found.structure.lattice.pbc == tuple(bool(flag) for flag in atoms.pbc)
    back = AseAtomsAdaptor.get_atoms(found.structure)
    np.testing.assert_allclose(
        back.get_all_distances(mic=True), atoms.get_all_distances(mic=True), atol=1e-6
    )
    assert np.isfinite(found.structure.distance_matrix).all()
    for axis in np.flatnonzero(~atoms.cell.any(axis=1)):
        assert found.structure.lattice.abc[axis] >= 10


def test_without_electrons(salt_weights: Path) -> None:
    with pytest.raises(DataError, match=r"ClNa has no Fermi level, which a CompleteDos must have"):
        complete_dos(predict_dos(SALT, salt_weights))
    assert complete_dos(predict_dos(SALT, salt_weights, electrons=4.0)).efermi is not None
