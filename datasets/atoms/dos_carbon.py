"""Load tight-binding carbon trajectories with densities of states, from a folder or built in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from csgnn_dgl._foreign import check_file, excerpt, reading
from csgnn_dgl._progress import each
from csgnn_dgl.datasets.atoms.carbon_projected import projected_path, read_projected
from csgnn_dgl.datasets.atoms.carbon_trajectory import CARBON_GRID, Trajectory, read_trajectory
from csgnn_dgl.datasets.atoms.dos import DOSDataset, DOSRecord
from csgnn_dgl.datasets.atoms.dos_labels import DOSLabels
from csgnn_dgl.datasets.atoms.gathering import Gathering, Split
from csgnn_dgl.datasets.atoms.grid_file import GridFile
from csgnn_dgl.datasets.columns import Column
from csgnn_dgl.errors import DataError
from csgnn_dgl.physics.carbon_tb import VALENCE_ELECTRONS

__all__ = ["BUILT_IN", "RECIPE", "load_built_in_carbon", "load_carbon_folder"]

#: Holds the settings of the trajectories, and marks their folder.
RECIPE = "recipe.json"
#: The built-in set; made by ``csgnn-dgl data make carbon-tb --snapshots 20 --test-snapshots 10``.
BUILT_IN = Path(__file__).parent / "files" / "carbon-tb-small"
_ARRAYS = {
    "*.npz": {
        "about": "structure, temperature and split",
        "positions": "the structure",
        "cell": "the structure",
        "pbc": "the structure",
        "dos": "density of states",
        "band_energy": "band energy",
        "fermi_level": "Fermi level",
    },
    "projected/*.npz": {"dos": "curves of single atoms"},
}
_RECIPE = dict.fromkeys(("structures", "temperatures"), "files that should be there")
_SPLITS: dict[str, Split] = {"train": "train", "test": "test"}


def load_built_in_carbon() -> DOSDataset:
    """Load the small carbon set that comes with the package.

    Raises
    ------
    DataError
        The package was installed without its data files.

    Examples
    --------
    >>> carbon = load_built_in_carbon()
    >>> len(carbon.train), len(carbon.test), carbon.electrons_per_element
    (320, 80, {6: 4.0})
    """
    if not any(BUILT_IN.glob("*.npz")):
        raise DataError(
            f"the built-in carbon set is missing at {BUILT_IN}; install the package again, or "
            f"make a set: csgnn-dgl data make carbon-tb"
        )
    return _load(BUILT_IN, "carbon-tb-small", "the built-in carbon set, by tight binding")


def load_carbon_folder(path: Path) -> DOSDataset:
    """Load trajectories that ``csgnn-dgl data make carbon-tb`` wrote.

    Training and test structures come from separate trajectories. The band energies are the exact
    sums of filled eigenvalues, and the Fermi levels lie midway between the exact levels.

    Parameters
    ----------
    path
        The folder, with ``recipe.json`` and ``*.npz``.

    Raises
    ------
    DataError
        No trajectory for training can be read.
    """
    return _load(path, "carbon-tb", f"tight-binding carbon in {path}")


def _load(path: Path, name: str, source: str) -> DOSDataset:
    gathering = Gathering(DOSLabels(GridFile(CARBON_GRID, "electronic", "states/eV/atom")))
    for file in each(sorted(path.glob("*.npz")), "reading", unit="file"):
        try:
            trajectory = read_trajectory(file)
            beside = projected_path(file)
            shares = read_projected(beside, trajectory) if beside.is_file() else None
            _add(gathering, file.stem, trajectory, shares)
            for place, archive in (("*.npz", file), ("projected/*.npz", beside)):
                if archive.is_file():
                    gathering.columns.add(place, _arrays(archive, _ARRAYS[place]))
        except DataError as error:
            gathering.reject(file.name, error)
    recipe, expected = _read_recipe(path / RECIPE)
    missing = sorted(expected - {file.name for file in path.glob("*.npz")})
    if missing:
        gathering.remark(
            f"{len(missing)} of the {len(expected)} trajectories of recipe.json are missing; "
            f"make them by running csgnn-dgl data make carbon-tb again",
            missing[0],
        )
    columns = tuple(Column(RECIPE, key, _RECIPE.get(key)) for key in recipe)
    dataset = gathering.dataset(name, source, columns=columns)
    assert isinstance(dataset, DOSDataset)
    return dataset


def _arrays(file: Path, meanings: Mapping[str, str]) -> dict[str, str | None]:
    """The arrays of an archive, with their uses."""
    with reading(file), file.open("rb") as opened, np.load(opened, allow_pickle=False) as content:
        return {name: meanings.get(name) for name in content.files}


def _add(
    gathering: Gathering[DOSRecord],
    name: str,
    trajectory: Trajectory,
    shares: npt.NDArray[np.float16] | None,
) -> None:
    if trajectory.split not in _SPLITS:
        raise DataError(
            f"its split is {excerpt(repr(trajectory.split), 40)}, but it must be train or test"
        )
    for index in range(len(trajectory)):
        record = DOSRecord(
            trajectory.atoms(index),
            trajectory.dos[index].astype(np.float64),
            f"{name}[{index}]",
            trajectory.structure,
            float(VALENCE_ELECTRONS),
            float(trajectory.band_energy[index]),
            float(trajectory.fermi_level[index]),
            None if shares is None else shares[index],
        )
        gathering.add(_SPLITS[trajectory.split], record)


def _read_recipe(path: Path) -> tuple[dict[str, Any], set[str]]:
    """The content of the recipe, and the names of the files that belong to it."""
    check_file(path)
    with reading(path, advice="it is no recipe of csgnn-dgl data make carbon-tb, or damaged"):
        recipe: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        structures, temperatures = recipe["structures"], recipe["temperatures"]
        if not (isinstance(structures, list) and isinstance(temperatures, list)):
            raise ValueError("structures and temperatures should be lists")
        kinds = product(structures, temperatures, _SPLITS)
        return recipe, {f"{name}-{degrees:g}K-{split}.npz" for name, degrees, split in kinds}
