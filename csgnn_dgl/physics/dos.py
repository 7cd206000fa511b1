r"""Densities of states: from eigenvalues, on other grids, and quantities derived from them.

All functions take curves with the energy as the last dimension, shape ``(..., E)``, so one call can
take a batch. States include spin, so that two electrons fill an eigenvalue of weight 2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.physics.grid import EnergyGrid

__all__ = [
    "SMEARINGS",
    "band_energy",
    "band_gap",
    "cumulative",
    "density_of_states",
    "fermi_level",
    "refined",
    "resampled",
]

Floats = npt.NDArray[np.float64]
SMEARINGS = ("gaussian", "fermi", "lorentzian")


def density_of_states(
    eigenvalues: npt.ArrayLike,
    grid: EnergyGrid,
    *,
    width: float,
    weights: npt.ArrayLike = 2.0,
    smearing: str = "gaussian",
) -> Floats:
    r"""Compute the broadened density of states of a spectrum.

    .. math:: g(\varepsilon) = \sum_i w_i\, \delta_\sigma(\varepsilon - \varepsilon_i)

    Parameters
    ----------
    eigenvalues
        Eigenvalues, shape ``(n,)`` [the grid's unit].
    grid
        Energies of the result.
    width
        For a Gaussian, its standard deviation. For "fermi", the temperature :math:`kT` in the
        derivative of the Fermi function. For a Lorentzian, its half width at half maximum. [the
        grid's unit]
    weights
        Weight of each eigenvalue, shape ``(n,)``, or a number; 2 for two spins. Weights of shape
        ``(n, P)`` give one projected curve for each of ``P`` projections.
    smearing
        One of :data:`SMEARINGS`.

    Returns
    -------
    numpy.ndarray
        Shape ``(E,)`` [states per unit of energy]; with projections ``(P, E)``.

    Raises
    ------
    ConfigError
        The smearing is unknown, or the width is not positive.
    DataError
        Eigenvalues or weights are not finite, or their shapes do not fit.

    Examples
    --------
    >>> grid = EnergyGrid(-2.0, 0.01, 401)
    >>> g = density_of_states([0.0], grid, width=0.1)
    >>> round(float(g.sum() * grid.step), 6)
    2.0
    """
    if smearing not in SMEARINGS:
        raise ConfigError(f"unknown smearing {smearing!r}; known are {', '.join(SMEARINGS)}")
    if not width > 0:
        raise ConfigError(f"the width of the smearing is {width}; it must be positive")
    levels = np.asarray(eigenvalues, dtype=np.float64)
    share = np.asarray(weights, dtype=np.float64)
    if levels.ndim != 1 or share.ndim > 2 or (share.ndim and share.shape[0] != len(levels)):
        raise DataError(
            f"eigenvalues of shape {levels.shape} and weights of shape {share.shape} do not fit"
        )
    if not (np.isfinite(levels).all() and np.isfinite(share).all()):
        raise DataError("eigenvalues or weights are NaN or infinite")
    x = (grid.energies[:, None] - levels) / width
    if smearing == "gaussian":
        peak = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    elif smearing == "fermi":
        from scipy.special import expit  # slow to import

        occupied = expit(x)
        peak = occupied * (1 - occupied)
    else:
        peak = 1 / (np.pi * (1 + x**2))
    if share.ndim == 2:
        return np.asarray((peak @ share / width).T)
    return np.asarray(peak @ np.broadcast_to(share, levels.shape) / width)


def _checked(dos: npt.ArrayLike, grid: EnergyGrid) -> Floats:
    values = np.asarray(dos, dtype=np.float64)
    if values.ndim < 1 or values.shape[-1] != grid.size:
        raise DataError(f"a curve of shape {values.shape} is not on a grid of {grid.size} energies")
    if not np.isfinite(values).all():
        raise DataError("a density of states is NaN or infinite; mask such bins first")
    return values


def refined(dos: npt.ArrayLike, grid: EnergyGrid, step: float = 0.01) -> tuple[Floats, EnergyGrid]:
    """Interpolate a curve by a cubic spline to a finer grid over the same energies.

    Parameters
    ----------
    dos
        The curve, shape ``(..., E)``.
    grid
        Its grid.
    step
        Largest step of the new grid; the ends of the old grid are kept exactly.

    Returns
    -------
    tuple
        The new curve without negative values, shape ``(..., F)``, and the new grid.

    Examples
    --------
    >>> refined([0.0, 1.0, 0.0, 0.0], EnergyGrid(0.0, 0.1, 4))[1].size
    31
    """
    if not step > 0:
        raise ConfigError(f"the step is {step}, but it must be positive")
    pieces = max(1, int(np.ceil(grid.step / step - 1e-9)))
    size = (grid.size - 1) * pieces + 1
    finer = EnergyGrid(grid.start, grid.step / pieces, size, grid.unit, grid.zero)
    return resampled(dos, grid, finer), finer


def resampled(dos: npt.ArrayLike, grid: EnergyGrid, onto: EnergyGrid) -> Floats:
    """Interpolate a curve by a cubic spline to another grid.

    Parameters
    ----------
    dos
        The curve, shape ``(..., E)``.
    grid, onto
        Its grid, and the new one, which must have the same unit and zero.

    Returns
    -------
    numpy.ndarray
        The new curve without negative values and with zeros outside the old grid, shape
        ``(..., F)``.

    Raises
    ------
    DataError
        The grids differ in unit or zero, or the curve does not fit its grid.
    """
    if (grid.unit, grid.zero) != (onto.unit, onto.zero):
        raise DataError(
            f"energies in {grid.unit} from the {grid.zero} cannot be put on a grid in {onto.unit} "
            f"from the {onto.zero}; shift one of them first"
        )
    values = _checked(dos, grid)
    energies = onto.energies
    from scipy.interpolate import CubicSpline  # slow to import

    curve = CubicSpline(grid.energies, values, axis=-1)(energies)
    margin = 1e-9 * grid.step
    inside = (energies >= grid.start - margin) & (energies <= grid.stop + margin)
    return np.asarray(np.where(inside, np.maximum(curve, 0.0), 0.0))


def cumulative(dos: npt.ArrayLike, grid: EnergyGrid) -> Floats:
    """Integrate from the first energy up to each, by trapezoids: shape ``(..., E)`` [states]."""
    values = _checked(dos, grid)
    pieces = (values[..., 1:] + values[..., :-1]) * (grid.step / 2)
    start = np.zeros((*values.shape[:-1], 1))
    return np.concatenate([start, np.cumsum(pieces, axis=-1)], axis=-1)


def _filled(
    dos: npt.ArrayLike, grid: EnergyGrid, electrons: npt.ArrayLike
) -> tuple[Floats, Floats, npt.NDArray[np.int64], Floats]:
    """Curve, its integral, the interval that contains the Fermi level, and the place within it."""
    values = _checked(dos, grid)
    if (values < 0).any():
        raise DataError("a density of states is negative; it cannot be filled with electrons")
    count = np.broadcast_to(np.asarray(electrons, dtype=np.float64), values.shape[:-1])
    if not (np.isfinite(count).all() and (count > 0).all()):
        raise DataError(f"the number of electrons is {np.min(count):g}, but it must be positive")
    total = cumulative(values, grid)
    short = total[..., -1] < count * (1 - 1e-9)
    if short.any():
        worst = np.unravel_index(int(np.argmax(count - total[..., -1])), count.shape)
        raise DataError(
            f"the density of states holds {total[..., -1][worst]:.4f} states up to {grid.stop:g} "
            f"{grid.unit}, but there are {count[worst]:.4f} electrons: the Fermi level lies above "
            f"the energy window"
        )
    above = np.argmax(total >= (count * (1 - 1e-12))[..., None], axis=-1)
    before = np.where(total[..., -1] < count, grid.size - 2, np.maximum(above - 1, 0))
    low = np.take_along_axis(values, before[..., None], -1)[..., 0]
    high = np.take_along_axis(values, before[..., None] + 1, -1)[..., 0]
    missing = count - np.take_along_axis(total, before[..., None], -1)[..., 0]
    # The integral of a straight line up to t: low·t + slope·t²/2 = missing, solved without
    # cancellation.
    slope = (high - low) / grid.step
    root = np.sqrt(np.maximum(low**2 + 2 * slope * missing, 0.0))
    t = np.divide(2 * missing, low + root, out=np.zeros_like(low), where=low + root > 0)
    return values, total, before, np.clip(t, 0.0, grid.step)


def fermi_level(dos: npt.ArrayLike, grid: EnergyGrid, electrons: npt.ArrayLike) -> Floats:
    """Compute the energy up to which the states hold ``electrons``; in a gap, its lower end.

    Parameters
    ----------
    dos
        The curve, shape ``(..., E)`` [states per unit of energy].
    grid
        Its grid.
    electrons
        Number of electrons, shape ``(...)`` or one for all.

    Returns
    -------
    numpy.ndarray
        Shape ``(...)`` [the grid's unit].

    Raises
    ------
    DataError
        The curve is negative, or the energy window holds fewer states than electrons.

    Examples
    --------
    >>> grid = EnergyGrid(0.0, 0.1, 101)
    >>> round(float(fermi_level(np.full(101, 2.0), grid, 5.0)), 6)
    2.5
    """
    _, _, before, t = _filled(dos, grid, electrons)
    return np.asarray(grid.energies[before] + t)


def band_energy(dos: npt.ArrayLike, grid: EnergyGrid, electrons: npt.ArrayLike) -> Floats:
    r"""Energy of the electrons, :math:`\int^{E_F} \varepsilon\, g(\varepsilon)\, d\varepsilon`.

    The result is exact for the piecewise linear curve through the given values; refine coarse
    curves first.

    Parameters
    ----------
    dos, grid, electrons
        As for :func:`fermi_level`.

    Returns
    -------
    numpy.ndarray
        Shape ``(...)`` [the grid's unit; per atom if the curve and the electrons are].

    Raises
    ------
    DataError
        As for :func:`fermi_level`.

    Examples
    --------
    >>> grid = EnergyGrid(0.0, 0.1, 101)
    >>> round(float(band_energy(np.full(101, 2.0), grid, 5.0)), 6)
    6.25
    """
    values, _, before, t = _filled(dos, grid, electrons)
    energies, step = grid.energies, grid.step
    g0, g1, e0 = values[..., :-1], values[..., 1:], energies[:-1]
    # ∫ (e0 + x)(g0 + (g1 − g0) x / step) dx over a whole interval.
    pieces = step * e0 * (g0 + g1) / 2 + step**2 * (g0 / 6 + g1 / 3)
    whole = np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(pieces, axis=-1)], axis=-1)
    start = energies[before]
    low = np.take_along_axis(values, before[..., None], -1)[..., 0]
    slope = (np.take_along_axis(values, before[..., None] + 1, -1)[..., 0] - low) / step
    last = low * (start * t + t**2 / 2) + slope * (start * t**2 / 2 + t**3 / 3)
    return np.asarray(np.take_along_axis(whole, before[..., None], -1)[..., 0] + last)


def band_gap(
    dos: npt.ArrayLike, grid: EnergyGrid, electrons: npt.ArrayLike, *, threshold: float = 1e-3
) -> Floats:
    """Width of the interval around the Fermi level in which the curve stays below ``threshold``.

    In a broadened curve the gap is narrower than the true one by several widths of the broadening.

    Parameters
    ----------
    dos, grid, electrons
        As for :func:`fermi_level`.
    threshold
        Largest density of states in a gap [states per unit of energy].

    Returns
    -------
    numpy.ndarray
        Shape ``(...)`` [the grid's unit]; zero for a metal.

    Examples
    --------
    >>> grid = EnergyGrid(-2.0, 0.01, 401)
    >>> two_levels = density_of_states([-1.0, 1.0], grid, width=0.05)
    >>> 1.5 < float(band_gap(two_levels, grid, 2.0)) < 1.8
    True
    """
    values, total, _, _ = _filled(dos, grid, electrons)
    count = np.broadcast_to(np.asarray(electrons, dtype=np.float64), values.shape[:-1])
    flat, totals = values.reshape(-1, grid.size), total.reshape(-1, grid.size)
    gaps = np.zeros(len(flat))
    for index, (curve, filled, n) in enumerate(zip(flat, totals, count.reshape(-1), strict=True)):
        empty = curve < threshold
        # States in the tails on both sides of a gap, and errors of a prediction, shift the integral
        # in the gap. With a larger tolerance, a metal would get the gap of another filling.
        slack = max(10 * threshold * grid.step, min(0.005 * n, 0.02))
        middle = np.flatnonzero(empty & (np.abs(filled - n) <= slack))
        if len(middle) == 0:
            continue
        edges = np.flatnonzero(~empty)
        below, above = edges[edges < middle[0]], edges[edges > middle[0]]
        if len(below) and len(above):
            gaps[index] = (above[0] - below[-1] - 1) * grid.step
    return gaps.reshape(count.shape)
