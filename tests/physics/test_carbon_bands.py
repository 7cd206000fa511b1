"""Bands of carbon on a grid of k-points: equal to those of larger cells at Γ."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, graphene, molecule

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.physics.carbon_bands import Bands, k_points, solve_bands
from csgnn_dgl.physics.carbon_tb import solve

DIAMOND = bulk("C", "diamond", 3.57)


def spacing_of(atoms: Atoms, points: int) -> float:
    """Spacing with which the longest reciprocal vector has so many points."""
    return float(np.linalg.norm(2 * np.pi * atoms.cell.reciprocal(), axis=1).max() / points) + 1e-6


@pytest.mark.parametrize("repeats", [3, 4])
def test_a_supercell_at_gamma_has_the_same_levels(repeats: int) -> None:
    crystal = DIAMOND.copy()
    crystal.rattle(0.05, seed=1)
    bands = solve_bands(crystal, spacing_of(crystal, repeats))
    copies = np.rint(bands.weights * repeats**3).astype(int)
    levels = np.sort(np.repeat(bands.eigenvalues, copies, axis=0), axis=None)
    large = solve(crystal * ((repeats,) * 3))
    np.testing.assert_allclose(levels, large.eigenvalues, atol=1e-10)
    assert bands.band_energy * repeats**3 == pytest.approx(large.band_energy, abs=1e-8)
    np.testing.assert_allclose(bands.projections.sum(axis=2), 1, atol=1e-10)
    # Control: Γ alone is another crystal.
    assert abs(solve(crystal).band_energy - bands.band_energy) > 0.5


def test_molecules_have_one_point() -> None:
    cage = molecule("C60")
    bands, spectrum = solve_bands(cage), solve(cage)
    assert bands.eigenvalues.shape == (1, 240)
    np.testing.assert_allclose(bands.eigenvalues[0], spectrum.eigenvalues, atol=1e-10)
    assert bands.band_energy == pytest.approx(spectrum.band_energy, abs=1e-8)
    assert bands.gap == pytest.approx(spectrum.gap, abs=1e-10)
    middle = spectrum.eigenvalues[119:121].mean()
    assert bands.fermi_level == pytest.approx(middle, abs=1e-10)


def test_sheets_are_periodic_in_two_directions() -> None:
    sheet = graphene(a=2.46, vacuum=8.0)
    sheet.pbc = (True, True, False)
    points, weights = k_points(sheet, 0.3)
    assert set(points[:, 2]) == {0.0}
    assert weights.sum() == pytest.approx(1)
    # A grid of multiples of three meets the point where the bands touch.
    bands = solve_bands(sheet, spacing_of(sheet, 9))
    assert bands.gap == pytest.approx(0, abs=1e-6)


def test_a_metal_fills_its_last_level_in_part() -> None:
    levels = np.array([[-1.0, 0.0, 1.0, 2.0], [-0.5, 0.5, 1.5, 2.5], [0.2, 0.6, 3.0, 4.0]])
    bands = Bands(levels, np.array([0.2, 0.4, 0.4]), np.full((3, 4, 1), 1.0))
    # Four electrons in states of weights 0.4, 0.8 and 0.8: the two lowest bands.
    assert bands.band_energy == pytest.approx(0.4 * -1 + 0.8 * (-0.5 + 0.5 + 0.2 + 0.6))
    assert bands.fermi_level == pytest.approx((0.6 + 1.0) / 2)
    assert bands.gap == pytest.approx(0.4)
    lower = Bands(levels - [[0, 0, 0.8, 0]], np.array([0.2, 0.4, 0.4]), np.full((3, 4, 1), 1.0))
    assert lower.fermi_level == pytest.approx(0.6)
    assert lower.gap == 0


def test_what_cannot_be_computed_is_said() -> None:
    with pytest.raises(DataError, match="knows carbon only"):
        solve_bands(bulk("Si", "diamond", 5.43))
    with pytest.raises(DataError, match="too close for carbon"):
        solve_bands(Atoms("C2", [[0, 0, 0], [0, 0, 0.05]]))
    with pytest.raises(ConfigError, match="must be positive"):
        solve_bands(DIAMOND, 0.0)
    with pytest.raises(DataError, match="choose a larger spacing"):
        solve_bands(DIAMOND, 1e-3)
