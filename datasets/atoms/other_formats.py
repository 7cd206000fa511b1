"""Check structure files whose readers in ASE leave out or believe something that matters."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

from csgnn_dgl._foreign import excerpt, open_text, parse_integer, read_text
from csgnn_dgl.errors import DataError

__all__ = ["check_other"]

_ADVICE = "ASE does not apply symmetry in this format; write a CIF, or all atoms of the cell"


def check_other(path: Path) -> list[str]:
    """Refuse PDB and SHELX files with symmetry, and cube files that declare more than they hold.

    Parameters
    ----------
    path
        A structure file of any format.

    Returns
    -------
    list of str
        Warnings, such as on partial occupancies of a PDB.

    Raises
    ------
    DataError
        The file gives symmetry that ASE would ignore, or declares sizes that ASE would believe.
    """
    import ase.io.formats  # slow to import

    try:
        kind = ase.io.formats.filetype(str(path), guess=True)
    # ASE may open and parse the file, which may raise any exception. Reading fails then too.
    except Exception:
        return []
    if kind == "proteindatabank":
        return _check_pdb(path)
    if kind == "res":
        _check_shelx(path)
    if kind == "cube":
        _check_cube(path)
    return []


def _check_pdb(path: Path) -> list[str]:
    partial = 0
    for line in read_text(path).split("\n"):
        if line.startswith("CRYST1"):
            group = line[55:66].strip()
            if group not in ("", "1", "P 1", "P1"):
                raise DataError(f"{path} has the space group {excerpt(group)!r}; {_ADVICE}")
        elif line.startswith(("ATOM", "HETATM")):
            # Without a number the occupancy is 1.
            with contextlib.suppress(ValueError):
                partial += 0 <= float(line[54:60]) < 1
    return [f"{partial} atoms of occupancy below 1 taken as full"] if partial else []


def _check_shelx(path: Path) -> None:
    for line in read_text(path).split("\n"):
        words = line.upper().split()
        if words[:1] == ["SYMM"] or (words[:1] == ["LATT"] and words[1:2] not in ([], ["-1"])):
            raise DataError(f"{path} has symmetry ({excerpt(line, 40)!r}); {_ADVICE}")
        if words[:1] == ["HKLF"]:
            return


def _check_cube(path: Path) -> None:
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
