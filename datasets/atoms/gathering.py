"""Collect what a reader of structures finds: records, rejected structures, remarks, columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl._foreign import excerpt, reading
from csgnn_dgl.datasets.atoms.base import AtomDataset, AtomRecord, RecordError, Rejected, Target
from csgnn_dgl.datasets.columns import Column, ColumnCount, meant_column
from csgnn_dgl.errors import DataError, StructureError
from csgnn_dgl.mapping import find_neighbors

__all__ = ["Entry", "Gathering", "Labels", "PlainLabels", "Remark", "Split", "parse_number"]

Split = Literal["train", "validation", "test"]
#: A remark on a structure: the text, and the structure's name.
Remark = Callable[[str, str], None]

# Cutoff of a search for neighbours that only detects atoms at one place [Å].
_NEAR = 0.2
_EXAMPLES = 3

Record = TypeVar("Record", bound=AtomRecord)
RecordOut = TypeVar("RecordOut", bound=AtomRecord, covariant=True)


@dataclass(frozen=True, eq=False)
class Entry:
    """A structure with all values of its file, before they are used.

    Parameters
    ----------
    name
        Where it was found.
    atoms
        The structure, without labels.
    values
        Values of the structure, by column: header keys of extxyz, columns of a table.
    atom_values
        Arrays over the atoms, by column.
    """

    name: str
    atoms: Atoms
    values: Mapping[str, Any] = field(default_factory=dict)
    atom_values: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)


class Labels(Protocol[RecordOut]):
    """Makes records of a target from the columns that a reader finds.

    Readers know formats but no targets; labels know a target but no formats. Labels for densities
    of states are :class:`~csgnn_dgl.datasets.atoms.dos_labels.DOSLabels`. :class:`PlainLabels` use
    columns unchanged.
    """

    @property
    def columns(self) -> Mapping[str, str]:
        """Columns of structures that are used, with their uses."""
        ...

    @property
    def atom_columns(self) -> Mapping[str, str]:
        """Columns of atoms that are used, with their uses."""
        ...

    @property
    def series(self) -> tuple[str, int] | None:
        """The column that may fill many columns of a table, and its number of values."""
        ...

    def record(self, entry: Entry, remark: Remark) -> RecordOut:
        """Make a record of an entry; raises DataError if that cannot be done."""
        ...

    def dataset(self, **parts: Any) -> AtomDataset[Any]:
        """Make a data set from the arguments of :class:`AtomDataset` other than ``targets``."""
        ...


class PlainLabels:
    """Labels that use the columns named like the targets, unchanged.

    Parameters
    ----------
    targets
        The targets; their names are the names of the columns.

    Examples
    --------
    >>> labels = PlainLabels((Target("charge", "e", "atom"),))
    >>> entry = Entry("a", Atoms("C", [(0, 0, 0)]), atom_values={"charge": np.array([0.5])})
    >>> labels.record(entry, print).targets["charge"]
    array([0.5])
    """

    def __init__(self, targets: tuple[Target, ...]) -> None:
        self.targets = targets

    @property
    def columns(self) -> Mapping[str, str]:
        own = {t.name: t.description or "target" for t in self.targets if t.per == "structure"}
        return {"name": "name", "id": "name", "group": "group", **own}

    @property
    def atom_columns(self) -> Mapping[str, str]:
        return {t.name: t.description or "target" for t in self.targets if t.per == "atom"}

    @property
    def series(self) -> tuple[str, int] | None:
        return None

    def record(self, entry: Entry, remark: Remark) -> AtomRecord:
        values = {}
        for target in self.targets:
            found = entry.atom_values if target.per == "atom" else entry.values
            if target.name in found:
                values[target.name] = _floats(target.name, found[target.name])
        group = str(entry.values.get("group", "all"))
        record = AtomRecord(entry.atoms, entry.name, group, values)
        for target in self.targets:
            target.check(record)
        return record

    def dataset(self, **parts: Any) -> AtomDataset[AtomRecord]:
        return AtomDataset(**parts, targets=self.targets)


def _floats(name: str, value: Any) -> npt.NDArray[np.float64]:
    with reading(name):
        given = np.asarray(value)
        if given.dtype.kind in "SUO":  # numbers as text, such as those of a table
            given = given.astype(np.float64)
    if given.dtype.kind not in "iuf":
        raise DataError(f"{name} is {excerpt(repr(value), 60)}, not numbers")
    return given.astype(np.float64)


def parse_number(values: Mapping[str, Any], key: str) -> float | None:
    """Read a finite number from a column; None if the column is absent or empty.

    Raises
    ------
    DataError
        The value is not a finite number.

    Examples
    --------
    >>> parse_number({"fermi_level": "1.5"}, "fermi_level")
    1.5
    """
    value = values.get(key)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        # float() would take True for 1.
        number = np.nan if isinstance(value, bool | np.bool_) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = np.nan
    if not np.isfinite(number):
        raise DataError(
            f"{key} is {excerpt(repr(value), 60)}, not a number; leave it out where it is not known"
        )
    return number


class Gathering(Generic[Record]):
    """Collects the structures of a data set, and the reasons why some cannot be used.

    Parameters
    ----------
    labels
        Makes records from entries.
    """

    def __init__(self, labels: Labels[Record]) -> None:
        self.labels = labels
        self._records: dict[Split, list[Record]] = {"train": [], "validation": [], "test": []}
        self._rejected: list[Rejected] = []
        self._remarks: dict[str, list[str]] = {}
        self.columns = ColumnCount()

    def remark(self, text: str, name: str | None = None) -> None:
        """Add a warning for the user; the same remark on several structures gives one warning."""
        names = self._remarks.setdefault(text, [])
        if name is not None:
            names.append(name)

    def reject(self, name: str, reason: object) -> None:
        """Add a structure or file that cannot be used, with the reason."""
        self._rejected.append(Rejected(name, str(reason)))

    def note_columns(self, place: str, found: Mapping[str, str | None], of_atoms: bool) -> None:
        """Count columns of one entry, and warn about names that look misspelled.

        Parameters
        ----------
        place
            Where they were found.
        found
            Their names, with their uses where the labels do not determine these.
        of_atoms
            Whether they hold a value for each atom, or one for the structure.
        """
        known = self.labels.atom_columns if of_atoms else self.labels.columns
        meanings = {name: found[name] or known.get(name) for name in found}
        notes = {}
        for name in (name for name, meaning in meanings.items() if meaning is None):
            meant = meant_column(name, known)
            if meant is not None and meant not in found:
                notes[name] = f"is {meant!r} meant?"
                self.remark(f"{place} has {name!r}, which is not used; is {meant!r} meant?")
        self.columns.add(place, meanings, notes=notes)

    def take(self, split: Split, entry: Entry) -> None:
        """Make a record of an entry, or reject the entry if it cannot be used.

        Parameters
        ----------
        split
            Split of the record.
        entry
            The structure with its values.
        """
        try:
            record = self.labels.record(entry, self.remark)
            find_neighbors([entry.atoms], _NEAR)
        except (RecordError, StructureError) as error:
            # The reason only, because the entry's name is listed beside it.
            self.reject(entry.name, error.problem)
        except DataError as error:
            self.reject(entry.name, error)
        else:
            self.add(split, record)

    def add(self, split: Split, record: Record) -> None:
        """Add a record without further checks."""
        self._records[split].append(record)

    def dataset(
        self,
        name: str,
        source: str,
        *,
        warnings: tuple[str, ...] = (),
        columns: tuple[Column, ...] = (),
    ) -> AtomDataset[Record]:
        """Make the data set of all gathered records.

        Parameters
        ----------
        name, source
            Name and origin of the data set.
        warnings, columns
            Warnings and columns that come before those of the structures.

        Raises
        ------
        DataError
            There are no training structures; the message gives the first reasons.
        """
        if not self._records["train"]:
            raise DataError(self._nothing(source))
        repeated = self._repeated()
        if repeated:
            self.remark(
                f"{repeated} validation or test structures, with their labels, are also training "
                f"structures, so errors on them will be too small"
            )
        remarks = (_sentence(text, names) for text, names in self._remarks.items())
        return self.labels.dataset(
            name=name,
            source=source,
            train=tuple(self._records["train"]),
            validation=tuple(self._records["validation"]),
            test=tuple(self._records["test"]),
            rejected=tuple(self._rejected),
            warnings=(*warnings, *remarks),
            columns=(*columns, *self.columns.columns()),
        )

    def _nothing(self, source: str) -> str:
        if not self._rejected:
            return f"{source} holds no training structures"
        first = "; ".join(f"{e.name}: {e.reason}" for e in self._rejected[:_EXAMPLES])
        more = len(self._rejected) - _EXAMPLES
        return (
            f"{source}: none of its training structures can be used. {first}"
            f"{f'; and {more} more' if more > 0 else ''}"
        )

    def _repeated(self) -> int:
        seen = {record.content() for record in self._records["train"]}
        others = (*self._records["validation"], *self._records["test"])
        return sum(record.content() in seen for record in others)


def _sentence(text: str, names: list[str]) -> str:
    if not names:
        return text
    counted = Counter(names)
    first = ", ".join(list(counted)[:_EXAMPLES])
    more = len(counted) - _EXAMPLES
    return f"{text} ({first}{f' and {more} more' if more > 0 else ''})"
