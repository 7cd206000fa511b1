"""Compare the sites of a CIF with what else it says about the content of its cell."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import gemmi

from csgnn_dgl._foreign import excerpt

__all__ = ["compare_content", "parse_formula"]

_PART = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)")
_FORMULA = re.compile(r"(?:[A-Z][a-z]?\d{0,9}\.?\d{0,9})+")
# One atomic mass unit in a cubic Å [g/cm³].
_DENSITY = 1.66053907
_ISOTOPES = {"D": "H", "T": "H"}

Sites = Sequence[Sequence[gemmi.SmallStructure.Site]]


def parse_formula(text: str) -> dict[str, float] | None:
    """Read a formula sum; None if it is none.

    Examples
    --------
    >>> parse_formula("C4 Ca Mg3 O12")
    {'C': 4.0, 'Ca': 1.0, 'Mg': 3.0, 'O': 12.0}
    >>> parse_formula("n(H2 O)") is None
    True
    """
    joined = "".join(text.split()).replace("~", "")
    if not _FORMULA.fullmatch(joined):
        return None
    found: dict[str, float] = {}
    for symbol, count in _PART.findall(joined):
        symbol = _ISOTOPES.get(symbol, symbol)
        if gemmi.Element(symbol).atomic_number == 0 or count == ".":
            return None
        found[symbol] = found.get(symbol, 0.0) + float(count or 1)
    return found if sum(found.values()) > 0 else None


def compare_content(
    block: gemmi.cif.Block, crystal: gemmi.SmallStructure, sites: Sites
) -> list[str]:
    """Compare sites with formula, Z, density, volume and multiplicities, where a file gives them.

    Parameters
    ----------
    block
        The data block.
    crystal
        The crystal that gemmi read from it.
    sites
        All positions in the cell of each of its sites, with the occupancies of the file.

    Returns
    -------
    list of str
        A sentence for each disagreement, with both values.
    """
    content: dict[str, float] = {}
    mass = 0.0
    partial = False
    for copies in sites:
        for site in copies:
            share = site.occ if site.occ >= 0 else 1.0
            partial |= 0 < share < 1
            name = _ISOTOPES.get(site.element.name, site.element.name)
            content[name] = content.get(name, 0.0) + share
            mass += share * site.element.weight
    found = [
        _compare_formula(block, content, partial),
        _compare_density(block, mass / crystal.cell.volume * _DENSITY),
        _compare_volume(block, crystal.cell.volume),
        _compare_multiplicities(block, sites),
    ]
    return [note for note in found if note is not None]


def _number(block: gemmi.cif.Block, tag: str) -> float:
    """A number of a file; NaN if it is absent or not positive."""
    value = block.find_value(tag)
    number = gemmi.cif.as_number(value) if value is not None else float("nan")
    return float(number) if 0 < number < float("inf") else float("nan")


def _compare_formula(
    block: gemmi.cif.Block, content: Mapping[str, float], partial: bool
) -> str | None:
    text = gemmi.cif.as_string(block.find_value("_chemical_formula_sum") or "")
    formula = parse_formula(text)
    if formula is None:
        return None
    z = _number(block, "_cell_formula_units_Z")
    if z == z:
        # Some programs write the formula of the whole cell, and count units of the reduced one.
        # Formulas of molecules can be reduced as well, so both are possible.
        choices = [z, z / _common_factor(formula)]
    else:  # only the proportions can be compared
        heavy = {name: count for name, count in formula.items() if name != "H"} or formula
        choices = [sum(content.get(name, 0.0) for name in heavy) / sum(heavy.values())]
    # Numbers of formulas are rounded where sites are partially occupied.
    rounded = partial or any(count % 1 for count in formula.values())
    wrong, units = min(
        ((_differing(content, formula, units, rounded), units) for units in choices),
        key=lambda choice: len(choice[0]),
    )
    if not wrong:
        return None
    wanted = {name: units * count for name, count in formula.items()}
    with_z = f" with Z = {z:g}" if z == z else ""
    hydrogen = "; hydrogen atoms are not listed" if wrong == ["H"] and "H" not in content else ""
    return (
        f"the formula {excerpt(text, 80)}{with_z} means {_text(wanted)} in the cell, but its sites "
        f"make {_text(content)}{hydrogen}"
    )


def _common_factor(formula: Mapping[str, float]) -> int:
    if any(count % 1 or count < 1 for count in formula.values()):
        return 1
    return math.gcd(*(int(count) for count in formula.values()))


def _differing(
    content: Mapping[str, float], formula: Mapping[str, float], units: float, rounded: bool
) -> list[str]:
    """Elements of which the cell has another number than its units of the formula."""
    names = []
    for name in sorted({*formula, *content}):
        expected = units * formula.get(name, 0.0)
        allowed = 0.05 + (0.01 * expected + 0.06 * units if rounded else 0.001 * expected)
        if abs(content.get(name, 0.0) - expected) > allowed:
            names.append(name)
    return names


def _text(counts: Mapping[str, float]) -> str:
    return " ".join(
        f"{name}{'' if abs(count - 1) < 0.005 else f'{count:.2f}'.rstrip('0').rstrip('.')}"
        for name, count in sorted(counts.items())
        if count > 0
    )


def _compare_density(block: gemmi.cif.Block, density: float) -> str | None:
    given = _number(block, "_exptl_crystal_density_diffrn")
    if not abs(density - given) > 0.05 * given:
        return None
    return f"the file gives a density of {given:g} g/cm³, but its cell and sites make {density:.4g}"


def _compare_volume(block: gemmi.cif.Block, volume: float) -> str | None:
    given = _number(block, "_cell_volume")
    if not abs(volume - given) > 0.01 * given:
        return None
    return f"the file gives a volume of {given:g} Å³, but its edges and angles make {volume:.6g}"


def _compare_multiplicities(block: gemmi.cif.Block, sites: Sites) -> str | None:
    for tag in ("_atom_site_symmetry_multiplicity", "_atom_site_site_symmetry_multiplicity"):
        given = [gemmi.cif.as_number(value) for value in block.find_values(tag)]
        if len(given) != len(sites):
            continue
        wrong = [
            f"{excerpt(copies[0].label, 20)}: {number:g}, not {len(copies)}"
            for number, copies in zip(given, sites, strict=True)
            if 0 < number < float("inf") and number != len(copies)
        ]
        if wrong:
            more = f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""
            return (
                f"the file gives other multiplicities than its symmetry makes: "
                f"{', '.join(wrong[:4])}{more}"
            )
    return None
