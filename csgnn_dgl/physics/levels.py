"""Fermi level, band energy and gap from a density of states and a number of electrons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from csgnn_dgl.errors import ConfigError, suggest
from csgnn_dgl.physics.dos import finer_bins, refined
from csgnn_dgl.physics.filling import (
    band_energy,
    fermi_level,
    gap_widths,
    level_range,
    level_slack,
)
from csgnn_dgl.physics.grid import EnergyGrid

__all__ = ["Definition", "Levels", "find_levels"]

Definition = Literal["bins", "paper"]

# Largest density of states in a gap [states per unit of energy and atom]. It is not zero, because
# the zeros that a network predicts are not exact.
_NO_STATES = 0.01


@dataclass(frozen=True)
class Levels:
    """Energies that follow from a curve.

    Parameters
    ----------
    fermi_level
        Fermi level [unit of energy, from the grid's zero]. In a gap it is the gap's middle, and if
        the grid ends there, the gap's lower end.
    band_energy
        Energy of the electrons [unit of energy per atom].
    gap
        Gap of the curve: width of the range around the Fermi level in which the curve stays below
        0.01 [unit of energy]. It is not the gap of the eigenvalues.
    cut
        Whether the grid ends within the gap. Then Fermi level and gap are only lower bounds.
    """

    fermi_level: float
    band_energy: float
    gap: float
    cut: bool = False

    def known(self, name: str) -> float:
        """A value by name; NaN if it is only a lower bound."""
        return np.nan if self.cut and name != "band_energy" else float(getattr(self, name))


def find_levels(
    curve: npt.NDArray[np.float64],
    grid: EnergyGrid,
    electrons: float,
    *,
    definition: Definition = "bins",
) -> Levels:
    """Compute the Fermi level, band energy and gap of a curve.

    Each bin is divided into ten that hold as many states together
    (:func:`~csgnn_dgl.physics.finer_bins`), and these are filled with electrons from below. Values
    below zero count as zero.

    The Fermi level is the middle of the range of energies up to which the curve holds the
    electrons, give or take half a percent and at most 0.02
    (:func:`~csgnn_dgl.physics.level_range`). Hence it changes little if the curve does. Without
    this slack, a thousandth of an electron too few below a gap would put the level above it. If the
    curve ends before the range does, or stays below 0.01 up to its end, the level is the lower end
    of the range, and ``cut`` of the result is true.

    Parameters
    ----------
    curve
        The density of states, shape ``(E,)`` [states per unit of energy and atom].
    grid
        Its energies.
    electrons
        Electrons per atom.
    definition
        ``"bins"``, or ``"paper"``: interpolate by a cubic spline to a tenth of the grid's step, and
        integrate by trapezoids from the first energy; in a gap, the level is its lower end. The
        paper's definition does not keep the number of states of sharp curves, nor that of bands
        that the first energy cuts.

    Raises
    ------
    ConfigError
        The definition is unknown.
    DataError
        The curve is not finite or holds fewer states than electrons, by more than the slack; or the
        number of electrons is not positive and finite.

    Examples
    --------
    >>> found = find_levels(np.full(101, 2.0), EnergyGrid(0.0, 0.1, 101), electrons=5.0)
    >>> round(found.fermi_level, 4), round(found.band_energy, 4), found.gap
    (2.45, 6.0, 0.0)
    """
    if definition not in get_args(Definition):
        raise ConfigError(
            f"unknown definition {definition!r}: {suggest(definition, get_args(Definition))}"
        )
    bins = definition == "bins"
    positive = np.maximum(curve, 0)
    fine, finer = finer_bins(positive, grid) if bins else refined(positive, grid, grid.step / 10)
    slack = level_slack(electrons, _NO_STATES * finer.step) if bins else 0.0
    held = float(fine.sum()) * finer.step
    # A window may end in a gap. There a prediction may hold a little less than the electrons.
    count = held if held < electrons <= held + slack else electrons
    level = float(fermi_level(fine, finer, count, whole_bins=bins))
    gap, ends = gap_widths(fine, finer, count, threshold=_NO_STATES, whole_bins=bins)
    cut = not ends
    if bins:
        low, high = level_range(fine, finer, electrons, slack)
        cut = cut or bool(np.isinf(high))
        # By rounding, a curve that lacks as many states as the slack may not reach the lower end.
        if np.isfinite(low):
            level = low if cut else (low + high) / 2
    return Levels(
        level,
        float(band_energy(fine, finer, count, whole_bins=bins)),
        float(gap),
        cut,
    )
