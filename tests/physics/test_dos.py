"""Curves against closed forms: a box, free electrons, Gaussians, and sums of eigenvalues."""

from __future__ import annotations

import contextlib

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
    find_levels,
    finer_bins,
    level_range,
    refined,
    resampled,
    states_below,
)
from csgnn_dgl.physics.levels import Definition

GRID = EnergyGrid(-5.0, 0.01, 1501)


def test_a_box() -> None:
    # Two states per eV from the lower edge of the first bin on: n electrons fill n/2 eV.
    box = np.full(GRID.size, 2.0)
    for whole_bins, bottom, most in ((True, -5.005, 30.02), (False, -5.0, 30.0)):
        for n in (0.005, 0.5, 3.0, 7.123, 29.999, most):
            top = bottom + n / 2
            level = fermi_level(box, GRID, n, whole_bins=whole_bins)
            energy = band_energy(box, GRID, n, whole_bins=whole_bins)
            assert level == pytest.approx(top, abs=1e-10)
            assert energy == pytest.approx(top**2 - bottom**2, abs=1e-9)
        with pytest.raises(DataError, match="lies above the energy window"):
            fermi_level(box, GRID, most + 0.001, whole_bins=whole_bins)
    assert band_gap(box, GRID, 3.0) == 0


def _two_bands(cut: float, step: float) -> tuple[np.ndarray, EnergyGrid, float]:
    """Means over bins of two bands, of which the window cuts the lower; and its electrons."""
    grid = EnergyGrid(cut, step, round(8.0 / step) + 1)
    edges = cut - step / 2 + step * np.arange(grid.size + 1)
    # Three states per eV from −6 to −2 eV, four from 1 to 3 eV.
    states = 3 * np.clip(edges, -6, -2) + 4 * np.clip(edges, 1, 3)
    return np.diff(states) / step, grid, 3 * (-2 - (cut - step / 2))


@pytest.mark.parametrize("step", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("cut", [-5.0, -4.137, -2.5])
def test_a_window_that_cuts_a_band(cut: float, step: float) -> None:
    curve, grid, electrons = _two_bands(cut, step)
    bottom = cut - step / 2
    assert curve[0] > 0  # the window begins within the band
    # The highest bin of the band may be filled in part, and straight lines lead to the next one.
    assert fermi_level(curve, grid, electrons) == pytest.approx(-2.0, abs=1.5 * step)
    assert states_below(curve, grid, -0.5) == pytest.approx(electrons, rel=1e-12)
    assert cumulative(curve, grid)[0] == pytest.approx(curve[0] * step / 2)
    low, high = level_range(curve, grid, electrons, 0.01)
    assert low == pytest.approx(-2, abs=step)
    assert high == pytest.approx(1, abs=step)
    found = find_levels(curve, grid, electrons)
    assert found.fermi_level == pytest.approx(-0.5, abs=step)  # the middle of the gap
    assert found.gap == pytest.approx(3.0, abs=2 * step)
    assert found.band_energy == pytest.approx(1.5 * (4 - bottom**2), abs=2 * step**2)
    # Half a bin of electrons is missing without its first half: they go into the upper band.
    assert fermi_level(curve, grid, electrons, whole_bins=False) > 0.9
    assert find_levels(curve, grid, electrons, definition="paper").fermi_level > 0.8


def test_the_papers_definition_is_the_same_for_curves_that_begin_with_zero() -> None:
    grid = EnergyGrid(-10.0, 0.1, 201)
    curve = density_of_states([-7.0, -6.5, -5.0, 2.0, 4.0], grid, width=0.2)
    np.testing.assert_allclose(
        cumulative(curve, grid), cumulative(curve, grid, whole_bins=False), atol=1e-12
    )
    for electrons in (5.0, 6.0, 7.5):
        for function in (fermi_level, band_energy, band_gap):
            both = [function(curve, grid, electrons, whole_bins=whole) for whole in (True, False)]
            assert both[0] == pytest.approx(float(both[1]), abs=1e-9)
        ours = find_levels(curve, grid, electrons)
        paper = find_levels(curve, grid, electrons, definition="paper")
        assert ours.band_energy == pytest.approx(paper.band_energy, abs=2e-3)
        # The paper's level is the lower end of a gap.
        middle = paper.fermi_level if paper.gap == 0 else (-5.0 + 2.0) / 2
        assert ours.fermi_level == pytest.approx(middle, abs=0.01)
        assert ours.gap == pytest.approx(paper.gap, abs=0.05)
    with pytest.raises(ConfigError, match="did you mean 'paper'"):
        find_levels(curve, grid, 5.0, definition="papers")  # type: ignore[arg-type]


def test_finer_bins_hold_the_same_states() -> None:
    rng = np.random.default_rng(4)
    curves = np.maximum(rng.normal(size=(3, 2, 40)), 0.0)
    grid = EnergyGrid(-1.0, 0.1, 40)
    fine, finer = finer_bins(curves, grid, 10)
    assert fine.min() >= 0
    np.testing.assert_allclose(fine.reshape(3, 2, 40, 10).mean(axis=-1), curves, atol=1e-12)
    # Empty bins stay empty, which a spline through the values does not achieve.
    assert (fine.reshape(3, 2, 40, 10)[curves == 0] == 0).all()
    spline = refined(curves, grid, 0.01)[0]
    assert (spline[..., ::10][curves == 0] < 1e-12).all()
    assert abs(spline.sum(-1) * 0.01 - curves.sum(-1) * 0.1).max() > 1e-3
    # A smooth curve is met to a high order.
    smooth = density_of_states([0.0], EnergyGrid(-2.0, 0.1, 41), width=0.3)
    fine, finer = finer_bins(smooth, EnergyGrid(-2.0, 0.1, 41))
    # The mean over a bin is step²/24 · g″ more than the value at its centre.
    exact = density_of_states([0.0], finer, width=0.3)
    np.testing.assert_allclose(fine, exact, atol=1.5 * 0.1**2 / 24 * exact.max() / 0.3**2)
    assert finer_bins(smooth, EnergyGrid(-2.0, 0.1, 41), 1)[1] == EnergyGrid(-2.0, 0.1, 41)
    with pytest.raises(ConfigError, match="divided into 0 pieces"):
        finer_bins(smooth, EnergyGrid(-2.0, 0.1, 41), 0)


def test_a_rounded_curve_keeps_its_level_below_the_gap() -> None:
    curve, grid, electrons = _two_bands(-5.0, 0.1)
    for rounded in (curve.astype(np.float32), np.round(curve, 6)):
        assert fermi_level(rounded, grid, electrons) < -1.9
    # A lack that is more than rounding is filled from the next band.
    assert fermi_level(curve, grid, electrons * (1 + 1e-4)) > 0.9


@pytest.mark.parametrize("error", [-2e-3, -1e-4, 1e-4, 2e-3])
def test_a_small_error_of_a_curve_does_not_move_its_level_across_the_gap(error: float) -> None:
    curve, grid, electrons = _two_bands(-5.0, 0.1)
    exact, found = (find_levels(c, grid, electrons) for c in (curve, curve * (1 + error)))
    assert found.fermi_level == pytest.approx(exact.fermi_level, abs=0.02)
    # Control: without slack, a lack of states moves it by the whole gap of 3 eV.
    jump = fermi_level(curve * (1 + error), grid, electrons) - fermi_level(curve, grid, electrons)
    assert (jump > 2.5) == (error < 0)


def test_the_level_of_a_window_that_ends_in_a_gap() -> None:
    curve, grid, electrons = _two_bands(-5.0, 0.1)
    inside = grid.energies < 0
    cut = EnergyGrid(grid.start, grid.step, int(inside.sum()))
    exact = find_levels(curve[inside], cut, electrons)
    assert exact.fermi_level == pytest.approx(-2.0, abs=0.1)
    # The gap of 3 eV is seen in part: that is a bound, and nothing to compare with.
    assert exact.cut
    assert 1.5 < exact.gap < 2.1
    assert np.isnan([exact.known("fermi_level"), exact.known("gap")]).all()
    assert exact.known("band_energy") == exact.band_energy
    assert np.isnan(band_gap(curve[inside], cut, electrons))
    whole = find_levels(curve, grid, electrons)
    assert not whole.cut
    assert whole.gap == whole.known("gap") == pytest.approx(3.0, abs=0.2)
    # A prediction may lack a few states there.
    found = find_levels(curve[inside] * 0.999, cut, electrons)
    assert found.fermi_level == pytest.approx(exact.fermi_level, abs=0.02)
    assert found.band_energy == pytest.approx(0.999 * exact.band_energy, abs=1e-3)
    with pytest.raises(DataError, match="Fermi level lies above"):
        find_levels(curve[inside] * 0.99, cut, electrons)


def test_a_window_that_ends_at_the_level() -> None:
    """Whether there is a gap above the level of a metal cannot be seen."""
    found = find_levels(np.full(101, 2.0), EnergyGrid(0.0, 0.1, 101), 20.2)
    assert found.cut
    assert found.gap == 0


def test_a_curve_that_lacks_as_much_as_the_slack() -> None:
    rng, grid = np.random.default_rng(0), EnergyGrid(0.0, 0.1, 60)
    for _ in range(200):
        curve = rng.uniform(0.5, 1.5, grid.size)
        curve *= 3.98 / (curve.sum() * grid.step)
        # Rounding decides whether the lack of 0.02 is too much.
        with contextlib.suppress(DataError):
            assert np.isfinite(find_levels(curve, grid, 4.0).fermi_level)


def test_a_metal_with_empty_bins() -> None:
    grid = EnergyGrid(-2.0, 0.1, 41)
    curve = np.abs(grid.energies)  # a semimetal: zero at the Fermi level, empty nowhere else
    electrons = float(states_below(curve, grid, 0.0))
    found = find_levels(curve, grid, electrons)
    assert found.fermi_level == pytest.approx(0.0, abs=0.05)
    assert found.gap <= grid.step + 1e-9  # the width of the one bin in which the curve is zero


@pytest.mark.parametrize("electrons", [0.0, -1.0, np.nan, np.inf, 1e6])
def test_levels_need_a_possible_number_of_electrons(electrons: float) -> None:
    curve, grid, _ = _two_bands(-5.0, 0.1)
    for call in (find_levels, fermi_level, band_energy, band_gap):
        with pytest.raises(DataError, match="electrons"):
            call(curve, grid, electrons)


@pytest.mark.parametrize("definition", ["bins", "paper"])
def test_levels_of_curves_that_are_none(definition: Definition) -> None:
    grid = EnergyGrid(0.0, 0.1, 5)
    for curve in ([np.nan] * 5, [0, 1, np.inf, 1, 0]):
        with pytest.raises(DataError, match="NaN or infinite"):
            find_levels(np.array(curve, dtype=float), grid, 1.0, definition=definition)
    with pytest.raises(DataError, match=r"holds 0\.0000 states"):
        find_levels(np.zeros(5), grid, 1.0, definition=definition)


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
    assert level_range(g, GRID, 3.0, 0.1) == (np.inf, np.inf)
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
    with pytest.raises(DataError, match=r"holds 15\.0100 states .* there are 16\.0000 electrons"):
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
