"""Load and write folders with ``grid.json``: densities of states in extxyz files, or in a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl.datasets.atoms.dos import DOSDataset, DOSRecord
from csgnn_dgl.datasets.atoms.dos_labels import DOSLabels
from csgnn_dgl.datasets.atoms.extxyz_folder import extxyz_files, gather_extxyz
from csgnn_dgl.datasets.atoms.gathering import Gathering
from csgnn_dgl.datasets.atoms.grid_file import GRID_FILE, read_grid_file
from csgnn_dgl.datasets.atoms.table_folder import gather_table, table_files
from csgnn_dgl.errors import DataError

__all__ = ["load_extxyz_folder", "load_table_folder", "write_extxyz"]


def load_extxyz_folder(path: Path) -> DOSDataset:
    """Load the structures of ``train.extxyz``, ``validation.extxyz`` and ``test.extxyz``.

    The header of a frame has ``dos``, one value for each energy of ``grid.json`` (nan where it is
    not defined). It may have ``name`` or ``id``; ``group``; ``electrons`` of the structure or
    ``electrons_per_atom``; ``band_energy_per_atom`` and ``fermi_level`` [unit of the energies].
    Columns ``pdos`` of the atoms, or an array ``pdos`` in ``train.npz`` and so on, are the curves
    of the atoms (:class:`~csgnn_dgl.datasets.atoms.dos_labels.DOSLabels`).

    Parameters
    ----------
    path
        The folder, with ``grid.json`` in it.

    Raises
    ------
    DataError
        There is no training file, or no ``grid.json`` or frame that can be used.
    """
    extxyz_files(path)  # raises if a split has two files, before grid.json is read
    return _load(path, gather_extxyz, f"extxyz files in {path}")


def load_table_folder(path: Path) -> DOSDataset:
    """Load structure files with a table of their curves.

    A row has the name of a structure's file and one value for each energy of ``grid.json``, nan
    where it is not defined (:func:`~csgnn_dgl.datasets.atoms.table_folder.gather_table`). An array
    ``pdos`` in a ``.npz`` beside a structure's file holds the curves of its atoms.

    Parameters
    ----------
    path
        The folder, with ``grid.json`` and the structures.

    Raises
    ------
    DataError
        There is no table for training, or no ``grid.json`` or row that can be used.
    """
    tables, files = table_files(path), extxyz_files(path)
    # A single extxyz file of another name beside a table is a structure of one of its rows.
    if "train" in tables and "train" in files and files["train"].stem.lower() == "train":
        raise DataError(
            f"{path} has both {tables['train'].name} and {files['train'].name} for training; keep "
            f"one of them"
        )
    name = tables["train"].name if "train" in tables else "table"
    return _load(path, gather_table, f"{name} and structures in {path}")


def _load(path: Path, gather: Callable[[Path, Gathering[Any]], None], source: str) -> DOSDataset:
    about = read_grid_file(path / GRID_FILE)
    gathering = Gathering(DOSLabels(about))
    gather(path, gathering)
    dataset = gathering.dataset(
        about.name or path.resolve().name,
        about.source or source,
        warnings=about.warnings,
        columns=about.columns,
    )
    assert isinstance(dataset, DOSDataset)
    return dataset


def write_extxyz(path: Path, records: Iterable[DOSRecord]) -> int:
    """Write a split of a folder that :func:`load_extxyz_folder` loads.

    Curves of atoms are written to a ``.npz`` beside the file, with NaN for structures without them:
    in half precision if that keeps them, and otherwise in single precision. Nothing is written if
    there are no records.

    Parameters
    ----------
    path
        ``train.extxyz``, ``validation.extxyz`` or ``test.extxyz`` in the folder.
    records
        The structures; an iterator is read once.

    Returns
    -------
    int
        Number of structures.
    """
    import ase.io

    count, shares = 0, list[npt.NDArray[np.floating]]()
    projected = False
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            ase.io.write(file, _frame(record), format="extxyz", columns=["symbols", "positions"])
            count += 1
            own = record.atom_dos
            projected |= own is not None
            if own is None:
                own = np.full((len(record.atoms), len(record.dos)), np.nan)
            shares.append(_compact(own))
    if not count:
        path.unlink()
    elif projected:
        np.savez_compressed(path.with_suffix(".npz"), pdos=np.concatenate(shares))
    return count


def _compact(curves: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Curves in half precision, or in single precision where that would lose them.

    Half precision ends at 65,504, and its smallest step, 6e-8, is a ten-thousandth of 6e-4.
    """
    largest = float(np.nanmax(np.abs(curves), initial=0.0))
    kept = largest == 0 or 6e-4 <= largest <= 6e4
    return curves.astype(np.float16 if kept else np.float32)


def _frame(record: DOSRecord) -> Atoms:
    atoms = record.atoms
    frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    frame.info = {"name": record.name, "dos": record.dos}
    if record.group != "all":
        frame.info["group"] = record.group
    values = {
        "electrons_per_atom": record.electrons,
        "band_energy_per_atom": record.band_energy,
        "fermi_level": record.fermi_level,
        "gap": record.gap,
    }
    frame.info |= {key: value for key, value in values.items() if value is not None}
    return frame
