"""Find out what densities of states lie at a path, and read them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from csgnn_dgl.datasets.atoms.base import DOSDataset
from csgnn_dgl.datasets.atoms.dos_carbon import (
    is_carbon_folder,
    load_built_in_carbon,
    load_carbon_folder,
)
from csgnn_dgl.datasets.atoms.dos_extxyz import extxyz_files, load_extxyz_folder
from csgnn_dgl.datasets.atoms.dos_paper import is_paper_folder, load_paper_folder
from csgnn_dgl.datasets.atoms.dos_table import load_table_folder, table_files
from csgnn_dgl.datasets.atoms.grid_file import GRID_FILE
from csgnn_dgl.datasets.atoms.vasp import find_runs
from csgnn_dgl.errors import DataError

__all__ = ["is_dos_folder", "load_dos_dataset"]

_HELD_OUT = 0.1


def is_dos_folder(path: Path) -> bool:
    """Whether densities of states lie there, rather than shapes.

    Parameters
    ----------
    path
        A folder.

    Examples
    --------
    >>> is_dos_folder(Path("absent"))
    False
    """
    if not path.is_dir():
        return False
    return (
        (path / GRID_FILE).is_file()
        or (path / "recipe.json").is_file()
        or any(path.glob("*.extxyz"))
        or bool(table_files(path))
        or is_paper_folder(path)
        or _holds_vasp(path)
    )


def load_dos_dataset(path: Path | None, *, seed: int = 0) -> DOSDataset:
    """Structures with densities of states from a folder, or the built-in carbon set.

    A set that comes without validation and test structures has a tenth of each group held out for
    testing, which the warnings say.

    Parameters
    ----------
    path
        None for the built-in set; or a folder: of carbon trajectories
        (:func:`~csgnn_dgl.datasets.atoms.dos_carbon.load_carbon_folder`), in the paper's layout
        (:func:`~csgnn_dgl.datasets.atoms.dos_paper.load_paper_folder`), with extxyz files
        (:func:`~csgnn_dgl.datasets.atoms.dos_extxyz.load_extxyz_folder`, the result of
        ``data import-vasp`` included), or with a table
        (:func:`~csgnn_dgl.datasets.atoms.dos_table.load_table_folder`).
    seed
        Of the structures held out for testing.

    Raises
    ------
    DataError
        Nothing usable is there; the message says what was found.

    Examples
    --------
    >>> carbon = load_dos_dataset(None)
    >>> carbon.grid.size, carbon.grid.unit, carbon.dos_unit
    (310, 'eV', 'states/eV/atom')
    """
    if path is None:
        return load_built_in_carbon()
    if not path.exists():
        raise DataError(
            f"there is no data at {path}; check --data, leave it out for the built-in carbon set, "
            f"or make some: csgnn-dgl data make carbon-tb, csgnn-dgl data import-vasp"
        )
    if not path.is_dir():
        raise DataError(f"{path} is a file; --data takes the folder that holds it and {GRID_FILE}")
    return _hold_out(_load(path), seed)


def _load(path: Path) -> DOSDataset:
    if is_carbon_folder(path):
        return load_carbon_folder(path)
    files, tables = extxyz_files(path), table_files(path)
    # A structure file that is alone beside a table is one of its rows.
    if "train" in tables and "train" in files and files["train"].stem.lower() == "train":
        raise DataError(
            f"{path} has both {tables['train'].name} and {files['train'].name} for training; keep "
            f"one of them"
        )
    if "train" in tables:
        return load_table_folder(path)
    if files or (path / GRID_FILE).is_file():
        return load_extxyz_folder(path)
    if is_paper_folder(path):
        return load_paper_folder(path)
    if _holds_vasp(path):
        raise DataError(
            f"{path} holds results of VASP; import them first: csgnn-dgl data import-vasp {path} "
            f"--to FOLDER"
        )
    there = ", ".join(sorted(p.name for p in path.iterdir())[:8]) or "nothing"
    raise DataError(
        f"{path} holds no densities of states, but {there}. Known are train.extxyz or id_prop.csv "
        f"with {GRID_FILE}, STRUCTURE/TEMPERATURE/NAME/POSCAR with doscar_s, and what csgnn-dgl "
        f"data make carbon-tb and csgnn-dgl data import-vasp write"
    )


def _holds_vasp(path: Path) -> bool:
    try:
        return bool(find_runs(path))
    except DataError:
        return False


def _hold_out(dataset: DOSDataset, seed: int) -> DOSDataset:
    if dataset.validation or dataset.test:
        return dataset
    groups: dict[str, list[int]] = {}
    for index, record in enumerate(dataset.train):
        groups.setdefault(record.group, []).append(index)
    rng = np.random.default_rng([seed, 0x7E57])
    held: set[int] = set()
    for members in groups.values():
        count = round(_HELD_OUT * len(members))
        held |= set(rng.permutation(members)[:count].tolist())
    if not held:
        return replace(
            dataset,
            warnings=(*dataset.warnings, "there are too few structures to hold some out for tests"),
        )
    return replace(
        dataset,
        train=tuple(r for i, r in enumerate(dataset.train) if i not in held),
        test=tuple(dataset.train[i] for i in sorted(held)),
        warnings=(
            *dataset.warnings,
            f"no test structures are given; {len(held)} were held out by seed {seed}",
        ),
    )
