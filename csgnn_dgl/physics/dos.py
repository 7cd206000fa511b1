"""Densities of states: from eigenvalues, and on other grids.

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
    "density_of_states",
    "finer_bins",
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


def finite_curve(dos: npt.ArrayLike, grid: EnergyGrid) -> Floats:
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
    values = finite_curve(dos, grid)
    energies = onto.energies
    from scipy.interpolate import CubicSpline  # slow to import

    curve = CubicSpline(grid.energies, values, axis=-1)(energies)
    margin = 1e-9 * grid.step
    inside = (energies >= grid.start - margin) & (energies <= grid.stop + margin)
    return np.asarray(np.where(inside, np.maximum(curve, 0.0), 0.0))


def finer_bins(dos: npt.ArrayLike, grid: EnergyGrid, pieces: int = 10) -> tuple[Floats, EnergyGrid]:
    """Divide each bin into smaller ones that hold as many states together.

    The states up to the edges of the bins are interpolated by a cubic spline whose slopes are
    limited so that it never falls (Hyman, SIAM J. Sci. Stat. Comput. 4, 645 (1983),
    doi 10.1137/0904045). So a gap stays empty, and no states are made or lost.

    Parameters
    ----------
    dos
        The curve, shape ``(..., E)``; negative values count as zero.
    grid
        Its grid.
    pieces
        Number of new bins for each old one.

    Returns
    -------
    tuple
        The new curve, shape ``(..., pieces · E)``, and its grid, which covers the same bins.

    Raises
    ------
    ConfigError
        ``pieces`` is less than 1.
    DataError
        The curve is not finite, or does not fit the grid.

    Examples
    --------
    >>> curve, finer = finer_bins([0.0, 3.0, 0.0], EnergyGrid(0.0, 1.0, 3))
    >>> finer.size, finer.start, round(float(curve.sum() * finer.step), 12)
    (30, -0.45, 3.0)
    """
    if pieces < 1:
        raise ConfigError(f"a bin cannot be divided into {pieces} pieces; at least 1 is needed")
    values = np.maximum(finite_curve(dos, grid), 0.0)
    from scipy.interpolate import CubicHermiteSpline, CubicSpline  # slow to import

    zero = np.zeros((*values.shape[:-1], 1))
    states = np.concatenate([zero, np.cumsum(values, axis=-1)], axis=-1)  # in units of the step
    edges = np.arange(grid.size + 1.0)
    slopes = CubicSpline(edges, states, axis=-1)(edges, 1)
    beside = np.concatenate([values[..., :1], values, values[..., -1:]], axis=-1)
    limit = 3 * np.minimum(beside[..., :-1], beside[..., 1:])
    slopes = np.clip(slopes, 0.0, limit)
    fine = np.linspace(0.0, grid.size, grid.size * pieces + 1)
    counts = np.diff(CubicHermiteSpline(edges, states, slopes, axis=-1)(fine), axis=-1)
    start = grid.start + (1 / pieces - 1) * grid.step / 2
    finer = EnergyGrid(start, grid.step / pieces, grid.size * pieces, grid.unit, grid.zero)
    return np.maximum(counts, 0.0) * pieces, finer
