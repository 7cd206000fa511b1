"""Whether data can be used for a table, before any training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from csgnn_dgl.compare.settings import Settings
from csgnn_dgl.datasets.atoms.dos import DOSDataset
from csgnn_dgl.datasets.shapes.loading import is_built_in
from csgnn_dgl.datasets.shapes.modelnet_hdf5 import is_modelnet_hdf5
from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.train import load_run_data as load_shapes
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.dos.errors import compare_curves
from csgnn_dgl.tasks.dos.train import load_run_data as load_atoms

__all__ = ["check_data"]

# The end of a message about clouds with too few points: options of trainings, but not of tables.
_ADVICE = "lower --points (or --pool)"


def check_data(settings: Settings, seed: int | None = None) -> None:
    """Refuse data for which a protocol or a table means nothing.

    Parameters
    ----------
    settings
        What is compared. Built-in data need no check.
    seed
        Random seed of a training, with which the data are read; the first one by default.

    Raises
    ------
    ConfigError
        Rotations about the up axis are asked for, but it is not known which axis that is.
    DataError
        The data cannot be read; they have no test structures or shapes; or band energies do not
        follow from them, which table 2 compares.
    """
    if settings.data is None or settings.found.kind == "speed":
        return
    path = Path(settings.data)
    options: dict[str, Any] = {"data": path, "seed": settings.seeds[0] if seed is None else seed}
    if settings.found.kind == "atoms":
        structures = load_atoms(TrainDOSConfig(**options))
        _require_tests(settings, len(structures.test), "structures")
        _require_band_energies(settings, structures)
        return
    if is_built_in(path):
        return
    _require_axis(settings, path)
    if settings.up_axis is not None:
        options["up_axis"] = settings.up_axis
    config = TrainModelNetConfig(**options)
    try:
        shapes = load_shapes(config)
    except DataError as error:
        found, advice, _ = str(error).partition(_ADVICE)
        if not advice:
            raise
        raise DataError(
            f"{found}the tables take {config.points:,} points of each shape; give clouds with more "
            f"points, or meshes, whose surfaces are sampled"
        ) from error
    _require_tests(settings, len(shapes.test), "shapes")


def _require_axis(settings: Settings, path: Path) -> None:
    turned = settings.protocols is None or "z" in settings.protocols
    about_z = turned and any(cell.protocol == "z" for cell in settings.cells())
    if about_z and settings.up_axis is None and not is_modelnet_hdf5(path):
        raise ConfigError(
            f"{path} does not say which axis of its shapes points up, but the protocol z rotates "
            f"about it: give --up-axis, or leave z out with --protocols so3"
        )


def _require_tests(settings: Settings, count: int, what: str) -> None:
    if not count:
        raise DataError(
            f"{settings.data} has no test {what}, of which {settings.table} shows the results; "
            f"name data that have some with --data"
        )


def _require_band_energies(settings: Settings, data: DOSDataset) -> None:
    needs = (
        f"{settings.table} compares band energies, which follow from electronic densities of "
        f"states and numbers of electrons"
    )
    if data.quantity != "electronic":
        raise DataError(f"{settings.data} has {data.quantity} densities of states, but {needs}")
    # The curves in place of predictions: what they lack, tests would lack after every training.
    levels = compare_curves(data.test, np.array([r.dos for r in data.test]), data.grid)
    if "band_energy_error" not in levels or not levels["band_energy_error"].notna().any():
        electrons = any(record.electrons is not None for record in data.test)
        lacking = "no complete curve" if electrons else "no number of electrons"
        advice = "; give electrons_per_atom of each structure, or electrons by element in grid.json"
        how = "" if electrons else advice
        raise DataError(
            f"{settings.data} has {lacking} of any of its test structures, but {needs}{how}"
        )
