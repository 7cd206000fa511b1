"""The tight-binding carbon data set: snapshots of molecular dynamics, with densities of states."""

from __future__ import annotations

import json
import multiprocessing
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms, units

from csgnn_dgl._files import atomic_write, atomic_write_json, resource_error
from csgnn_dgl._platform import usable_cores
from csgnn_dgl.datasets.atoms.carbon import ALLOTROPES, allotrope
from csgnn_dgl.errors import ConfigError, DataError, suggest
from csgnn_dgl.physics.carbon_tb import VALENCE_ELECTRONS, CarbonTightBinding
from csgnn_dgl.physics.dos import density_of_states
from csgnn_dgl.physics.grid import EnergyGrid

__all__ = [
    "CARBON_GRID",
    "SMEARING",
    "CarbonRecipe",
    "Trajectory",
    "make_carbon",
    "read_trajectory",
]

Floats = npt.NDArray[np.float64]

# 310 bins of 0.1 eV, as the paper's, from below the lowest band of this model.
CARBON_GRID = EnergyGrid(-26.0, 0.1, 310, "eV", "tight-binding reference")
SMEARING = 0.2


@dataclass(frozen=True)
class CarbonRecipe:
    """How the data set is made; the defaults are the paper's counts.

    Parameters
    ----------
    structures
        Some of :data:`~csgnn_dgl.datasets.atoms.carbon.ALLOTROPES`.
    temperatures
        Temperatures of the Langevin dynamics [K].
    snapshots
        Snapshots for training and validation, per structure and temperature.
    test_snapshots
        Snapshots for testing, per structure, shared among the temperatures; their trajectories are
        others.
    interval, equilibration
        Steps between snapshots, and before the first.
    timestep
        Time step of the dynamics [fs].
    friction
        Friction of the dynamics [1/fs].
    seed
        Random seed for velocities and noise.
    """

    structures: tuple[str, ...] = ALLOTROPES
    temperatures: tuple[float, ...] = (300.0, 600.0)
    snapshots: int = 100
    test_snapshots: int = 20
    interval: int = 10
    equilibration: int = 400
    timestep: float = 1.0
    friction: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.structures:
            if name not in ALLOTROPES:
                raise ConfigError(f"unknown carbon structure {name!r}: {suggest(name, ALLOTROPES)}")
        if not self.structures or not self.temperatures or min(self.temperatures) <= 0:
            raise ConfigError("at least one structure and one positive temperature are needed")
        if min(self.snapshots, self.test_snapshots, self.interval) < 1 or self.equilibration < 0:
            raise ConfigError("snapshots, test snapshots and interval must be at least 1")
        if self.test_snapshots % len(self.temperatures):
            raise ConfigError(
                f"{self.test_snapshots} test snapshots cannot be shared evenly among "
                f"{len(self.temperatures)} temperatures"
            )

    def jobs(self) -> Iterator[tuple[str, float, str, int]]:
        """Structure, temperature, split and count of each trajectory, the longest first."""
        sizes = {name: len(allotrope(name, relax=False)) for name in self.structures}
        for name in sorted(self.structures, key=lambda name: -sizes[name]):
            for temperature in self.temperatures:
                yield name, temperature, "train", self.snapshots
                yield name, temperature, "test", self.test_snapshots // len(self.temperatures)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Snapshots of one structure with their labels.

    Parameters
    ----------
    structure, temperature, split
        Name, temperature [K], ``"train"`` or ``"test"``.
    positions
        Shape ``(n, N, 3)``, float32 [Å].
    cell, pbc
        Shapes ``(3, 3)`` [Å] and ``(3,)``.
    dos
        Shape ``(n, 310)`` on :data:`CARBON_GRID`, float32 [states/eV/atom].
    band_energy
        Sum of filled eigenvalues, shape ``(n,)`` [eV/atom].
    fermi_level
        Middle of the highest filled and the lowest empty level, shape ``(n,)`` [eV].
    """

    structure: str
    temperature: float
    split: str
    positions: npt.NDArray[np.float32]
    cell: Floats
    pbc: npt.NDArray[np.bool_]
    dos: npt.NDArray[np.float32]
    band_energy: Floats
    fermi_level: Floats
    numbers: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        n_atoms = self.positions.shape[1]
        object.__setattr__(self, "numbers", np.full(n_atoms, 6, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.positions)

    def atoms(self, index: int) -> Atoms:
        """One snapshot as an ASE structure."""
        return Atoms(self.numbers, self.positions[index], cell=self.cell, pbc=self.pbc)


_ARRAYS = ("positions", "cell", "pbc", "dos", "band_energy", "fermi_level")


def simulate(
    recipe: CarbonRecipe, name: str, temperature: float, split: str, count: int
) -> Trajectory:
    """One trajectory: relax, heat, equilibrate, then a snapshot every few steps.

    The random stream belongs to the structure, the temperature and the split, so trajectories do
    not depend on each other, nor on the order in which they are made.
    """
    from ase.md.langevin import Langevin  # slow to import

    stream = [recipe.seed, ALLOTROPES.index(name), round(temperature * 1000), split == "test"]
    rng = np.random.default_rng([int(part) for part in stream])
    atoms = allotrope(name)
    calculator = atoms.calc
    assert isinstance(calculator, CarbonTightBinding)
    # Twice the temperature: half of it goes into the potential energy at once.
    spread = np.sqrt(2 * units.kB * temperature * atoms.get_masses())
    atoms.set_momenta(rng.normal(size=(len(atoms), 3)) * spread[:, None])
    dynamics = Langevin(
        atoms,
        recipe.timestep * units.fs,
        temperature_K=temperature,
        friction=recipe.friction / units.fs,
        rng=rng,
        fixcm=False,  # the drift of the whole matters to nothing here
    )
    dynamics.run(recipe.equilibration)
    positions, curves, energies, levels = [], [], [], []
    for _ in range(count):
        dynamics.run(recipe.interval)
        # Labels of the positions as they are stored, in single precision.
        atoms.positions = atoms.positions.astype(np.float32)
        atoms.get_potential_energy()
        spectrum = calculator.spectrum
        assert spectrum is not None
        n = len(atoms)
        filled = VALENCE_ELECTRONS * n // 2
        positions.append(atoms.positions.astype(np.float32))
        curves.append(density_of_states(spectrum.eigenvalues, CARBON_GRID, width=SMEARING) / n)
        energies.append(spectrum.band_energy / n)
        levels.append(spectrum.eigenvalues[filled - 1 : filled + 1].mean())
    return Trajectory(
        name,
        temperature,
        split,
        np.array(positions),
        atoms.cell.array,
        atoms.pbc,
        np.array(curves, dtype=np.float32),
        np.array(energies),
        np.array(levels),
    )


def _write(path: Path, trajectory: Trajectory) -> None:
    about = {key: getattr(trajectory, key) for key in ("structure", "temperature", "split")}
    arrays = {key: getattr(trajectory, key) for key in _ARRAYS}
    with atomic_write(path, "wb") as file:
        np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)


def read_trajectory(path: Path) -> Trajectory:
    """Read a trajectory that :func:`make_carbon` wrote.

    Raises
    ------
    DataError
        Missing, damaged, or another kind of file.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            about = json.loads(str(content["about"]))
            return Trajectory(**about, **{key: content[key] for key in _ARRAYS})
    except FileNotFoundError:
        raise DataError(f"there is no trajectory {path}") from None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} is not a carbon trajectory, or is damaged ({error}); remove it and run "
            f"csgnn-dgl data make carbon-tb again"
        ) from error


def _job(recipe: CarbonRecipe, path: Path, job: tuple[str, float, str, int]) -> Path:
    _write(path, simulate(recipe, *job))
    return path


def _single_threaded() -> None:
    # One process per core: more threads than that only wait for each other.
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["OPENBLAS_NUM_THREADS"] = "1"


def make_carbon(
    recipe: CarbonRecipe,
    destination: Path,
    *,
    processes: int | None = None,
    progress: Callable[[Path], object] = lambda path: None,
) -> list[Path]:
    """Make the data set, or what is missing of it.

    Each trajectory is a file of its own, whole or not there: a run that was stopped goes on with
    what is missing.

    Parameters
    ----------
    recipe
        What to make.
    destination
        Folder; made if absent. ``recipe.json`` in it says how it was made.
    processes
        How many at a time; as many as there are cores by default.
    progress
        Called with the path of each trajectory as it is finished.

    Returns
    -------
    list of Path
        All files, those that were there included.

    Raises
    ------
    DataError
        The folder holds a data set of another recipe.
    ResourceError
        It cannot be written there.
    """
    try:
        destination.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise resource_error(error, destination, "make") from error
    _check_recipe(recipe, destination)
    jobs = {
        destination / f"{name}-{temperature:g}K-{split}.npz": (name, temperature, split, count)
        for name, temperature, split, count in recipe.jobs()
    }
    missing = {path: job for path, job in jobs.items() if not path.is_file()}
    for path in jobs.keys() - missing.keys():
        progress(path)
    run_in_processes(
        [(_job, recipe, path, job) for path, job in missing.items()], processes, progress
    )
    return list(jobs)


def run_in_processes(
    calls: Sequence[tuple[Any, ...]],
    processes: int | None,
    progress: Callable[[Path], object],
) -> None:
    """Make files in several single-threaded processes.

    Parameters
    ----------
    calls
        A function of a module, and its arguments; it gives the path of what it made.
    processes
        How many at a time; as many as there are cores by default.
    progress
        Called with each path.
    """
    count = processes if processes is not None else usable_cores()
    if count <= 1 or len(calls) <= 1:
        for function, *arguments in calls:
            progress(function(*arguments))
        return
    # Not forked: this process may hold threads, whose locks a fork would copy.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, initializer=_single_threaded) as pool:
        pending = [pool.submit(function, *arguments) for function, *arguments in calls]
        try:
            for future in as_completed(pending):
                progress(future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _check_recipe(recipe: CarbonRecipe, destination: Path) -> None:
    path = destination / "recipe.json"
    wanted = json.loads(json.dumps(asdict(recipe)))
    if not path.is_file():
        if any(destination.glob("*.npz")):
            raise DataError(
                f"{destination} holds .npz files but no recipe.json; name another folder"
            )
        atomic_write_json(path, wanted)
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error})") from error
    if found != wanted:
        differing = sorted(k for k in wanted if found.get(k) != wanted[k])
        raise DataError(
            f"{destination} was made with other options ({', '.join(differing)}); name another "
            f"folder, or the same options"
        )


def trajectories(folder: Path, split: str | None = None) -> Sequence[Trajectory]:
    """All trajectories in a folder, or those of a split, sorted by name."""
    found = [read_trajectory(path) for path in sorted(folder.glob("*.npz"))]
    return [t for t in found if split in (None, t.split)]
