"""Give files of carbon structures their tight-binding densities of states, to train on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl._files import atomic_write, check_no_folder, new_folder, resource_error
from csgnn_dgl._foreign import excerpt, reading
from csgnn_dgl.datasets.atoms.base import Rejected
from csgnn_dgl.datasets.atoms.carbon_md import SMEARING, run_in_processes
from csgnn_dgl.datasets.atoms.carbon_trajectory import CARBON_GRID, read_arrays
from csgnn_dgl.datasets.atoms.dos import DOSRecord
from csgnn_dgl.datasets.atoms.dos_folder import write_extxyz
from csgnn_dgl.datasets.atoms.extxyz_folder import split_of
from csgnn_dgl.datasets.atoms.grid_file import GRID_FILE, GridFile, write_grid_file
from csgnn_dgl.datasets.atoms.structure import Occupancy
from csgnn_dgl.datasets.atoms.structures import read_structures
from csgnn_dgl.errors import DataError
from csgnn_dgl.physics.carbon_bands import solve_bands
from csgnn_dgl.physics.carbon_tb import VALENCE_ELECTRONS
from csgnn_dgl.physics.dos import density_of_states

__all__ = ["LabelledCarbon", "label_carbon"]

Floats = npt.NDArray[np.float64]

# Structures that are computed before the results are saved.
_AT_ONCE = 64
# Number of standard deviations that broadening reaches.
_REACH = 3.0
_NUMBERS = ("band_energy", "fermi_level", "gap")


@dataclass(frozen=True)
class LabelledCarbon:
    """Result of :func:`label_carbon`.

    Parameters
    ----------
    folder
        The folder that was written.
    counts
        Number of structures of each split.
    rejected
        Structures that cannot be used, with the reasons.
    """

    folder: Path
    counts: dict[str, int]
    rejected: tuple[Rejected, ...]


def label_carbon(
    files: Sequence[Path],
    destination: Path,
    *,
    spacing: float = 0.2,
    projected: bool = False,
    occupancy: Occupancy = "refuse",
    processes: int | None = None,
    progress: Callable[[int], object] = lambda count: None,
) -> LabelledCarbon:
    """Compute densities of states of carbon structures, and write a folder to train on.

    The folder has ``grid.json`` and extxyz files. A file called ``validation``, ``valid``, ``val``
    or ``test``, with any ending, becomes this split; the others are for training. The energies and
    the broadening are those of ``data make carbon-tb`` without structures, so a model can be
    trained and tested on both. Cells may be small: the Brillouin zone is sampled
    (:func:`~csgnn_dgl.physics.carbon_bands.solve_bands`). Band energies are sums of filled
    eigenvalues, and Fermi levels lie midway between the highest filled and the lowest empty one.

    Results are saved as they come, beside the destination. After an interruption, the same call
    goes on.

    Parameters
    ----------
    files
        Files of structures, in any format that the package reads.
    destination
        Folder to make; an existing one must be empty.
    spacing
        Largest distance between k-points [1/Å, with the factor 2π].
    projected
        Write the curve of every atom, too.
    occupancy
        What to do with sites that are not fully occupied, as in
        :func:`~csgnn_dgl.datasets.atoms.structures.read_structures`.
    processes
        Number of processes; one per core by default.
    progress
        Called with the number of structures that were finished.

    Raises
    ------
    DataError
        A file cannot be read, no structure can be used, or the folder exists.
    ConfigError
        The spacing is not positive.
    ResourceError
        The folder cannot be written.
    """
    check_no_folder(destination)
    splits: dict[str, list[tuple[str, Atoms]]] = {}
    for file in files:
        own = splits.setdefault(split_of(file) or "train", [])
        own += [
            (
                str(found.atoms.info.get("name", found.atoms.info.get("id", found.source))),
                found.atoms,
            )
            for found in read_structures(file, occupancy=occupancy)
        ]
    if not splits.get("train"):
        raise DataError(
            f"{', '.join(str(file) for file in files)}: there are no structures for training; give "
            f"a file of another name than validation and test, too"
        )
    parts = destination.with_name(f".{destination.name}.parts")
    jobs = {
        split: [
            _Job.of(members[first : first + _AT_ONCE], spacing, projected, parts)
            for first in range(0, len(members), _AT_ONCE)
        ]
        for split, members in splits.items()
    }
    _compute([job for own in jobs.values() for job in own], parts, processes, progress)
    result = _join(jobs, destination, spacing, projected)
    with contextlib.suppress(OSError):
        shutil.rmtree(parts)
    return result


@dataclass(frozen=True, eq=False)
class _Job:
    """Some structures, and the file of their results.

    The file's name depends on all that the results depend on.
    """

    members: list[tuple[str, Atoms]]
    spacing: float
    projected: bool
    path: Path

    @classmethod
    def of(
        cls, members: list[tuple[str, Atoms]], spacing: float, projected: bool, parts: Path
    ) -> _Job:
        digest = hashlib.sha256(json.dumps([spacing, projected]).encode())
        for _, atoms in members:
            for array in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc):
                digest.update(np.ascontiguousarray(array).tobytes())
        return cls(members, spacing, projected, parts / f"{digest.hexdigest()[:32]}.npz")


def _compute(
    jobs: Sequence[_Job],
    parts: Path,
    processes: int | None,
    progress: Callable[[int], object],
) -> None:
    try:
        parts.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise resource_error(error, parts, "make") from error
    sizes = {job.path: len(job.members) for job in jobs}
    for job in jobs:
        if job.path.is_file():
            progress(sizes[job.path])
    run_in_processes(
        [(_label, job) for job in jobs if not job.path.is_file()],
        processes,
        lambda path: progress(sizes[path]),
    )


def _label(job: _Job) -> Path:
    """Compute and save the labels of some structures."""
    curves, numbers, problems, shares = [], [], [], []
    for _, atoms in job.members:
        try:
            curve, values, own = _labels(atoms, job.spacing)
            problems.append("")
        except DataError as error:
            curve, values = np.zeros(CARBON_GRID.size), dict.fromkeys(_NUMBERS, 0.0)
            own = np.zeros((len(atoms), CARBON_GRID.size))
            problems.append(str(error))
        curves.append(curve)
        numbers.append([values[key] for key in _NUMBERS])
        shares.append(own.astype(np.float16))
    arrays: dict[str, Any] = {
        "dos": np.array(curves),
        "numbers": np.array(numbers),
        "problems": np.array(problems),
    }
    if job.projected:
        arrays["pdos"] = np.concatenate(shares)
    with atomic_write(job.path, "wb") as file:
        np.savez_compressed(file, **arrays)
    return job.path


def _labels(atoms: Atoms, spacing: float) -> tuple[Floats, dict[str, float], Floats]:
    """A structure's curve [states/eV/atom], its energies, and the curves of its atoms."""
    bands = solve_bands(atoms, spacing)
    lowest = float(bands.eigenvalues.min())
    if lowest < CARBON_GRID.start + _REACH * SMEARING:
        raise DataError(
            f"its lowest level, {lowest:.2f} eV, lies below the energies of the curves, "
            f"{CARBON_GRID.start:g} to {CARBON_GRID.stop:g} eV: its atoms are very close"
        )
    weights = 2 * np.repeat(bands.weights, bands.eigenvalues.shape[1])
    shares = bands.projections.reshape(-1, len(atoms)) * weights[:, None]
    curves = density_of_states(
        bands.eigenvalues.reshape(-1), CARBON_GRID, width=SMEARING, weights=shares
    )
    values = {
        "band_energy": bands.band_energy / len(atoms),
        "fermi_level": bands.fermi_level,
        "gap": bands.gap,
    }
    return curves.mean(axis=0), values, curves


def _join(
    jobs: dict[str, list[_Job]], destination: Path, spacing: float, projected: bool
) -> LabelledCarbon:
    """Write the folder from the saved results."""
    rejected: list[Rejected] = []
    counts: dict[str, int] = {}
    with new_folder(destination) as folder:
        for split, own in jobs.items():
            records = _records(own, projected, rejected)
            counts[split] = write_extxyz(folder / f"{split}.extxyz", records)
        if not counts["train"]:
            first = "; ".join(f"{entry.name}: {entry.reason}" for entry in rejected[:3])
            raise DataError(f"no structure for training can be used. {first}")
        about = GridFile(
            CARBON_GRID,
            "electronic",
            "states/eV/atom",
            electrons={"C": float(VALENCE_ELECTRONS)},
            name="carbon-tb structures",
            source=f"tight-binding carbon, k-points at most {spacing:g} 1/Å apart, broadened by "
            f"{SMEARING:g} eV",
        )
        write_grid_file(folder / GRID_FILE, about)
    return LabelledCarbon(destination, counts, tuple(rejected))


def _records(
    jobs: Sequence[_Job], projected: bool, rejected: list[Rejected]
) -> Iterator[DOSRecord]:
    """The structures of the saved results; those that cannot be used are added to ``rejected``."""
    for job in jobs:
        names = ("dos", "numbers", "problems", *(("pdos",) if projected else ()))
        with reading(job.path, advice="remove it, and run the same command again"):
            found = read_arrays(job.path, names)
        start = 0
        for index, (name, atoms) in enumerate(job.members):
            stop = start + len(atoms)
            if problem := str(found["problems"][index]):
                rejected.append(Rejected(name, problem))
            else:
                yield DOSRecord(
                    atoms,
                    np.round(found["dos"][index], 6),
                    name,
                    excerpt(atoms.info.get("group", "all"), 80),
                    atom_dos=found["pdos"][start:stop] if projected else None,
                    **{
                        key: round(float(v), 6)
                        for key, v in zip(_NUMBERS, found["numbers"][index], strict=True)
                    },
                )
            start = stop
