"""Which columns, keys and arrays of a user's files are used, and which are not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

__all__ = ["Column", "ColumnCount", "column_lines", "meant_column", "unused_files"]

# Endings of files that may hold data; others, such as pictures and notes, are not listed.
_DATA = (".csv", ".extxyz", ".json", ".npy", ".npz", ".xyz", ".h5", ".parquet", ".dat")
# Smallest similarity to a known name at which a name counts as its misspelling.
_ALIKE = 0.8


@dataclass(frozen=True)
class Column:
    """A column, key or array of a file, and its use.

    Parameters
    ----------
    place
        Where it was found, such as ``"train.extxyz header"``.
    name
        Its name there.
    meaning
        What it is used for; None if it is not used.
    note
        Why it is not used, or where it is missing.
    """

    place: str
    name: str
    meaning: str | None
    note: str = ""


def meant_column(name: str, known: Iterable[str]) -> str | None:
    """Find the known column that ``name`` probably misspells.

    Examples
    --------
    >>> meant_column("fermi_levl", ["dos", "fermi_level"])
    'fermi_level'
    >>> meant_column("energy", ["dos", "fermi_level"]) is None
    True
    """
    close = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=_ALIKE)
    return close[0] if close else None


def unused_files(folder: Path, columns: Iterable[Column]) -> list[Column]:
    """Find files of data in a folder that no column comes from.

    Parameters
    ----------
    folder
        The folder that was read.
    columns
        Columns of the files that were read; the first word of each place names its file, or a
        pattern such as ``*.npz``.
    """
    if not folder.is_dir():
        return []
    read = {column.place.split()[0] for column in columns if column.place}
    there = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in _DATA and p.is_file())
    return [
        Column("files", name, None)
        for name in there
        if not name.startswith(".") and not any(fnmatch(name, known) for known in read)
    ]


class ColumnCount:
    """Counts in how many entries (frames, rows, files) of a place each column is found."""

    def __init__(self) -> None:
        self._meanings: dict[tuple[str, str], str | None] = {}
        self._notes: dict[tuple[str, str], str] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._entries: dict[str, int] = {}

    def add(
        self,
        place: str,
        found: Mapping[str, str | None],
        *,
        notes: Mapping[str, str] | None = None,
    ) -> None:
        """Count the columns of one entry.

        Parameters
        ----------
        place
            Where the entry is.
        found
            Its columns, with their uses; None for those that are not used.
        notes
            Remarks on some of them.
        """
        self._entries[place] = self._entries.get(place, 0) + 1
        for name, meaning in found.items():
            key = (place, name)
            self._meanings[key] = meaning
            self._counts[key] = self._counts.get(key, 0) + 1
        for name, note in (notes or {}).items():
            self._notes[place, name] = note

    def columns(self) -> tuple[Column, ...]:
        """All columns, in the order in which they were first found."""
        found = []
        for (place, name), meaning in self._meanings.items():
            count, entries = self._counts[place, name], self._entries[place]
            parts = [self._notes.get((place, name), "")]
            if count < entries:
                parts.append(f"in {count} of {entries}")
            found.append(Column(place, name, meaning, ", ".join(filter(None, parts))))
        return tuple(found)


def column_lines(columns: Iterable[Column]) -> list[str]:
    """List the columns that are used and those that are not, with a line for each place.

    Examples
    --------
    >>> found = [
    ...     Column("a.extxyz header", "dos", "density of states"),
    ...     Column("a.extxyz header", "energy", None),
    ... ]
    >>> print("\\n".join(column_lines(found)))
      columns that are used:
        a.extxyz header: dos (density of states)
      columns that are not used:
        a.extxyz header: energy
    """
    used: dict[str, list[str]] = {}
    unused: dict[str, list[str]] = {}
    for column in columns:
        remark = "; ".join(filter(None, (column.meaning, column.note)))
        lists = unused if column.meaning is None else used
        text = f"{column.name} ({remark})" if remark else column.name
        lists.setdefault(column.place, []).append(text)
    if not used and not unused:
        return []
    lines = ["  columns that are used:", *_lines(used)]
    if not unused:
        return [*lines, "  columns that are not used: none"]
    return [*lines, "  columns that are not used:", *_lines(unused)]


def _lines(places: Mapping[str, list[str]]) -> list[str]:
    return [f"    {place}: {', '.join(names)}" for place, names in places.items()]
