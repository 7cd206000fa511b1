"""Trajectories of carbon with densities of states, and their files."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl._files import atomic_write
from csgnn_dgl._foreign import check_expansion, check_file, excerpt, reading
from csgnn_dgl.errors import DataError
from csgnn_dgl.physics.grid import EnergyGrid

__all__ = [
    "CARBON_GRID",
    "Trajectory",
    "read_arrays",
    "read_trajectory",
    "trajectories",
    "write_trajectory",
]

Floats = npt.NDArray[np.float64]

# 310 bins of 0.1 eV, as in the paper, starting below the lowest band of this model.
CARBON_GRID = EnergyGrid(-26.0, 0.1, 310, "eV", "tight-binding reference")


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Snapshots of one structure with their labels.

    Parameters
    ----------
    structure, temperature, split
        Name, temperature [K], ``"train"`` or ``"test"``.
    positions
        Positions, shape ``(n, N, 3)``, float32 [Å].
    cell, pbc
        Cell and periodicity, shapes ``(3, 3)`` [Å] and ``(3,)``.
    dos
        Densities of states on :data:`CARBON_GRID`, shape ``(n, 310)``, float32 [states/eV/atom].
    band_energy
        Sum of filled eigenvalues, shape ``(n,)`` [eV/atom].
    fermi_level
        Midpoint between the highest filled and the lowest empty level, shape ``(n,)`` [eV].
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


def write_trajectory(path: Path, trajectory: Trajectory) -> None:
    """Write a trajectory, completely or not at all."""
    about = {key: getattr(trajectory, key) for key in ("structure", "temperature", "split")}
    arrays = {key: getattr(trajectory, key) for key in _ARRAYS}
    with atomic_write(path, "wb") as file:
        np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)


def read_trajectory(path: Path) -> Trajectory:
    """Read a trajectory that :func:`write_trajectory` wrote.

    Raises
    ------
    DataError
        The file is missing, damaged, or of another kind.
    """
    advice = (
        "it is no carbon trajectory, or damaged: remove it and run csgnn-dgl data make carbon-tb "
        "again"
    )
    if not path.exists():
        raise DataError(f"there is no trajectory {excerpt(path)}")
    with reading(path, advice=advice):
        arrays = read_arrays(path, (*_ARRAYS, "about"))
        about = json.loads(str(arrays.pop("about")))
        named = {key: about[key] for key in ("structure", "temperature", "split")}
        _check_arrays(named, arrays)
        return Trajectory(**named, **arrays)


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Read arrays of numbers or text from an archive that the package wrote.

    To be called inside :func:`~csgnn_dgl._foreign.reading`.

    Raises
    ------
    DataError
        The archive declares more than its bytes can hold, or lacks an array.
    """
    check_file(path)
    # For other files, numpy would advise to load them unsafely.
    if not zipfile.is_zipfile(path):
        raise DataError(f"{excerpt(path)} is damaged, or no archive of numpy (.npz)")
    check_expansion(path)
    with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
        return {name: content[name] for name in names}


def _check_arrays(about: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    positions = arrays["positions"]
    if positions.ndim != 3 or positions.shape[2] != 3 or 0 in positions.shape:
        raise ValueError(f"positions have shape {positions.shape}, not (n, N, 3)")
    count = len(positions)
    shapes = {"cell": (3, 3), "pbc": (3,), "dos": (count, CARBON_GRID.size)}
    shapes |= {"band_energy": (count,), "fermi_level": (count,)}
    for name, array in arrays.items():
        if name in shapes and array.shape != shapes[name]:
            raise ValueError(f"{name} has shape {array.shape}, but {shapes[name]} is expected")
        if array.dtype.kind != ("b" if name == "pbc" else "f"):
            raise ValueError(f"{name} is of the type {array.dtype}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds values that are NaN or infinite")
    volume = abs(float(np.linalg.det(arrays["cell"])))
    if arrays["pbc"].all() and not 1e-3 * positions.shape[1] < volume < np.inf:
        raise ValueError(f"the cell has a volume of {volume:.3g} Å³")
    temperature = about["temperature"]
    if not isinstance(temperature, int | float) or isinstance(temperature, bool):
        raise ValueError(f"temperature is {excerpt(repr(temperature), 40)}")
    for key in ("structure", "split"):
        if not isinstance(about[key], str):
            raise ValueError(f"{key} is {excerpt(repr(about[key]), 40)}")


def trajectories(folder: Path, split: str | None = None) -> Sequence[Trajectory]:
    """Read all trajectories in a folder, or those of a split, sorted by name."""
    found = [read_trajectory(path) for path in sorted(folder.glob("*.npz"))]
    return [t for t in found if split in (None, t.split)]
