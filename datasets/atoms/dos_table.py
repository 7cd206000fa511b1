"""A table ``file,value,value,…`` beside structure files, as CGCNN and ALIGNN users have it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl.datasets.atoms.base import DOSDataset
from csgnn_dgl.datasets.atoms.gathering import Gathering, Split
from csgnn_dgl.datasets.atoms.grid_file import GRID_FILE, read_grid_file
from csgnn_dgl.datasets.atoms.numbers_in_text import parse_numbers
from csgnn_dgl.datasets.atoms.structures import read_structures
from csgnn_dgl.errors import DataError

__all__ = ["load_table_folder", "table_files"]

_NAMES: dict[str, Split] = {
    **dict.fromkeys(("id_prop", "train"), "train"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    "test": "test",
}
_COLUMN_NAMES = ("file", "filename", "file_name", "id", "name", "structure")
# What a name in the table may lack.
_ENDINGS = ("", ".cif", ".vasp", ".poscar", ".POSCAR", ".extxyz", ".xyz")


def table_files(path: Path) -> dict[Split, Path]:
    """The tables of each split in a folder: ``id_prop.csv`` or ``train.csv``, and so on.

    Raises
    ------
    DataError
        Two tables for one split.
    """
    found: dict[Split, Path] = {}
    for file in sorted(path.glob("*.csv")):
        split = _NAMES.get(file.stem.lower())
        if split is None:
            continue
        if split in found:
            raise DataError(f"{path} has two tables for {split}: {found[split].name}, {file.name}")
        found[split] = file
    return found


def load_table_folder(path: Path) -> DOSDataset:
    """Structure files with a table of their curves.

    ``id_prop.csv`` (or ``train.csv``) and, if there are any, ``validation.csv`` and ``test.csv``
    have a row for each structure: the name of its file (``.cif``, ``.vasp`` and the like may be
    left out), then one value for each energy of ``grid.json``, nan where it is not defined. A first
    row of names is left out.

    Parameters
    ----------
    path
        The folder, with ``grid.json`` and the structures.

    Raises
    ------
    DataError
        No table for training, no usable ``grid.json``, or no usable row.
    """
    about = read_grid_file(path / GRID_FILE)
    files = table_files(path)
    if "train" not in files:
        there = ", ".join(sorted(p.name for p in path.glob("*.csv"))[:8]) or "no table at all"
        raise DataError(f"{path} has no id_prop.csv or train.csv; it has {there}")
    gathering = Gathering(about.grid, about.quantity)
    for split, file in files.items():
        seen: set[str] = set()
        for number, name, words in _rows(file):
            where = f"{file.name} row {number} ({name})"
            try:
                if name in seen:
                    raise DataError("the file was named in a row before")
                seen.add(name)
                values = _values(words)
                atoms = _structure(path, name)
            except DataError as error:
                gathering.reject(where, error)
                continue
            gathering.add(
                split,
                where,
                atoms,
                values / len(atoms) if about.per_cell else values,
                electrons=about.electrons_of(atoms),
            )
    return gathering.dataset(
        about.name or path.resolve().name,
        about.source or f"{files['train'].name} and structures in {path}",
        about.dos_unit,
        about.warnings,
    )


def _rows(file: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Number, name and value cells of each row, without a row of names."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            for number, cells in enumerate(csv.reader(lines), start=1):
                words = [cell.strip() for cell in cells]
                if not any(words):
                    continue
                # Values may also stand in one cell, apart by spaces.
                values = words[1].split() if len(words) == 2 and words[1] else words[1:]
                if number == 1 and _is_header(words[0], values):
                    continue
                yield number, words[0], values
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} cannot be read ({error})") from error


def _is_header(name: str, values: list[str]) -> bool:
    """Whether a row of names, such as ``file,e0,e1``, rather than one of damaged values."""
    if name.lower() in _COLUMN_NAMES:
        return True
    return bool(values) and all(_is_word(value) for value in values)


def _is_word(value: str) -> bool:
    return value[:1].isalpha() and value.lower() != "nan"


def _values(words: list[str]) -> npt.NDArray[np.float64]:
    if not any(words):
        raise DataError("the row has no values")
    empty = [index for index, word in enumerate(words, start=1) if not word]
    if empty:
        raise DataError(
            f"value {empty[0]} of {len(words)} is empty; write nan where the curve is not defined"
        )
    return parse_numbers(words)


def _structure(folder: Path, name: str) -> Atoms:
    if not name:
        raise DataError("the row names no file")
    candidates = [folder / f"{name}{ending}" for ending in _ENDINGS]
    file = next((candidate for candidate in candidates if candidate.is_file()), None)
    if file is None:
        raise DataError(f"there is no file {name}, nor {name}.cif, in {folder}")
    found = read_structures(file)
    if len(found) != 1:
        raise DataError(f"{file.name} holds {len(found)} structures; one is needed")
    return found[0].atoms
