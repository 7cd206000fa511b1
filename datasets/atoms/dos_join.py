"""Join data sets of densities of states, so that one model can be trained on all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from csgnn_dgl._files import check_no_folder, new_folder
from csgnn_dgl.datasets.atoms.dos import DOSDataset, DOSRecord
from csgnn_dgl.datasets.atoms.dos_folder import write_extxyz
from csgnn_dgl.datasets.atoms.grid_file import GRID_FILE, GridFile, write_grid_file
from csgnn_dgl.datasets.atoms.loading import load_dos_dataset
from csgnn_dgl.errors import ConfigError, DataError

__all__ = ["Joined", "join_dos"]

# Largest difference between energies, in steps.
_SAME = 1e-3


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
        What was left out, and what was held out.
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
        f"{folder}: {len(found.rejected)} structures are left out, because they cannot be used"
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


def _named(record: DOSRecord, found: DOSDataset) -> DOSRecord:
    """The record with a group that tells its data set, if it has none of its own."""
    if record.group != "all":
        return record
    return DOSRecord(record.atoms, name=record.name, group=found.name, **dict(record.targets))


def _check_same(place: Path, first: DOSDataset, other_place: Path, other: DOSDataset) -> None:
    """Refuse data sets whose curves cannot stand beside each other."""
    same = (
        first.grid.size == other.grid.size
        and abs(first.grid.start - other.grid.start) <= _SAME * first.grid.step
        and abs(first.grid.stop - other.grid.stop) <= _SAME * first.grid.step
    )
    for what, mine, theirs, equal in (
        ("quantities", first.quantity, other.quantity, None),
        ("units of energy", first.grid.unit, other.grid.unit, None),
        ("energies", _energies(first), _energies(other), same),
        ("zeros of energy", first.grid.zero, other.grid.zero, None),
        ("units of the curves", first.dos_unit, other.dos_unit, None),
    ):
        if not (mine == theirs if equal is None else equal):
            raise DataError(
                f"{place} and {other_place} cannot be joined, because their {what} differ: "
                f"{mine}, and {theirs}. Bring one of them to the other's first"
            )


def _energies(data: DOSDataset) -> str:
    grid = data.grid
    return f"{grid.size} from {grid.start:g} to {grid.stop:g} {grid.unit}"
