"""POSCAR files, checked against their own counts."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

from ase import Atoms

from csgnn_dgl.datasets.atoms.structures import read_structures
from csgnn_dgl.errors import DataError

__all__ = ["read_poscar"]

_COUNTS = re.compile(r"^\s*\d+(\s+\d+)*\s*(!.*)?$")
# Line 6 in files of VASP 4, which have no line of symbols.
_COUNTS_4, _COUNTS_5 = 5, 6


def read_poscar(path: Path) -> Atoms:
    """The structure of a POSCAR or CONTCAR, plain or compressed.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    DataError
        Missing, unreadable, or with fewer or more lines of coordinates than its counts say.
    """
    if not path.is_file():
        raise DataError(f"there is no {path.name} in {path.parent}")
    _check_counts(path)
    return read_structures(path)[0].atoms


def _check_counts(path: Path) -> None:
    try:
        opened = gzip.open(path, "rt") if path.suffix == ".gz" else path.open(encoding="utf-8")
        with opened as file:
            lines = file.read().splitlines()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error})") from error
    place = next((i for i in (_COUNTS_4, _COUNTS_5) if i < len(lines) and _is_counts(lines[i])), -1)
    if place < 0:
        raise DataError(
            f"{path} is no POSCAR: neither its line 6 nor its line 7 holds whole numbers, the "
            f"atoms of each element"
        )
    count = sum(int(word) for word in lines[place].split("!")[0].split())
    first = place + 2
    if first <= len(lines) and lines[place + 1].strip()[:1] in ("S", "s"):
        first += 1
    found = 0
    for line in lines[first:]:
        if not line.strip() or not _is_coordinates(line):
            break
        found += 1
    if found != count:
        raise DataError(
            f"{path}: its counts (line {place + 1}: {lines[place].strip()}) make {count} atoms, "
            f"but {found} lines of coordinates follow"
        )


def _is_counts(line: str) -> bool:
    return bool(_COUNTS.match(line))


def _is_coordinates(line: str) -> bool:
    try:
        return len([float(word) for word in line.split()[:3]]) == 3
    except ValueError:
        return False
