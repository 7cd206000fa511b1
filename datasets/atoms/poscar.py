"""Recognise a POSCAR, and check its counts, which ASE's reader does not check."""

from __future__ import annotations

import re
from pathlib import Path

from ase.data import atomic_numbers

from csgnn_dgl._foreign import excerpt, parse_integer, read_text
from csgnn_dgl.errors import DataError

__all__ = ["check_poscar", "is_poscar"]

_ELEMENTS = re.compile(r"[A-Z][a-z]?")
_DELIMITERS = re.compile(r"[-_,.=0-9^]")
_FLAGS = 3  # columns of selective dynamics after the three coordinates


def is_poscar(path: Path) -> bool:
    """Whether ASE would read a file as a POSCAR; it may be compressed."""
    import ase.io.formats  # slow to import

    try:
        return bool(ase.io.formats.filetype(str(path), guess=True) == "vasp")
    # ASE may open and parse the file, which may raise any exception.
    except Exception:
        return False


def check_poscar(path: Path) -> list[str]:
    """Compare the counts of a POSCAR, plain or compressed, with its symbols and its rows.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    list of str
        Warnings.

    Raises
    ------
    DataError
        The counts disagree or are missing, or a row of selective dynamics is too short.
    """
    lines = read_text(path).split("\n")
    number = 5
    symbols: list[str] | None = None
    if len(lines) > number and not _integers(lines[number]):
        symbols = lines[number].split("!")[0].split()
        number += 1
    counts = _integers(lines[number]) if len(lines) > number else []
    if not counts:
        raise DataError(
            f"{path} is not a POSCAR: line {number + 1} should count the atoms of each element"
        )
    if symbols is not None and len(symbols) != len(counts):
        raise DataError(
            f"{path}: line {number} names {len(symbols)} elements "
            f"({excerpt(' '.join(symbols), 60)}), but line "
            f"{number + 1} has {len(counts)} counts ({_text(counts)})"
        )
    notes = _elements_of_title(path, lines[0], counts) if symbols is None else []
    first = number + 1
    selective = len(lines) > first and lines[first].strip()[:1].lower() == "s"
    first += 2 if selective else 1  # Selective dynamics; Direct or Cartesian
    rows = 0
    # After the positions there may be a blank line, or the heading of velocities.
    for line in lines[first:]:
        if not _is_position(line):
            break
        columns = len(line.split())
        if selective and columns < 3 + _FLAGS:
            raise DataError(
                f"{path}: line {first + rows + 1} has {columns} columns, but with selective "
                f"dynamics there are {3 + _FLAGS}: coordinates, and T or F for each"
            )
        rows += 1
    if rows != sum(counts):
        raise DataError(
            f"{path}: line {number + 1} counts {sum(counts)} atoms ({_text(counts)}), "
            f"but {rows} rows of positions follow; correct the counts or the rows"
        )
    return notes


def _elements_of_title(path: Path, title: str, counts: list[int]) -> list[str]:
    """Check that the title of a POSCAR of VASP 4, which has no line of elements, names them.

    ASE takes the first elements that it finds in the title, however many they are, and otherwise
    those of a POTCAR or OUTCAR beside the file.
    """
    symbols: list[str] = []
    for word in title.split():
        found = _ELEMENTS.findall(_DELIMITERS.sub("", word))
        if "".join(found) == _DELIMITERS.sub("", word) and all(s in atomic_numbers for s in found):
            symbols += found
    if len(symbols) > len(counts):
        raise DataError(
            f"{path} has no line of elements, and its title ({excerpt(title.strip(), 60)!r}) names "
            f"{len(symbols)}, but there are {len(counts)} counts ({_text(counts)}); add a line "
            f"of elements before the counts"
        )
    source = "its title" if len(symbols) == len(counts) else "the POTCAR or OUTCAR beside it"
    return [f"the file has no line of elements; they were taken from {source}"]


def _integers(line: str) -> list[int]:
    words = line.split("!")[0].split()
    numbers = [parse_integer(word) for word in words]
    counts = [number for number in numbers if number is not None and number >= 0]
    return counts if len(counts) == len(words) else []


def _text(counts: list[int]) -> str:
    return excerpt(" ".join(map(str, counts)), 60)


def _is_position(line: str) -> bool:
    words = line.split()[:3]
    try:
        return len([float(word) for word in words]) == 3
    except ValueError:
        return False
