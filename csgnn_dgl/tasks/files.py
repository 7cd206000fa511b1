"""Work on many files: small ones together, bad ones named and passed over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from csgnn_dgl.errors import ConfigError, DataError

__all__ = ["FileResult", "work_on_files"]

Item = TypeVar("Item")
Value = TypeVar("Value")

# Files that are worked on together.
_FILES = 64


@dataclass(frozen=True, eq=False)
class FileResult(Generic[Item, Value]):
    """What came out of one file.

    Parameters
    ----------
    file
        The file.
    items
        What it holds, such as structures; empty if it cannot be used.
    values
        One for each item.
    error
        Why the file cannot be used.
    """

    file: Path
    items: tuple[Item, ...] = ()
    values: tuple[Value, ...] = ()
    error: str | None = None


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
    """Results of all files, in their order.

    Parameters
    ----------
    files
        The files.
    read
        From a file to what it holds.
    work
        From items to a value each. A DataError that it raises belongs to the file of one item.
    size, enough
        Items are worked on together until their sizes add up to ``enough``.
    message
        What the file's error says, when ``work`` refuses an item.
    strict
        Raise the first file's error instead of going on.
    done
        Called with numbers of finished files.

    Raises
    ------
    ConfigError
        No files.
    DataError
        A file that cannot be used, if ``strict``.
    """
    if not files:
        raise ConfigError("no files were given")
    waiting: list[FileResult[Item, Value]] = []

    def finish() -> Iterator[FileResult[Item, Value]]:
        yield from _together(waiting, work, message, strict)
        if done is not None:
            done(len(waiting))
        waiting.clear()

    total = 0
    for file in files:
        try:
            found = tuple(read(file))
            waiting.append(FileResult(file, found))
        except DataError as error:
            if strict:
                raise
            waiting.append(FileResult(file, error=str(error)))
            found = ()
        total += sum(size(item) for item in found)
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
        values = iter(work(items) if items else ())
    except DataError:
        # One of them: each by itself tells which.
        for entry in waiting:
            yield _alone(entry, work, message, strict)
        return
    for entry in waiting:
        own = tuple(next(values) for _ in entry.items)
        yield FileResult(entry.file, entry.items, own, entry.error)


def _alone(
    entry: FileResult[Item, Value],
    work: Callable[[Sequence[Item]], Sequence[Value]],
    message: Callable[[Item, DataError], str],
    strict: bool,
) -> FileResult[Item, Value]:
    values: list[Value] = []
    for item in entry.items:
        try:
            values += work([item])
        except DataError as error:
            text = message(item, error)
            if strict:
                raise DataError(text) from error
            return FileResult(entry.file, error=text)
    return FileResult(entry.file, entry.items, tuple(values), entry.error)
