"""Work on many files: small files share a batch, and files that cannot be used are reported."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from csgnn_dgl._files import resource_error
from csgnn_dgl._foreign import excerpt
from csgnn_dgl._progress import each
from csgnn_dgl.datasets.isolation import read_each
from csgnn_dgl.datasets.pieces import files_below
from csgnn_dgl.errors import ConfigError, DataError, ResourceError

__all__ = ["FileResult", "files_in", "work_on_files", "worked"]

Item = TypeVar("Item")
Value = TypeVar("Value")
Result = TypeVar("Result")

# Largest number of files in a batch.
_FILES = 64


@dataclass(frozen=True, eq=False)
class FileResult(Generic[Item, Value]):
    """Results of one file.

    Parameters
    ----------
    file
        The file.
    items
        Content of the file, such as structures; empty if it cannot be used.
    values
        One result for each item.
    error
        Why the file cannot be used; None if it can.
    """

    file: Path
    items: tuple[Item, ...] = ()
    values: tuple[Value, ...] = ()
    error: str | None = None


def files_in(
    paths: Sequence[Path], known: Callable[[Path], bool], formats: str
) -> tuple[Path, ...]:
    """Replace folders by the files in them and below, sorted; files stay what they are.

    Folders are searched as with ``--jobs``; see :func:`~csgnn_dgl.datasets.pieces.files_below`.

    Parameters
    ----------
    paths
        Files and folders.
    known
        Whether a file of a folder can be read, by its name.
    formats
        What can be read, for the message.

    Raises
    ------
    DataError
        A folder has no such file.
    ResourceError
        A folder cannot be listed.

    Examples
    --------
    >>> [path.name for path in files_in([Path("b.off"), Path("a.off")], bool, ".off")]
    ['b.off', 'a.off']
    """

    def is_known_file(path: Path) -> bool:
        return not os.path.isdir(path) and known(path)

    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        below = [name for _, name in files_below(path, is_known_file, refuse=_refuse)]
        if not below:
            raise DataError(f"{path} holds no file that can be read; suffixes: {formats}")
        found += below
    return tuple(found)


def _refuse(error: OSError, folder: Path) -> ResourceError:
    return resource_error(error, folder, "read")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python or torch could not get memory."""
    # Parts of PyTorch's messages: on CPUs it raises a RuntimeError.
    texts = ("can't allocate memory", "out of memory")
    return isinstance(error, MemoryError) or any(text in str(error) for text in texts)


def work_on_files(
    files: Sequence[Path],
    read: Callable[[Path], Sequence[Item]],
    work: Callable[[Sequence[Item]], Sequence[Value]],
    *,
    size: Callable[[Item], int] = lambda item: 1,
    enough: int = 256,
    message: Callable[[Item, DataError], str] = lambda item, error: str(error),
    strict: bool = False,
    done: Callable[[int], object] | None = None,
) -> Iterator[FileResult[Item, Value]]:
    """Read all files and yield their results, in the order of the files.

    Parameters
    ----------
    files
        The files.
    read
        Returns the items of a file. Any exception is an error of this file. Worker processes call
        it if :func:`~csgnn_dgl.datasets.isolation.isolation` says so.
    work
        Returns one value for each item. If it raises a DataError or lacks memory, one of the items
        caused it.
    size, enough
        Items are collected into one batch until their sizes add up to ``enough``.
    message
        Text of the file's error if ``work`` refuses an item.
    strict
        Raise the first error instead of continuing.
    done
        Called with the number of files finished since the last call.

    Raises
    ------
    ConfigError
        There are no files.
    DataError
        A file cannot be used, with ``strict``.
    """
    if not files:
        raise ConfigError("no files were given; name at least one")
    waiting: list[FileResult[Item, Value]] = []

    def finish() -> Iterator[FileResult[Item, Value]]:
        yield from _together(waiting, work, message, strict)
        if done is not None:
            done(len(waiting))
        waiting.clear()

    total = 0
    # Closed at once if anything stops this loop, so that no worker process stays.
    with contextlib.closing(read_each(read, files)) as contents:
        named = each(files, "reading", unit="file")
        for file, content in zip(named, contents, strict=True):
            if isinstance(content, DataError):
                if strict:
                    raise content
                waiting.append(FileResult(file, error=str(content)))
                content = ()
            else:
                waiting.append(FileResult(file, tuple(content)))
            total += sum(size(item) for item in content)
            if total >= enough or len(waiting) >= _FILES:
                yield from finish()
                total = 0
    yield from finish()


def _together(
    waiting: Sequence[FileResult[Item, Value]],
    work: Callable[[Sequence[Item]], Sequence[Value]],
    message: Callable[[Item, DataError], str],
    strict: bool,
) -> Iterator[FileResult[Item, Value]]:
    items = [item for entry in waiting for item in entry.items]
    try:
        values = iter(worked(work, items) if items else ())
    except DataError:
        # One item caused the error. Work on each file by itself to find out which.
        for entry in waiting:
            yield _alone(entry, work, message, strict)
        return
    for entry in waiting:
        own = tuple(next(values) for _ in entry.items)
        yield FileResult(entry.file, entry.items, own, entry.error)


def worked(work: Callable[[list[Item]], Result], items: list[Item]) -> Result:
    """Call ``work``; lack of memory becomes an error of the items."""
    try:
        return work(items)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise DataError(f"it needs more memory than there is ({excerpt(error)})") from error


def _alone(
    entry: FileResult[Item, Value],
    work: Callable[[Sequence[Item]], Sequence[Value]],
    message: Callable[[Item, DataError], str],
    strict: bool,
) -> FileResult[Item, Value]:
    values: list[Value] = []
    for item in entry.items:
        try:
            values += worked(work, [item])
        except DataError as error:
            text = message(item, error)
            if strict:
                raise DataError(text) from error
            return FileResult(entry.file, error=text)
    return FileResult(entry.file, entry.items, tuple(values), entry.error)
