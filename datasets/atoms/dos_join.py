"""Join data sets of densities of states, so that one model can be trained on all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from csgnn_dgl._files import check_no_folder, new_folder
from csgnn_dgl.datasets.atoms.dos import DOSDataset, DOSRecord
from csgnn_dgl.datasets.atoms.dos_folder import write_extxyz
from csgnn_dgl.datasets.atoms.grid_file import GRID_FILE, GridFile, write_grid_file
from csgnn_dgl.datasets.atoms.loading import load_dos_dataset
from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.physics import EnergyGrid

__all__ = ["Joined", "join_dos"]

# Largest difference between energies, in steps.
_SAME = 1e-3
# Number of warnings that are repeated of each set, and how that of drawn test structures begins.
_SHOWN = 6
_DRAWN = "no test structures are given;"


@dataclass(frozen=True)
class Joined:
    """Result of :func:`join_dos`.

    Parameters
    ----------
    folder
        The folder that was written.
    counts
        Number of structures of each split.
    notes
        Warnings of the sets, what was left out, what was held out, and structures in more than one
        split.
    """

    folder: Path
    counts: dict[str, int]
    notes: tuple[str, ...]


def join_dos(
    folders: Sequence[Path], destination: Path, *, validation_fraction: float = 0.2, seed: int = 0
) -> Joined:
    """Write a folder with the structures of several data sets.

    Their splits are kept. If some of them have validation structures and others have none, a part
    of the training structures of the others is held out, so that validation sees all of them.
    Structures without a group get the name of their data set.

    Parameters
    ----------
    folders
        Folders that :func:`~csgnn_dgl.datasets.atoms.loading.load_dos_dataset` reads.
    destination
        Folder to make; an existing one must be empty.
    validation_fraction, seed
        Share of each group to hold out where some sets have no validation structures, and random
        seed of this choice.

    Raises
    ------
    ConfigError
        Fewer than two folders are given, or one of them twice.
    DataError
        Data cannot be read, they have different energies or units, or the folder exists.
    ResourceError
        The folder cannot be written.
    """
    if len({folder.resolve() for folder in folders}) < max(len(folders), 2):
        given = ", ".join(map(str, folders)) or "none"
        raise ConfigError(f"the data sets to join are {given}; name two or more different folders")
    check_no_folder(destination)
    sets = [load_dos_dataset(folder, seed=seed) for folder in folders]
    first = sets[0]
    for folder, other in zip(folders[1:], sets[1:], strict=True):
        _check_same(folders[0], first, folder, other)
    notes = [
        f"{folder}: {warning}"
        for folder, found in zip(folders, sets, strict=True)
        for warning in _warnings(folder, found)
    ]
    notes += [
        f"{folder}: {len(found.rejected)} structures are left out, because they cannot be used "
        f"(csgnn-dgl data info {folder} tells why)"
        for folder, found in zip(folders, sets, strict=True)
        if found.rejected
    ]
    splits: dict[str, list[DOSRecord]] = {"train": [], "validation": [], "test": []}
    anyone = any(found.validation for found in sets)
    for folder, found in zip(folders, sets, strict=True):
        training, validation = found.train, found.validation
        if anyone and not validation:
            training, validation = found.split_validation(validation_fraction, seed)
            notes.append(
                f"{folder}: {len(validation)} of {len(found.train)} training structures are held "
                f"out for validation, because other sets have such structures"
            )
        own = {"train": training, "validation": validation, "test": found.test}
        for split, records in own.items():
            splits[split] += [_named(record, found) for record in records]
    notes += _repeated(splits)
    about = GridFile(
        first.grid,
        first.quantity,
        first.dos_unit,
        name=" + ".join(found.name for found in sets),
        source="; ".join(found.source for found in sets),
    )
    with new_folder(destination) as folder:
        counts = {
            split: write_extxyz(folder / f"{split}.extxyz", records)
            for split, records in splits.items()
        }
        write_grid_file(folder / GRID_FILE, about)
    return Joined(destination, counts, tuple(notes))


def _warnings(folder: Path, found: DOSDataset) -> list[str]:
    """The warnings of a set, but not more than a few."""
    # In the joined set, test structures that were drawn look as if they were given.
    drawn = [
        f"{warning}; in the joined set they count as given ones"
        for warning in found.warnings
        if warning.startswith(_DRAWN)
    ]
    listed = drawn + [warning for warning in found.warnings if not warning.startswith(_DRAWN)]
    more = len(listed) - _SHOWN
    if more > 0:
        rest = f"{more} more warnings (csgnn-dgl data info {folder} prints all)"
        return [*listed[:_SHOWN], rest]
    return listed


def _named(record: DOSRecord, found: DOSDataset) -> DOSRecord:
    """The record with a group that tells its data set, if it has none of its own."""
    if record.group != "all":
        return record
    return DOSRecord(record.atoms, name=record.name, group=found.name, **dict(record.targets))


def _check_same(place: Path, first: DOSDataset, other_place: Path, other: DOSDataset) -> None:
    """Refuse data sets whose curves cannot stand beside each other."""
    mine, theirs = first.grid, other.grid
    ends = (abs(mine.start - theirs.start), abs(mine.stop - theirs.stop))
    compared = (
        ("quantities", first.quantity, other.quantity, first.quantity == other.quantity),
        ("units of energy", mine.unit, theirs.unit, mine.unit == theirs.unit),
        (
            "energies",
            _energies(mine),
            _energies(theirs),
            mine.size == theirs.size and max(ends) <= _SAME * mine.step,
        ),
        ("zeros of energy", mine.zero, theirs.zero, mine.zero == theirs.zero),
        ("units of the curves", first.dos_unit, other.dos_unit, first.dos_unit == other.dos_unit),
    )
    for what, here, there, same in compared:
        if not same:
            raise DataError(
                f"{place} and {other_place} cannot be joined, because their {what} differ: "
                f"{here}, and {there}"
            )


def _energies(grid: EnergyGrid) -> str:
    return f"{grid.size} from {grid.start:.10g} to {grid.stop:.10g} {grid.unit}"


def _repeated(splits: Mapping[str, Sequence[DOSRecord]]) -> list[str]:
    """Notes on structures that are in more than one set.

    Labels are not compared: two sets may have computed those of one structure in different ways.
    """
    training, *others = ([_structure(r.atoms) for r in records] for records in splits.values())
    known, held_out = set(training), [structure for own in others for structure in own]
    notes = []
    if leaked := sum(structure in known for structure in held_out):
        notes.append(
            f"{leaked} validation or test structures are also training structures, so errors on "
            f"them will be too small"
        )
    if twice := sum(len(own) - len(set(own)) for own in (training, *others)):
        notes.append(f"{twice} structures repeat others of their split, and count again")
    return notes


def _structure(atoms: Atoms) -> bytes:
    # Zero is added so that -0 becomes 0.
    parts = (atoms.numbers, atoms.pbc, np.round(atoms.positions, 4), np.round(atoms.cell.array, 4))
    return b"".join((np.asarray(part, dtype=np.float64) + 0.0).tobytes() for part in parts)
