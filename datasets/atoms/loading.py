"""Recognise the layout of densities of states at a path, and read them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from csgnn_dgl.datasets.atoms.base import AtomDataset, parted
from csgnn_dgl.datasets.atoms.dos import DOSDataset
from csgnn_dgl.datasets.atoms.dos_carbon import RECIPE, load_built_in_carbon, load_carbon_folder
from csgnn_dgl.datasets.atoms.dos_folder import load_extxyz_folder, load_table_folder
from csgnn_dgl.datasets.atoms.dos_paper import is_paper_folder, load_paper_folder
from csgnn_dgl.datasets.atoms.extxyz_folder import has_extxyz
from csgnn_dgl.datasets.atoms.grid_file import GRID_FILE
from csgnn_dgl.datasets.atoms.table_folder import has_training_table
from csgnn_dgl.datasets.atoms.vasp import holds_runs
from csgnn_dgl.datasets.columns import unused_files
from csgnn_dgl.datasets.readers import Reader, find_reader, readers
from csgnn_dgl.datasets.splits import hold_out
from csgnn_dgl.errors import DataError

__all__ = ["DOS_READERS", "hold_out_test", "is_dos_folder", "load_dos_dataset"]

_HELD_OUT, _TEST = 0.1, 0x7E57

Data = TypeVar("Data", bound=AtomDataset[Any])


def _refuse_vasp(path: Path) -> DOSDataset:
    raise DataError(
        f"{path} holds results of VASP; import them first: csgnn-dgl data import-vasp {path} "
        f"--to FOLDER"
    )


#: Layouts of densities of states, in the order in which they are tried.
DOS_READERS = (
    Reader(
        "dos",
        "tight-binding carbon",
        f"{RECIPE}, *.npz (made by data make carbon-tb)",
        lambda path: (path / RECIPE).is_file(),
        load_carbon_folder,
    ),
    Reader(
        "dos",
        "table",
        f"{GRID_FILE}, id_prop.csv or train.csv, structure files",
        has_training_table,
        load_table_folder,
    ),
    Reader(
        "dos",
        "extxyz",
        f"{GRID_FILE}, train.extxyz",
        lambda path: (path / GRID_FILE).is_file() or has_extxyz(path),
        load_extxyz_folder,
    ),
    Reader(
        "dos",
        "the paper's",
        "STRUCTURE/TEMPERATURE/NAME/POSCAR with doscar_s",
        is_paper_folder,
        load_paper_folder,
    ),
    Reader("dos", "VASP", "vasprun.xml (to be imported)", holds_runs, _refuse_vasp),
)


def is_dos_folder(path: Path) -> bool:
    """Whether a folder holds densities of states, rather than shapes.

    Parameters
    ----------
    path
        A folder.

    Examples
    --------
    >>> is_dos_folder(Path("absent"))
    False
    """
    return find_reader(path, readers("dos", DOS_READERS)) is not None


def load_dos_dataset(path: Path | None, *, seed: int = 0) -> DOSDataset:
    """Load structures with densities of states from a folder, or the built-in carbon set.

    If a set has neither validation nor test structures, a tenth of each group is held out for
    testing, with a warning.

    Parameters
    ----------
    path
        None for the built-in set; or a folder in one of the layouts of :data:`DOS_READERS`, or of
        a reader that was registered (:func:`csgnn_dgl.datasets.readers.register`).
    seed
        Random seed for choosing the structures held out for testing.

    Raises
    ------
    DataError
        The path holds no data that can be used; the message says what was found.

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
    table = readers("dos", DOS_READERS)
    reader = find_reader(path, table)
    if reader is not None:
        loaded: DOSDataset = reader.load(path)
        columns = (*loaded.columns, *unused_files(path, loaded.columns))
        return hold_out_test(replace(loaded, columns=columns), seed)
    if not path.is_dir():
        raise DataError(f"{path} is a file; --data takes the folder that holds it and {GRID_FILE}")
    there = ", ".join(sorted(p.name for p in path.iterdir())[:8]) or "nothing"
    known = "; ".join(reader.layout for reader in table)
    raise DataError(
        f"{path} holds no densities of states, but {there}. Layouts that can be read: {known}"
    )


def hold_out_test(dataset: Data, seed: int) -> Data:
    """Hold a tenth of each group out for testing, if there is neither validation nor test data.

    Parameters
    ----------
    dataset
        The data set.
    seed
        Random seed for the choice.
    """
    if dataset.validation or dataset.test:
        return dataset
    held = hold_out([record.group for record in dataset.train], _HELD_OUT, (seed, _TEST))
    if not held:
        return replace(
            dataset,
            warnings=(
                *dataset.warnings,
                "there are too few structures to hold some out for testing",
            ),
        )
    train, test = parted(dataset.train, held)
    return replace(
        dataset,
        train=train,
        test=test,
        warnings=(
            *dataset.warnings,
            f"no test structures are given; {len(held)} were held out by seed {seed}",
        ),
    )
