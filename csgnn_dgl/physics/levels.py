"""Fermi level, band energy and gap from a density of states and a number of electrons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from csgnn_dgl.physics.dos import band_energy, band_gap, fermi_level, refined
from csgnn_dgl.physics.grid import EnergyGrid

__all__ = ["Levels", "find_levels"]

# Largest density of states in a gap [states per unit of energy and atom]. It is not zero, because
# the zeros that a network predicts are not exact.
_NO_STATES = 0.01


@dataclass(frozen=True)
class Levels:
    """Energies that follow from a curve.

    Parameters
    ----------
    fermi_level
        Fermi level [unit of energy, from the grid's zero].
    band_energy
        Energy of the electrons [unit of energy per atom].
    gap
        Width of the range around the Fermi level in which the curve stays below 0.01
        [unit of energy].
    """

    fermi_level: float
    band_energy: float
    gap: float


def find_levels(curve: npt.NDArray[np.float64], grid: EnergyGrid, electrons: float) -> Levels:
    """Compute the Fermi level, band energy and gap of a curve.

    As in the paper, the curve is interpolated by a cubic spline to a tenth of the grid's step, and
    integrated by trapezoids up to the number of electrons. Values below zero count as zero.

    Parameters
    ----------
    curve
        The density of states, shape ``(E,)`` [states per unit of energy and atom].
    grid
        Its energies.
    electrons
        Electrons per atom.

    Raises
    ------
    DataError
        The curve holds fewer states than electrons.

    Examples
    --------
    >>> found = find_levels(np.full(101, 2.0), EnergyGrid(0.0, 0.1, 101), electrons=5.0)
    >>> round(found.fermi_level, 6), round(found.band_energy, 6)
    (2.5, 6.25)
    """
    finer, fine_grid = refined(np.maximum(curve, 0), grid, grid.step / 10)
    return Levels(
        float(fermi_level(finer, fine_grid, electrons)),
        float(band_energy(finer, fine_grid, electrons)),
        float(band_gap(finer, fine_grid, electrons, threshold=_NO_STATES)),
    )
