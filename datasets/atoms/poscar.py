"""Recognise a POSCAR, and check its counts, which ASE's reader does not check."""

from __future__ import annotations

from pathlib import Path

from csgnn_dgl.errors import DataError

__all__ = ["check_poscar", "is_poscar"]

_FLAGS = 3  # columns of selective dynamics after the three coordinates


def is_poscar(path: Path) -> bool:
    """Whether ASE would read a file as a POSCAR; it may be compressed."""
    import ase.io.formats  # slow to import

    try:
        return bool(ase.io.formats.filetype(str(path), guess=True) == "vasp")
    # ASE may open and parse the file, which may raise any exception.
    except Exception:
        return False


def check_poscar(path: Path) -> None:
    """Compare the counts of a POSCAR, plain or compressed, with its symbols and its rows.

    Raises
    ------
    DataError
        The counts disagree or are missing, or a row of selective dynamics is too short.
    """
    from ase.io.formats import open_with_compression  # slow to import

    try:
        with open_with_compression(str(path), "r") as file:
            lines = file.read().splitlines()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
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
            f"{path}: line {number} names {len(symbols)} elements ({' '.join(symbols)}), but line "
            f"{number + 1} has {len(counts)} counts ({' '.join(map(str, counts))})"
        )
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
            f"{path}: line {number + 1} counts {sum(counts)} atoms ({' '.join(map(str, counts))}), "
            f"but {rows} rows of positions follow; correct the counts or the rows"
        )


def _integers(line: str) -> list[int]:
    words = line.split("!")[0].split()
    return [int(word) for word in words] if words and all(w.isdigit() for w in words) else []


def _is_position(line: str) -> bool:
    words = line.split()[:3]
    try:
        return len([float(word) for word in words]) == 3
    except ValueError:
        return False
