"""Apply the symmetry of a CIF to its sites."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

import gemmi
import numpy as np
import numpy.typing as npt

from csgnn_dgl._foreign import excerpt
from csgnn_dgl.errors import DataError

__all__ = ["apply_symmetry", "cell_vectors", "origin_choices", "parse_operation"]

Floats: TypeAlias = npt.NDArray[np.float64]
Operation: TypeAlias = tuple[Floats, Floats]

_TAGS = (
    "_space_group_symop_operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop.operation_xyz",
)
# The operations of a magnetic structure end with the reversal of time, which moves no atom.
_MAGNETIC = (
    ("_space_group_symop_magn_operation_xyz", "_space_group_symop_magn_centering_xyz"),
    ("_space_group_symop_magn_operation.xyz", "_space_group_symop_magn_centering.xyz"),
)
_TERM = re.compile(
    r"([+-])?(?:(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})(?:/(\d{1,9}))?)?\*?([xyz])?", re.ASCII
)
# Operations of the International Tables have translations in multiples of this. Decimals such as
# 0.333 are rounded to them.
_STEP = 24
# Copies of a site that are closer count as one, at a special position [Å]. It is gemmi's value.
_SPECIAL = 0.4
# Limits for files that are absurd.
_MOST_SITES, _MOST_FOR_CLOSURE = 10_000_000, 400


def parse_operation(text: str) -> Operation | None:
    """Read a symmetry operation such as ``-y, x-y, z+1/3``.

    Parameters
    ----------
    text
        The images of x, y and z, separated by commas.

    Returns
    -------
    tuple or None
        Matrix ``(3, 3)`` and translation ``(3,)``; None if it cannot be read, or does not keep
        volumes.

    Examples
    --------
    >>> rotation, translation = parse_operation("-y, x-y, 1/3+z")
    >>> rotation.tolist(), translation.tolist()
    ([[0.0, -1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 0.0, 1.0]], [0.0, 0.0, 0.3333333333333333])
    >>> parse_operation("x, x, z") is None
    True
    """
    parts = "".join(text.lower().split()).split(",")
    if len(parts) != 3:
        return None
    rotation, translation = np.zeros((3, 3)), np.zeros(3)
    for row, part in enumerate(parts):
        start = 0
        while start < len(part):
            term = _TERM.match(part, start)
            if term is None or term.end() == start or (start > 0 and term[1] is None):
                return None
            sign, number, divisor, axis = term.groups()
            if (number is None and axis is None) or (divisor is not None and int(divisor) == 0):
                return None
            value = float(number or 1) / int(divisor or 1) * (-1 if sign == "-" else 1)
            if axis is None:
                translation[row] += value
            else:
                rotation[row, "xyz".index(axis)] += value
            start = term.end()
    near = np.round(translation * _STEP) / _STEP
    translation = np.where(np.abs(translation - near) < 2e-3, near, translation)
    volume = abs(np.linalg.det(rotation))
    return (rotation, translation) if abs(volume - 1) < 1e-6 else None


def cell_vectors(crystal: gemmi.SmallStructure) -> Floats:
    """Cell vectors in rows [Å]."""
    return np.array(crystal.cell.orth.mat.tolist()).T


def apply_symmetry(
    crystal: gemmi.SmallStructure, block: gemmi.cif.Block, where: str, notes: list[str]
) -> list[list[gemmi.SmallStructure.Site]]:
    """Make all sites of the cell.

    Operations are applied as the file gives them. Only without any, the space group is looked up
    by name, and then by number.

    Parameters
    ----------
    crystal
        Cell and sites.
    block
        The data block, for what gemmi does not read.
    where
        Name for messages.
    notes
        Warnings are added to it.

    Returns
    -------
    list of list
        For each site of the file all its positions in the cell.

    Raises
    ------
    DataError
        An operation cannot be read, or the space group is not known.
    """
    operations = _operations(block, where)
    if not operations and crystal.spacegroup is None and (hall := _hall(block)):
        operations = _operations_of_hall(hall, where)
    if not operations:
        _look_up(crystal, where, notes)
        if crystal.spacegroup is not None:
            group = [parse_operation(op.triplet()) for op in crystal.spacegroup.operations()]
            _check_cell([op for op in group if op is not None], crystal, notes)
        return _by_gemmi(crystal)
    _check_cell(operations, crystal, notes)
    keys = {_key(operation) for operation in operations}
    name = crystal.spacegroup_hm or ""
    named = gemmi.find_spacegroup_by_name(name, crystal.cell.alpha, crystal.cell.gamma)
    if named is not None and len(keys) != (order := len(list(named.operations()))):
        notes.append(
            f"the file gives {len(keys)} symmetry operations, but its space group "
            f"{excerpt(name, 40)!r} has {order}; the operations were applied as written"
        )
    # The group that gemmi recognised by the operations, if any.
    known = [] if crystal.spacegroup is None else crystal.spacegroup.operations()
    if {_key(op) for each in known if (op := parse_operation(each.triplet()))} == keys:
        return _by_gemmi(crystal)
    identity = (np.eye(3), np.zeros(3))
    if _key(identity) not in keys:
        notes.append("the symmetry operations lack the identity, x,y,z, which was added")
        operations = [identity, *operations]
        keys.add(_key(identity))
    if not _is_group(operations, keys):
        notes.append(
            f"the {len(operations)} symmetry operations form no group; they were applied as written"
        )
    if len(operations) * len(crystal.sites) > _MOST_SITES:
        raise DataError(
            f"{where}: {len(operations)} symmetry operations on {len(crystal.sites)} sites are too "
            f"many"
        )
    return _as_written(crystal, operations)


def origin_choices(crystal: gemmi.SmallStructure, block: gemmi.cif.Block) -> list[str]:
    """Names of other origins that a space group may have, if the file leaves that open.

    It does if it gives neither operations nor a Hall symbol, and a name without ``:1`` or ``:2``.
    """
    group = crystal.spacegroup
    if group is None or group.ext not in ("1", "2"):
        return []
    if any(_texts(block, tag) for tag in (*_TAGS, *(tag for tag, _ in _MAGNETIC))):
        return []
    given = crystal.spacegroup_hm.strip()
    if _hall(block) or re.search(r":\s*[12]$", given):
        return []
    return [
        setting.xhm()
        for setting in gemmi.spacegroup_table()
        if setting.number == group.number
        and setting.hm == group.hm
        and setting.ext != group.ext
        and setting.ext in ("1", "2")
    ]


def _hall(block: gemmi.cif.Block) -> str:
    """The Hall symbol of a file; empty if there is none."""
    for tag in ("_space_group_name_Hall", "_symmetry_space_group_name_Hall"):
        if text := gemmi.cif.as_string(block.find_value(tag) or "?").strip(" ?"):
            return text
    return ""


def _operations_of_hall(hall: str, where: str) -> list[Operation]:
    """The operations of a Hall symbol that is in no table, such as one with a shifted origin."""
    try:
        group = list(gemmi.symops_from_hall(hall))
    except (RuntimeError, ValueError) as error:
        raise DataError(
            f"{where}: the Hall symbol {excerpt(hall, 40)!r} cannot be read "
            f"({excerpt(error, 80)}), and no symmetry operations are given"
        ) from error
    found = [parse_operation(operation.triplet()) for operation in group]
    return [operation for operation in found if operation is not None]


def _operations(block: gemmi.cif.Block, where: str) -> list[Operation]:
    for tag in _TAGS:
        if texts := _texts(block, tag):
            return [_operation(text, index, where) for index, text in enumerate(texts)]
    for tag, centring in _MAGNETIC:
        if texts := _texts(block, tag):
            point = [_operation(t, i, where, magnetic=True) for i, t in enumerate(texts)]
            moves = [
                _operation(t, i, where, magnetic=True)
                for i, t in enumerate(_texts(block, centring) or ["x,y,z,+1"])
            ]
            return [
                (move @ rotation, move @ shift + by)
                for move, by in moves
                for rotation, shift in point
            ]
    return []


def _texts(block: gemmi.cif.Block, tag: str) -> list[str]:
    texts = [gemmi.cif.as_string(value).strip() for value in block.find_values(tag)]
    return [text for text in texts if text]


def _operation(text: str, index: int, where: str, *, magnetic: bool = False) -> Operation:
    found = parse_operation(text.rsplit(",", 1)[0] if magnetic else text)
    if found is None:
        raise DataError(
            f"{where}: symmetry operation {index + 1}, {excerpt(text, 60)!r}, cannot be read, or "
            f"is not one of a crystal; correct it, or remove all and name the space group"
        )
    return found


def _key(operation: Operation) -> tuple[int, ...]:
    rotation, translation = operation
    wrapped = np.round(translation * 1e4).astype(np.int64) % 10_000
    return (*np.round(rotation).astype(np.int64).ravel().tolist(), *wrapped.tolist())


def _is_group(operations: Sequence[Operation], keys: set[tuple[int, ...]]) -> bool:
    """Whether each product of two operations is one of them, within the rounding of decimals."""
    if len(operations) > _MOST_FOR_CLOSURE:
        return True
    known = np.array(sorted(keys))
    turns = np.stack([rotation for rotation, _ in operations])
    moves = np.stack([translation for _, translation in operations])
    for rotation, translation in operations:
        products = np.round(rotation @ turns).reshape(-1, 1, 9)
        shifts = (moves @ rotation.T + translation)[:, None]
        steps = shifts - known[None, :, 9:] / 1e4
        same = (products == known[None, :, :9]).all(axis=2)
        same &= (np.abs(steps - np.round(steps)) < 1e-3).all(axis=2)
        if not same.any(axis=1).all():
            return False
    return True


def _check_cell(
    operations: Sequence[Operation], crystal: gemmi.SmallStructure, notes: list[str]
) -> None:
    """Note if symmetry operations would change lengths and angles in the cell."""
    cell = cell_vectors(crystal)
    metric = cell @ cell.T
    scale = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
    for rotation, _ in operations:
        if (np.abs(rotation.T @ metric @ rotation - metric) > 0.02 * scale).any():
            sides = ", ".join(f"{value:g}" for value in crystal.cell.parameters)
            notes.append(
                f"the symmetry does not fit the cell ({sides}): it changes lengths or angles; "
                f"check the setting of the space group"
            )
            return


def _look_up(crystal: gemmi.SmallStructure, where: str, notes: list[str]) -> None:
    """Find the space group by name or number; refuse a name that is not known."""
    name, number = crystal.spacegroup_hm or "", crystal.spacegroup_number
    if crystal.spacegroup is None and (end := re.fullmatch(r"(.*\S)\s+([SZ])", name.strip())):
        # ICSD marks the first and the second choice of the origin by S and Z.
        crystal.spacegroup_hm = f"{end[1]} :{1 if end[2] == 'S' else 2}"
        crystal.determine_and_set_spacegroup("1")
        name = crystal.spacegroup_hm
    if crystal.spacegroup is not None:
        return
    if number and 1 <= number <= 230:
        cell = cell_vectors(crystal)
        usual = gemmi.find_spacegroup_by_number(number)
        settings = [s for s in gemmi.spacegroup_table() if s.number == number and s.hm == usual.hm]
        # A trigonal group has hexagonal and rhombohedral axes: take those that fit the cell.
        fitting = [s for s in settings if _fits(s, cell)] or [usual]
        crystal.spacegroup_hm = (usual if usual in fitting else fitting[0]).xhm()
        crystal.determine_and_set_spacegroup("1")
        given = f"space group {excerpt(name, 40)!r} is not known" if name else "no name is given"
        notes.append(
            f"{given}; number {number} in its usual setting, {crystal.spacegroup_hm!r}, was assumed"
        )
        return
    if name.strip(" ?.'\""):
        raise DataError(
            f"{where}: space group {excerpt(name, 40)!r} is not known, and no symmetry operations "
            f"are given"
        )
    notes.append("no space group is given; P 1 was assumed")


def _fits(group: gemmi.SpaceGroup, cell: Floats) -> bool:
    metric = cell @ cell.T
    scale = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
    turns = (np.array(op.rot) / gemmi.Op.DEN for op in group.operations())
    return all((np.abs(r.T @ metric @ r - metric) < 0.02 * scale).all() for r in turns)


def _by_gemmi(crystal: gemmi.SmallStructure) -> list[list[gemmi.SmallStructure.Site]]:
    """All positions of each site, by the space group that gemmi found."""
    sites = [site.clone() for site in crystal.sites]
    if len(crystal.cell.images) == 0:
        return [[site] for site in sites]
    found = []
    for site in sites:
        # One site at a time, to know which positions belong to it.
        crystal.sites.clear()
        crystal.add_site(site)
        found.append(list(crystal.get_all_unit_cell_sites()))
    crystal.sites.clear()
    for site in sites:
        crystal.add_site(site)
    return found


def _as_written(
    crystal: gemmi.SmallStructure, operations: Sequence[Operation]
) -> list[list[gemmi.SmallStructure.Site]]:
    """All positions of each site, by the operations of the file."""
    cell = cell_vectors(crystal)
    turns = np.stack([rotation for rotation, _ in operations])
    moves = np.stack([translation for _, translation in operations])
    found = []
    for site in crystal.sites:
        images = turns @ np.array(site.fract.tolist()) + moves
        kept: list[Floats] = []
        for image in images:
            steps = image - np.array(kept).reshape(-1, 3)
            steps -= np.round(steps)
            if (np.linalg.norm(steps @ cell, axis=1) >= _SPECIAL).all():
                kept.append(image)
        copies = []
        for image in kept:
            copy = site.clone()
            copy.fract = gemmi.Fractional(*image.tolist())
            copies.append(copy)
        found.append(copies)
    return found
