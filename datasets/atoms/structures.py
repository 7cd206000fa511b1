"""Structure files → atoms: CIF by gemmi, with ASE where gemmi is too strict; the rest by ASE."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import ase.io
import ase.io.formats
import numpy as np
from ase import Atoms
from vesin import NeighborList

from csgnn_dgl.datasets.atoms.cif import read_cif
from csgnn_dgl.datasets.atoms.poscar_counts import check_poscar
from csgnn_dgl.datasets.atoms.structure import Occupancy, Structure
from csgnn_dgl.errors import ConfigError, DataError, suggest

__all__ = ["Occupancy", "Structure", "read_structures"]

# No two nuclei stand closer in any structure that is not a mistake [Å].
_TOUCHING = 0.05


def read_structures(path: Path, *, occupancy: Occupancy = "refuse") -> list[Structure]:
    """All structures of a file: CIF, POSCAR, extxyz, xyz and whatever else ASE reads.

    Parameters
    ----------
    path
        The file.
    occupancy
        What to do with sites of a CIF that are not fully occupied: ``"refuse"`` the file, naming
        them; keep the ``"majority"`` species of each position, and none where the position is
        empty more often than not; or take every site as ``"full"``.

    Raises
    ------
    DataError
        Missing or unreadable file, no sites, unknown space group, partial or unknown occupancies,
        a singular cell, positions that are not finite, two atoms at one place, or a POSCAR whose
        counts disagree with its lines. The message says which.
    ConfigError
        Unknown ``occupancy``.
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
    if path.name.lower().removesuffix(".gz").endswith((".cif", ".mcif")):
        found = read_cif(path, occupancy, lambda file: _read_by_ase(file, format="cif"))
    else:
        if _is_poscar(path):
            check_poscar(path)
        found = [
            Structure(atoms, f"{path}[{index}]", "ASE")
            for index, atoms in enumerate(_read_by_ase(path))
        ]
        if len(found) == 1:
            found = [Structure(found[0].atoms, str(path), "ASE")]
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


def _is_poscar(path: Path) -> bool:
    try:
        return bool(ase.io.formats.filetype(str(path), guess=True) == "vasp")
    # ASE may open and parse the file to find out.
    except Exception:
        return False


def _read_by_ase(path: Path, format: str | None = None) -> Sequence[Atoms]:
    try:
        with warnings.catch_warnings():
            # ASE's remarks on settings of space groups and the like.
            warnings.simplefilter("ignore")
            found = ase.io.read(path, index=":", format=format)
    # ASE's readers raise whatever comes up in them.
    except Exception as error:
        reason = " ".join(str(error).split())
        if isinstance(error, KeyError):
            reason = f"{reason} is not known"
        elif "could not broadcast" in reason:
            reason = "a row has too few columns"
        elif not reason or isinstance(error, IndexError):
            reason = "it ends too early, or its lines are not those of its format"
        short = reason if len(reason) <= 200 else f"{reason[:200]} …"
        raise DataError(f"{path} cannot be read: {short}") from error
    return [found] if isinstance(found, Atoms) else list(found)
