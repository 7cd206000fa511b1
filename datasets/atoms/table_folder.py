"""Read a table ``file,value,value,…`` beside structure files, as CGCNN and ALIGNN use it."""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from csgnn_dgl._foreign import check_file, excerpt, reading
from csgnn_dgl._progress import each
from csgnn_dgl.datasets.atoms.atom_arrays import AtomArrays
from csgnn_dgl.datasets.atoms.gathering import Entry, Gathering, Split
from csgnn_dgl.datasets.atoms.numbers_in_text import parse_numbers
from csgnn_dgl.datasets.atoms.structure import Structure
from csgnn_dgl.datasets.atoms.structures import is_cif, read_structures
from csgnn_dgl.datasets.isolation import read_each
from csgnn_dgl.errors import DataError

__all__ = ["gather_table", "has_training_table", "table_files"]

_NAMES: dict[str, Split] = {
    **dict.fromkeys(("id_prop", "train"), "train"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    "test": "test",
}
_COLUMN_NAMES = ("file", "filename", "file_name", "id", "name", "structure")
# Endings that a file name in the table may lack.
_ENDINGS = ("", ".cif", ".vasp", ".poscar", ".POSCAR", ".extxyz", ".xyz")
# Matches names that end in a number, such as e0, dos_12 or -3.5.
_NUMBERED = re.compile(r"\d(\.\d*)?$")


def table_files(path: Path) -> dict[Split, Path]:
    """Find the table of each split in a folder: ``id_prop.csv`` or ``train.csv``, and so on.

    Raises
    ------
    DataError
        There are two tables for one split.
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


def has_training_table(path: Path) -> bool:
    """Whether a folder has a table for training."""
    return any(_NAMES.get(file.stem.lower()) == "train" for file in path.glob("*.csv"))


def gather_table(path: Path, gathering: Gathering[Any]) -> None:
    """Gather structure files with a table of their labels.

    ``id_prop.csv`` (or ``train.csv``), ``validation.csv`` and ``test.csv`` have a row for each
    structure: the name of its file (``.cif``, ``.vasp`` and others may be left out), then values.
    The first row may name the columns. Columns that the labels know by name are used by name; the
    other columns are the values of the curve. Arrays over the atoms of a structure may be in a
    ``.npz`` of the same name beside its file.

    Parameters
    ----------
    path
        The folder.
    gathering
        Collects the structures.

    Raises
    ------
    DataError
        There is no table for training, or a file cannot be read.
    """
    files = table_files(path)
    if "train" not in files:
        there = ", ".join(sorted(p.name for p in path.glob("*.csv"))[:8]) or "no table at all"
        raise DataError(f"{path} has no id_prop.csv or train.csv; it has {there}")
    for split, file in files.items():
        _gather_file(path, file, split, gathering)


def _gather_file(path: Path, file: Path, split: Split, gathering: Gathering[Any]) -> None:
    rows = [(number, words, _find_structure(path, words[0])) for number, words in _rows(file)]
    places = [place for *_, place in rows if place is not None]
    with contextlib.closing(read_each(read_structures, places)) as contents:
        _gather_rows(path, file, split, gathering, rows, contents)


def _gather_rows(
    path: Path,
    file: Path,
    split: Split,
    gathering: Gathering[Any],
    rows: list[tuple[int, list[str], Path | None]],
    contents: Iterator[list[Structure] | DataError],
) -> None:
    seen: set[str] = set()
    layout: _Layout | None = None
    for number, words, place in each(rows, f"reading {file.name}", unit="row"):
        content = None if place is None else next(contents)
        if layout is None:
            layout = _layout(words, gathering)
            gathering.note_columns(file.name, layout.columns, of_atoms=False)
            if layout.named:
                continue
        name = words[0]
        where = excerpt(f"{file.name} row {number} ({', '.join((name, *layout.label(words)))})")
        try:
            if name in seen:
                raise DataError("the file was named in a row before")
            seen.add(name)
            values = layout.values(words)
            place, structure = _structure(path, name, place, content)
            arrays = _arrays(structure, place, where, gathering)
        except DataError as error:
            gathering.reject(where, error)
            continue
        gathering.take(split, Entry(where, structure.atoms, values, arrays))


@dataclass(frozen=True)
class _Layout:
    """Meaning of the columns of a table.

    Parameters
    ----------
    named
        Whether the first row holds names.
    single
        Indices of columns with a single value, by name.
    series
        Name of the curve, and indices of its columns; None for all columns after the first.
    columns
        All columns, and their uses.
    """

    named: bool
    single: Mapping[str, int]
    series: tuple[str, Sequence[int] | None] | None
    columns: Mapping[str, str | None]

    def label(self, words: Sequence[str]) -> list[str]:
        """Name of a row in a column of names, if there is such a column."""
        places = [self.single[name] for name in ("name", "id") if name in self.single]
        return [words[place] for place in places[:1] if place < len(words) and words[place]]

    def values(self, words: Sequence[str]) -> dict[str, Any]:
        found: dict[str, Any] = {
            name: words[place]
            for name, place in self.single.items()
            if place < len(words) and words[place]
        }
        if self.series is not None:
            name, places = self.series
            places = range(1, len(words)) if places is None else places
            own = [words[place] for place in places if place < len(words)]
            # All values may also be in one cell, separated by spaces.
            found[name] = _curve(own[0].split() if len(own) == 1 and own[0] else own)
        return found


def _layout(first: Sequence[str], gathering: Gathering[Any]) -> _Layout:
    labels = gathering.labels
    series = labels.series
    if not _is_header(first[0], first[1:]):
        if series is None:
            raise DataError(
                f"the table needs a first row of names, such as file,{next(iter(labels.columns))}"
            )
        meanings = {"first": "the structure", "others": labels.columns[series[0]]}
        return _Layout(False, {}, (series[0], None), meanings)
    single = {n: place for place, n in enumerate(first) if place > 0 and n in labels.columns}
    rest = [place for place in range(1, len(first)) if first[place] not in single]
    curve: Sequence[int] = ()
    name = ""
    if series is not None and series[0] not in single:
        name = series[0]
        numbered = [place for place in rest if _NUMBERED.search(first[place])]
        curve = numbered if len(numbered) == series[1] else rest
    columns: dict[str, str | None] = {first[0]: "the structure", **dict.fromkeys(single)}
    if curve:
        ends = (first[curve[0]], first[curve[-1]])
        columns[" … ".join(ends) if len(curve) > 1 else ends[0]] = labels.columns[name]
    columns |= {first[place]: None for place in rest if place not in curve}
    return _Layout(True, single, (name, curve) if curve else None, columns)


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield number and cells of each row that is not empty."""
    check_file(file)
    with reading(file), file.open(encoding="utf-8-sig", newline="") as lines:
        for number, cells in enumerate(csv.reader(lines), start=1):
            words = [cell.strip() for cell in cells]
            if any(words):
                yield number, words


def _is_header(name: str, values: Sequence[str]) -> bool:
    """Whether a row holds names, such as ``file,e0,e1``, rather than values that are damaged."""
    if name.lower() in _COLUMN_NAMES:
        return True
    return bool(values) and all(_is_word(value) for value in values)


def _is_word(value: str) -> bool:
    return value[:1].isalpha() and value.lower() != "nan"


def _curve(words: list[str]) -> npt.NDArray[np.float64]:
    if not any(words):
        raise DataError("the row has no values")
    empty = [index for index, word in enumerate(words, start=1) if not word]
    if empty:
        raise DataError(
            f"value {empty[0]} of {len(words)} is empty; write nan where the curve is not defined"
        )
    return parse_numbers(words)


def _find_structure(folder: Path, name: str) -> Path | None:
    """The structure file that a row names; None if there is none."""
    candidates = [folder / f"{name}{ending}" for ending in _ENDINGS] if name else []
    with contextlib.suppress(OSError, ValueError):  # a name that no file can have
        return next((candidate for candidate in candidates if candidate.is_file()), None)
    return None


def _structure(
    folder: Path, name: str, file: Path | None, found: list[Structure] | DataError | None
) -> tuple[Path, Structure]:
    if not name:
        raise DataError("the row names no file")
    if file is None or found is None:
        raise DataError(f"there is no file {excerpt(name)}, nor {excerpt(name)}.cif, in {folder}")
    if isinstance(found, DataError):
        raise found
    if len(found) != 1:
        raise DataError(f"{file.name} holds {len(found)} structures; one is needed")
    return file, found[0]


def _arrays(
    structure: Structure, file: Path, where: str, gathering: Gathering[Any]
) -> dict[str, npt.NDArray[Any]]:
    """Read arrays over the atoms from the ``.npz`` beside the structure's file."""
    beside = AtomArrays.beside(file)
    if beside is None:
        return {}
    try:
        arrays = AtomArrays(beside, gathering.labels.atom_columns, len(structure.atoms))
        gathering.note_columns("*.npz beside structures", arrays.meanings, of_atoms=True)
        return arrays.of(structure.atoms, ordered=not is_cif(file))
    except DataError as error:
        gathering.remark(f"{error}; its arrays were left out", where)
        return {}
