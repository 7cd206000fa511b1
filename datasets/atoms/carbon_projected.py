"""Compute the density of states of every atom in the carbon trajectories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from csgnn_dgl._files import atomic_write, resource_error
from csgnn_dgl._foreign import excerpt, reading
from csgnn_dgl.datasets.atoms.carbon_md import SMEARING, run_in_processes
from csgnn_dgl.datasets.atoms.carbon_trajectory import (
    CARBON_GRID,
    Trajectory,
    read_arrays,
    read_trajectory,
)
from csgnn_dgl.errors import DataError
from csgnn_dgl.physics.carbon_tb import solve
from csgnn_dgl.physics.dos import density_of_states

__all__ = ["project", "project_all", "projected_path", "read_projected", "write_projected"]


def projected_path(trajectory: Path) -> Path:
    """Path of the file with the atoms' curves of a trajectory."""
    return trajectory.parent / "projected" / trajectory.name


def project(trajectory: Trajectory) -> npt.NDArray[np.float16]:
    """Compute the curve of every atom in every snapshot.

    Returns
    -------
    numpy.ndarray
        Shape ``(n, N, E)``, half precision [states/eV]; the mean over atoms is the trajectory's
        ``dos``.
    """
    curves = []
    for index in range(len(trajectory)):
        spectrum = solve(trajectory.atoms(index))
        shares = 2 * spectrum.projections
        curve = density_of_states(spectrum.eigenvalues, CARBON_GRID, width=SMEARING, weights=shares)
        curves.append(curve.astype(np.float16))
    return np.array(curves)


def write_projected(trajectory: Path) -> Path:
    """Compute and write the atoms' curves of a trajectory, unless their file exists."""
    path = projected_path(trajectory)
    if not path.is_file():
        curves = project(read_trajectory(trajectory))
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise resource_error(error, path.parent, "make") from error
        with atomic_write(path, "wb") as file:
            np.savez_compressed(file, dos=curves)
    return path


def project_all(
    trajectories: Sequence[Path],
    *,
    processes: int | None = None,
    progress: Callable[[Path], object] = lambda path: None,
) -> None:
    """Call :func:`write_projected` for many files, in several processes."""
    missing = [path for path in trajectories if not projected_path(path).is_file()]
    for path in set(trajectories) - set(missing):
        progress(path)
    run_in_processes([(write_projected, path) for path in missing], processes, progress)


def read_projected(path: Path, trajectory: Trajectory) -> npt.NDArray[np.float16]:
    """Read the file that :func:`write_projected` wrote for ``trajectory``.

    Raises
    ------
    DataError
        The file is damaged, or belongs to another trajectory.
    """
    advice = "remove it and run csgnn-dgl data make carbon-tb --projected again"
    with reading(path, advice=advice):
        curves = read_arrays(path, ("dos",))["dos"]
        if curves.dtype.kind != "f":
            raise ValueError(f"dos is of the type {curves.dtype}")
    expected = (*trajectory.positions.shape[:2], CARBON_GRID.size)
    mean = curves.mean(axis=1, dtype=np.float32) if curves.shape == expected else None
    # Half precision keeps only three digits.
    if mean is None or not np.abs(mean - trajectory.dos).max() <= 2e-3:
        raise DataError(
            f"{excerpt(path)} does not belong to {excerpt(path.parent.parent / path.name)}; "
            f"{advice}"
        )
    return np.asarray(curves, dtype=np.float16)
