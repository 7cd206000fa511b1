"""Read structure files: CIF with gemmi, others with ASE."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from csgnn_dgl._foreign import check_expansion, check_file, reading
from csgnn_dgl._pairs import element_problem, find_pairs, structure_problem
from csgnn_dgl.datasets.atoms.cif import read_cif
from csgnn_dgl.datasets.atoms.other_formats import check_other
from csgnn_dgl.datasets.atoms.poscar import check_poscar, is_poscar
from csgnn_dgl.datasets.atoms.structure import Occupancy, Structure
from csgnn_dgl.datasets.atoms.xyz import is_xyz, read_xyz
from csgnn_dgl.datasets.readers import Reader, find_reader, readers
from csgnn_dgl.errors import ConfigError, DataError, suggest

__all__ = [
    "STRUCTURE_READERS",
    "Occupancy",
    "Structure",
    "check_structure",
    "is_cif",
    "read_structures",
]

# Distance below which two atoms are considered a mistake [Å].
_TOUCHING = 0.05
# Smallest volume of an atom; hydrogen at 500 GPa has three times as much [Å³].
_DENSEST = 0.4
# Structures are rarely as long as this [Å].
_LONG = 1e4
# Share of the sum of two covalent radii that no bond is shorter than.
_SHORT_BOND = 0.6
# Largest distance of the nearest atom in matter [Å].
_LONG_BOND = 6.0


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
        The file is missing, unreadable, a device or a pipe, or expands to far more than data do; it
        has no sites, an unknown space group or operation of symmetry, partial or unknown
        occupancies, a singular cell, positions that are not finite, or two atoms at one place; or
        what it declares disagrees with its lines. The message says which.
    ConfigError
        ``occupancy`` is unknown.
    """
    if occupancy not in get_args(Occupancy):
        raise ConfigError(
            f"unknown occupancy {occupancy!r}: {suggest(occupancy, get_args(Occupancy))}"
        )
    check_file(path)
    with reading(path):
        check_expansion(path)
        reader = find_reader(path, readers("structure file", STRUCTURE_READERS))
        assert reader is not None, "the last reader takes any file"
        found: list[Structure] = reader.load(path, occupancy)
        return [check_structure(structure) for structure in found]


def check_structure(structure: Structure) -> Structure:
    """Refuse a structure that cannot be used, and add warnings on what looks wrong.

    Raises
    ------
    DataError
        As :func:`read_structures`, apart from what concerns the file.
    """
    atoms, where = structure.atoms, structure.source
    if len(atoms) == 0:
        raise DataError(f"{where} holds no atoms")
    if not np.isfinite(atoms.cell.array).all():
        raise DataError(f"{where}: the cell is NaN or infinite")
    # Before any message that names an element.
    if problem := element_problem(atoms):
        raise DataError(f"{where}: {problem}")
    lost = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
    if len(lost):
        raise DataError(
            f"{where}: positions are NaN or infinite: atom {lost[0]} "
            f"({atoms.symbols[lost[0]]}){f' and {len(lost) - 1} more' if len(lost) > 1 else ''}"
        )
    problem = structure_problem(atoms)
    if problem is not None:
        raise DataError(f"{where}: {problem}")
    if atoms.pbc.all() and abs(atoms.cell.volume) < _DENSEST * len(atoms):
        raise DataError(
            f"{where}: the cell has a volume of {abs(atoms.cell.volume):.3g} Å³ for {len(atoms)} "
            f"atoms: it is singular, or not in Å"
        )
    notes = _about_distances(structure)
    size = max(np.abs(atoms.positions).max(), np.abs(atoms.cell.array[atoms.pbc]).max(initial=0))
    if size > _LONG:
        notes.append(f"the structure reaches over {size:.3g} Å; check the units")
    if atoms.cell.rank and not atoms.pbc.any():
        notes.append("the file gives a cell, but no periodic direction; the cell is not used")
    return replace(structure, warnings=(*structure.warnings, *notes))


def _about_distances(structure: Structure) -> list[str]:
    """Refuse atoms at one place, and note distances that matter does not have."""
    atoms = structure.atoms
    radii = covalent_radii[np.minimum(atoms.numbers, len(covalent_radii) - 1)]
    cutoff = max(2 * _SHORT_BOND * float(radii.max()), _LONG_BOND if len(atoms) < 200 else 0.0)
    i, j, d = find_pairs(atoms.positions, atoms.cell.array, atoms.pbc, cutoff)
    distances = np.linalg.norm(d, axis=1)
    if len(i) == 0:
        far = atoms.pbc.all() and len(atoms) < 200
        return [f"no atom has a neighbour within {_LONG_BOND:g} Å; check the units"] if far else []
    at_one_place = np.flatnonzero(distances < _TOUCHING)
    if len(at_one_place):
        pair = sorted((int(i[at_one_place[0]]), int(j[at_one_place[0]])))
        raise DataError(
            f"{structure.source}: atoms {pair[0]} and {pair[1]} are at one place; remove one"
        )
    share = distances / (radii[i] + radii[j])
    least = int(share.argmin())
    if share[least] >= _SHORT_BOND:
        return []
    short = np.flatnonzero(share < _SHORT_BOND)
    symbols = atoms.get_chemical_symbols()
    names = [f"{symbols[k]} {k}" for k in sorted((int(i[least]), int(j[least])))]
    return [
        f"atoms {names[0]} and {names[1]} are {distances[least]:.2f} Å apart, closer than any bond"
        f"{f', and {len(short) // 2 - 1} more pairs' if len(short) > 3 else ''}"
    ]


def is_cif(path: Path) -> bool:
    """Whether a file is a CIF by its name.

    Examples
    --------
    >>> is_cif(Path("a.cif.gz")), is_cif(Path("POSCAR"))
    (True, False)
    """
    name = path.name.lower()
    for suffix in (".gz", ".bz2", ".xz"):
        name = name.removesuffix(suffix)
    return name.endswith((".cif", ".mcif"))


def _load_poscar(path: Path, occupancy: Occupancy) -> list[Structure]:
    return _by_ase(path, notes=check_poscar(path))


def _load_xyz(path: Path, occupancy: Occupancy) -> list[Structure]:
    return _named(read_xyz(path), path)


def _load_other(path: Path, occupancy: Occupancy) -> list[Structure]:
    return _by_ase(path, notes=check_other(path))


def _by_ase(path: Path, *, notes: Sequence[str] = ()) -> list[Structure]:
    import ase.io  # takes half a second, and CIFs do not need it
    from ase.io.formats import UnknownFileTypeError

    with warnings.catch_warnings():
        # ASE warns about settings of space groups and other details.
        warnings.simplefilter("ignore")
        try:
            read = ase.io.read(path, index=":", do_not_split_by_at_sign=True)
        except UnknownFileTypeError as error:
            raise DataError(f"{path} cannot be read: it is in no format that ASE knows") from error
    return _named([read] if isinstance(read, Atoms) else read, path, notes)


def _named(found: Sequence[Atoms], path: Path, notes: Sequence[str] = ()) -> list[Structure]:
    if not found:
        raise DataError(f"{path} holds no structure")
    several = len(found) > 1
    return [
        Structure(atoms, f"{path}[{index}]" if several else str(path), "ASE", tuple(notes))
        for index, atoms in enumerate(found)
    ]


#: Formats of structure files, in the order in which they are tried.
STRUCTURE_READERS = (
    Reader("structure file", "CIF", ".cif .mcif, by gemmi", is_cif, read_cif),
    Reader("structure file", "POSCAR", "POSCAR CONTCAR .vasp, by ASE", is_poscar, _load_poscar),
    Reader("structure file", "xyz", ".xyz .extxyz, by ASE", is_xyz, _load_xyz),
    Reader("structure file", "others", "formats of ASE", lambda path: True, _load_other),
)
