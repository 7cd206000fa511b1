"""Read structures from crystallographic information files, with gemmi."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import gemmi
import numpy as np
import numpy.typing as npt
from ase import Atoms
from vesin import NeighborList

from csgnn_dgl.datasets.atoms.structure import Occupancy, Structure
from csgnn_dgl.errors import DataError

__all__ = ["read_cif"]

Floats = npt.NDArray[np.float64]

# Sites that are closer count as one position [Å].
_SAME_PLACE = 0.1
_FULL = 0.999
_QUOTES = ("'", '"')


def read_cif(
    path: Path, occupancy: Occupancy, otherwise: Callable[[Path], Sequence[Atoms]]
) -> list[Structure]:
    """Read the structures of a CIF.

    Parameters
    ----------
    path
        The file.
    occupancy
        See :func:`~csgnn_dgl.datasets.atoms.structures.read_structures`.
    otherwise
        A less strict reader, for files that gemmi cannot parse even after common errors are
        corrected.

    Raises
    ------
    DataError
        The file cannot be used; the message gives the reason.
    """
    notes: tuple[str, ...] = ()
    try:
        document = gemmi.cif.read(str(path))
    except (ValueError, RuntimeError, OSError) as error:
        strict = " ".join(str(error).split())
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
            document = gemmi.cif.read_string(_mended(text))
        except (ValueError, RuntimeError, OSError):
            return _read_otherwise(path, occupancy, otherwise, strict, error)
        notes = (f"not strictly CIF ({strict}); corrected: values of several words",)
    blocks = [block for block in document if block.find_loop("_atom_site_fract_x")]
    blocks = blocks or [b for b in document if b.find_pair("_atom_site_fract_x")]
    if not blocks:
        raise DataError(
            f"{path} holds no atom sites with fractional coordinates (_atom_site_fract_x)"
        )
    several = len(blocks) > 1
    return [
        _from_block(block, f"{path}[{block.name}]" if several else str(path), occupancy, notes)
        for block in blocks
    ]


def _mended(text: str) -> str:
    """Turn values of several words without quotes, or with quotes over lines, into text fields."""
    out: list[str] = []
    field: list[str] = []  # lines of a value whose quote is still open
    quote, in_text = "", False
    for line in text.splitlines():
        if field:
            closed = line.rstrip().endswith(quote)
            field.append(line.rstrip().removesuffix(quote) if closed else line)
            if closed:
                out += [";" + " ".join(" ".join(field).split()), ";"]
                field = []
            continue
        if line.startswith(";"):
            in_text = not in_text
        words = line.split(None, 1)
        if in_text or len(words) < 2 or not words[0].startswith("_"):
            out.append(line)
            continue
        tag, value = words[0], words[1].strip()
        if value[0] in _QUOTES:
            if value[0] in value[1:]:
                out.append(line)
            else:
                quote, field = value[0], [value[1:]]
                out.append(tag)
        elif len(value.split(" #")[0].split()) > 1 and value[0] != "#":
            out += [tag, ";" + value, ";"]
        else:
            out.append(line)
    out += field
    # Remove tags at the end of the file, which have no value.
    while out and (not out[-1].strip() or out[-1].startswith(("#", "_"))):
        out.pop()
    return "\n".join(out) + "\n"


def _read_otherwise(
    path: Path,
    occupancy: Occupancy,
    read: Callable[[Path], Sequence[Atoms]],
    strict: str,
    error: Exception,
) -> list[Structure]:
    try:
        found = read(path)
    except DataError:
        raise DataError(f"{path} is not a well-formed CIF ({strict})") from error
    if not found:
        raise DataError(f"{path} is not a well-formed CIF ({strict}), and holds no structure")
    note = f"not strictly CIF ({strict})"
    for atoms in found:
        kinds = atoms.info.get("occupancy") or {}
        partial = [
            f"{symbol} ({_occupancy(share)})"
            for kind in kinds.values()
            for symbol, share in kind.items()
            if not float(share) >= _FULL
        ]
        if partial and occupancy == "refuse":
            raise DataError(_not_full(str(path), partial))
        if partial:
            note += f"; taken as fully occupied: {', '.join(partial)}"
    return [Structure(atoms, str(path), "ASE", (note,)) for atoms in found]


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
        raise DataError(f"{_about_cell(block, where)} ({error})") from error
    notes: list[str] = list(before)
    _check_symmetry(crystal, block, where, notes)
    if not crystal.cell.is_crystal():
        raise DataError(_about_cell(block, where))
    sites = crystal.sites
    if not sites:
        raise DataError(f"{where} holds no atom sites")
    placed = [bool(np.isfinite(site.fract.tolist()).all()) for site in sites]
    if not any(placed):
        raise DataError(f"{where} holds no atom sites: none of its entries has coordinates")
    for site, has_place in zip(sites, placed, strict=True):
        if not has_place:
            raise DataError(
                f"{where}: site {site.label or '(unnamed)'} has no coordinates; give them, or "
                f"remove its row"
            )
        if site.element.atomic_number == 0:
            raise DataError(
                f"{where}: site {site.label} is of no known element ({site.type_symbol})"
            )
    # gemmi reads an unknown occupancy ("?") as 1, which only absent and inapplicable ones mean.
    for site, text in zip(crystal.sites, block.find_values("_atom_site_occupancy"), strict=False):
        if text == "?":
            site.occ = float("nan")
    # Sites of occupancy 0 are left out whatever the user chose.
    empty = [site.label for site in sites if site.occ == 0]
    if empty:
        notes.append(f"{len(empty)} sites of occupancy 0 left out: {', '.join(sorted(set(empty)))}")
    partial = [site for site in sites if site.occ != 0 and not site.occ >= _FULL]
    if partial and occupancy == "refuse":
        raise DataError(_not_full(where, [f"{s.label} ({_occupancy(s.occ)})" for s in partial]))
    expanded = [site for site in crystal.get_all_unit_cell_sites() if site.occ != 0]
    if not expanded:
        raise DataError(f"{where}: every site has the occupancy 0")
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
    return f"{where}: a cell of {sides} is a placeholder, singular, or not in Å"


def _occupancy(value: float) -> str:
    return f"{value:g}" if np.isfinite(value) else "unknown"


def _check_symmetry(
    crystal: gemmi.SmallStructure, block: gemmi.cif.Block, where: str, notes: list[str]
) -> None:
    """Find the space group by operations, name or number; refuse a name that is not known."""
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
            f"space group {name!r} is not known; number {number} in its usual setting was assumed"
        )
        return
    if name.strip(" ?.'\""):
        raise DataError(
            f"{where}: space group {name!r} is not known, and no symmetry operations are given"
        )
    notes.append("no space group is given; P 1 was assumed")


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
    # Symmetry makes equivalent sites, which would all give the same note.
    notes[:] = dict.fromkeys(notes)
    return sorted(kept)


def _groups(fractions: Floats, cell: Floats) -> list[list[int]]:
    """Group sites that are at one position under periodic boundaries, in order of their indices."""
    i, j = NeighborList(cutoff=_SAME_PLACE, full_list=True).compute(
        points=fractions @ cell, box=cell, periodic=[True] * 3, quantities="ij"
    )
    beside: dict[int, set[int]] = {}
    for first, second in zip(np.array(i).tolist(), np.array(j).tolist(), strict=True):
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
