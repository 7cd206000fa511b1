"""Check structure files whose readers in ASE leave out or believe something that matters."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from pathlib import Path

from csgnn_dgl._foreign import excerpt, open_text, parse_integer, read_text
from csgnn_dgl.errors import DataError

__all__ = ["check_other"]

_ADVICE = "ASE does not apply symmetry in this format; write a CIF, or all atoms of the cell"
# ASE would take the first type for hydrogen, the second for helium, and so on.
_TYPES = (
    "numbers the types of its atoms, but names no elements; write them (dump_modify element), or "
    "convert the file to extxyz"
)
_MASSES = "elements were guessed from masses"
_GUESSED = "elements were guessed from the names of atoms, where CA may be carbon or calcium"


def check_other(path: Path) -> list[str]:
    """Refuse files that ASE reads wrongly, and note what it guesses.

    These are PDB and SHELX files with symmetry, LAMMPS files with types instead of elements, and
    cube files that declare more than they hold.

    Parameters
    ----------
    path
        A structure file of any format.

    Returns
    -------
    list of str
        Warnings: on partial occupancies, and on elements that are guessed.

    Raises
    ------
    DataError
        The file gives symmetry that ASE would ignore, no elements, or sizes that it does not have.
    """
    import ase.io.formats  # slow to import

    try:
        kind = ase.io.formats.filetype(str(path), guess=True)
    # ASE may open and parse the file, which may raise any exception. Reading fails then too.
    except Exception:
        return []
    check = _CHECKS.get(str(kind))
    return [] if check is None else check(path)


def _check_pdb(path: Path) -> list[str]:
    partial = guessed = 0
    for line in read_text(path).split("\n"):
        if line.startswith("CRYST1"):
            group = line[55:66].strip()
            if group not in ("", "1", "P 1", "P1"):
                raise DataError(f"{path} has the space group {excerpt(group)!r}; {_ADVICE}")
        elif line.startswith(("ATOM", "HETATM")):
            # Without a number the occupancy is 1.
            with contextlib.suppress(ValueError):
                partial += 0 <= float(line[54:60]) < 1
            guessed += not line[76:78].strip()
    notes = [f"{partial} atoms of occupancy below 1 taken as full"] if partial else []
    return [*notes, _GUESSED] if guessed else notes


def _check_shelx(path: Path) -> list[str]:
    for line in read_text(path).split("\n"):
        words = line.upper().split()
        if words[:1] == ["SYMM"] or (words[:1] == ["LATT"] and words[1:2] not in ([], ["-1"])):
            raise DataError(f"{path} has symmetry ({excerpt(line, 40)!r}); {_ADVICE}")
        if words[:1] == ["HKLF"]:
            break
    return []


def _check_cube(path: Path) -> list[str]:
    """ASE makes room for the atoms and the grid that the header declares before it reads them."""
    with open_text(path) as file:
        lines = [file.readline() for _ in range(6)]
        # Each number takes two characters or more.
        there = sum(len(line) for line in file) // 2
    sizes = [abs(parse_integer(line.split()[0]) or 0) if line.split() else 0 for line in lines[2:]]
    declared = sizes[0] + math.prod(sizes[1:])
    if declared > there:
        raise DataError(
            f"{path} declares {sizes[0]} atoms and a grid of "
            f"{' × '.join(map(str, sizes[1:]))} values, but ends before"
        )
    return []


def _check_dump(path: Path) -> list[str]:
    with open_text(path) as file:
        for line in file:
            if line.startswith("ITEM: ATOMS"):
                columns = line.split()[2:]
                if "element" not in columns and "mass" not in columns:
                    raise DataError(f"{path} {_TYPES}")
                return [] if "element" in columns else [_MASSES]
    return []


def _check_lammps_data(path: Path) -> list[str]:
    with open_text(path) as file:
        if any(line.split()[:1] == ["Masses"] for line in file):
            return [_MASSES]
    raise DataError(f"{path} {_TYPES}")


def _check_binary_dump(path: Path) -> list[str]:
    raise DataError(f"{path} {_TYPES}")


_CHECKS: dict[str, Callable[[Path], list[str]]] = {
    "proteindatabank": _check_pdb,
    "res": _check_shelx,
    "cube": _check_cube,
    "lammps-dump-text": _check_dump,
    "lammps-dump-binary": _check_binary_dump,
    "lammps-data": _check_lammps_data,
    "gromacs": lambda path: [_GUESSED],
    "gromos": lambda path: [_GUESSED],
}
