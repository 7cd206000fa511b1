"""Work on the structures of many files: small ones together, bad ones named and passed over."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from ase import Atoms
from ase.data import chemical_symbols

from csgnn_dgl.datasets.atoms.structures import Occupancy, Structure, read_structures
from csgnn_dgl.errors import DataError

__all__ = ["FileResult", "UnseenElements", "work_on_files"]

Value = TypeVar("Value")

# Atoms and files that are worked on together.
_ATOMS, _FILES = 256, 64


@dataclass(frozen=True, eq=False)
class FileResult(Generic[Value]):
    """What came out of one file.

    Parameters
    ----------
    file
        The file.
    structures
        What it holds; empty if it cannot be used.
    values
        One for each structure.
    error
        Why it cannot be used.
    """

    file: Path
    structures: tuple[Structure, ...] = ()
    values: tuple[Value, ...] = ()
    error: str | None = None


def work_on_files(
    files: Sequence[Path],
    work: Callable[[Sequence[Structure]], Sequence[Value]],
    *,
    occupancy: Occupancy = "refuse",
    strict: bool = False,
    done: Callable[[int], object] | None = None,
) -> Iterator[FileResult[Value]]:
    """Results of all files, in their order.

    Parameters
    ----------
    files
        Structure files; one with several frames holds several structures.
    work
        From structures to a value each. A DataError that it raises is that file's alone.
    occupancy
        See :func:`~csgnn_dgl.datasets.atoms.structures.read_structures`.
    strict
        Raise the first file's error instead of going on.
    done
        Called with numbers of finished files.

    Raises
    ------
    DataError
        A file that cannot be used, if ``strict``.
    """
    waiting: list[FileResult[Value]] = []

    def finish() -> Iterator[FileResult[Value]]:
        yield from _together(waiting, work, strict)
        if done is not None:
            done(len(waiting))
        waiting.clear()

    atoms = 0
    for file in files:
        try:
            found = tuple(read_structures(file, occupancy=occupancy))
            waiting.append(FileResult(file, found))
        except DataError as error:
            if strict:
                raise
            waiting.append(FileResult(file, error=str(error)))
            found = ()
        atoms += sum(len(structure.atoms) for structure in found)
        if atoms >= _ATOMS or len(waiting) >= _FILES:
            yield from finish()
            atoms = 0
    yield from finish()


def _together(
    waiting: Sequence[FileResult[Value]],
    work: Callable[[Sequence[Structure]], Sequence[Value]],
    strict: bool,
) -> Iterator[FileResult[Value]]:
    structures = [structure for entry in waiting for structure in entry.structures]
    try:
        values = iter(work(structures))
        for entry in waiting:
            own = tuple(next(values) for _ in entry.structures)
            yield FileResult(entry.file, entry.structures, own, entry.error)
        return
    except DataError:
        pass  # one of them: each by itself tells which
    for entry in waiting:
        yield _alone(entry, work, strict)


def _alone(
    entry: FileResult[Value],
    work: Callable[[Sequence[Structure]], Sequence[Value]],
    strict: bool,
) -> FileResult[Value]:
    values: list[Value] = []
    for structure in entry.structures:
        try:
            values += work([structure])
        except DataError as error:
            # Named by its place in the batch, which means nothing to anybody.
            text = re.sub(r"^structure \d+( \([^)]*\))?:? ?", "", str(error))
            message = text if structure.source in text else f"{structure.source}: {text}"
            if strict:
                raise DataError(message) from error
            return FileResult(entry.file, error=message)
    return FileResult(entry.file, entry.structures, tuple(values), entry.error)


class UnseenElements:
    """Notes on elements that a model was not trained on, each element once.

    Parameters
    ----------
    elements
        Atomic numbers that it was trained on.
    name
        What the model is called.

    Examples
    --------
    >>> from ase.build import molecule
    >>> unseen = UnseenElements((1, 8), "tiny")
    >>> unseen.notes(molecule("CH4"))
    ['C was not among the 2 elements that tiny was trained on; tabulated properties speak for it']
    >>> unseen.notes(molecule("CH4"))
    []
    """

    def __init__(self, elements: Sequence[int], name: str) -> None:
        self._known, self._name = tuple(elements), name
        self._told: set[int] = set()

    def notes(self, atoms: Atoms) -> list[str]:
        """A sentence for each element that was not met before."""
        fresh = sorted({int(n) for n in atoms.numbers} - set(self._known) - self._told)
        self._told.update(fresh)
        if len(self._known) == 1:
            only = chemical_symbols[self._known[0]]
            return [
                f"{chemical_symbols[number]} is taken for {only}, the only element that "
                f"{self._name} knows"
                for number in fresh
            ]
        return [
            f"{chemical_symbols[number]} was not among the {len(self._known)} elements that "
            f"{self._name} was trained on; tabulated properties speak for it"
            for number in fresh
        ]
