"""Read structures from crystallographic information files, with gemmi."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import gemmi
import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl._foreign import excerpt
from csgnn_dgl._pairs import find_pairs, structure_problem
from csgnn_dgl.datasets.atoms.cif_content import compare_content, parse_formula
from csgnn_dgl.datasets.atoms.cif_symmetry import apply_symmetry, cell_vectors, origin_choices
from csgnn_dgl.datasets.atoms.cif_syntax import parse_cif
from csgnn_dgl.datasets.atoms.structure import Occupancy, Structure
from csgnn_dgl.errors import DataError

__all__ = ["read_cif"]

Floats: TypeAlias = npt.NDArray[np.float64]
Sites: TypeAlias = list[list[gemmi.SmallStructure.Site]]

# Sites that are closer count as one position [Å].
_SAME_PLACE = 0.1
_FULL = 0.999
# Above this, an occupancy is not one, or counts sites that the symmetry makes as well.
_OVERFULL = 1.05
# Coordinates beyond this many cells lose the digits that bonds need.
_FAR = 1e6
# Volume of a cell as a share of the product of its edges.
_SINGULAR = 1e-5
# Words of two capitals are heavier elements by chance only, such as nihonium in NH4.
_HEAVIEST_IN_CAPITALS = 103


def read_cif(path: Path, occupancy: Occupancy) -> list[Structure]:
    """Read the structures of a CIF, one for each data block with sites.

    Parameters
    ----------
    path
        The file, plain or compressed.
    occupancy
        See :func:`~csgnn_dgl.datasets.atoms.structures.read_structures`.

    Raises
    ------
    DataError
        The file cannot be used; the message gives the reason.
    """
    document, notes = parse_cif(path)
    blocks = [block for block in document if len(block.find_values("_atom_site_fract_x"))]
    if not blocks:
        advice = ""
        if any(len(block.find_values("_atom_site.Cartn_x")) for block in document):
            advice = "; it is a macromolecular CIF, so convert it to a core CIF or extxyz"
        elif any(len(block.find_values("_atom_site_Cartn_x")) for block in document):
            advice = "; its Cartesian coordinates are not read, so convert them"
        raise DataError(
            f"{path} holds no atom sites with fractional coordinates (_atom_site_fract_x){advice}"
        )
    several = len(blocks) > 1
    return [
        _from_block(
            block, f"{path}[{excerpt(block.name, 40)}]" if several else str(path), occupancy, notes
        )
        for block in blocks
    ]


def _not_full(where: str, names: list[str]) -> str:
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return (
        f"{where}: sites are not fully occupied: {', '.join(names[:6])}{more}. Choose how to "
        f"resolve them with --occupancy majority or full"
    )


def _from_block(
    block: gemmi.cif.Block, where: str, occupancy: Occupancy, before: tuple[str, ...] = ()
) -> Structure:
    try:
        crystal = gemmi.make_small_structure_from_block(block)
    except (RuntimeError, ValueError) as error:
        raise DataError(f"{_about_cell(block, where)} ({excerpt(error)})") from error
    notes: list[str] = list(before)
    lengths = crystal.cell.parameters[:3]
    if (
        not crystal.cell.is_crystal()
        or not np.isfinite(cell_vectors(crystal)).all()
        or not min(lengths) > 0
        or not crystal.cell.volume > _SINGULAR * np.prod(lengths)
    ):
        raise DataError(_about_cell(block, where))
    problem = structure_problem(Atoms("H", cell=cell_vectors(crystal), pbc=True))
    if problem is not None:
        raise DataError(f"{where}: {problem}")
    _check_sites(crystal, block, where, notes)
    sites = apply_symmetry(crystal, block, where, notes)
    sites = _choose_origin(crystal, block, sites, notes)
    if gemmi.cif.as_number(block.find_value("_cell_modulation_dimension") or "?") > 0:
        notes.append("the structure is modulated; its average was taken")
    # Sites of occupancy 0 are left out whatever the user chose.
    empty = [site.label for site in crystal.sites if site.occ == 0]
    if empty:
        notes.append(f"{len(empty)} sites of occupancy 0 left out: {_labels(sorted(set(empty)))}")
    partial = [site for site in crystal.sites if site.occ != 0 and not site.occ >= _FULL]
    if partial and occupancy == "refuse":
        raise DataError(_not_full(where, [f"{_label(s)} ({_occupancy(s.occ)})" for s in partial]))
    overfull = [s for s in crystal.sites if s.occ > _OVERFULL]
    if overfull:
        notes.append(
            f"occupancies above 1 taken as 1: "
            f"{_labels([f'{_label(s)} ({_occupancy(s.occ)})' for s in overfull])}"
        )
    expanded = [site for copies in sites for site in copies if site.occ != 0]
    if not expanded:
        raise DataError(f"{where}: every site has the occupancy 0")
    cell = cell_vectors(crystal)
    fractions = np.array([site.fract.tolist() for site in expanded])
    numbers = np.array([site.element.atomic_number for site in expanded])
    problem = structure_problem(Atoms(numbers, fractions @ cell, cell=cell, pbc=True))
    if problem is not None:
        raise DataError(f"{where}: {problem}")
    shares = np.array([site.occ for site in expanded])
    labels = [_label(site) for site in expanded]
    kept = _one_per_place(fractions, cell, numbers, shares, labels, where, occupancy, notes)
    _note_disorder([expanded[index] for index in kept], notes)
    atoms = Atoms(numbers[kept], scaled_positions=fractions[kept] % 1.0, cell=cell, pbc=True)
    return Structure(atoms, where, "gemmi", tuple(dict.fromkeys(notes)))


def _label(site: gemmi.SmallStructure.Site) -> str:
    return excerpt(site.label, 40) or "(unnamed)"


def _labels(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - 6} more" if len(labels) > 6 else ""
    return f"{', '.join(labels[:6])}{more}"


def _about_cell(block: gemmi.cif.Block, where: str) -> str:
    tags = [f"_cell_length_{side}" for side in "abc"]
    tags += [f"_cell_angle_{angle}" for angle in ("alpha", "beta", "gamma")]
    given = {tag: block.find_value(tag) for tag in tags}
    missing = [tag for tag, value in given.items() if value is None]
    if missing:
        return f"{where} gives no cell ({missing[0]} is missing)"
    sides = " × ".join(excerpt(given[tag], 20) for tag in tags[:3])
    angles = ", ".join(excerpt(given[tag], 20) for tag in tags[3:])
    return (
        f"{where}: a cell of {sides} with the angles {angles} is a placeholder, singular, or not "
        f"in Å"
    )


def _occupancy(value: float) -> str:
    return f"{value:g}" if np.isfinite(value) else "unknown"


def _check_sites(
    crystal: gemmi.SmallStructure, block: gemmi.cif.Block, where: str, notes: list[str]
) -> None:
    """Refuse sites without a place or an element, and correct what gemmi reads differently."""
    if not crystal.sites:
        raise DataError(
            f"{where} holds no atom sites: each needs _atom_site_label and _atom_site_fract_x, _y "
            f"and _z"
        )
    places = np.array([site.fract.tolist() for site in crystal.sites])
    if not np.isfinite(places).all(axis=1).any():
        raise DataError(f"{where} holds no atom sites: none of its entries has coordinates")
    # gemmi reads an unknown occupancy ("?") as 1, which only absent and inapplicable ones mean.
    for site, text in zip(crystal.sites, block.find_values("_atom_site_occupancy"), strict=False):
        if text == "?":
            site.occ = float("nan")
    rows = _keep_real_sites(crystal, block, notes)
    if not rows:
        raise DataError(f"{where} holds no atom sites, but dummies")
    columns = [block.find_values(f"_atom_site_fract_{axis}") for axis in "xyz"]
    formula = parse_formula(gemmi.cif.as_string(block.find_value("_chemical_formula_sum") or ""))
    has_types = len(block.find_values("_atom_site_type_symbol")) > 0
    places = np.array([site.fract.tolist() for site in crystal.sites])
    lost = ~np.isfinite(places).all(axis=1)
    far = np.abs(np.nan_to_num(places)).max(axis=1) > _FAR
    for index, site in enumerate(crystal.sites):
        if lost[index]:
            given = " ".join(excerpt(c[rows[index]], 20) for c in columns)
            raise DataError(
                f"{where}: site {_label(site)} has no coordinates, but {given}; give them, or "
                f"remove its row"
            )
        if far[index]:
            raise DataError(
                f"{where}: site {_label(site)} is more than {_FAR:g} cells away; check its "
                f"coordinates"
            )
        _check_element(site, has_types, formula, where, notes)
    hydrogens = [
        int(number)
        for text in block.find_values("_atom_site_attached_hydrogens")
        if 0 < (number := gemmi.cif.as_number(text)) < 100
    ]
    if hydrogens and not any(site.element.atomic_number == 1 for site in crystal.sites):
        notes.append(
            f"hydrogen atoms that {len(hydrogens)} sites carry (_atom_site_attached_hydrogens) "
            f"have no coordinates and are missing"
        )


def _keep_real_sites(
    crystal: gemmi.SmallStructure, block: gemmi.cif.Block, notes: list[str]
) -> list[int]:
    """Leave out dummy atoms, such as the centres of rings, and return the rows of the others."""
    flags = block.find_values("_atom_site_calc_flag")
    rows = list(range(len(crystal.sites)))
    if len(flags) != len(rows):
        return rows
    real = [row for row in rows if gemmi.cif.as_string(flags[row]) != "dum"]
    if len(real) == len(rows):
        return rows
    sites = [site.clone() for site in crystal.sites]
    kept = set(real)
    dummies = [_label(sites[row]) for row in rows if row not in kept]
    notes.append(f"dummy sites left out: {_labels(dummies)}")
    crystal.sites.clear()
    for row in real:
        crystal.add_site(sites[row])
    return real


def _check_element(
    site: gemmi.SmallStructure.Site,
    has_types: bool,
    formula: dict[str, float] | None,
    where: str,
    notes: list[str],
) -> None:
    """Correct the element of a site, or refuse it, where gemmi takes a part of a word for it."""
    text = site.type_symbol.strip()
    letters = re.match("[A-Za-z]*", text)
    word = letters[0] if letters else ""
    if word == "T":
        site.element = gemmi.Element("H")
    element, number = site.element.name, site.element.atomic_number
    rest = text[len(word) :]
    unclear = number == 0
    if has_types:
        # A type is an element and perhaps a charge. Groups ("NH4", "H2O") and mixtures ("Si/Al")
        # are more than one atom.
        unclear |= len(word) > 2 or re.fullmatch(r"[0-9.+\-]*", rest) is None
    capitals = len(word) == 2 and word.isupper()
    if capitals and number > _HEAVIEST_IN_CAPITALS:
        unclear = True
    if unclear:
        raise DataError(
            f"{where}: site {_label(site)} is of no known element ({excerpt(text, 40)})"
        )
    if not capitals or has_types:
        return
    # A label such as HO1 may be holmium, or the hydrogen of a hydroxyl group.
    first = gemmi.Element(word[0])
    known = formula is None or element in formula
    if not known and formula is not None and first.name in formula:
        site.element = first
    if formula is None:
        notes.append(
            f"the file gives no element of {_label(site)}; {site.element.name} was taken from "
            f"its label"
        )


def _choose_origin(
    crystal: gemmi.SmallStructure, block: gemmi.cif.Block, sites: Sites, notes: list[str]
) -> Sites:
    """Compare the content of the cell, also for the other origin if the file leaves it open."""
    complaints = compare_content(block, crystal, sites)
    others = origin_choices(crystal, block)
    if others and (complaints or not _tells_content(block)):
        used = crystal.spacegroup.xhm()
        for name in others:
            crystal.spacegroup_hm = name
            crystal.determine_and_set_spacegroup("1")
            found = apply_symmetry(crystal, block, "", [])
            if complaints and not compare_content(block, crystal, found):
                notes.append(
                    f"the file does not give the choice of origin; {name!r} was taken, because "
                    f"{used!r} would make another content of the cell"
                )
                return found
        notes.append(
            f"the file does not give the choice of origin; {used!r} was assumed, not "
            f"{' or '.join(map(repr, others))}"
        )
    notes += complaints
    return sites


def _tells_content(block: gemmi.cif.Block) -> bool:
    """Whether the file says how much is in the cell, and not only in which proportions."""
    tags = ("_cell_formula_units_Z", "_exptl_crystal_density_diffrn")
    return any(gemmi.cif.as_number(block.find_value(tag) or "?") > 0 for tag in tags)


def _note_disorder(sites: Sequence[gemmi.SmallStructure.Site], notes: list[str]) -> None:
    groups = sorted({site.disorder_group for site in sites} - {0})
    if len(groups) > 1 or (groups and groups[0] < 0):
        notes.append(
            f"sites of the disorder groups {', '.join(map(str, groups))}, which exclude each "
            f"other, were all taken"
        )


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
    """Choose the sites to keep: one for each position."""
    kept: list[int] = []
    full: dict[str, None] = {}  # labels, without repetition, because symmetry repeats them
    unknown: dict[str, None] = {}
    vacant: dict[str, None] = {}
    all_known = np.nan_to_num(shares, nan=1.0)
    for group in _groups(fractions, cell):
        known = all_known[group]
        order = sorted(range(len(group)), key=lambda i: (-known[i], group[i]))
        first = group[order[0]]
        if occupancy == "majority" and known.sum() < 0.5:
            vacant[f"{labels[first]} ({known.sum():g})"] = None
            continue
        if len(group) > 1:
            names = _labels([f"{labels[i]} ({_occupancy(shares[i])})" for i in group])
            if len(set(numbers[group])) > 1 and (occupancy != "majority"):
                raise DataError(
                    f"{where}: different elements are at one place: {names}. Choose --occupancy "
                    f"majority to keep the likelier"
                )
            notes.append(f"one of the sites at one place kept: {names}")
        elif not np.isfinite(shares[first]):
            unknown[labels[first]] = None
        elif known[0] < _FULL:
            full[f"{labels[first]} ({known[0]:g})"] = None
        kept.append(first)
    if not kept:
        raise DataError(f"{where}: no position is occupied by half or more")
    if vacant:
        notes.append(f"positions of low occupancy left empty: {_labels(list(vacant))}")
    if full:
        notes.append(f"partially occupied sites taken as full: {_labels(list(full))}")
    if unknown:
        notes.append(f"sites of unknown occupancy taken as full: {_labels(list(unknown))}")
    return sorted(kept)


def _groups(fractions: Floats, cell: Floats) -> list[list[int]]:
    """Group sites that are at one position under periodic boundaries, in order of their indices."""
    i, j, _ = find_pairs(fractions @ cell, cell, True, _SAME_PLACE)
    beside: dict[int, set[int]] = {}
    for first, second in zip(i.tolist(), j.tolist(), strict=True):
        if first != second:
            beside.setdefault(first, set()).add(second)
    taken: set[int] = set()
    groups = []
    for index in range(len(fractions)):
        if index in taken:
            continue
        group = [index, *sorted(beside.get(index, set()) - taken)]
        taken.update(group)
        groups.append(group)
    return groups
