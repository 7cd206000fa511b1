"""Make the tight-binding carbon data: snapshots of molecular dynamics with densities of states."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms, units
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from csgnn_dgl._files import atomic_write_json, resource_error
from csgnn_dgl._foreign import check_file, reading
from csgnn_dgl._pairs import find_pairs
from csgnn_dgl._platform import usable_cores
from csgnn_dgl.datasets.atoms.carbon import ALLOTROPES, allotrope
from csgnn_dgl.datasets.atoms.carbon_trajectory import (
    CARBON_GRID,
    Trajectory,
    write_trajectory,
)
from csgnn_dgl.errors import ConfigError, DataError, suggest
from csgnn_dgl.physics.carbon_tb import CUTOFF, VALENCE_ELECTRONS, CarbonTightBinding
from csgnn_dgl.physics.dos import density_of_states

__all__ = ["SMEARING", "CarbonRecipe", "make_carbon", "run_in_processes", "simulate"]

Floats = npt.NDArray[np.float64]

SMEARING = 0.2


@dataclass(frozen=True)
class CarbonRecipe:
    """Settings for making the data set. The default counts are the paper's.

    Parameters
    ----------
    structures
        Some of :data:`~csgnn_dgl.datasets.atoms.carbon.ALLOTROPES`.
    temperatures
        Temperatures of the Langevin dynamics [K].
    snapshots
        Snapshots for training and validation, per structure and temperature.
    test_snapshots
        Snapshots for testing, per structure, divided evenly among the temperatures. They come from
        separate trajectories.
    interval, equilibration
        Steps between snapshots, and steps before the first.
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
                f"{self.test_snapshots} test snapshots cannot be divided evenly among "
                f"{len(self.temperatures)} temperatures"
            )

    def jobs(self) -> Iterator[tuple[str, float, str, int]]:
        """Structure, temperature, split and count of each trajectory, the longest first."""
        sizes = {name: len(allotrope(name, relax=False)) for name in self.structures}
        for name in sorted(self.structures, key=lambda name: -sizes[name]):
            for temperature in self.temperatures:
                yield name, temperature, "train", self.snapshots
                yield name, temperature, "test", self.test_snapshots // len(self.temperatures)


def simulate(
    recipe: CarbonRecipe, name: str, temperature: float, split: str, count: int
) -> Trajectory:
    """Make one trajectory: relax, heat, equilibrate, then take a snapshot every few steps.

    Each structure, temperature and split has its own random stream, so a trajectory does not depend
    on the others or on the order in which they are made.

    The tight-binding model has no forces between the layers of graphite, so the thermostat would
    let them drift through each other. They are put back, which changes no label: the centre of
    mass of each layer stays where it is in the relaxed structure.
    """
    from ase.md.langevin import Langevin  # slow to import

    stream = [recipe.seed, ALLOTROPES.index(name), round(temperature * 1000), split == "test"]
    rng = np.random.default_rng([int(part) for part in stream])
    atoms = allotrope(name)
    calculator = atoms.calc
    assert isinstance(calculator, CarbonTightBinding)
    # Start at twice the temperature, because half of it soon becomes potential energy.
    spread = np.sqrt(2 * units.kB * temperature * atoms.get_masses())
    atoms.set_momenta(rng.normal(size=(len(atoms), 3)) * spread[:, None])
    dynamics = Langevin(
        atoms,
        recipe.timestep * units.fs,
        temperature_K=temperature,
        friction=recipe.friction / units.fs,
        rng=rng,
        fixcm=False,  # a drift of the whole structure does not change its density of states
    )
    home, layers = atoms.positions.copy(), _separate_parts(atoms)
    dynamics.run(recipe.equilibration)
    positions, curves, energies, levels = [], [], [], []
    for _ in range(count):
        dynamics.run(recipe.interval)
        for layer in layers:
            atoms.positions[layer] -= (atoms.positions[layer] - home[layer]).mean(axis=0)
        # Compute labels for the stored positions, which are in single precision.
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


def _separate_parts(atoms: Atoms) -> list[npt.NDArray[np.intp]]:
    """Indices of the atoms of each part that the others do not act on; empty if there is one."""
    first, second, _ = find_pairs(atoms.positions, atoms.cell.array, atoms.pbc, CUTOFF)
    n = len(atoms)
    bonds = csr_matrix((np.ones(len(first), dtype=bool), (first, second)), shape=(n, n))
    count, part = connected_components(bonds, directed=False)
    return [np.flatnonzero(part == i) for i in range(count)] if count > 1 else []


def _job(recipe: CarbonRecipe, path: Path, job: tuple[str, float, str, int]) -> Path:
    write_trajectory(path, simulate(recipe, *job))
    return path


def _single_threaded() -> None:
    # There is one process per core, so more threads would only compete.
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["OPENBLAS_NUM_THREADS"] = "1"


def make_carbon(
    recipe: CarbonRecipe,
    destination: Path,
    *,
    processes: int | None = None,
    progress: Callable[[Path], object] = lambda path: None,
) -> list[Path]:
    """Make the trajectories of the data set that do not exist yet.

    Each trajectory is a separate file, which is complete or absent. So after an interruption, the
    same call makes the missing ones.

    Parameters
    ----------
    recipe
        Settings of the data set.
    destination
        Folder; made if absent. The settings are saved in its ``recipe.json``.
    processes
        Number of processes; one per core by default.
    progress
        Called with the path of each finished trajectory.

    Returns
    -------
    list of Path
        All files, including those that existed.

    Raises
    ------
    DataError
        The folder holds a data set with other settings.
    ResourceError
        The folder cannot be written to.
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
        A function at the top of a module and its arguments; it returns the path of the file it
        made.
    processes
        Number of processes; one per core by default.
    progress
        Called with each path.
    """
    count = processes if processes is not None else usable_cores()
    if count <= 1 or len(calls) <= 1:
        for function, *arguments in calls:
            progress(function(*arguments))
        return
    # Not forked: this process may have threads, and a fork would copy their locks.
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
    check_file(path)
    with reading(path, advice="restore it, or name another folder"):
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"it holds a {type(found).__name__}, not named entries {{…}}")
    if found != wanted:
        differing = sorted(k for k in wanted if found.get(k) != wanted[k])
        raise DataError(
            f"{destination} was made with other options ({', '.join(differing)}); name another "
            f"folder, or the same options"
        )
