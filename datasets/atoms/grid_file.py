"""Read and write ``grid.json``: energies, unit and meaning of the curves in its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from csgnn_dgl._files import atomic_write_json
from csgnn_dgl._foreign import check_file, excerpt, reading
from csgnn_dgl.datasets.columns import Column
from csgnn_dgl.errors import CSGNNError, DataError, nearest_name
from csgnn_dgl.physics import EnergyGrid

__all__ = ["GRID_FILE", "GridFile", "read_grid_file", "write_grid_file"]

GRID_FILE = "grid.json"
# Largest number of energies. Each curve has as many values.
_LARGEST = 100_000
# Larger numbers are neither energies nor electrons.
_TOO_LARGE = 10**12
_ENERGIES = ("energies", "start", "step", "size")
_SYNONYMS = {"units": "unit", "energy_unit": "unit", "normalization": "normalisation"}
_KEYS = (
    *("quantity", *_ENERGIES, "unit", "units", "energy_unit", "zero", "dos_unit"),
    *("normalisation", "normalization", "electrons", "name", "source", "note"),
)
_MEANINGS = {
    "quantity": "electronic or phonon",
    "energies": "energies",
    "start": "energies",
    "step": "energies",
    "size": "energies",
    "unit": "unit of the energies",
    "zero": "zero of the energies",
    "dos_unit": "unit of the curves",
    "normalisation": "unit of the curves",
    "electrons": "electrons by element",
    "name": "name",
    "source": "source",
}
# Stand for what a file does not say. Files that are written for such data have them, and say it no
# more than the first.
_UNKNOWN, _UNKNOWN_DOS = "unspecified", "unspecified, per atom"
_PER_CELL = ("/cell", "/unit cell", "/structure", " per cell", " per unit cell", " per structure")


@dataclass(frozen=True)
class GridFile:
    """Content of a ``grid.json``.

    Parameters
    ----------
    grid
        Energies with unit and zero.
    quantity
        ``"electronic"`` or ``"phonon"``.
    dos_unit
        Unit of the curves per atom, after division by ``per_cell``.
    per_cell
        Whether the curves in the files are those of whole cells. If so, they are divided by the
        number of atoms.
    electrons
        Electrons per atom of each element, by symbol.
    name, source
        Name and origin of the data set, if given.
    warnings
        Missing entries, and what was assumed.
    columns
        Entries of the file, and their uses.
    """

    grid: EnergyGrid
    quantity: str
    dos_unit: str
    per_cell: bool = False
    electrons: dict[str, float] | None = None
    name: str | None = None
    source: str | None = None
    warnings: tuple[str, ...] = ()
    columns: tuple[Column, ...] = field(default=(), compare=False)

    def electrons_of(self, atoms: Atoms) -> float | None:
        """Mean electrons per atom of a structure; None if an element is not listed."""
        if self.electrons is None:
            return None
        counts = [self.electrons.get(symbol) for symbol in atoms.symbols]
        known = [count for count in counts if count is not None]
        return sum(known) / len(counts) if counts and len(known) == len(counts) else None


def read_grid_file(path: Path) -> GridFile:
    """Read ``grid.json``.

    Parameters
    ----------
    path
        The file. It must have ``energies``, or ``start``, ``step`` and ``size``. It may have
        ``quantity``, ``unit``, ``zero``, ``dos_unit``, ``normalisation``, ``electrons``, ``name``
        and ``source``; if an important one is missing, there is a warning.

    Raises
    ------
    DataError
        The file is missing, is not JSON, or has no evenly spaced energies; the quantity is neither
        electronic nor phonon; or the electrons are not numbers by element.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "grid.json"
    ...     _ = path.write_text('{"energies": [0, 1, 2], "units": "THz"}')
    ...     found = read_grid_file(path)
    >>> found.quantity, found.grid.unit
    ('phonon', 'THz')
    >>> found.warnings[0]
    'grid.json gives no quantity; phonon was assumed, because energies are in THz'
    """
    said = _read(path)
    notes: list[str] = []
    columns: list[Column] = []
    for key in said:
        if key in _KEYS:
            remark = "" if key != "note" else "for readers"
            columns.append(Column(path.name, key, _meaning(key), remark))
            continue
        nearest = nearest_name(key, _KEYS)
        hint = f"is {nearest!r} meant?" if nearest else ""
        columns.append(Column(path.name, excerpt(key, 60), None, hint))
        notes.append(
            f"{path.name} has an unknown entry {excerpt(repr(key), 60)}, which was ignored"
            f"{f' ({hint})' if hint else ''}"
        )
    said = {_SYNONYMS.get(key, key): value for key, value in said.items()}
    unit = _text(said, "unit", path)
    quantity = _quantity(said, unit, path, notes)
    if unit in (None, _UNKNOWN):
        notes.append(f"{path.name} gives no unit of the energies")
    zero = _text(said, "zero", path)
    if zero is None:
        zero = "zero frequency" if quantity == "phonon" else _UNKNOWN
    if zero == _UNKNOWN and quantity == "electronic":
        notes.append(f"{path.name} gives no zero of energy")
    dos_unit, per_cell = _dos_unit(said, path, notes)
    return GridFile(
        _grid(said, path, unit or _UNKNOWN, zero),
        quantity,
        dos_unit,
        per_cell,
        _electrons(said, path),
        _text(said, "name", path),
        _text(said, "source", path),
        tuple(notes),
        tuple(columns),
    )


def _meaning(key: str) -> str | None:
    return _MEANINGS.get(_SYNONYMS.get(key, key))


def write_grid_file(path: Path, content: GridFile) -> None:
    """Write ``grid.json``, so that :func:`read_grid_file` returns the same content.

    Raises
    ------
    ResourceError
        The file cannot be written.
    """
    grid = content.grid
    said: dict[str, Any] = {
        "quantity": content.quantity,
        "start": grid.start,
        "step": grid.step,
        "size": grid.size,
        "unit": grid.unit,
        "zero": grid.zero,
        "dos_unit": content.dos_unit,
        "electrons": content.electrons,
        "name": content.name,
        "source": content.source,
    }
    atomic_write_json(path, {key: value for key, value in said.items() if value is not None})


def _read(path: Path) -> dict[str, Any]:
    shown = excerpt(path)
    if not path.exists():
        raise DataError(
            f"there is no {path.name} in {excerpt(path.parent)}; it gives the energies of the "
            f'curves: {{"quantity": "electronic", "start": -10.0, "step": 0.1, "size": 201, '
            f'"unit": "eV", "zero": "Fermi level", "dos_unit": "states/eV/atom"}}'
        )
    check_file(path)
    try:
        with reading(path):
            said = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
    except DataError as error:
        if isinstance(error.__cause__, json.JSONDecodeError):
            raise DataError(f"{shown} is not JSON ({error.__cause__})") from error
        raise
    if not isinstance(said, dict):
        raise DataError(f"{shown} holds a {type(said).__name__}, not named entries {{…}}")
    return said


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dictionary, and refuse keys that are given twice."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the entry {excerpt(repr(key), 60)} is given twice")
        found[key] = value
    return found


def _text(said: dict[str, Any], key: str, path: Path) -> str | None:
    value = said.get(key)
    if value is not None and not isinstance(value, str):
        raise DataError(f"{path}: {key} is {excerpt(repr(value), 60)}; it must be text")
    return value.strip() or None if value else None


def _quantity(said: dict[str, Any], unit: str | None, path: Path, notes: list[str]) -> str:
    text = _text(said, "quantity", path)
    if text is not None:
        found = [
            name
            for name, words in (("phonon", ("phonon", "vibration")), ("electronic", ("electron",)))
            if any(word in text.lower() for word in words)
        ]
        if len(found) == 1:
            return found[0]
        raise DataError(
            f'{path}: quantity is {excerpt(repr(text), 60)}; say "electronic" or "phonon"'
        )
    by_unit = {"ev": "electronic", "cm^-1": "phonon", "cm-1": "phonon", "thz": "phonon"}
    guess = by_unit.get((unit or "").lower())
    if guess is None:
        raise DataError(f'{path} gives no quantity; say "electronic" or "phonon"')
    notes.append(
        f"{path.name} gives no quantity; {guess} was assumed, because energies are in {unit}"
    )
    return guess


def _dos_unit(said: dict[str, Any], path: Path, notes: list[str]) -> tuple[str, bool]:
    unit, scale = _text(said, "dos_unit", path), _text(said, "normalisation", path)
    if unit in (None, _UNKNOWN_DOS) and scale is None:
        notes.append(f"{path.name} gives no dos_unit; curves are assumed to be per atom")
        return _UNKNOWN_DOS, False
    if unit is None:
        return f"arbitrary: {scale}", False
    for ending in _PER_CELL:
        if unit.lower().endswith(ending):
            return unit[: -len(ending)] + "/atom", True
    if not unit.lower().endswith(("/atom", " per atom")) and "arb" not in unit.lower():
        notes.append(
            f"dos_unit is {excerpt(repr(unit), 60)}, neither per atom nor per cell; per atom was "
            f"assumed"
        )
    return unit, False


def _grid(said: dict[str, Any], path: Path, unit: str, zero: str) -> EnergyGrid:
    try:
        if "energies" in said:
            try:
                energies = np.asarray(said["energies"])
                # Texts, truth values and integers of more than 64 bits are none.
                if energies.dtype.kind not in "iuf":
                    raise ValueError
            except (TypeError, ValueError):
                raise DataError("energies are not all numbers") from None
            grid = EnergyGrid.from_energies(energies, unit=unit, zero=zero)
            for key, value in (("start", grid.start), ("step", grid.step), ("size", grid.size)):
                if key in said and not np.isclose(_number(said, key), value, rtol=1e-6):
                    raise DataError(f"{key} is {said[key]}, but that of energies is {value:g}")
            return grid
        missing = [key for key in _ENERGIES[1:] if key not in said]
        if missing:
            raise DataError(
                f"it gives no energies: it has neither a list of energies nor all of start, step "
                f"and size ({', '.join(missing)} missing)"
            )
        start, step, size = (_number(said, key) for key in _ENERGIES[1:])
        if size != int(size) or not 2 <= size <= _LARGEST:
            raise DataError(
                f"size is {size:g}; it must be a whole number, at least 2 and at most {_LARGEST}"
            )
        return EnergyGrid(start, step, int(size), unit, zero)
    except CSGNNError as error:
        raise DataError(f"{path}: {error}") from error


def _number(said: dict[str, Any], key: str) -> float:
    value = said[key]
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise DataError(f"{key} is {excerpt(repr(value), 60)}; it must be a number")
    # An integer of JSON may have any number of digits.
    if isinstance(value, int) and abs(value) >= _TOO_LARGE:
        raise DataError(f"{key} has {len(f'{abs(value):x}')} hexadecimal digits; it is too large")
    if not abs(value) < _TOO_LARGE:
        raise DataError(f"{key} is {value:g}; it must be a number, and less than {_TOO_LARGE:g}")
    return float(value)


def _electrons(said: dict[str, Any], path: Path) -> dict[str, float] | None:
    given = said.get("electrons")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise DataError(
            f"{path}: electrons is {excerpt(repr(given), 60)}; give electrons per atom by element, "
            f'as {{"C": 4}}'
        )
    for symbol in given:
        if symbol not in atomic_numbers or symbol == "X":
            raise DataError(
                f"{path}: electrons are given for {excerpt(repr(symbol), 60)}, which is not an "
                f"element"
            )
    try:
        counts = {symbol: _number(given, symbol) for symbol in given}
    except DataError as error:
        raise DataError(f"{path}: electrons of {error}") from error
    for symbol, count in counts.items():
        if count < 0:
            raise DataError(f"{path}: electrons of {symbol} is {count:g}; it cannot be negative")
    return counts
