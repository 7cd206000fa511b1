"""The tight-binding model: figures that are known of it, and forces against energies."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, graphene, molecule, nanotube

from csgnn_dgl.errors import DataError
from csgnn_dgl.physics import EnergyGrid, band_energy, density_of_states
from csgnn_dgl.physics.carbon_tb import CUTOFF, CarbonTightBinding, solve


def diamond(bond: float) -> float:
    return solve(bulk("C", "diamond", bond * 4 / np.sqrt(3), cubic=True) * (3, 3, 3)).energy / 216


def sheet(bond: float) -> float:
    atoms = graphene(a=bond * np.sqrt(3), size=(9, 9, 1), vacuum=10)
    atoms.pbc = (True, True, False)
    return solve(atoms).energy / len(atoms)


@pytest.mark.parametrize(
    ("energy", "bond", "expected"), [(diamond, 1.539, -8.39), (sheet, 1.418, -8.41)]
)
def test_known_bonds_and_energies(energy: object, bond: float, expected: float) -> None:
    assert callable(energy)
    here, shorter, longer = (energy(b) for b in (bond, bond - 0.01, bond + 0.01))
    assert here == pytest.approx(expected, abs=0.05)
    assert here < min(shorter, longer)
    # The vertex of the parabola through the three.
    shift = 0.005 * (shorter - longer) / (shorter + longer - 2 * here)
    assert abs(shift) < 0.002


def test_gap_of_the_fullerene() -> None:
    assert solve(molecule("C60")).gap == pytest.approx(1.63, abs=0.01)


def rattled(name: str) -> Atoms:
    atoms = {
        "diamond": lambda: bulk("C", "diamond", 3.56, cubic=True),
        "small cell": lambda: bulk("C", "diamond", 3.56) * (2, 1, 1),
        "tube": lambda: nanotube(5, 0, length=1, bond=1.42),
        "molecule": lambda: molecule("C60"),
        "pair": lambda: Atoms("C2", [(0, 0, 0), (1.3, 0.2, 0.1)]),
        "stretched": lambda: Atoms("C3", [(0, 0, 0), (2.5, 0.1, 0.0), (-1.4, 0.0, 0.3)]),
    }[name]()
    # Otherwise forces vanish by symmetry, and levels at the top may be degenerate.
    atoms.rattle(0.05, seed=1)
    return atoms


@pytest.mark.parametrize("name", ["diamond", "small cell", "tube", "molecule", "pair", "stretched"])
def test_forces_are_slopes_of_the_energy(name: str) -> None:
    atoms = rattled(name)
    spectrum = solve(atoms)
    step = 3e-4
    rng = np.random.default_rng(0)
    for _ in range(4):
        atom, axis = int(rng.integers(len(atoms))), int(rng.integers(3))
        energies = []
        for steps in (-2, -1, 1, 2):
            moved = atoms.copy()
            moved.positions[atom, axis] += steps * step
            energies.append(solve(moved).energy)
        # Right to fourth order: a bond this stiff shows the error of the second-order difference.
        slope = np.dot([1, -8, 8, -1], energies) / (12 * step)
        assert spectrum.forces[atom, axis] == pytest.approx(-slope, abs=1e-6)
    assert np.abs(spectrum.forces).max() > 0.1, "there was something to compare"
    np.testing.assert_allclose(spectrum.forces.sum(axis=0), 0, atol=1e-9)


def test_rotations_translations_and_order_do_not_matter() -> None:
    atoms = rattled("molecule")
    spectrum = solve(atoms)
    turned = atoms.copy()
    turned.rotate(37, (1, 2, 3))
    turned.translate((1, 2, 3))
    order = np.random.default_rng(0).permutation(len(atoms))
    other = solve(turned[order])
    np.testing.assert_allclose(other.eigenvalues, spectrum.eigenvalues, atol=1e-10)
    assert other.repulsion == pytest.approx(spectrum.repulsion)
    np.testing.assert_allclose(
        np.linalg.norm(other.forces, axis=1),
        np.linalg.norm(spectrum.forces, axis=1)[order],
        atol=1e-8,
    )


def test_projections_and_band_energy() -> None:
    spectrum = solve(rattled("molecule"))
    np.testing.assert_allclose(spectrum.projections.sum(axis=1), 1, atol=1e-12)
    assert spectrum.occupations.sum() == pytest.approx(240)
    # The band energy from the broadened curve is that of the levels: there is a gap.
    grid = EnergyGrid(-30.0, 0.01, 6001)
    curve = density_of_states(spectrum.eigenvalues, grid, width=0.1)
    assert band_energy(curve, grid, 240.0) == pytest.approx(spectrum.band_energy, abs=1e-3)


def test_an_atom_alone() -> None:
    spectrum = solve(Atoms("C", [(0, 0, 0)]))
    np.testing.assert_allclose(spectrum.eigenvalues, [-2.99, 3.71, 3.71, 3.71])
    # Two electrons in s; the degenerate p shell shares the other two evenly.
    np.testing.assert_allclose(spectrum.occupations, [2, 2 / 3, 2 / 3, 2 / 3], atol=1e-12)
    np.testing.assert_array_equal(spectrum.forces, 0)


def test_nothing_jumps_at_the_cutoff_or_the_joints() -> None:
    for joint in (2.45, 2.57, CUTOFF):
        energies, forces = [], []
        for distance in (joint - 1e-7, joint + 1e-7):
            spectrum = solve(Atoms("C2", [(0, 0, 0), (distance, 0, 0)]))
            energies.append(spectrum.energy)
            forces.append(spectrum.forces[1, 0])
        assert energies[0] == pytest.approx(energies[1], abs=1e-5)
        assert forces[0] == pytest.approx(forces[1], abs=1e-3)


def test_calculator() -> None:
    atoms = rattled("molecule")
    atoms.calc = CarbonTightBinding()
    spectrum = solve(atoms)
    assert atoms.get_potential_energy() == pytest.approx(spectrum.energy)
    np.testing.assert_allclose(atoms.get_forces(), spectrum.forces)
    assert atoms.calc.spectrum.gap == pytest.approx(spectrum.gap)


def test_mistakes_are_named() -> None:
    with pytest.raises(DataError, match="has H, but this tight-binding model knows carbon only"):
        solve(molecule("CH4"))
    with pytest.raises(DataError, match="has no atoms"):
        solve(Atoms())
    with pytest.raises(DataError, match="NaN or infinite"):
        solve(Atoms("C", [(np.nan, 0, 0)]))
    with pytest.raises(DataError, match=r"atoms 0 and 1 are 0\.010 Å apart"):
        solve(Atoms("C2", [(0, 0, 0), (0.01, 0, 0)]))
