"""Structures with targets, and their splits: the base of all data on atoms.

A *target* is a quantity to be learned: a density of states
(:mod:`csgnn_dgl.datasets.atoms.dos`), the charges of atoms, a number. A record holds a structure
and the values of its targets. A data set has a :class:`Target` that describes each value.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.data import chemical_symbols

from csgnn_dgl.datasets.columns import Column, column_lines
from csgnn_dgl.datasets.splits import check_fraction, hold_out
from csgnn_dgl.errors import DataError

__all__ = ["AtomDataset", "AtomRecord", "RecordError", "Rejected", "Target"]

_VALIDATION = 0xD05
_LARGEST = 1e100


class RecordError(DataError):
    """A structure and its targets do not fit each other.

    Parameters
    ----------
    name
        Name of the record.
    problem
        What is wrong, as a sentence without a full stop.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(name, problem)
        self.name, self.problem = name, problem

    def __str__(self) -> str:
        return f"{self.name}: {self.problem}"


@dataclass(frozen=True)
class Target:
    """Description of a quantity to be learned: name, unit, and whether atoms or structures have it.

    Parameters
    ----------
    name
        Key of its values in ``AtomRecord.targets``, and name of the column in files.
    unit
        Unit of the values, such as ``"e"``.
    per
        ``"structure"`` for a value of each structure, ``"atom"`` for a value of each atom.
    shape
        Shape of one value; ``()`` for a number.
    description
        Description for users, in a few words.
    required
        Whether every record must have it.

    Examples
    --------
    >>> Target("charge", "e", "atom", description="charges of atoms").array_shape(5)
    (5,)
    """

    name: str
    unit: str
    per: Literal["structure", "atom"] = "structure"
    shape: tuple[int, ...] = ()
    description: str = ""
    required: bool = True

    def array_shape(self, n_atoms: int) -> tuple[int, ...]:
        """Shape of the values of a structure of ``n_atoms`` atoms."""
        return (n_atoms, *self.shape) if self.per == "atom" else self.shape

    def check(self, record: AtomRecord) -> None:
        """Refuse a record whose values are missing, infinite, or of another shape.

        Raises
        ------
        RecordError
            The values are missing, infinite, of another shape, or all NaN. Some NaN are allowed.
        """
        value = record.targets.get(self.name)
        if value is None:
            if self.required:
                raise RecordError(record.name, f"it has no {self.name}")
            return
        array = np.asarray(value)
        expected = self.array_shape(len(record.atoms))
        if array.shape != expected:
            raise RecordError(
                record.name, f"{self.name} has shape {array.shape}, but {expected} is expected"
            )
        if np.isinf(array).any() or (array.size and np.isnan(array).all()):
            raise RecordError(record.name, f"{self.name} has infinite values, or only NaN")
        # Sums and squares of such values would be infinite.
        if array.size and np.nanmax(np.abs(array)) > _LARGEST:
            raise RecordError(record.name, f"{self.name} has values beyond {_LARGEST:g}")


@dataclass(frozen=True, eq=False)
class AtomRecord:
    """One structure with the values of its targets.

    Parameters
    ----------
    atoms
        The structure.
    name
        File, or index within a file.
    group
        Type of structure; results are listed by it.
    targets
        Values by the name of their target; the target gives the shape of each array.

    Raises
    ------
    RecordError
        The structure has no atoms.

    Examples
    --------
    >>> water = Atoms("OHH", [(0, 0, 0), (0, 0.8, 0.6), (0, -0.8, 0.6)])
    >>> AtomRecord(water, "water", targets={"charge": np.array([-0.8, 0.4, 0.4])}).name
    'water'
    """

    atoms: Atoms
    name: str
    group: str = "all"
    targets: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.atoms) == 0:
            raise RecordError(self.name, "it has no atoms")

    @property
    def labels(self) -> tuple[npt.NDArray[Any], ...]:
        """The values that distinguish this record from others of the same structure."""
        return tuple(np.asarray(self.targets[name]) for name in sorted(self.targets))

    def content(self) -> bytes:
        """Structure and labels as bytes, which are equal for equal records."""
        atoms = self.atoms
        parts = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, *self.labels)
        return b"".join(np.ascontiguousarray(part, dtype=np.float64).tobytes() for part in parts)


@dataclass(frozen=True)
class Rejected:
    """A structure or file that cannot be used, and the reason."""

    name: str
    reason: str


Record = TypeVar("Record", bound=AtomRecord)


@dataclass(frozen=True, eq=False)
class AtomDataset(Generic[Record]):
    """Structures with targets, and their splits.

    Parameters
    ----------
    name, source
        Its name, and its origin in a line.
    train
        Training structures.
    validation
        A given validation split; empty to hold out a part of ``train``.
    test
        Test structures; may be empty.
    rejected, warnings
        Structures that cannot be used, and warnings for the user.
    columns
        Columns of the files, and their uses.
    targets
        Descriptions of the values of the records.

    Raises
    ------
    RecordError
        A value does not fit its target.

    Examples
    --------
    >>> charge = Target("charge", "e", "atom")
    >>> records = tuple(
    ...     AtomRecord(Atoms("CO", [(0, 0, 0), (0, 0, d)]), f"{d}", targets={"charge": np.zeros(2)})
    ...     for d in (1.1, 1.2, 1.3)
    ... )
    >>> data = AtomDataset("carbon monoxide", "made here", records, targets=(charge,))
    >>> training, validation = data.split_validation(0.3, seed=0)
    >>> len(training), len(validation)
    (2, 1)
    """

    name: str
    source: str
    train: tuple[Record, ...]
    validation: tuple[Record, ...] = ()
    test: tuple[Record, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    warnings: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    targets: tuple[Target, ...] = ()

    def __post_init__(self) -> None:
        for record in self.records:
            for target in self.targets:
                target.check(record)

    @property
    def records(self) -> tuple[Record, ...]:
        """All structures of all splits."""
        return (*self.train, *self.validation, *self.test)

    @cached_property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers in the training structures, ascending."""
        found = {int(n) for record in self.train for n in record.atoms.numbers}
        return tuple(sorted(found))

    @property
    def identity(self) -> str:
        """Description of the labels, as text for ``fingerprint``."""
        return repr(self.targets)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all structures with their labels, in hexadecimal."""
        digest = hashlib.sha256(self.identity.encode())
        for split in (self.train, self.validation, self.test):
            digest.update(str(len(split)).encode())
            for record in split:
                digest.update(record.content())
        return digest.hexdigest()

    def split_validation(
        self, fraction: float, seed: int
    ) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
        """Return training and validation structures.

        If there is no validation split, a part of the training structures of each group is held
        out.

        Raises
        ------
        ConfigError
            The fraction is not between 0 and 1.
        DataError
            There are fewer than two structures.
        """
        if self.validation:
            return self.train, self.validation
        check_fraction(fraction)
        if len(self.train) < 2:
            raise DataError(
                f"{self.source} has {len(self.train)} training structures; at least two are "
                f"needed, one for training and one for validation"
            )
        groups = [record.group for record in self.train]
        stream = (seed, _VALIDATION)
        held = hold_out(groups, fraction, stream, at_least=1, leave=1)
        if not held:
            # Every group has a single structure, so groups are ignored.
            held = hold_out([0] * len(groups), fraction, stream, at_least=1, leave=1)
        return parted(self.train, held)

    def summary(self) -> str:
        """Description of the content, in lines to print."""
        sizes = [len(record.atoms) for record in self.records]
        symbols = " ".join(chemical_symbols[number] for number in self.elements)
        lines = [
            f"{self.name}: {self.source}",
            f"  {len(self.train)} training, {len(self.validation)} validation and "
            f"{len(self.test)} test structures of {min(sizes)} to {max(sizes)} atoms",
            f"  {len(self.elements)} elements: {symbols}",
            *(f"  {line}" for line in self.target_lines()),
        ]
        groups = Counter(record.group for record in self.records)
        if len(groups) > 1:
            lines.append(
                "  " + ", ".join(f"{name} {count}" for name, count in sorted(groups.items())[:24])
            )
        lines += column_lines(self.columns)
        lines.append(f"  fingerprint {self.fingerprint}")
        lines += [f"  warning: {warning}" for warning in self.warnings]
        if self.rejected:
            lines.append(f"  rejected: {len(self.rejected)}")
            lines += [f"    {entry.name}: {entry.reason}" for entry in self.rejected]
        return "\n".join(lines)

    def target_lines(self) -> list[str]:
        """Descriptions of the targets, one line each, for ``summary``."""
        lines = []
        for target in self.targets:
            count = sum(record.targets.get(target.name) is not None for record in self.records)
            of = "" if count == len(self.records) else f", known for {count} structures"
            what = target.description or target.name
            lines.append(f"{what} [{target.unit}] of each {target.per}{of}")
        return lines


def parted(
    records: Sequence[Record], held: Sequence[int]
) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """Split records into those that stay and those that are held out."""
    out = set(held)
    return (
        tuple(record for index, record in enumerate(records) if index not in out),
        tuple(records[index] for index in held),
    )
