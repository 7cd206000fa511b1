"""Check structure files whose readers in ASE leave out or believe something that matters."""

from __future__ import annotations

import contextlib
import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from csgnn_dgl._foreign import excerpt, open_text, parse_integer, read_text, reading
from csgnn_dgl.errors import DataError

__all__ = ["check_json_text", "check_other"]

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
    CFG, cube, JSON and trajectory files that declare more than they hold.

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


def _check_cfg(path: Path) -> list[str]:
    """ASE makes room for the columns that the header declares before it reads them."""
    with open_text(path) as file:
        lines = file.read().split("\n")
    longest = max(len(line.split()) for line in lines)
    for line in lines:
        key, _, value = line.partition("=")
        limit = {"entry_count": longest, "Number of particles": len(lines)}.get(key.strip())
        number = parse_integer(value) if limit is not None else None
        if limit is not None and (number is None or number > limit):
            raise DataError(
                f"{path} declares {excerpt(key.strip())} = {excerpt(value, 60)}, but no more than "
                f"{limit} are there"
            )
    return []


def _check_json(path: Path) -> list[str]:
    with reading(path):
        check_json_text(read_text(path), str(path))
    return []


def check_json_text(text: str, name: str) -> str:
    """Return ASE's JSON unchanged if the arrays in it have the sizes that are declared.

    ASE makes room for an array before it fills it, and fills all of it with a single number.

    Parameters
    ----------
    text
        The JSON.
    name
        Where it is from, for messages.

    Raises
    ------
    DataError
        An array is declared larger than it is.
    """

    def check(found: dict[str, Any]) -> dict[str, Any]:
        if "__ndarray__" in found:
            # What has another form is refused by ASE.
            with contextlib.suppress(TypeError, ValueError):
                shape, kind, values = found["__ndarray__"]
                declared = math.prod(shape) * (2 if str(kind).startswith("complex") else 1)
                if len(values) != declared:
                    raise _SizeError(shape, len(values))
        return found

    try:
        json.loads(text, object_hook=check)
    except _SizeError as error:
        shape, there = error.args
        raise DataError(
            f"{name} declares an array of the shape {excerpt(shape, 60)}, but gives {there} "
            f"numbers for it"
        ) from None
    return text


class _SizeError(Exception):
    """An array has another number of values than its shape."""


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


def _check_trajectory(path: Path) -> list[str]:
    """Sizes in ASE's binary trajectories: ASE allocates arrays as large as declared."""
    size = path.stat().st_size
    with path.open("rb") as file, reading(path):
        start = file.read(48)
        items, first = struct.unpack_from("<qq", start, 32)
        if not (0 <= items <= size // 8 and 0 <= first <= size - 8 * items):
            raise DataError(f"{path} declares {items} frames, more than its {size} bytes hold")
        file.seek(first)
        for place in struct.unpack(f"<{items}q", file.read(8 * items)):
            if not 0 <= place <= size - 8:
                raise DataError(f"{path} has a frame at byte {place} of {size}")
            file.seek(place)
            (length,) = struct.unpack("<q", file.read(8))
            if not 0 <= length <= size - place - 8:
                raise DataError(f"{path} declares {length} bytes in a frame, but has {size}")
            json.loads(file.read(length), object_hook=lambda found: _fits(found, path, size))
    return []


def _fits(found: dict[str, Any], path: Path, size: int) -> dict[str, Any]:
    """Refuse an array of a trajectory that is larger than the file."""
    if "ndarray" in found:
        shape, kind, place = found["ndarray"]
        if math.prod(map(abs, shape)) * np.dtype(kind).itemsize > size - abs(place):
            raise DataError(
                f"{path} declares an array of shape {excerpt(shape, 60)}, more than it holds"
            )
    return found


_CHECKS: dict[str, Callable[[Path], list[str]]] = {
    "proteindatabank": _check_pdb,
    "res": _check_shelx,
    "cfg": _check_cfg,
    "cube": _check_cube,
    "json": _check_json,
    "traj": _check_trajectory,
    "lammps-dump-text": _check_dump,
    "lammps-dump-binary": _check_binary_dump,
    "lammps-data": _check_lammps_data,
    "gromacs": lambda path: [_GUESSED],
    "gromos": lambda path: [_GUESSED],
}
