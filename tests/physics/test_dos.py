"""Curves against closed forms: a box, free electrons, Gaussians, and sums of eigenvalues."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.physics import (
    SMEARINGS,
    EnergyGrid,
    band_energy,
    band_gap,
    cumulative,
    density_of_states,
    fermi_level,
    refined,
    resampled,
)

GRID = EnergyGrid(-5.0, 0.01, 1501)


def test_a_box() -> None:
    # Two states per eV from −5 eV on: n electrons fill n/2 eV.
    box = np.full(GRID.size, 2.0)
    for n in (0.5, 3.0, 7.123, 29.999, 30.0):
        top = -5 + n / 2
        assert fermi_level(box, GRID, n) == pytest.approx(top, abs=1e-10)
        assert band_energy(box, GRID, n) == pytest.approx(top**2 - 25, abs=1e-9)
    assert band_gap(box, GRID, 3.0) == 0


def test_free_electrons_in_two_and_three_dimensions() -> None:
    grid = EnergyGrid(0.0, 0.001, 8001)
    energies = grid.energies
    root = np.sqrt(energies)
    # g = √ε: N = ⅔ E^{3/2}, U = ⅖ E^{5/2} = ⅗ N E_F.
    top = 4.0
    electrons = 2 / 3 * top**1.5
    assert fermi_level(root, grid, electrons) == pytest.approx(top, abs=1e-5)
    assert band_energy(root, grid, electrons) == pytest.approx(0.6 * electrons * top, rel=1e-5)


def test_a_gaussian() -> None:
    g = density_of_states([0.0], GRID, width=0.5)
    # The error of trapezoids is at most step²/12 · max |g′| = 1.6e-5 here.
    np.testing.assert_allclose(
        cumulative(g, GRID), 1 + erf(GRID.energies / 0.5 / np.sqrt(2)), atol=1.7e-5
    )
    assert fermi_level(g, GRID, 1.0) == pytest.approx(0.0, abs=1e-6)
    # Half of it: −σ·2·φ(0).
    assert band_energy(g, GRID, 1.0) == pytest.approx(-2 * 0.5 / np.sqrt(2 * np.pi), abs=1.7e-5)


@pytest.mark.parametrize("smearing", SMEARINGS)
def test_smearings_hold_all_states(smearing: str) -> None:
    grid = EnergyGrid(-400.0, 0.02, 40001)
    g = density_of_states([-1.0, 0.5, 0.5], grid, width=0.1, weights=[1.0, 2.0, 3.0])
    assert g.sum() * grid.step == pytest.approx(6.0, rel=1e-9)
    other = density_of_states(
        [-1.0, 0.5, 0.5], grid, width=0.1, weights=[1, 2, 3], smearing=smearing
    )
    assert other.sum() * grid.step == pytest.approx(6.0, rel=1e-3)
    assert other.argmax() == g.argmax()


def test_projections_add_up() -> None:
    rng = np.random.default_rng(0)
    levels, share = rng.normal(size=20), rng.random((20, 4))
    parts = density_of_states(levels, GRID, width=0.2, weights=share)
    whole = density_of_states(levels, GRID, width=0.2, weights=share.sum(axis=1))
    assert parts.shape == (4, GRID.size)
    np.testing.assert_allclose(parts.sum(axis=0), whole, atol=1e-12)


def test_band_energy_is_the_sum_of_eigenvalues() -> None:
    # Filled levels that lie a gap below the empty ones: broadening shifts nothing on average.
    rng = np.random.default_rng(1)
    filled, empty = rng.uniform(-3, -1, 30), rng.uniform(4, 6, 30)
    g = density_of_states(np.concatenate([filled, empty]), GRID, width=0.2)
    assert band_energy(g, GRID, 60.0) == pytest.approx(2 * filled.sum(), abs=1e-4)
    assert 3 < band_gap(g, GRID, 60.0) < 5
    # One electron more sits in the lowest empty level, about: no longer the sum of the filled.
    assert band_energy(g, GRID, 61.0) > 2 * filled.sum() + 3


def test_a_batch_is_each_of_its_curves() -> None:
    rng = np.random.default_rng(2)
    curves = rng.random((3, 2, GRID.size))
    electrons = rng.uniform(1, 5, (3, 2))
    levels, energies = fermi_level(curves, GRID, electrons), band_energy(curves, GRID, electrons)
    gaps = band_gap(curves, GRID, electrons)
    for i in np.ndindex(3, 2):
        assert levels[i] == fermi_level(curves[i], GRID, electrons[i])
        assert energies[i] == band_energy(curves[i], GRID, electrons[i])
        assert gaps[i] == band_gap(curves[i], GRID, electrons[i])


def test_fermi_level_and_band_energy_are_consistent() -> None:
    # dU/dN = E_F.
    g = np.random.default_rng(3).random(GRID.size)
    for n in (0.7, 2.0, 6.5):
        slope = (band_energy(g, GRID, n + 1e-5) - band_energy(g, GRID, n - 1e-5)) / 2e-5
        assert slope == pytest.approx(float(fermi_level(g, GRID, n)), abs=1e-4)


def test_refining_keeps_ends_and_cubics() -> None:
    grid = EnergyGrid(-1.0, 0.1, 21)
    cubic = 2 + grid.energies**3
    fine, finer = refined(cubic, grid, 0.01)
    assert (finer.size, finer.stop) == (201, pytest.approx(1.0))
    np.testing.assert_allclose(fine, 2 + finer.energies**3, atol=1e-12)
    # A spline through a step overshoots; a density does not go below zero.
    step = (grid.energies > 0) * 1.0
    assert refined(step, grid, 0.01)[0].min() == 0


def test_resampling_is_zero_outside() -> None:
    grid = EnergyGrid(0.0, 0.1, 11)
    wide = resampled(np.ones(11), grid, EnergyGrid(-0.5, 0.1, 21))
    np.testing.assert_allclose(wide, [0] * 5 + [1] * 11 + [0] * 5, atol=1e-12)


def test_paper_numbers_of_bins() -> None:
    fine = refined(np.ones(310), EnergyGrid(-30.0, 0.1, 310))[1]
    assert (fine.size, round(fine.step, 12)) == (3091, 0.01)


def test_grids_are_checked() -> None:
    grid = EnergyGrid.from_energies(np.linspace(-1, 1, 21), unit="cm^-1", zero="ground state")
    assert grid == EnergyGrid(-1.0, 0.1, 21, "cm^-1", "ground state")
    assert grid.shifted(1.0, "bottom").start == 0
    for bad in ([0.0], [0.0, 0.1, 0.3], [0.2, 0.1, 0.0], [0.0, np.nan], [[0.0, 1.0]]):
        with pytest.raises(DataError):
            EnergyGrid.from_energies(bad)
    for arguments in ((0.0, 0.0, 5), (0.0, -1.0, 5), (0.0, 0.1, 1), (np.nan, 0.1, 5)):
        with pytest.raises(ConfigError):
            EnergyGrid(*arguments)


def test_mistakes_are_named() -> None:
    box = np.ones(GRID.size)
    with pytest.raises(DataError, match=r"holds 15\.0000 states .* there are 16\.0000 electrons"):
        fermi_level(box, GRID, 16.0)
    with pytest.raises(DataError, match="must be positive"):
        band_energy(box, GRID, 0.0)
    with pytest.raises(DataError, match="negative"):
        fermi_level(-box, GRID, 1.0)
    with pytest.raises(DataError, match="NaN"):
        cumulative(box * np.nan, GRID)
    with pytest.raises(DataError, match="is not on a grid of 1501"):
        cumulative(box[1:], GRID)
    with pytest.raises(DataError, match="shift one of them first"):
        resampled(box, GRID, EnergyGrid(0.0, 0.1, 5, "cm^-1"))
    with pytest.raises(DataError, match="do not fit"):
        density_of_states([0.0, 1.0], GRID, width=0.1, weights=[1.0, 2.0, 3.0])
    with pytest.raises(DataError, match="NaN or infinite"):
        density_of_states([np.nan], GRID, width=0.1)
    with pytest.raises(ConfigError, match="unknown smearing"):
        density_of_states([0.0], GRID, width=0.1, smearing="boxcar")
    with pytest.raises(ConfigError, match="must be positive"):
        density_of_states([0.0], GRID, width=0.0)


def test_a_metal_has_not_the_gap_of_another_filling() -> None:
    grid = EnergyGrid(0.0, 0.1, 310)
    # Two bands with a gap between 10 and 12, and the Fermi level within the second.
    energies = grid.energies
    curve = np.where((energies < 10) | ((energies > 12) & (energies < 13)), 0.4, 0.0)
    filled = float(cumulative(curve, grid)[115])
    assert band_gap(curve, grid, filled, threshold=1e-2) == pytest.approx(2.0, abs=0.15)
    assert band_gap(curve, grid, filled + 0.2, threshold=1e-2) == 0
