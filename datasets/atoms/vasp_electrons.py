"""Count the electrons that fill the density of states of a VASP calculation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from csgnn_dgl.datasets.atoms.vasp_run import FEW, VaspRun
from csgnn_dgl.errors import DataError
from csgnn_dgl.physics import EnergyGrid, fermi_level, states_below

__all__ = ["electrons_of", "electrons_within"]

Floats = npt.NDArray[np.float64]

# Largest relative difference between NELECT and the states up to the file's Fermi level, and the
# range around that level in which they are compared [eV].
_CLOSE = 0.005
_NEAR_LEVEL = 0.05


def electrons_of(run: VaspRun, notes: list[str]) -> float | None:
    """Electrons of the cell: NELECT, if the curve holds as many up to the file's Fermi level.

    Parameters
    ----------
    run
        The calculation.
    notes
        Receives warnings for the user.

    Returns
    -------
    float or None
        None if the number is not known.
    """
    own, level = run.grid, run.fermi_level
    ends = own.start - own.step / 2, own.stop + own.step / 2
    if not ends[0] <= level <= ends[1]:
        notes.append(
            f"its Fermi level, {level:.3f} eV, lies outside its energies, {ends[0]:.3f} … "
            f"{ends[1]:.3f} eV; no number of electrons is given"
        )
        return None
    curve = np.maximum(run.dos, 0.0)

    def states(energy: float) -> float:
        return run.below + float(states_below(curve, own, energy))

    filled, given = states(level), run.electrons
    if filled - run.below < FEW:
        notes.append("its curve holds no states up to its Fermi level; no electrons are given")
        return None
    if given is None:
        notes.append(f"no NELECT found; {filled:.2f} electrons by its curve up to the Fermi level")
        return filled
    # In a gap the curve holds one number of electrons, which may differ from NELECT by rounding.
    near = max(2 * own.step, _NEAR_LEVEL)
    count = min(max(given, states(level - near)), states(level + near))
    if abs(count - given) <= _CLOSE * abs(given):
        return count
    try:
        own_level = f"only at {float(fermi_level(curve, own, given - run.below)):.3f} eV"
    except DataError:
        own_level = "nowhere among its energies"
    notes.append(
        f"NELECT is {given:g}, but its curve holds {filled:.2f} states up to its Fermi level, "
        f"{level:.3f} eV, and NELECT {own_level}; the file's Fermi level was kept, "
        f"and {filled:.2f} electrons were used"
    )
    return filled


def electrons_within(
    electrons: float, smooth: Floats, run: VaspRun, grid: EnergyGrid, notes: list[str]
) -> float | None:
    """Electrons that the written curve holds: those above the lower end of its first bin.

    Parameters
    ----------
    electrons
        Electrons of the cell.
    smooth
        Curve on the energies of the calculation, after broadening, shape ``(E,)``.
    run
        The calculation.
    grid
        Energies of the written curve.
    notes
        Receives warnings for the user.

    Returns
    -------
    float or None
        None if there are none, or if the number is not known.
    """
    edge, own = grid.start - grid.step / 2, run.grid
    if run.below >= FEW and edge < own.start - 0.6 * own.step:
        notes.append(
            f"{run.below:.2f} of its states lie somewhere below its energies; no number of "
            f"electrons is given"
        )
        return None
    below = run.below + float(states_below(smooth, own, edge))
    if electrons - below <= FEW:
        notes.append("no occupied state lies in the window; no number of electrons is given")
        return None
    if below > FEW:
        notes.append(
            f"{below:.2f} of {electrons:.2f} electrons lie below the first energy and do not count"
        )
    return electrons - below
