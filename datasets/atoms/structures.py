"""Read structure files: CIF with gemmi (ASE where gemmi is too strict), others with ASE."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from ase import Atoms
from vesin import NeighborList

from csgnn_dgl.datasets.atoms.cif import read_cif
from csgnn_dgl.datasets.atoms.poscar import check_poscar, is_poscar
from csgnn_dgl.datasets.atoms.structure import Occupancy, Structure
from csgnn_dgl.datasets.readers import Reader, find_reader, readers
from csgnn_dgl.errors import ConfigError, DataError, suggest

__all__ = ["STRUCTURE_READERS", "Occupancy", "Structure", "is_cif", "read_structures"]

# Distance below which two atoms are considered a mistake [Å].
_TOUCHING = 0.05


def read_structures(path: Path, *, occupancy: Occupancy = "refuse") -> list[Structure]:
    """Read all structures of a file: CIF, POSCAR, extxyz, xyz and other formats that ASE reads.

    Parameters
    ----------
    path
        The file, in a format of :data:`STRUCTURE_READERS` or of a reader that was registered
        (:func:`csgnn_dgl.datasets.readers.register`).
    occupancy
        Treatment of sites of a CIF that are not fully occupied. ``"refuse"`` raises an error that
        names them; ``"majority"`` keeps the likelier species of each position, or none where the
        position is empty more often than not; ``"full"`` treats every site as fully occupied.

    Raises
    ------
    DataError
        The file is missing or unreadable; it has no sites, an unknown space group, partial or
        unknown occupancies, a singular cell, positions that are not finite, or two atoms at one
        place; or the counts of a POSCAR disagree with its lines. The message says which.
    ConfigError
        ``occupancy`` is unknown.
    """
    if occupancy not in get_args(Occupancy):
        raise ConfigError(
            f"unknown occupancy {occupancy!r}: {suggest(occupancy, get_args(Occupancy))}"
        )
    if not path.is_file():
        raise DataError(
            f"{path} is a folder, not a file" if path.is_dir() else f"{path} does not exist"
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes)")
    reader = find_reader(path, readers("structure file", STRUCTURE_READERS))
    assert reader is not None, "the last reader takes any file"
    found: list[Structure] = reader.load(path, occupancy)
    for structure in found:
        _check(structure)
    return found


def _check(structure: Structure) -> None:
    atoms, where = structure.atoms, structure.source
    if len(atoms) == 0:
        raise DataError(f"{where} holds no atoms")
    lost = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
    if len(lost):
        raise DataError(
            f"{where}: positions are NaN or infinite: atom {lost[0]} "
            f"({atoms.symbols[lost[0]]}){f' and {len(lost) - 1} more' if len(lost) > 1 else ''}"
        )
    if not np.isfinite(atoms.cell.array).all():
        raise DataError(f"{where}: the cell is NaN or infinite")
    if (atoms.numbers < 1).any():
        bad = int((atoms.numbers < 1).argmax())
        raise DataError(f"{where}: atom {bad} is of no known element")
    if atoms.pbc.all() and abs(atoms.cell.volume) < 1e-3 * len(atoms):
        raise DataError(
            f"{where}: the cell has a volume of {abs(atoms.cell.volume):.3g} Å³: it is singular, "
            f"or not in Å"
        )
    _check_places(structure)


def _check_places(structure: Structure) -> None:
    atoms = structure.atoms
    i, j = NeighborList(cutoff=_TOUCHING, full_list=True).compute(
        points=np.ascontiguousarray(atoms.positions),
        box=np.ascontiguousarray(atoms.cell.array),
        periodic=[bool(flag) for flag in atoms.pbc],
        quantities="ij",
    )
    if len(i):
        pair = sorted((int(i[0]), int(j[0])))
        raise DataError(
            f"{structure.source}: atoms {pair[0]} and {pair[1]} are at one place; remove one"
        )


def is_cif(path: Path) -> bool:
    """Whether a file is a CIF by its name.

    Examples
    --------
    >>> is_cif(Path("a.cif.gz")), is_cif(Path("POSCAR"))
    (True, False)
    """
    return path.name.lower().removesuffix(".gz").endswith((".cif", ".mcif"))


def _load_cif(path: Path, occupancy: Occupancy) -> list[Structure]:
    return read_cif(path, occupancy, lambda file: _read_by_ase(file, format="cif"))


def _load_poscar(path: Path, occupancy: Occupancy) -> list[Structure]:
    check_poscar(path)
    return _load_by_ase(path, occupancy)


def _load_by_ase(path: Path, occupancy: Occupancy) -> list[Structure]:
    found = _read_by_ase(path)
    several = len(found) > 1
    return [
        Structure(atoms, f"{path}[{index}]" if several else str(path), "ASE")
        for index, atoms in enumerate(found)
    ]


def _read_by_ase(path: Path, format: str | None = None) -> Sequence[Atoms]:
    import ase.io  # takes half a second, and CIFs do not need it

    try:
        with warnings.catch_warnings():
            # ASE warns about settings of space groups and other details.
            warnings.simplefilter("ignore")
            found = ase.io.read(path, index=":", format=format)
    # ASE's readers may raise any exception.
    except Exception as error:
        reason = " ".join(str(error).split())
        if isinstance(error, KeyError):
            reason = f"{reason} is not known"
        elif not reason or isinstance(error, IndexError):
            reason = "it ends too early, or its lines do not follow its format"
        short = reason if len(reason) <= 200 else f"{reason[:200]} …"
        raise DataError(f"{path} cannot be read: {short}") from error
    return [found] if isinstance(found, Atoms) else list(found)


#: Formats of structure files, in the order in which they are tried.
STRUCTURE_READERS = (
    Reader("structure file", "CIF", ".cif .mcif, by gemmi", is_cif, _load_cif),
    Reader("structure file", "POSCAR", "POSCAR CONTCAR .vasp, by ASE", is_poscar, _load_poscar),
    Reader("structure file", "others", "formats of ASE", lambda path: True, _load_by_ase),
)
