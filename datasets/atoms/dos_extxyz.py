"""Folders with extxyz files that carry a density of states in each frame."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl.datasets.atoms.base import DOSDataset
from csgnn_dgl.datasets.atoms.gathering import Gathering, Split
from csgnn_dgl.datasets.atoms.grid_file import GRID_FILE, GridFile, read_grid_file
from csgnn_dgl.datasets.atoms.numbers_in_text import parse_numbers
from csgnn_dgl.errors import DataError

__all__ = ["extxyz_files", "load_extxyz_folder"]

_SUFFIXES = (".extxyz", ".xyz")
_NAMES: dict[str, Split] = {
    "train": "train",
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    "test": "test",
}


def extxyz_files(path: Path) -> dict[Split, Path]:
    """The files of each split in a folder; a file that is alone is for training.

    Raises
    ------
    DataError
        Two files for one split.
    """
    found: dict[Split, Path] = {}
    there = sorted(p for p in path.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file())
    for file in there:
        split = _NAMES.get(file.stem.lower())
        if split is None:
            continue
        if split in found:
            raise DataError(f"{path} has two files for {split}: {found[split].name}, {file.name}")
        found[split] = file
    if not found and len(there) == 1:
        found["train"] = there[0]
    return found


def load_extxyz_folder(path: Path) -> DOSDataset:
    """Structures of ``train.extxyz``, ``validation.extxyz`` and ``test.extxyz``.

    The header of a frame gives ``dos``, one value for each energy of ``grid.json`` (nan where it
    is not defined). It may give ``name`` or ``id``; ``group``; ``electrons`` of the structure or
    ``electrons_per_atom``; ``band_energy_per_atom`` and ``fermi_level`` [unit of the energies].

    Parameters
    ----------
    path
        The folder, with ``grid.json`` in it.

    Raises
    ------
    DataError
        No training file, no usable ``grid.json``, or no usable frame.
    """
    about = read_grid_file(path / GRID_FILE)
    files = extxyz_files(path)
    if "train" not in files:
        there = ", ".join(sorted(p.name for p in path.iterdir())[:8])
        raise DataError(f"{path} has no train.extxyz; it has {there}")
    gathering = Gathering(about.grid, about.quantity)
    for split, file in files.items():
        _load_file(file, split, about, gathering)
    return gathering.dataset(
        about.name or path.resolve().name,
        about.source or f"extxyz files in {path}",
        about.dos_unit,
        about.warnings,
    )


def _load_file(file: Path, split: Split, about: GridFile, gathering: Gathering) -> None:
    for place, text in _frames(file):
        if isinstance(text, DataError):
            gathering.reject(place, text)
            continue
        try:
            atoms = _parse(text)
        except DataError as error:
            gathering.reject(place, error)
            continue
        said = atoms.info
        label = said.get("name", said.get("id"))
        name = place if label is None else f"{place} ({label})"
        atoms.info = {}
        try:
            curve = _curve(said)
            if about.per_cell:
                curve = curve / len(atoms)
            gathering.add(
                split,
                name,
                atoms,
                curve,
                group=str(said.get("group", "all")),
                electrons=_electrons(said, atoms, about),
                band_energy=_number(said, "band_energy_per_atom"),
                fermi_level=_number(said, "fermi_level"),
            )
        except DataError as error:
            gathering.reject(name, error)


def _frames(file: Path) -> Iterator[tuple[str, str | DataError]]:
    """Place and text of each frame, or why there is none."""
    index, number = 0, 0
    try:
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                number += 1
                if not line.strip():
                    continue
                place = f"{file.name}[{index}]"
                if not line.strip().isdigit():
                    yield (
                        place,
                        DataError(
                            f"line {number} should be a number of atoms, but is "
                            f"{line.strip()[:40]!r}; the rest of the file was not read"
                        ),
                    )
                    return
                wanted = int(line) + 1
                body = [text for _, text in zip(range(wanted), lines, strict=False)]
                if len(body) < wanted:
                    yield (
                        place,
                        DataError(
                            f"the file ends after {max(len(body) - 1, 0)} of {wanted - 1} atoms"
                        ),
                    )
                    return
                number += wanted
                yield place, line + "".join(body)
                index += 1
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read ({error})") from error


def _parse(text: str) -> Atoms:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atoms = ase.io.read(io.StringIO(text), format="extxyz")
    # ASE's reader raises whatever comes up in it.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"not an extxyz frame: {reason}") from error
    assert isinstance(atoms, Atoms)
    atoms.calc = None
    return atoms


def _curve(said: dict[str, Any]) -> npt.NDArray[np.float64]:
    value = said.get("dos")
    if value is None or np.size(value) == 0:
        raise DataError("the frame has no dos")
    if isinstance(value, str):
        return parse_numbers(value.split())
    try:
        return np.asarray(value, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise DataError(f"dos is {str(value)[:40]!r}, not numbers") from None


def _number(said: dict[str, Any], key: str) -> float | None:
    value = said.get(key)
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise DataError(f"{key} is {value!r}; leave it out where it is not known")
    return number


def _electrons(said: dict[str, Any], atoms: Atoms, about: GridFile) -> float | None:
    total, per_atom = _number(said, "electrons"), _number(said, "electrons_per_atom")
    if total is not None:
        return total / len(atoms)
    return per_atom if per_atom is not None else about.electrons_of(atoms)
