"""Load the layout of the paper's carbon data: folders with a ``POSCAR`` and a ``doscar_s``."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl._foreign import check_file, reading
from csgnn_dgl._progress import each
from csgnn_dgl.datasets.atoms.dos import DOSDataset, DOSRecord
from csgnn_dgl.datasets.atoms.dos_labels import DOSLabels
from csgnn_dgl.datasets.atoms.gathering import Entry, Gathering, Split
from csgnn_dgl.datasets.atoms.grid_file import GridFile
from csgnn_dgl.datasets.atoms.numbers_in_text import parse_numbers
from csgnn_dgl.datasets.atoms.structures import read_structures
from csgnn_dgl.datasets.isolation import read_each
from csgnn_dgl.errors import DataError
from csgnn_dgl.physics import EnergyGrid

__all__ = ["PAPER_GRID", "is_paper_folder", "load_paper_folder"]

Floats = npt.NDArray[np.float64]

PAPER_GRID = EnergyGrid(-30.0, 0.1, 310, "eV", "vacuum level")
_CURVE, _STRUCTURE = "doscar_s", "POSCAR"
_CARBON, _ELECTRONS = 6, 4.0
# The split follows from the name of any folder in the path.
_SPLITS: dict[str, Split] = {
    **dict.fromkeys(("test", "tests", "test_set", "testing"), "test"),
    **dict.fromkeys(("validation", "val", "valid"), "validation"),
    **dict.fromkeys(("train", "training"), "train"),
}
# Largest difference of energies in the first column. They may be the centres of bins, which differ
# from the edges by half a step.
_OFF = 0.6 * PAPER_GRID.step
# Smallest share of the electrons that a complete curve holds; broadening loses the rest.
_WHOLE = 0.98


@dataclass(frozen=True, eq=False)
class _Snapshot:
    name: str
    split: Split
    group: str
    atoms: Atoms
    curve: Floats

    @property
    def states(self) -> float:
        """Integral of the curve in the file."""
        return float(np.nansum(self.curve) * PAPER_GRID.step)


def is_paper_folder(path: Path) -> bool:
    """Whether a folder, or one below it, has a ``doscar_s``."""
    return next(path.rglob(_CURVE), None) is not None


def load_paper_folder(path: Path) -> DOSDataset:
    """Load carbon snapshots: ``<structure>/<T>K/<name>/POSCAR`` with ``doscar_s`` beside it.

    A ``doscar_s`` has 311 rows with energy, total density of states, and further columns. The last
    row is dropped, which leaves 310 values in steps of 0.1 eV from −30 eV, with zero at the vacuum
    level (Section 4.3 of the paper). It is not documented whether curves are per atom or of the
    whole structure. If a curve holds four electrons for each atom, it is of the whole structure and
    is divided by the number of atoms. A warning says which it was.

    A folder ``test`` (or ``validation``) anywhere in the path determines the split.

    Parameters
    ----------
    path
        The folder.

    Raises
    ------
    DataError
        No snapshot can be used, or some curves are per atom and others of whole structures.
    """
    gathering = Gathering(DOSLabels(GridFile(PAPER_GRID, "electronic", "states/eV/atom")))
    found = []
    places = {p.parent for pattern in (_CURVE, _STRUCTURE) for p in path.rglob(pattern)}
    with contextlib.closing(read_each(partial(_read, root=path), sorted(places))) as contents:
        named = each(sorted(places), "reading", unit="structure")
        for place, content in zip(named, contents, strict=True):
            if isinstance(content, DataError):
                gathering.reject(str(place.relative_to(path)), content)
            else:
                snapshot, columns = content
                gathering.columns.add(_CURVE, _meanings(columns))
                found.append(snapshot)
    per_structure = _per_structure(path, found, gathering)
    for snapshot in each(found, "checking", unit="structure"):
        atoms = snapshot.atoms
        carbon = bool((atoms.numbers == _CARBON).all())
        if not carbon:
            gathering.remark(
                "electrons are known only for carbon (4 per atom), not for other elements",
                snapshot.name,
            )
        values: dict[str, Any] = {
            "dos": snapshot.curve / len(atoms) if per_structure else snapshot.curve,
            "group": snapshot.group,
        }
        if carbon:
            values["electrons_per_atom"] = _ELECTRONS
        gathering.take(snapshot.split, Entry(snapshot.name, atoms, values))
    dataset = gathering.dataset("carbon-dft", f"the paper's layout in {path}")
    assert isinstance(dataset, DOSDataset)
    return dataset


def _read(place: Path, root: Path) -> tuple[_Snapshot, int]:
    """Read a folder; returns the snapshot, and the number of columns of its curve."""
    parts = place.relative_to(root).parts
    splits = [_SPLITS[part.lower()] for part in parts if part.lower() in _SPLITS]
    names = [part for part in parts if part.lower() not in _SPLITS]
    curve, columns = _read_curve(place / _CURVE)
    snapshot = _Snapshot(
        name=str(place.relative_to(root)),
        split=splits[0] if splits else "train",
        group=names[0] if names else "all",
        atoms=read_structures(place / _STRUCTURE)[0].atoms,
        curve=curve,
    )
    return snapshot, columns


def _meanings(columns: int) -> dict[str, str | None]:
    found: dict[str, str | None] = {
        "column 1": "energies, checked",
        "column 2": "density of states",
    }
    if columns > 2:
        found["column 3" if columns == 3 else f"columns 3 to {columns}"] = None
    return found


def _read_curve(path: Path) -> tuple[Floats, int]:
    """Read the curve of a file, and count the columns of the file."""
    if not path.exists():
        raise DataError(f"there is no {path.name}: a structure without its label")
    check_file(path)
    with reading(path.name):
        lines = path.read_text(encoding="utf-8").splitlines()
    rows, columns = [], 0
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 2:
            raise DataError(
                f"{path.name} line {number} has {len(words)} columns; energy and density of "
                f"states are needed"
            )
        columns = max(columns, len(words))
        try:
            rows.append(parse_numbers(words[:2]))
        except DataError as error:
            raise DataError(f"{path.name} line {number}: {error}") from error
    size = PAPER_GRID.size
    if len(rows) != size + 1:
        raise DataError(
            f"{path.name} has {len(rows)} rows, but {size + 1} are expected: one for each 0.1 eV "
            f"from -30 to 1 eV"
        )
    energies, values = np.array(rows[:size]).T
    # In this layout every value is defined, so a NaN means that the file is damaged.
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).argmax())
        raise DataError(f"{path.name} has {values[bad]} at {PAPER_GRID.energies[bad]:.1f} eV")
    off = energies - PAPER_GRID.energies
    if not np.abs(off).max() <= _OFF:
        raise DataError(
            f"{path.name} has energies {energies[0]:g} … {energies[-1]:g} eV, but "
            f"{PAPER_GRID.start:g} … {PAPER_GRID.stop:g} eV in steps of {PAPER_GRID.step:g} are "
            f"expected"
        )
    return np.asarray(values), columns


def _per_structure(path: Path, found: list[_Snapshot], gathering: Gathering[DOSRecord]) -> bool:
    """Determine from the electrons of the curves whether they are of whole structures."""
    verdicts: dict[bool, str] = {}
    for snapshot in found:
        needed = _WHOLE * _ELECTRONS
        n_atoms = len(snapshot.atoms)
        if n_atoms > 1 and snapshot.states >= needed:
            verdicts.setdefault(snapshot.states >= needed * n_atoms, snapshot.name)
    if len(verdicts) > 1:
        raise DataError(
            f"{path}: the curve of {verdicts[True]} holds the electrons of its whole structure, "
            f"but that of {verdicts[False]} holds those of one atom; all must be of one kind"
        )
    per_structure = verdicts.get(True) is not None
    if verdicts:
        gathering.remark(
            "curves hold four electrons for each atom, so they are of whole structures, and were "
            "divided by the number of atoms"
            if per_structure
            else "curves hold the electrons of one atom, so they are per atom and were not changed"
        )
    return per_structure
