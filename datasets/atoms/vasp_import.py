"""Convert results of VASP into a folder with ``train.extxyz`` and ``grid.json``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl._files import check_no_folder, new_folder
from csgnn_dgl._foreign import excerpt, reading
from csgnn_dgl.datasets.atoms.base import Rejected
from csgnn_dgl.datasets.atoms.grid_file import GRID_FILE, GridFile, write_grid_file
from csgnn_dgl.datasets.atoms.vasp import VaspRun, find_runs, read_run
from csgnn_dgl.datasets.atoms.vasp_electrons import electrons_of, electrons_within
from csgnn_dgl.datasets.atoms.vasp_run import FEW
from csgnn_dgl.datasets.isolation import read_each
from csgnn_dgl.errors import ConfigError, DataError, StructureError, suggest
from csgnn_dgl.mapping import find_neighbors
from csgnn_dgl.physics import EnergyGrid, band_gap

__all__ = ["VaspImport", "Zero", "energy_window", "import_vasp"]

Floats = npt.NDArray[np.float64]
Zero = Literal["fermi", "as-given"]

_ZEROS = {"fermi": "Fermi level", "as-given": "VASP's own zero, the mean potential of the cell"}
# Number of standard deviations that broadening reaches.
_REACH = 3.0
# Largest density of states in a gap [states/eV/atom], as in csgnn_dgl.physics.find_levels.
_NO_STATES = 0.01
# Cutoff of a search for neighbours that only detects impossible structures [Å].
_NEAR = 0.2


@dataclass(frozen=True)
class VaspImport:
    """Result of an import.

    Parameters
    ----------
    folder
        The folder that was written.
    imported
        Names of the calculations in it.
    rejected
        Calculations that cannot be used, with the reasons.
    notes
        Warnings for the user.
    """

    folder: Path
    imported: tuple[str, ...]
    rejected: tuple[Rejected, ...]
    notes: tuple[str, ...]


def energy_window(start: float | None, stop: float | None, step: float | None) -> EnergyGrid | None:
    """Make a grid from ``start``, ``stop`` and ``step`` [eV]; None if none of them is given.

    Raises
    ------
    ConfigError
        Only some are given, or the range is not a whole number of steps.

    Examples
    --------
    >>> energy_window(-10.0, 5.0, 0.1).size
    151
    >>> energy_window(None, None, None) is None
    True
    """
    if start is None and stop is None and step is None:
        return None
    if start is None or stop is None or step is None:
        raise ConfigError(
            "only some of --start, --stop and --step are given; all three are needed, or none"
        )
    if not (np.isfinite([start, stop, step]).all() and step > 0 and stop > start):
        raise ConfigError(f"there are no energies from {start} to {stop} in steps of {step}")
    steps = (stop - start) / step
    if abs(steps - round(steps)) > 1e-6 * steps:
        raise ConfigError(
            f"from {start:g} to {stop:g} there are {steps:.4f} steps of {step:g}; choose the ends "
            f"so that the number is whole"
        )
    return EnergyGrid(start, step, round(steps) + 1)


def import_vasp(
    paths: Sequence[Path],
    destination: Path,
    *,
    window: EnergyGrid | None = None,
    zero: Zero = "fermi",
    width: float = 0.0,
    strict: bool = False,
    progress: Callable[[str], object] = lambda name: None,
) -> VaspImport:
    """Read calculations, and write ``train.extxyz`` and ``grid.json`` for them.

    Each value is the mean of the curve over its bin, so that the number of states stays the same
    (the convention of :mod:`csgnn_dgl.physics.filling`). Bins outside the energies of a calculation
    are nan, but bins below them are zero if the curve begins with zero. Electrons are those above
    the lower end of the first bin. The file's own Fermi level is kept; if ``NELECT`` electrons fill
    the curve up to another energy, a note gives both.

    ``gap`` of a frame is the gap of the eigenvalues. Where the file has none, ``dos_gap`` is that
    of its curve, the range with less than 0.01 states/eV/atom.

    Parameters
    ----------
    paths
        Folders with ``vasprun.xml[.gz]`` or ``POSCAR`` and ``DOSCAR``, or with such folders in
        them; or the files.
    destination
        Folder to make; an existing one must be empty.
    window
        Common energies [eV, from the zero chosen]. With None, the energies of the calculations are
        kept, and must all be equal; they are the centres of VASP's intervals, half a step below the
        energies that it prints.
    zero
        The ``"fermi"`` level of each calculation, or ``"as-given"``.
    width
        Standard deviation of an additional Gaussian broadening [eV]; 0 for none.
    strict
        Stop at the first calculation that cannot be used.
    progress
        Called with the name of each calculation that was read.

    Raises
    ------
    DataError
        No calculation can be used, energies differ, or the folder exists; or, with ``strict``, a
        calculation cannot be used. Nothing is written.
    ConfigError
        ``zero`` is unknown, or ``width`` is negative.
    ResourceError
        The folder cannot be written.
    """
    if zero not in get_args(Zero):
        raise ConfigError(f"unknown zero {zero!r}: {suggest(zero, get_args(Zero))}")
    if not (np.isfinite(width) and width >= 0):
        raise ConfigError(f"the width of the broadening is {width}; it must be positive, or zero")
    check_no_folder(destination)
    runs: dict[str, VaspRun] = {}
    rejected: list[Rejected] = []

    def refuse(name: str, error: DataError) -> None:
        if strict:
            raise DataError(f"{name}: {error}") from error
        rejected.append(Rejected(name, str(error)))

    listed = _listed(paths)
    files = [file for _, file in listed if isinstance(file, Path)]
    with contextlib.closing(read_each(partial(_read_with_zero, zero=zero), files)) as contents:
        for name, file in listed:
            found = next(contents) if isinstance(file, Path) else file
            if isinstance(found, VaspRun):
                runs[name] = found
            else:
                refuse(name, found)
            progress(name)
    if not runs:
        raise _none_left(rejected)
    notes: list[str] = []
    imported: list[str] = []
    grid = _common_grid(runs) if window is None else replace(window, zero=_ZEROS[zero])
    frames: list[Atoms] = []
    for name, run in runs.items():
        try:
            own, more = _frame(run, name, grid, window is not None, width)
        except DataError as error:
            refuse(name, error)
            continue
        frames.append(own)
        imported.append(name)
        notes += [f"{name}: {note}" for note in (*run.notes, *more)]
    if not frames:
        raise _none_left(rejected)
    broadening = f", broadened by {width:g} eV" if width else ""
    about = GridFile(
        grid, "electronic", "states/eV/atom", source=f"{len(frames)} VASP runs{broadening}"
    )
    _write(destination, frames, about)
    return VaspImport(destination, tuple(imported), tuple(rejected), tuple(notes))


def _none_left(rejected: list[Rejected]) -> DataError:
    first = "; ".join(f"{entry.name}: {entry.reason}" for entry in rejected[:3])
    return DataError(f"none of the {len(rejected)} calculations can be used. {first}")


def _listed(paths: Sequence[Path]) -> list[tuple[str, Path | DataError]]:
    """Name and file of each calculation without repetition, or an error in place of the file."""
    found: list[tuple[str, Path | DataError]] = []
    seen: set[Path] = set()

    def unreadable(problem: OSError) -> None:
        name = excerpt(problem.filename or path)
        found.append((name, DataError(f"the folder cannot be read: {problem.strerror}")))

    for path in paths:
        try:
            with reading(path):
                for file in find_runs(path, unreadable):
                    if file.resolve() not in seen:
                        seen.add(file.resolve())
                        # All files have the same name, so the folder names the calculation.
                        found.append((excerpt(file if file == path else file.parent), file))
        except DataError as error:
            found.append((excerpt(path), error))
    return found


def _read_with_zero(file: Path, zero: Zero) -> VaspRun:
    run = read_run(file)
    try:
        # Structures that training would reject are refused here.
        find_neighbors([run.atoms], _NEAR)
    except StructureError as error:
        raise DataError(error.problem) from error
    if zero == "as-given":
        return replace(run, grid=run.grid.shifted(0.0, _ZEROS[zero]))
    return replace(run, grid=run.grid.shifted(-run.fermi_level, _ZEROS[zero]), fermi_level=0.0)


def _common_grid(runs: dict[str, VaspRun]) -> EnergyGrid:
    first, *others = runs
    grid = runs[first].grid
    for name in others:
        other = runs[name].grid
        shift = max(abs(other.start - grid.start), abs(other.stop - grid.stop))
        if other.size != grid.size or shift > 0.1 * grid.step:
            highest_start = max(run.grid.start for run in runs.values())
            lowest_stop = min(run.grid.stop for run in runs.values())
            raise DataError(
                f"energies differ: {first} has {grid.size} from {grid.start:.3f} to "
                f"{grid.stop:.3f} eV, {name} has {other.size} from {other.start:.3f} to "
                f"{other.stop:.3f} eV. Choose common ones with --start, --stop and --step; all "
                f"calculations have {highest_start:.2f} … {lowest_stop:.2f} eV"
            )
    return grid


def _frame(
    run: VaspRun, name: str, grid: EnergyGrid, onto: bool, width: float
) -> tuple[Atoms, list[str]]:
    n_atoms, notes = len(run.atoms), list[str]()
    atoms = run.atoms.copy()
    smooth = _smoothed(run.dos, run.grid, width)
    dos = _rebinned(smooth, run, grid, width)
    if onto and grid.step < run.grid.step * (1 - 1e-6):
        notes.append(f"its own energies are coarser, {run.grid.step:.4g} eV apart")
    undefined = int(np.isnan(dos).sum())
    if undefined == grid.size:
        raise DataError("none of the energies asked for are among its own")
    if undefined:
        near = f", or within {_REACH * width:g} eV of their ends," if width else ""
        notes.append(f"{undefined} of {grid.size} energies lie outside its own{near}; nan there")
    if run.pdos is not None:
        curves = [
            _rebinned(_smoothed(curve, run.grid, width), run, grid, width) for curve in run.pdos
        ]
        atoms.arrays["pdos"] = np.array(curves)
    atoms.info = {"name": name, "dos": dos / n_atoms, "fermi_level": run.fermi_level}
    electrons = electrons_of(run, notes)
    if electrons is not None:
        counted = electrons_within(electrons, smooth, run, grid, notes)
        if counted is not None:
            atoms.info["electrons"] = counted
        if run.gap is None:
            gap = _dos_gap(run, electrons)
            if np.isnan(gap):
                notes.append("the energies end within the gap, so there is no dos_gap")
            else:
                atoms.info["dos_gap"] = gap
    if run.gap is not None:
        atoms.info["gap"] = run.gap
    return atoms, notes


def _dos_gap(run: VaspRun, electrons: float) -> float:
    curve = np.maximum(run.dos, 0) / len(run.atoms)
    count = (electrons - run.below) / len(run.atoms)
    return round(float(band_gap(curve, run.grid, count, threshold=_NO_STATES)), 4)


def _smoothed(dos: Floats, grid: EnergyGrid, width: float) -> Floats:
    if width == 0:
        return dos
    from scipy.ndimage import gaussian_filter1d

    return np.asarray(gaussian_filter1d(dos, width / grid.step, mode="constant"))


def _rebinned(dos: Floats, run: VaspRun, grid: EnergyGrid, width: float) -> Floats:
    """Average a curve over the bins of a grid; nan where it is not known."""
    own, half = run.grid, grid.step / 2
    edges = own.start + own.step * (np.arange(own.size + 1) - 0.5)
    states = np.concatenate([[0.0], np.cumsum(dos)]) * own.step
    low, high = grid.energies - half, grid.energies + half
    curve = (np.interp(high, edges, states) - np.interp(low, edges, states)) / grid.step
    # The grid without a window is another run's, and may differ by rounding.
    margin = 1e-6 + (0.1 * own.step if grid.size == own.size else 0.0)
    # Broadening needs the states beyond the ends as well, unless there are none.
    reach = _REACH * width - margin
    ends_empty = abs(float(run.dos[-1])) * own.step < FEW
    curve[high > edges[-1] - (reach if width and not ends_empty else -margin)] = np.nan
    if not run.begins_empty:
        curve[low < edges[0] + (reach if width else -margin)] = np.nan
    return np.asarray(curve)


def _write(destination: Path, frames: list[Atoms], about: GridFile) -> None:
    import ase.io

    with new_folder(destination) as folder:
        with (folder / "train.extxyz").open("w", encoding="utf-8", newline="\n") as file:
            for atoms in frames:
                columns = ["symbols", "positions", *(["pdos"] if "pdos" in atoms.arrays else [])]
                ase.io.write(file, atoms, format="extxyz", columns=columns)
        write_grid_file(folder / GRID_FILE, about)
