"""One calculation of VASP, made from the rows of its file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl.errors import DataError
from csgnn_dgl.physics import EnergyGrid

__all__ = ["VaspRun", "make_run"]

Floats = npt.NDArray[np.float64]

# Rounding error of energies: VASP prints four decimals in vasprun.xml, and three in DOSCAR.
ROUNDING = 1.1e-3
# Number of states that is treated as zero.
FEW = 1e-3
# Largest difference between the integral in the file and that of its curve, relative to the latter.
_SAME = 2e-3


@dataclass(frozen=True, eq=False)
class VaspRun:
    """Structure and curves of one calculation.

    Parameters
    ----------
    atoms
        The structure.
    grid
        Centres of the intervals over which the curve is averaged, with VASP's zero [eV]. VASP
        prints the upper end of each interval, which is half a step higher.
    dos
        Total density of states of both spins, shape ``(E,)`` [states/eV/cell].
    below
        States below the lower end of the first interval; not zero if the energies cut bands.
    fermi_level
        The file's Fermi level [eV].
    electrons
        ``NELECT`` of the cell, if it was found.
    pdos
        Curve of each atom, summed over orbitals and spins, shape ``(N, E)`` [states/eV]; None if
        there is none.
    gap
        Gap of the eigenvalues [eV], 0 for a metal; None if they are unknown.
    notes
        Warnings for the user.
    """

    atoms: Atoms
    grid: EnergyGrid
    dos: Floats
    below: float
    fermi_level: float
    electrons: float | None
    pdos: Floats | None
    gap: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def begins_empty(self) -> bool:
        """Whether there are no states at and below the first energy."""
        return self.below < FEW and abs(float(self.dos[0])) * self.grid.step < FEW


def make_run(
    file: Path,
    atoms: Atoms,
    ends: EnergyGrid,
    rows: tuple[Floats, Floats],
    *,
    fermi_level: float,
    electrons: float | None,
    pdos: Floats | None,
    gap: float | None,
    notes: list[str],
) -> VaspRun:
    """Make a run from the rows of its file, and check them.

    Parameters
    ----------
    file
        The file, for messages.
    atoms
        The structure.
    ends
        The energies that VASP prints: upper ends of intervals.
    rows
        Density of states and its integral, both of shape ``(E,)``.
    fermi_level, electrons, pdos, gap, notes
        As in :class:`VaspRun`.

    Raises
    ------
    DataError
        Values or the Fermi level are not finite.
    """
    dos = _finite(rows[0], file, "density of states")
    integral = _finite(rows[1], file, "integrated density of states")
    if not np.isfinite(fermi_level):
        raise DataError(f"{file.name}: the Fermi level is {fermi_level}")
    if electrons is not None and not np.isfinite(electrons):
        raise DataError(f"{file.name}: NELECT is {electrons}")
    dos = _by_integral(dos, integral, ends.step, notes)
    grid, below = ends.shifted(-ends.step / 2, ends.zero), 0.0
    if abs(integral[0]) >= FEW or abs(dos[0]) * ends.step >= FEW:
        # VASP adds all states below the energies to the first row.
        if len(dos) < 3:
            raise DataError(f"{file.name}: the density of states has only {len(dos)} rows")
        below = float(max(integral[0], dos[0] * ends.step))
        notes.append(
            f"its energies begin within or above a band: its first row holds all {below:.2f} "
            f"states up to {ends.start:.2f} eV, and was left out"
        )
        grid = EnergyGrid(grid.start + grid.step, grid.step, grid.size - 1, grid.unit, grid.zero)
        dos, pdos = dos[1:], None if pdos is None else pdos[:, 1:]
    return VaspRun(
        atoms, grid, dos, below, fermi_level, electrons, pdos, gap, tuple(dict.fromkeys(notes))
    )


def _by_integral(dos: Floats, integral: Floats, step: float, notes: list[str]) -> Floats:
    """The curve, or if it misses sharp peaks between two energies, the slope of its integral."""
    states = integral[0] + np.concatenate([[0.0], np.cumsum(dos[1:])]) * step
    off = float(np.abs(states - integral).max())
    if off <= max(_SAME * float(np.abs(integral).max()), 0.01):
        return dos
    slope = np.diff(integral, prepend=integral[0] - dos[0] * step) / step
    if slope.min() < -0.05 * slope.max() or slope.max() <= 0:
        notes.append(
            f"the integral in the file falls or is zero, and differs from the curve by {off:.2f} "
            f"states; the curve was used"
        )
        return dos
    notes.append(
        f"the curve and its integral in the file differ by up to {off:.2f} states, as for peaks "
        f"sharper than the energies; the integral was used"
    )
    return slope


_LARGEST = 1e100


def _finite(values: Floats, file: Path, what: str) -> Floats:
    # Sums and differences of larger values would be infinite.
    bad = np.flatnonzero(~(np.abs(values) < _LARGEST))
    if len(bad):
        raise DataError(f"{file.name}: row {bad[0] + 1} of the {what} is {values[bad[0]]}")
    return values


def matching(
    curves: list[Floats], n_atoms: int, size: int, notes: list[str]
) -> npt.NDArray[np.float64] | None:
    """The curves of the atoms as an array; None, with a note, if they do not fit."""
    if len(curves) == n_atoms and all(len(curve) == size for curve in curves):
        found = np.array(curves)
        if np.isfinite(found).all():
            return found
        notes.append("projected curves hold nan, and were left out")
        return None
    notes.append("projected curves do not match the atoms or the energies, and were left out")
    return None


def even_grid(energies: Floats, file: Path) -> EnergyGrid:
    """The grid of printed energies; raises DataError if they do not ascend in even steps."""
    even = np.linspace(energies[0], energies[-1], len(energies))
    # Written so that NaN fails, too.
    if not (energies[-1] > energies[0] and np.abs(energies - even).max() <= ROUNDING):
        raise DataError(f"{file.name}: the energies of the rows do not ascend in even steps")
    step = (energies[-1] - energies[0]) / (len(energies) - 1)
    return EnergyGrid(float(energies[0]), float(step), len(energies), "eV", "as given")
