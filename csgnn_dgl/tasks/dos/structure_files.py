"""Work on the structures of many files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from csgnn_dgl.datasets.atoms.structure import Occupancy, Structure
from csgnn_dgl.datasets.atoms.structures import read_structures
from csgnn_dgl.errors import DataError, StructureError
from csgnn_dgl.tasks.files import FileResult, work_on_files

__all__ = ["error_text", "work_on_structures"]

Value = TypeVar("Value")


def work_on_structures(
    files: Sequence[Path],
    work: Callable[[Sequence[Structure]], Sequence[Value]],
    *,
    occupancy: Occupancy = "refuse",
    strict: bool = False,
    done: Callable[[int], object] | None = None,
) -> Iterator[FileResult[Structure, Value]]:
    """Read all structure files and yield their results, in the order of the files.

    Parameters
    ----------
    files
        Structure files; one with several frames holds several structures.
    work
        Returns one value for each structure. If it raises a DataError, one of them caused it.
    occupancy
        See :func:`~csgnn_dgl.datasets.atoms.structures.read_structures`.
    strict, done
        See :func:`~csgnn_dgl.tasks.files.work_on_files`.

    Raises
    ------
    ConfigError
        There are no files.
    DataError
        A file cannot be used, with ``strict``.
    """
    return work_on_files(
        files,
        partial(read_structures, occupancy=occupancy),
        work,
        size=lambda structure: len(structure.atoms),
        message=error_text,
        strict=strict,
        done=done,
    )


def error_text(structure: Structure, error: DataError) -> str:
    """Name a structure by its file: its index in the batch says nothing to a user."""
    text = error.problem if isinstance(error, StructureError) else str(error)
    return text if structure.source in text else f"{structure.source}: {text}"
