"""Structure files → atoms: CIF by gemmi, with ASE where gemmi is too strict; the rest by ASE."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import ase.io
import gemmi
import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl.errors import ConfigError, DataError, suggest

__all__ = ["Occupancy", "Structure", "read_structures"]

Floats = npt.NDArray[np.float64]
Occupancy = Literal["refuse", "majority", "full"]

# Sites nearer than this are one position [Å].
_SAME_PLACE = 0.1
_FULL = 0.999


@dataclass(frozen=True, eq=False)
class Structure:
    """A structure as it was read.

    Parameters
    ----------
    atoms
        The atoms.
    source
        File, and number or name within it if it holds several.
    reader
        Library that understood it.
    warnings
        What was assumed or mended, a sentence each.
    """

    atoms: Atoms
    source: str
    reader: str
    warnings: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """Formula, sites, cell and reader, in a line."""
        atoms = self.atoms
        sides = " × ".join(f"{length:.3f}" for length in atoms.cell.lengths())
        cell = f"cell {sides} Å" if atoms.pbc.any() else "not periodic"
        return f"{atoms.get_chemical_formula()}, {len(atoms)} sites, {cell}, read by {self.reader}"


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
        a singular cell, or positions that are not finite. The message says which.
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
    if path.suffix.lower() in (".cif", ".mcif"):
        found = _read_cif(path, occupancy)
    else:
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
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise DataError(f"{where}: positions or the cell are NaN or infinite")
    if (atoms.numbers < 1).any():
        bad = int((atoms.numbers < 1).argmax())
        raise DataError(f"{where}: atom {bad} is of no known element")
    if atoms.pbc.all() and abs(atoms.cell.volume) < 1e-3 * len(atoms):
        raise DataError(
            f"{where}: the cell has a volume of {abs(atoms.cell.volume):.3g} Å³: it is singular, "
            f"or not in Å"
        )


def _read_by_ase(path: Path, format: str | None = None) -> Sequence[Atoms]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # ASE's remarks on settings of space groups and the like
            found = ase.io.read(path, index=":", format=format)
    # ASE's readers raise whatever comes up in them.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} cannot be read: {reason}") from error
    return [found] if isinstance(found, Atoms) else list(found)


def _read_cif(path: Path, occupancy: Occupancy) -> list[Structure]:
    try:
        document = gemmi.cif.read(str(path))
    except (ValueError, RuntimeError, OSError) as error:
        # Not strictly CIF, such as an unquoted string; ASE is more forgiving.
        strict = " ".join(str(error).split()).removeprefix(f"{path}:")
        try:
            found = _read_by_ase(path, format="cif")
        except DataError:
            raise DataError(f"{path} is not a well-formed CIF: {strict}") from error
        note = f"not strictly CIF ({strict}); occupancies were not checked"
        return [Structure(atoms, str(path), "ASE", (note,)) for atoms in found]
    blocks = [block for block in document if block.find_loop("_atom_site_fract_x")]
    blocks = blocks or [b for b in document if b.find_pair("_atom_site_fract_x")]
    if not blocks:
        raise DataError(
            f"{path} holds no atom sites with fractional coordinates (_atom_site_fract_x)"
        )
    several = len(blocks) > 1
    return [
        _from_block(block, f"{path}[{block.name}]" if several else str(path), occupancy)
        for block in blocks
    ]


def _from_block(block: gemmi.cif.Block, where: str, occupancy: Occupancy) -> Structure:
    try:
        crystal = gemmi.make_small_structure_from_block(block)
    except (RuntimeError, ValueError) as error:
        raise DataError(f"{_about_cell(block, where)} ({error})") from error
    notes: list[str] = []
    _check_symmetry(crystal, block, where, notes)
    if not crystal.cell.is_crystal():
        raise DataError(_about_cell(block, where))
    sites = crystal.sites
    if not sites:
        raise DataError(f"{where} holds no atom sites")
    for site in sites:
        if not np.isfinite(site.fract.tolist()).all():
            raise DataError(f"{where}: site {site.label} has no coordinates")
        if site.element.atomic_number == 0:
            raise DataError(
                f"{where}: site {site.label} is of no known element ({site.type_symbol})"
            )
    # gemmi takes an unknown occupancy for 1; absent and inapplicable ones do mean that.
    for site, text in zip(crystal.sites, block.find_values("_atom_site_occupancy"), strict=False):
        if text == "?":
            site.occ = float("nan")
    partial = [site for site in sites if not site.occ >= _FULL]
    if partial and occupancy == "refuse":
        names = ", ".join(f"{s.label} ({_occupancy(s.occ)})" for s in partial[:6])
        more = f" and {len(partial) - 6} more" if len(partial) > 6 else ""
        raise DataError(
            f"{where}: sites are not fully occupied: {names}{more}. Choose how to resolve them "
            f"with --occupancy majority or full"
        )
    expanded = crystal.get_all_unit_cell_sites()
    cell = np.array(crystal.cell.orth.mat.tolist()).T
    fractions = np.array([site.fract.tolist() for site in expanded])
    shares = np.array([site.occ for site in expanded])
    numbers = np.array([site.element.atomic_number for site in expanded])
    labels = [site.label for site in expanded]
    kept = _one_per_place(fractions, cell, numbers, shares, labels, where, occupancy, notes)
    atoms = Atoms(numbers[kept], scaled_positions=fractions[kept] % 1.0, cell=cell, pbc=True)
    return Structure(atoms, where, "gemmi", tuple(notes))


def _about_cell(block: gemmi.cif.Block, where: str) -> str:
    tags = [f"_cell_length_{side}" for side in "abc"] + ["_cell_angle_alpha"]
    given = {tag: block.find_value(tag) for tag in tags}
    missing = [tag for tag, value in given.items() if value is None]
    if missing:
        return f"{where} gives no cell ({missing[0]} is missing)"
    sides = " × ".join(str(given[tag]) for tag in tags[:3])
    return f"{where}: a cell of {sides} holds no crystal: a placeholder, singular, or not in Å"


def _occupancy(value: float) -> str:
    return f"{value:g}" if np.isfinite(value) else "unknown"


def _check_symmetry(
    crystal: gemmi.SmallStructure, block: gemmi.cif.Block, where: str, notes: list[str]
) -> None:
    """Space group by operations, else by name; a name that says nothing is refused."""
    tags = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
    if any(len(block.find_values(tag)) for tag in tags):
        return
    if crystal.spacegroup is not None:
        return
    name = crystal.spacegroup_hm or ""
    number = crystal.spacegroup_number
    if number and 1 <= number <= 230:
        crystal.spacegroup_hm = gemmi.find_spacegroup_by_number(number).xhm()
        crystal.determine_and_set_spacegroup("h")
        notes.append(
            f"space group {name!r} is not known; number {number} in its usual setting taken"
        )
        return
    if name.strip(" ?.'\""):
        raise DataError(
            f"{where}: space group {name!r} is not known, and no symmetry operations are given"
        )
    notes.append("no space group is given; P 1 assumed")


def _one_per_place(
    fractions: Floats,
    cell: Floats,
    numbers: npt.NDArray[np.int64],
    shares: Floats,
    labels: list[str],
    where: str,
    occupancy: Occupancy,
    notes: list[str],
) -> list[int]:
    """Sites to keep: one for each position."""
    kept: list[int] = []
    for group in _groups(fractions, cell):
        known = np.nan_to_num(shares[group], nan=1.0)
        order = sorted(range(len(group)), key=lambda i: (-known[i], group[i]))
        first = group[order[0]]
        if occupancy == "majority" and known.sum() < 0.5:
            notes.append(f"position of {labels[first]}, occupied to {known.sum():g}, left empty")
            continue
        if len(group) > 1:
            names = ", ".join(f"{labels[i]} ({_occupancy(shares[i])})" for i in group)
            if len(set(numbers[group])) > 1 and (occupancy != "majority"):
                raise DataError(
                    f"{where}: different elements are at one place: {names}. Choose --occupancy "
                    f"majority to keep the likelier"
                )
            notes.append(f"one of the sites at one place kept: {names}")
        elif known[0] < _FULL:
            notes.append(f"site {labels[first]}, occupied to {known[0]:g}, taken as full")
        kept.append(first)
    if not kept:
        raise DataError(f"{where}: no position is occupied by half or more")
    # One note for all sites alike that symmetry made.
    notes[:] = dict.fromkeys(notes)
    return sorted(kept)


def _groups(fractions: Floats, cell: Floats) -> list[list[int]]:
    """Sites by position, under periodic boundaries."""
    taken = np.zeros(len(fractions), dtype=bool)
    groups = []
    for index in range(len(fractions)):
        if taken[index]:
            continue
        difference = fractions - fractions[index]
        distance = np.linalg.norm((difference - np.round(difference)) @ cell, axis=1)
        members = np.flatnonzero((distance < _SAME_PLACE) & ~taken)
        taken[members] = True
        groups.append([int(member) for member in members])
    return groups
