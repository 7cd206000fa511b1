r"""Counting states: the integral of a curve, its Fermi level, band energy and gap.

There is one convention for counting states. **A value is the mean over its bin**, which reaches
half a step to both sides of its energy. So a curve of ``E`` values covers the energies from
``start − step/2`` to ``stop + step/2``, and holds ``step · Σ g`` states. Up to an energy of the
grid it holds half of that energy's bin and all bins below. Within bins, the curve is taken as
piecewise linear, and as constant in the two outer halves, which gives the same counts.

The paper integrates by trapezoids from the first energy (``whole_bins=False``), which leaves out
half of the first bin. Both are equal where the curve begins with zero, as in the paper's data. They
differ where the first energy lies within a band.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from csgnn_dgl.errors import DataError
from csgnn_dgl.physics.dos import finite_curve
from csgnn_dgl.physics.grid import EnergyGrid

__all__ = [
    "band_energy",
    "band_gap",
    "cumulative",
    "fermi_level",
    "level_range",
    "level_slack",
    "states_below",
]

Floats = npt.NDArray[np.float64]
# Relative rounding error of a sum of states: curves may be in single precision, or in text. Without
# it, the Fermi level of a rounded curve could lie above the gap.
_ROUNDING = 1e-6


def cumulative(dos: npt.ArrayLike, grid: EnergyGrid, *, whole_bins: bool = True) -> Floats:
    """Count the states up to each energy.

    Parameters
    ----------
    dos
        The curve, shape ``(..., E)``.
    grid
        Its grid.
    whole_bins
        Begin at the lower edge of the first bin; otherwise, as in the paper, at the first energy.

    Returns
    -------
    numpy.ndarray
        Shape ``(..., E)`` [states].

    Examples
    --------
    >>> cumulative([2.0, 2.0, 2.0], EnergyGrid(0.0, 1.0, 3)).tolist()
    [1.0, 3.0, 5.0]
    >>> cumulative([2.0, 2.0, 2.0], EnergyGrid(0.0, 1.0, 3), whole_bins=False).tolist()
    [0.0, 2.0, 4.0]
    """
    values = finite_curve(dos, grid)
    pieces = (values[..., 1:] + values[..., :-1]) * (grid.step / 2)
    start = values[..., :1] * (grid.step / 2 if whole_bins else 0.0)
    return np.asarray(np.cumsum(np.concatenate([start, pieces], axis=-1), axis=-1))


def states_below(dos: npt.ArrayLike, grid: EnergyGrid, energy: float) -> Floats:
    """Count the states of a curve below an energy, which may lie outside the grid.

    Parameters
    ----------
    dos
        The curve, shape ``(..., E)``.
    grid
        Its grid.
    energy
        The energy [the grid's unit].

    Returns
    -------
    numpy.ndarray
        Shape ``(...)`` [states].

    Examples
    --------
    >>> float(states_below([2.0, 2.0, 2.0], EnergyGrid(0.0, 1.0, 3), 0.75))
    2.5
    """
    values = finite_curve(dos, grid)
    bins = np.clip((energy - grid.start) / grid.step + 0.5 - np.arange(grid.size), 0.0, 1.0)
    return np.asarray((values * bins).sum(axis=-1) * grid.step)


@dataclass(frozen=True, eq=False)
class _Filling:
    """A curve as straight pieces, and the place of the Fermi level in them.

    Parameters
    ----------
    energies, widths
        Start and width of each piece, shape ``(P,)``.
    low, high
        Values at the start and end of each piece, shape ``(..., P)``.
    total
        States below the end of each piece, shape ``(..., P)``.
    piece, t
        Piece that contains the Fermi level, and its distance from the start, shape ``(...)``.
    """

    energies: Floats
    widths: Floats
    low: Floats
    high: Floats
    total: Floats
    piece: npt.NDArray[np.int64]
    t: Floats

    def at(self, values: Floats) -> Floats:
        """Take one value of each curve, that of the piece with the Fermi level."""
        return np.asarray(np.take_along_axis(values, self.piece[..., None], -1)[..., 0])


def _filled(
    dos: npt.ArrayLike, grid: EnergyGrid, electrons: npt.ArrayLike, whole_bins: bool
) -> _Filling:
    values = finite_curve(dos, grid)
    if (values < 0).any():
        raise DataError("a density of states is negative; it cannot be filled with electrons")
    count = np.broadcast_to(np.asarray(electrons, dtype=np.float64), values.shape[:-1])
    if not (np.isfinite(count).all() and (count > 0).all()):
        bad = count[~(np.isfinite(count) & (count > 0))].flat[0]
        raise DataError(f"the number of electrons is {bad:g}, but it must be positive and finite")
    energies, widths = grid.energies[:-1], np.full(grid.size - 1, grid.step)
    low, high, stop = values[..., :-1], values[..., 1:], grid.stop
    if whole_bins:
        half = grid.step / 2
        energies = np.concatenate([[grid.start - half], energies, [grid.stop]])
        widths = np.concatenate([[half], widths, [half]])
        first, last = values[..., :1], values[..., -1:]
        low, high = np.concatenate([first, low, last], -1), np.concatenate([first, high, last], -1)
        stop += half
    total = np.cumsum((low + high) / 2 * widths, axis=-1)
    short = total[..., -1] < count * (1 - _ROUNDING)
    if short.any():
        worst = np.unravel_index(int(np.argmax(count - total[..., -1])), count.shape)
        raise DataError(
            f"the density of states holds {total[..., -1][worst]:.4f} states up to {stop:g} "
            f"{grid.unit}, but there are {count[worst]:.4f} electrons: the Fermi level lies above "
            f"the energy window"
        )
    piece = np.argmax(total >= (count * (1 - _ROUNDING))[..., None], axis=-1)
    found = _Filling(energies, widths, low, high, total, piece, np.zeros(count.shape))
    before = found.at(total - (low + high) / 2 * widths)
    a, b, width = found.at(low), found.at(high), widths[piece]
    missing = np.maximum(count - before, 0.0)
    # The integral of a straight line up to t: a·t + slope·t²/2 = missing, solved without
    # cancellation.
    root = np.sqrt(np.maximum(a**2 + 2 * (b - a) / width * missing, 0.0))
    t = np.divide(2 * missing, a + root, out=np.zeros_like(a), where=a + root > 0)
    return replace(found, t=np.clip(t, 0.0, width))


def fermi_level(
    dos: npt.ArrayLike, grid: EnergyGrid, electrons: npt.ArrayLike, *, whole_bins: bool = True
) -> Floats:
    """Compute the energy up to which the states hold ``electrons``; in a gap, its lower end.

    A millionth of the electrons may be missing, because curves are rounded.

    Parameters
    ----------
    dos
        The curve, shape ``(..., E)`` [states per unit of energy].
    grid
        Its grid.
    electrons
        Number of electrons, shape ``(...)`` or one for all.
    whole_bins
        As for :func:`cumulative`.

    Returns
    -------
    numpy.ndarray
        Shape ``(...)`` [the grid's unit].

    Raises
    ------
    DataError
        The curve is negative or not finite, the number of electrons is not positive and finite, or
        the energy window holds fewer states than electrons.

    Examples
    --------
    The first bin begins half a step below the first energy:

    >>> grid = EnergyGrid(0.0, 0.1, 101)
    >>> round(float(fermi_level(np.full(101, 2.0), grid, 5.0)), 4)
    2.45
    """
    found = _filled(dos, grid, electrons, whole_bins)
    return np.asarray(found.energies[found.piece] + found.t)


def level_slack(electrons: float, empty: float) -> float:
    """Number of states by which the states up to a gap may differ from the electrons.

    States in the tails on both sides of a gap, and errors of a prediction, shift the integral in
    the gap. With a larger slack, a metal would get the gap of another filling.

    Parameters
    ----------
    electrons
        Number of electrons.
    empty
        Most states in a bin that counts as empty.

    Examples
    --------
    >>> level_slack(4.0, 1e-5)
    0.02
    """
    return max(10 * empty, min(0.005 * electrons, 0.02))


def level_range(
    dos: npt.ArrayLike, grid: EnergyGrid, electrons: float, slack: float
) -> tuple[float, float]:
    """Find the range of energies up to which a curve holds a number of electrons, within a slack.

    In a gap, every energy is as good a Fermi level as any other. So a level that a program chose
    there is compared with this range, not with :func:`fermi_level`.

    Parameters
    ----------
    dos
        The curve, shape ``(E,)``; negative values count as zero.
    grid
        Its grid.
    electrons, slack
        Number of electrons, and the largest difference from it [states].

    Returns
    -------
    tuple
        Lowest and highest energy [the grid's unit]; infinite where the curve holds too few states.

    Examples
    --------
    >>> grid = EnergyGrid(0.0, 1.0, 6)
    >>> level_range([0.0, 2.0, 0.0, 0.0, 2.0, 0.0], grid, 2.0, 0.02)
    (1.49, 3.51)
    """
    values = np.maximum(finite_curve(dos, grid), 0.0)
    states = np.concatenate([[0.0], np.cumsum(values) * grid.step])
    edges = grid.start + grid.step * (np.arange(grid.size + 1) - 0.5)

    def reached(count: float, side: Literal["left", "right"]) -> float:
        above = int(np.searchsorted(states, count, side))
        if above > grid.size:
            return np.inf
        if above == 0:
            return float(edges[0])
        missing = count - states[above - 1]
        return float(edges[above - 1] + missing / values[above - 1])

    return reached(electrons - slack, "left"), reached(electrons + slack, "right")


def band_energy(
    dos: npt.ArrayLike, grid: EnergyGrid, electrons: npt.ArrayLike, *, whole_bins: bool = True
) -> Floats:
    r"""Energy of the electrons, :math:`\int^{E_F} \varepsilon\, g(\varepsilon)\, d\varepsilon`.

    The result is exact for the piecewise linear curve through the given values; divide coarse
    bins first (:func:`finer_bins`).

    Parameters
    ----------
    dos, grid, electrons, whole_bins
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
    >>> round(float(band_energy(np.full(101, 2.0), grid, 5.0)), 4)
    6.0
    """
    found = _filled(dos, grid, electrons, whole_bins)
    starts, widths, low, high = found.energies, found.widths, found.low, found.high
    # ∫ (e + x)(a + (b − a) x / width) dx over each piece, and over a part of the last.
    pieces = widths * starts * (low + high) / 2 + widths**2 * (low / 6 + high / 3)
    whole = found.at(np.cumsum(pieces, axis=-1) - pieces)
    a, t, start = found.at(low), found.t, starts[found.piece]
    slope = (found.at(high) - a) / widths[found.piece]
    last = a * (start * t + t**2 / 2) + slope * (start * t**2 / 2 + t**3 / 3)
    return np.asarray(whole + last)


def band_gap(
    dos: npt.ArrayLike,
    grid: EnergyGrid,
    electrons: npt.ArrayLike,
    *,
    threshold: float = 1e-3,
    whole_bins: bool = True,
) -> Floats:
    """Width of the interval around the Fermi level in which the curve stays below ``threshold``.

    This is the gap of a curve, not that of the eigenvalues. In a broadened curve it is narrower by
    several widths of the broadening. It is wider where a band begins with few states.

    Parameters
    ----------
    dos, grid, electrons, whole_bins
        As for :func:`fermi_level`.
    threshold
        Largest density of states in a gap [states per unit of energy].

    Returns
    -------
    numpy.ndarray
        Shape ``(...)`` [the grid's unit]; zero for a metal, and NaN where the grid ends within the
        gap, of which only a part is seen.

    Examples
    --------
    >>> from csgnn_dgl.physics import density_of_states
    >>> grid = EnergyGrid(-2.0, 0.01, 401)
    >>> two_levels = density_of_states([-1.0, 1.0], grid, width=0.05)
    >>> 1.5 < float(band_gap(two_levels, grid, 2.0)) < 1.8
    True
    """
    widths, ends = gap_widths(dos, grid, electrons, threshold=threshold, whole_bins=whole_bins)
    return np.where(ends, widths, np.nan)


def gap_widths(
    dos: npt.ArrayLike,
    grid: EnergyGrid,
    electrons: npt.ArrayLike,
    *,
    threshold: float,
    whole_bins: bool = True,
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """As :func:`band_gap`, with the part of a gap that the grid contains.

    Returns
    -------
    tuple
        Widths, and whether the gaps end within the grid; both of shape ``(...)``. A width that does
        not is a lower bound of the gap.
    """
    _filled(dos, grid, electrons, whole_bins)  # raises
    values = finite_curve(dos, grid)
    total = cumulative(values, grid, whole_bins=whole_bins)
    count = np.broadcast_to(np.asarray(electrons, dtype=np.float64), values.shape[:-1])
    flat, totals = values.reshape(-1, grid.size), total.reshape(-1, grid.size)
    widths, ends = np.zeros(len(flat)), np.ones(len(flat), dtype=bool)
    for index, (curve, filled, n) in enumerate(zip(flat, totals, count.reshape(-1), strict=True)):
        empty = curve < threshold
        slack = level_slack(float(n), threshold * grid.step)
        middle = np.flatnonzero(empty & (np.abs(filled - n) <= slack))
        if len(middle) == 0:
            continue
        edges = np.flatnonzero(~empty)
        below, above = edges[edges < middle[0]], edges[edges > middle[0]]
        if len(below):
            ends[index] = len(above) > 0
            widths[index] = ((above[0] if len(above) else grid.size) - below[-1] - 1) * grid.step
    return widths.reshape(count.shape), ends.reshape(count.shape)
