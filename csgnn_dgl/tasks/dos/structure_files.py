"""Work on the structures of many files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from csgnn_dgl.datasets.atoms.structure import Occupancy, Structure
from csgnn_dgl.datasets.atoms.structures import read_structures
from csgnn_dgl.errors import DataError, StructureError
from csgnn_dgl.tasks.files import FileResult, work_on_files

__all__ = ["work_on_structures"]

Value = TypeVar("Value")


def work_on_structures(
    files: Sequence[Path],
    work: Callable[[Sequence[Structure]], Sequence[Value]],
    *,
    occupancy: Occupancy = "refuse",
    strict: bool = False,
    done: Callable[[int], object] | None = None,
) -> Iterator[FileResult[Structure, Value]]:
    """Results of all structure files, in their order.

    Parameters
    ----------
    files
        Structure files; one with several frames holds several structures.
    work
        From structures to a value each. A DataError that it raises belongs to one of them.
    occupancy
        See :func:`~csgnn_dgl.datasets.atoms.structures.read_structures`.
    strict, done
        See :func:`~csgnn_dgl.tasks.files.work_on_files`.

    Raises
    ------
    ConfigError
        No files.
    DataError
        A file that cannot be used, if ``strict``.
    """
    return work_on_files(
        files,
        lambda file: read_structures(file, occupancy=occupancy),
        work,
        size=lambda structure: len(structure.atoms),
        message=_message,
        strict=strict,
        done=done,
    )


def _message(structure: Structure, error: DataError) -> str:
    # Not by its place in the batch, which means nothing to anybody.
    text = error.problem if isinstance(error, StructureError) else str(error)
    return text if structure.source in text else f"{structure.source}: {text}"
