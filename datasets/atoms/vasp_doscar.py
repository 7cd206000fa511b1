"""Read density of states and structure from ``DOSCAR`` and ``POSCAR``."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl._foreign import check_file, excerpt, parse_integer, read_bytes, reading
from csgnn_dgl.datasets.atoms.numbers_in_text import parse_numbers
from csgnn_dgl.datasets.atoms.structures import read_structures
from csgnn_dgl.datasets.atoms.vasp_run import (
    ROUNDING,
    VaspRun,
    even_grid,
    make_run,
    matching,
)
from csgnn_dgl.errors import DataError
from csgnn_dgl.physics import EnergyGrid

__all__ = ["read_doscar"]

Floats = npt.NDArray[np.float64]

# Numbers of columns of a projected block with spin-orbit coupling, four for each orbital. With 16,
# it may also be without spin-orbit coupling.
_FOUR_EACH = (12, 36, 64)
_EITHER = 16
_NELECT = re.compile(r"\bNELECT\s*=\s*([^\s;]+)")
# A line of an OUTCAR or INCAR is shorter than this.
_LINE = 4096


def read_doscar(file: Path) -> VaspRun:
    """Read a ``DOSCAR[.gz]`` with the ``POSCAR`` (or ``CONTCAR``) beside it.

    Raises
    ------
    DataError
        The file is incomplete, or does not fit its structure.
    """
    # The name of the system in line 5 may be in any encoding.
    lines = read_bytes(file).decode("utf-8", errors="replace").splitlines()
    if len(lines) < 7:
        raise DataError(f"{file.name} has {len(lines)} lines; it is not a DOSCAR, or it is cut off")
    notes: list[str] = []
    atoms = _structure_beside(file, notes)
    count = parse_integer(lines[0].split()[0]) if lines[0].split() else None
    if count is None:
        raise DataError(
            f"{file.name} line 1 should begin with the number of atoms: '{excerpt(lines[0], 60)}'"
        )
    if count != len(atoms):
        raise DataError(
            f"{file.name} is of {count} atoms, but the structure beside it has {len(atoms)}"
        )
    highest, lowest, size, fermi = _header(lines[5], file)
    if size > len(lines) - 6:
        raise DataError(
            f"{file.name} ends after {len(lines) - 6} of {size} rows: did the calculation finish?"
        )
    total = _block(lines, 6, size, file)
    columns = total.shape[1]
    if columns not in (3, 5):
        raise DataError(f"{file.name} has rows of {columns} numbers; 3 or 5 are expected")
    energies = total[:, 0]
    if not (abs(energies[0] - lowest) <= ROUNDING and abs(energies[-1] - highest) <= ROUNDING):
        raise DataError(
            f"{file.name} line 6 says {lowest:g} … {highest:g} eV, but the rows go from "
            f"{energies[0]:g} to {energies[-1]:g} eV"
        )
    spins = (columns - 1) // 2
    pdos = None
    if len(lines) > 6 + size and lines[6 + size].strip():
        pdos = _projected(lines, size, len(atoms), spins, file, notes)
    even_grid(energies, file)
    return make_run(
        file,
        atoms,
        # The header has more decimals than the rows.
        EnergyGrid(lowest, (highest - lowest) / (size - 1), size, "eV", "as given"),
        (total[:, 1 : 1 + spins].sum(axis=1), total[:, 1 + spins :].sum(axis=1)),
        fermi_level=fermi,
        electrons=_nelect_beside(file, notes),
        pdos=pdos,
        gap=None,
        notes=notes,
    )


def _header(line: str, file: Path) -> tuple[float, float, int, float]:
    words = line.split()
    if len(words) < 4 or parse_integer(words[2]) is None:
        # Fields have fixed widths, and there may be no space between them.
        fixed = [line[a:b].strip() for a, b in ((0, 16), (16, 32), (32, 37), (37, 53))]
        if all(len(field.split()) == 1 for field in fixed) and line[37:38] in " -":
            words = fixed
    try:
        highest, lowest, fermi = parse_numbers([words[place] for place in (0, 1, 3)])
    except (DataError, IndexError) as error:
        why = error if isinstance(error, DataError) else "it has fewer than four numbers"
        raise DataError(f"{file.name} line 6: {why}") from error
    size = parse_integer(words[2])
    if size is None:
        raise DataError(
            f"{file.name} line 6 should give the number of energies, not '{excerpt(words[2], 40)}'"
        )
    if not (np.isfinite([highest, lowest]).all() and size >= 2 and highest > lowest):
        raise DataError(f"{file.name} line 6 gives no energies: '{excerpt(line, 100)}'")
    return float(highest), float(lowest), size, float(fermi)


def _block(lines: list[str], first: int, size: int, file: Path) -> Floats:
    there = [line.split() for line in lines[first : first + size]]
    if len(there) < size or not there[-1]:
        found = sum(bool(row) for row in there)
        raise DataError(
            f"{file.name} ends after {found} of {size} rows: did the calculation finish?"
        )
    rows = []
    for number, row in enumerate(there, start=first + 1):
        if len(row) != len(there[0]):
            raise DataError(
                f"{file.name} line {number} has {len(row)} numbers, the first row {len(there[0])}"
            )
        try:
            rows.append(parse_numbers(row))
        except DataError as error:
            raise DataError(f"{file.name} line {number}: {error}") from error
    return np.array(rows)


def _projected(
    lines: list[str], size: int, n_atoms: int, spins: int, file: Path, notes: list[str]
) -> Floats | None:
    curves = []
    for index in range(n_atoms):
        first = 6 + (index + 1) * (size + 1)
        if len(lines) < first + size:
            notes.append("projected curves are missing for some atoms, and were left out")
            return None
        try:
            rows = _block(lines, first, size, file)
        except DataError as error:
            notes.append(f"projected curves were left out: {error}")
            return None
        columns = rows.shape[1] - 1
        if spins == 1 and columns == _EITHER:
            notes.append(
                "projected curves of 16 columns were left out: they may be of 16 orbitals, or of "
                "four with spin-orbit coupling"
            )
            return None
        stride = 4 if spins == 1 and columns in _FOUR_EACH else 1
        curves.append(rows[:, 1::stride].sum(axis=1))
    return matching(curves, n_atoms, size, notes)


def _structure_beside(file: Path, notes: list[str]) -> Atoms:
    folder = file.parent
    there = [folder / name for name in ("POSCAR", "POSCAR.gz") if (folder / name).is_file()]
    if not there:
        raise DataError(f"there is no POSCAR beside {file.name}: a curve without its structure")
    atoms = read_structures(there[0])[0].atoms
    final = folder / "CONTCAR"
    if final.is_file() and final.stat().st_size:
        try:
            moved = read_structures(final)[0].atoms
        except DataError as error:
            notes.append(f"the structure is that of {there[0].name}: {error}")
            return atoms
        if len(moved) != len(atoms) or bool((moved.numbers != atoms.numbers).any()):
            notes.append(
                f"the structure is that of {there[0].name}: CONTCAR has other atoms "
                f"({moved.get_chemical_formula()})"
            )
            return atoms
        cells = np.abs(moved.cell.array - atoms.cell.array).max()
        if max(cells, np.abs(moved.positions - atoms.positions).max()) > 1e-3:
            notes.append("atoms moved in the calculation: the structure is that of CONTCAR")
            return moved
    return atoms


def _nelect_beside(file: Path, notes: list[str]) -> float | None:
    """``NELECT`` of the OUTCAR or the INCAR in the same folder."""
    for name in ("OUTCAR", "OUTCAR.gz", "INCAR"):
        other = file.parent / name
        if not other.is_file():
            continue
        try:
            with reading(other):
                word = _find_nelect(other)
        except DataError as error:
            notes.append(f"no NELECT from {name}: {error}")
            continue
        if word is None:
            continue
        try:
            found = float(parse_numbers([word])[0])
        except DataError as error:
            notes.append(f"NELECT in {name} was left out: {error}")
            continue
        if np.isfinite(found):
            return found
        notes.append(f"NELECT in {name} was left out: it is {found}")
    return None


def _find_nelect(file: Path) -> str | None:
    check_file(file)
    if file.suffix == ".gz":
        lines = iter(read_bytes(file).splitlines())
        return _first_nelect(lines)
    with file.open("rb") as content:
        return _first_nelect(iter(lambda: content.readline(_LINE), b""))


def _first_nelect(lines: object) -> str | None:
    for line in lines:  # type: ignore[attr-defined]
        # After # or ! there are comments.
        match = _NELECT.search(re.split("[#!]", line.decode("utf-8", errors="replace"))[0])
        if match:
            return match[1]
    return None
