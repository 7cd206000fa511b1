"""Read structure and density of states from VASP's ``vasprun.xml``, or ``POSCAR`` and ``DOSCAR``.

ASE reads the structures. This module reads the curves, because ASE does not read those in
``vasprun.xml``, and pymatgen would require thirteen more packages.
"""

from __future__ import annotations

import gzip
import re
import warnings
import xml.etree.ElementTree as ElementTree
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl.datasets.atoms.numbers_in_text import parse_numbers
from csgnn_dgl.datasets.atoms.structures import read_structures
from csgnn_dgl.errors import DataError
from csgnn_dgl.physics import EnergyGrid

__all__ = ["VaspRun", "find_runs", "holds_runs", "read_run"]

Floats = npt.NDArray[np.float64]

_XML = ("vasprun.xml", "vasprun.xml.gz")
_DOSCAR = ("DOSCAR", "DOSCAR.gz")
# Rounding error of energies: VASP prints four decimals in vasprun.xml, and three in DOSCAR.
_ROUNDING = 1.1e-3
# Large parts of a vasprun.xml that are not needed here.
_LARGE = ("eigenvalues", "projected", "scstep", "kpoints")
# Numbers of columns of a projected block with spin-orbit coupling, four for each orbital. With 16,
# it may also be without spin-orbit coupling.
_FOUR_EACH = (12, 36, 64)
_EITHER = 16
_NELECT = re.compile(r"NELECT\s*=\s*([\d.]+)")


@dataclass(frozen=True, eq=False)
class VaspRun:
    """Structure and curves of one calculation.

    Parameters
    ----------
    atoms
        The structure.
    grid
        Energies with VASP's zero [eV].
    dos
        Total density of states of both spins, shape ``(E,)`` [states/eV/cell].
    integrated
        States up to each energy, shape ``(E,)``.
    fermi_level
        Fermi level [eV].
    electrons
        ``NELECT`` of the cell, if it was found.
    pdos
        Curve of each atom, summed over orbitals and spins, shape ``(N, E)`` [states/eV]; None if
        there is none.
    notes
        Warnings for the user.
    """

    atoms: Atoms
    grid: EnergyGrid
    dos: Floats
    integrated: Floats
    fermi_level: float
    electrons: float | None
    pdos: Floats | None
    notes: tuple[str, ...] = ()


def find_runs(path: Path) -> list[Path]:
    """Find the file with results in a folder, or else the files in the folders below it.

    Parameters
    ----------
    path
        A folder, a ``vasprun.xml[.gz]`` or a ``DOSCAR[.gz]``.

    Raises
    ------
    DataError
        There are no results.
    """
    if path.is_file():
        if path.name.startswith(("vasprun", "DOSCAR")):
            return [path]
        raise DataError(f"{path} is neither a vasprun.xml nor a DOSCAR")
    if not path.is_dir():
        raise DataError(f"{path} does not exist")
    own = _results(path)
    if own is not None:
        return [own]
    below = [_results(place) for place in sorted(p for p in path.rglob("*") if p.is_dir())]
    found = [file for file in below if file is not None]
    if not found:
        raise DataError(f"{path} holds no vasprun.xml[.gz] and no DOSCAR, nor does a folder in it")
    return found


def holds_runs(path: Path) -> bool:
    """Whether a folder, or one below it, holds results.

    Examples
    --------
    >>> holds_runs(Path("absent"))
    False
    """
    if not path.is_dir():
        return False
    folders = (path, *(place for place in path.rglob("*") if place.is_dir()))
    return any(_results(place) is not None for place in folders)


def _results(folder: Path) -> Path | None:
    files = (folder / name for name in (*_XML, *_DOSCAR))
    return next((file for file in files if file.is_file()), None)


def read_run(file: Path) -> VaspRun:
    """Read a ``vasprun.xml[.gz]``, or a ``DOSCAR[.gz]`` with the ``POSCAR`` beside it.

    Curves of both spins are added up.

    Raises
    ------
    DataError
        The file is incomplete, has no density of states, or has words in place of numbers; or rows
        or atoms do not match.
    """
    try:
        run = _from_doscar(file) if file.name.startswith("DOSCAR") else _from_xml(file)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{file.name} cannot be read ({error})") from error
    if not np.isfinite(run.fermi_level):
        raise DataError(f"{file.name}: the Fermi level is {run.fermi_level}")
    return run


def _open(file: Path) -> IO[bytes]:
    return gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb")  # type: ignore[return-value]


def _from_xml(file: Path) -> VaspRun:
    dos: ElementTree.Element | None = None
    electrons: float | None = None
    noncollinear = False
    try:
        with _open(file) as content:
            for _, element in ElementTree.iterparse(content):
                name = element.get("name")
                if element.tag == "dos":
                    dos = element
                elif element.tag in _LARGE:
                    element.clear()
                elif name == "NELECT":
                    electrons = float(parse_numbers([element.text or ""])[0])
                elif name == "LNONCOLLINEAR":
                    noncollinear = "T" in (element.text or "")
    except ElementTree.ParseError as error:
        raise DataError(
            f"{file.name} is not whole XML ({error}): did the calculation finish?"
        ) from error
    if dos is None or dos.find("total/array/set/set") is None:
        raise DataError(f"{file.name} holds no density of states")
    total = np.array([_xml_rows(part, file) for part in dos.findall("total/array/set/set")])
    if total.ndim != 3 or total.shape[1] < 2 or total.shape[2] < 3:
        raise DataError(f"{file.name}: the rows of the density of states are too few or too short")
    atoms = _xml_structure(file)
    notes: list[str] = []
    fermi = dos.find("i[@name='efermi']")
    pdos = None
    ions = dos.findall("partial/array/set/set")
    if ions:
        curves = []
        for ion in ions:
            spins = [_xml_rows(part, file)[:, 1:].sum(axis=1) for part in ion.findall("set")]
            # With spin-orbit coupling, all sets but the first are components of the magnetisation.
            curves.append(spins[0] if noncollinear else np.sum(spins, axis=0))
        pdos = _matching(curves, len(atoms), total.shape[1], notes)
    return VaspRun(
        atoms,
        _grid(total[0, :, 0], file),
        _finite(total[:, :, 1].sum(axis=0), file, "density of states"),
        _finite(total[:, :, 2].sum(axis=0), file, "integrated density of states"),
        float(parse_numbers([(fermi.text or "").strip()])[0]) if fermi is not None else np.nan,
        electrons,
        pdos,
        tuple(notes),
    )


def _xml_rows(part: ElementTree.Element, file: Path) -> Floats:
    rows = [row.text.split() if row.text else [] for row in part.findall("r")]
    if len({len(row) for row in rows}) != 1:
        raise DataError(f"{file.name}: rows of the density of states differ in length")
    try:
        return np.array([parse_numbers(row) for row in rows])
    except DataError as error:
        raise DataError(f"{file.name}, density of states: {error}") from error


def _xml_structure(file: Path) -> Atoms:
    import ase.io  # slow to import

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atoms = ase.io.read(file, index=-1, format="vasp-xml")
    # ASE's reader may raise any exception.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{file.name}: the structure cannot be read ({reason})") from error
    assert isinstance(atoms, Atoms)
    return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)


def _from_doscar(file: Path) -> VaspRun:
    with _open(file) as content:
        lines = content.read().decode("utf-8").splitlines()
    if len(lines) < 7:
        raise DataError(f"{file.name} has {len(lines)} lines; it is not a DOSCAR, or it is cut off")
    notes: list[str] = []
    atoms = _structure_beside(file, notes)
    words = lines[0].split()
    if not words or not words[0].isdigit():
        raise DataError(f"{file.name} line 1 should begin with the number of atoms: {lines[0]!r}")
    if int(words[0]) != len(atoms):
        raise DataError(
            f"{file.name} is of {words[0]} atoms, but the structure beside it has {len(atoms)}"
        )
    highest, lowest, size, fermi = _doscar_header(lines[5], file)
    total = _doscar_rows(lines, 6, size, file)
    columns = total.shape[1]
    if columns not in (3, 5):
        raise DataError(f"{file.name} has rows of {columns} numbers; 3 or 5 are expected")
    energies = total[:, 0]
    if abs(energies[0] - lowest) > _ROUNDING or abs(energies[-1] - highest) > _ROUNDING:
        raise DataError(
            f"{file.name} line 6 says {lowest:g} … {highest:g} eV, but the rows go from "
            f"{energies[0]:g} to {energies[-1]:g} eV"
        )
    spins = (columns - 1) // 2
    pdos = None
    if len(lines) > 6 + size and lines[6 + size].strip():
        pdos = _doscar_projected(lines, size, len(atoms), spins, file, notes)
    # The header has more decimals than the rows.
    grid = EnergyGrid(lowest, (highest - lowest) / (size - 1), size, "eV", "as given")
    _grid(energies, file)
    return VaspRun(
        atoms,
        grid,
        _finite(total[:, 1 : 1 + spins].sum(axis=1), file, "density of states"),
        _finite(total[:, 1 + spins :].sum(axis=1), file, "integrated density of states"),
        fermi,
        _nelect_beside(file),
        pdos,
        tuple(notes),
    )


def _doscar_header(line: str, file: Path) -> tuple[float, float, int, float]:
    words = line.split()
    if len(words) < 4 or not words[2].isdigit():
        # Fields have fixed widths, and there may be no space between them.
        words = [line[a:b] for a, b in ((0, 16), (16, 32), (32, 37), (37, 53))]
    try:
        highest, lowest, size, fermi = parse_numbers([word.strip() for word in words[:4]])
    except DataError as error:
        raise DataError(f"{file.name} line 6: {error}") from error
    if not (np.isfinite([highest, lowest]).all() and size >= 2 and highest > lowest):
        raise DataError(f"{file.name} line 6 gives no energies: {line.strip()!r}")
    return float(highest), float(lowest), int(size), float(fermi)


def _doscar_rows(lines: list[str], first: int, size: int, file: Path) -> Floats:
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


def _doscar_projected(
    lines: list[str], size: int, n_atoms: int, spins: int, file: Path, notes: list[str]
) -> Floats | None:
    curves = []
    for index in range(n_atoms):
        first = 6 + (index + 1) * (size + 1)
        if len(lines) < first + size:
            notes.append("projected curves are missing for some atoms, and were left out")
            return None
        rows = _doscar_rows(lines, first, size, file)
        columns = rows.shape[1] - 1
        if spins == 1 and columns == _EITHER:
            notes.append(
                "projected curves of 16 columns were left out: they may be of 16 orbitals, or of "
                "four with spin-orbit coupling"
            )
            return None
        stride = 4 if spins == 1 and columns in _FOUR_EACH else 1
        curves.append(rows[:, 1::stride].sum(axis=1))
    return _matching(curves, n_atoms, size, notes)


def _matching(curves: list[Floats], n_atoms: int, size: int, notes: list[str]) -> Floats | None:
    if len(curves) == n_atoms and all(len(curve) == size for curve in curves):
        found = np.array(curves)
        if np.isfinite(found).all():
            return found
        notes.append("projected curves hold nan, and were left out")
        return None
    notes.append("projected curves do not match the atoms or the energies, and were left out")
    return None


def _grid(energies: Floats, file: Path) -> EnergyGrid:
    even = np.linspace(energies[0], energies[-1], len(energies))
    if not (energies[-1] > energies[0] and np.abs(energies - even).max() <= _ROUNDING):
        raise DataError(f"{file.name}: the energies of the rows do not ascend in even steps")
    step = (energies[-1] - energies[0]) / (len(energies) - 1)
    return EnergyGrid(float(energies[0]), float(step), len(energies), "eV", "as given")


def _finite(values: Floats, file: Path, what: str) -> Floats:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise DataError(f"{file.name}: row {bad[0] + 1} of the {what} is {values[bad[0]]}")
    return values


def _structure_beside(file: Path, notes: list[str]) -> Atoms:
    folder = file.parent
    there = [folder / name for name in ("POSCAR", "POSCAR.gz") if (folder / name).is_file()]
    if not there:
        raise DataError(f"there is no POSCAR beside {file.name}: a curve without its structure")
    atoms = read_structures(there[0])[0].atoms
    final = folder / "CONTCAR"
    if final.is_file() and final.stat().st_size:
        moved = read_structures(final)[0].atoms
        same = len(moved) == len(atoms) and bool((moved.numbers == atoms.numbers).all())
        if same and np.abs(moved.positions - atoms.positions).max() > 1e-3:
            notes.append("atoms moved in the calculation: the structure is that of CONTCAR")
            return moved
    return atoms


def _nelect_beside(file: Path) -> float | None:
    """``NELECT`` of the OUTCAR or the INCAR in the same folder."""
    for name in ("OUTCAR", "OUTCAR.gz", "INCAR"):
        other = file.parent / name
        if other.is_file():
            with _open(other) as content:
                for line in content:
                    match = _NELECT.search(line.decode("utf-8", errors="replace"))
                    if match:
                        return float(match[1])
    return None
