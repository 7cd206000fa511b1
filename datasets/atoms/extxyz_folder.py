"""Read folders with extxyz files that have labels in each frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ase import Atoms

from csgnn_dgl._foreign import open_text, reading
from csgnn_dgl._progress import each
from csgnn_dgl.datasets.atoms.atom_arrays import AtomArrays
from csgnn_dgl.datasets.atoms.gathering import Entry, Gathering, Split
from csgnn_dgl.datasets.atoms.xyz import column_names, read_frame, xyz_frames
from csgnn_dgl.errors import DataError

__all__ = ["extxyz_files", "gather_extxyz", "has_extxyz", "split_of"]

_SUFFIXES = (".extxyz", ".xyz")
_NAMES: dict[str, Split] = {
    "train": "train",
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    "test": "test",
}
_STRUCTURE = "the structure"
_COLUMNS = dict.fromkeys(("species", "Z", "pos"), _STRUCTURE)
# ASE's name of a column, and its name in the file.
_RENAMED = {"charges": "charge"}


def split_of(file: Path) -> Split | None:
    """The split that a file's name stands for; None if it stands for none."""
    return _NAMES.get(file.name.split(".")[0].lower())


def has_extxyz(path: Path) -> bool:
    """Whether a folder has an .extxyz file, or .xyz files that would be read for a split."""
    if not path.is_dir():
        return False
    there = [p for p in path.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file()]
    named = any(file.stem.lower() in _NAMES for file in there)
    return named or len(there) == 1 or any(file.suffix.lower() == ".extxyz" for file in there)


def extxyz_files(path: Path) -> dict[Split, Path]:
    """Find the file of each split in a folder; a single file is for training.

    Raises
    ------
    DataError
        There are two files for one split.
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


def gather_extxyz(path: Path, gathering: Gathering[Any]) -> None:
    """Gather the structures of ``train.extxyz``, ``validation.extxyz`` and ``test.extxyz``.

    The labels of ``gathering`` determine how the header of a frame and its columns are used.
    ``name`` or ``id`` in a header names the frame. Arrays over atoms may also be in ``train.npz``
    and so on, with the atoms of all frames in order.

    Parameters
    ----------
    path
        The folder.
    gathering
        Collects the structures.

    Raises
    ------
    DataError
        There is no training file, or a file cannot be read.

    Examples
    --------
    Any target can be read, not only densities of states:

    >>> import tempfile
    >>> from csgnn_dgl.datasets.atoms.base import Target
    >>> from csgnn_dgl.datasets.atoms.gathering import PlainLabels
    >>> text = '1\\nProperties=species:S:1:pos:R:3:charge:R:1 pbc="F F F"\\nC 0 0 0 0.25\\n'
    >>> gathering = Gathering(PlainLabels((Target("charge", "e", "atom"),)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "train.extxyz").write_text(text)
    ...     gather_extxyz(Path(folder), gathering)
    >>> gathering.dataset("ions", "an example").train[0].targets["charge"]
    array([0.25])
    """
    files = extxyz_files(path)
    if "train" not in files:
        there = ", ".join(sorted(p.name for p in path.iterdir())[:8])
        raise DataError(f"{path} has no train.extxyz; it has {there}")
    for split, file in files.items():
        _gather_file(file, split, gathering)


def _gather_file(file: Path, split: Split, gathering: Gathering[Any]) -> None:
    arrays = _arrays_beside(file, gathering)
    first = 0
    for place, count, body in each(_frames(file), f"reading {file.name}", unit="frame"):
        before, first = first, first + count
        if isinstance(body, DataError):
            gathering.reject(place, body)
            continue
        try:
            entry = _entry(place, count, body)
        except DataError as error:
            gathering.reject(place, error)
            continue
        gathering.note_columns(f"{file.name} header", _header_columns(entry), of_atoms=False)
        columns = {name: _COLUMNS.get(name) for name in column_names(body[0])}
        gathering.note_columns(f"{file.name} atoms", columns, of_atoms=True)
        gathering.take(split, _with_arrays(entry, arrays, before, gathering))


def _header_columns(entry: Entry) -> dict[str, str | None]:
    atoms = entry.atoms
    found: dict[str, str | None] = dict.fromkeys(entry.values)
    if atoms.pbc.any() or atoms.cell.rank:
        found = {"Lattice": _STRUCTURE, "pbc": _STRUCTURE, **found}
    return found


def _arrays_beside(file: Path, gathering: Gathering[Any]) -> AtomArrays | None:
    beside = AtomArrays.beside(file)
    if beside is None:
        return None
    try:
        n_atoms = sum(count for _, count, _ in _frames(file))
        arrays = AtomArrays(beside, gathering.labels.atom_columns, n_atoms)
    except DataError as error:
        gathering.remark(f"{error}; the arrays of {beside.name} were left out")
        return None
    gathering.note_columns(beside.name, arrays.meanings, of_atoms=True)
    return arrays


def _with_arrays(
    entry: Entry, arrays: AtomArrays | None, first: int, gathering: Gathering[Any]
) -> Entry:
    if arrays is None:
        return entry
    try:
        found = arrays.of(entry.atoms, first)
    except DataError as error:
        gathering.remark(f"{error}; its arrays were left out", entry.name)
        return entry
    twice = sorted(found.keys() & entry.atom_values.keys())
    if twice:
        gathering.remark(
            f"{', '.join(twice)} is in the frames and in {arrays.file.name}; that of the frames "
            f"was taken"
        )
    return Entry(entry.name, entry.atoms, entry.values, {**found, **entry.atom_values})


def _frames(file: Path) -> Iterator[tuple[str, int, list[str] | DataError]]:
    """Yield name, number of atoms and lines of each frame, or an error in place of the lines."""
    with reading(file.name), open_text(file) as lines:
        for index, (_, count, body) in enumerate(xyz_frames(lines)):
            place = f"{file.name}[{index}]"
            if isinstance(body, DataError):
                rest = "; the rest of the file was not read" if "should be" in str(body) else ""
                yield place, count, DataError(f"{body}{rest}")
                return
            yield place, count, body


def _entry(place: str, count: int, body: list[str]) -> Entry:
    read = read_frame(count, body)
    values = dict(read.info)
    arrays = {k: v for k, v in read.arrays.items() if k not in ("numbers", "positions")}
    columns = column_names(body[0])
    # ASE stores results of calculators separately: energy, forces, charges and so on.
    for name, value in ({} if read.calc is None else read.calc.results).items():
        own = _RENAMED.get(name, name)
        if own in columns or name in columns:
            arrays[own if own in columns else name] = value
        else:
            values.setdefault(name, value)
    label = values.get("name", values.get("id"))
    return Entry(
        place if label is None else f"{place} ({label})",
        Atoms(read.numbers, read.positions, cell=read.cell, pbc=read.pbc),
        values,
        arrays,
    )
