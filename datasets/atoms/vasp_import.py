"""Convert results of VASP into a folder with ``train.extxyz`` and ``grid.json``."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl._files import resource_error
from csgnn_dgl.datasets.atoms.base import Rejected
from csgnn_dgl.datasets.atoms.grid_file import GRID_FILE, GridFile, write_grid_file
from csgnn_dgl.datasets.atoms.vasp import VaspRun, find_runs, read_run
from csgnn_dgl.datasets.isolation import read_each
from csgnn_dgl.errors import ConfigError, DataError, suggest
from csgnn_dgl.physics import EnergyGrid

__all__ = ["VaspImport", "Zero", "energy_window", "import_vasp"]

Floats = npt.NDArray[np.float64]
Zero = Literal["fermi", "as-given"]

_ZEROS = {"fermi": "Fermi level", "as-given": "VASP's own zero, the mean potential of the cell"}
# Number of states that is treated as zero.
_FEW = 1e-3
# Largest relative difference between the number of electrons and the states of the curve.
_CLOSE = 0.02


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

    With a ``window``, each value is the mean of the curve over its bin, so that the number of
    states stays the same. Bins outside the energies of a calculation are nan, but bins below them
    are zero if the curve begins with zero.

    Parameters
    ----------
    paths
        Folders with ``vasprun.xml[.gz]`` or ``POSCAR`` and ``DOSCAR``, or with such folders in
        them; or the files.
    destination
        Folder to make; an existing one must be empty.
    window
        Common energies [eV, from the zero chosen]. With None, the energies of the calculations are
        kept, and must all be equal.
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
    _check_absent(destination)
    runs: dict[str, VaspRun] = {}
    rejected: list[Rejected] = []
    listed = _listed(paths, rejected)
    files = [file for _, file in listed if isinstance(file, Path)]
    with contextlib.closing(read_each(partial(_read_with_zero, zero=zero), files)) as contents:
        for name, file in listed:
            found = next(contents) if isinstance(file, Path) else file
            if isinstance(found, VaspRun):
                runs[name] = found
            elif strict:
                raise DataError(f"{name}: {found}") from found
            else:
                rejected.append(Rejected(name, str(found)))
            progress(name)
    if not runs:
        first = "; ".join(f"{entry.name}: {entry.reason}" for entry in rejected[:3])
        raise DataError(f"none of the {len(rejected)} calculations can be used. {first}")
    notes = [f"{name}: {note}" for name, run in runs.items() for note in run.notes]
    grid = _common_grid(runs) if window is None else replace(window, zero=_ZEROS[zero])
    frames = []
    for name, run in runs.items():
        own, more = _frame(run, name, grid, window is not None, width, zero)
        frames.append(own)
        notes += [f"{name}: {note}" for note in more]
    broadening = f", broadened by {width:g} eV" if width else ""
    about = GridFile(
        grid, "electronic", "states/eV/atom", source=f"{len(frames)} VASP runs{broadening}"
    )
    _write(destination, frames, about)
    return VaspImport(destination, tuple(runs), tuple(rejected), tuple(notes))


def _check_absent(destination: Path) -> None:
    if destination.is_dir() and not any(destination.iterdir()):
        return
    if destination.exists() or destination.is_symlink():
        raise DataError(
            f"{destination} exists already; remove it, or name another folder with --to"
        )


def _listed(paths: Sequence[Path], rejected: list[Rejected]) -> list[tuple[str, Path | DataError]]:
    """Name and file of each calculation without repetition, or an error in place of the file."""
    found: list[tuple[str, Path | DataError]] = []
    seen: set[Path] = set()
    for path in paths:
        try:
            files = find_runs(path)
        except DataError as error:
            found.append((str(path), error))
            continue
        for file in files:
            if file.resolve() not in seen:
                seen.add(file.resolve())
                # All files have the same name, so the folder names the calculation.
                found.append((str(file if path.is_file() else file.parent), file))
    return found


def _read_with_zero(file: Path, zero: Zero) -> VaspRun:
    run = read_run(file)
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
    run: VaspRun, name: str, grid: EnergyGrid, onto: bool, width: float, zero: Zero
) -> tuple[Atoms, list[str]]:
    n_atoms, notes = len(run.atoms), []
    atoms = run.atoms.copy()
    if onto:
        dos = _rebinned(_differences(run), run, grid, width)
        if grid.step < run.grid.step * (1 - 1e-6):
            notes.append(f"its own energies are coarser, {run.grid.step:.4g} eV apart")
        undefined = int(np.isnan(dos).sum())
        if undefined:
            notes.append(f"{undefined} of {grid.size} energies lie outside its own; nan there")
    else:
        dos = _smoothed(run.dos, run.grid, width)
    if run.pdos is not None:
        curves = [
            _rebinned(curve, run, grid, width) if onto else _smoothed(curve, run.grid, width)
            for curve in run.pdos
        ]
        atoms.arrays["pdos"] = np.array(curves)
    electrons = _electrons(run, grid, notes)
    atoms.info = {"name": name, "dos": dos / n_atoms, "fermi_level": run.fermi_level}
    if electrons is not None:
        atoms.info["electrons"] = electrons
    return atoms, notes


def _smoothed(dos: Floats, grid: EnergyGrid, width: float) -> Floats:
    if width == 0:
        return dos
    from scipy.ndimage import gaussian_filter1d

    return np.asarray(gaussian_filter1d(dos, width / grid.step, mode="constant"))


def _differences(run: VaspRun) -> Floats:
    """The curve from its integral, which is correct for sharp peaks between two energies, too."""
    return np.diff(run.integrated, prepend=run.integrated[0] - run.dos[0] * run.grid.step) / (
        run.grid.step
    )


def _rebinned(dos: Floats, run: VaspRun, grid: EnergyGrid, width: float) -> Floats:
    """Average a curve over the bins of a grid."""
    own, half = run.grid, grid.step / 2
    # VASP's value at an energy is the mean over the interval that ends there.
    edges = np.concatenate([[own.start - own.step], own.energies])
    states = np.concatenate([[0.0], np.cumsum(_smoothed(dos, own, width)) * own.step])
    low, high = grid.energies - half, grid.energies + half
    curve = (np.interp(high, edges, states) - np.interp(low, edges, states)) / grid.step
    curve[high > own.stop + 1e-6] = np.nan
    if not _begins_empty(run):
        curve[low < edges[0] - 1e-6] = np.nan
    return np.asarray(curve)


def _begins_empty(run: VaspRun) -> bool:
    return bool(abs(run.integrated[0]) < _FEW and abs(run.dos[0]) * run.grid.step < _FEW)


def _electrons(run: VaspRun, grid: EnergyGrid, notes: list[str]) -> float | None:
    """Electrons of the cell that the curve holds up to the Fermi level."""
    own = run.grid
    filled = float(np.interp(run.fermi_level, own.energies, run.integrated))
    if not own.start <= run.fermi_level <= own.stop:
        notes.append("its Fermi level lies outside its energies; no number of electrons is given")
        return None
    total = run.electrons
    if total is None:
        total = filled
        notes.append(f"no NELECT found; {filled:.2f} electrons by its curve up to the Fermi level")
    elif abs(filled - total) > _CLOSE * total:
        notes.append(
            f"NELECT is {total:g}, but its curve holds {filled:.2f} states up to the Fermi level; "
            f"the latter was used"
        )
        total = filled
    below = float(np.interp(grid.start - grid.step / 2, own.energies, run.integrated, left=0.0))
    if below > _FEW:
        notes.append(
            f"{below:.2f} of {total:.2f} electrons lie below the first energy and do not count"
        )
    return total - below if total - below > _FEW else None


def _write(destination: Path, frames: list[Atoms], about: GridFile) -> None:
    import ase.io

    aside = destination.with_name(f".tmp-{secrets.token_hex(8)}.partial")
    try:
        try:
            aside.mkdir(parents=True)
            with (aside / "train.extxyz").open("w", encoding="utf-8", newline="\n") as file:
                for atoms in frames:
                    columns = [
                        "symbols",
                        "positions",
                        *(["pdos"] if "pdos" in atoms.arrays else []),
                    ]
                    ase.io.write(file, atoms, format="extxyz", columns=columns)
            write_grid_file(aside / GRID_FILE, about)
            aside.replace(destination)
        except OSError as error:
            raise resource_error(error, destination, "write") from error
    except BaseException:
        with contextlib.suppress(OSError):
            shutil.rmtree(aside)
        raise
