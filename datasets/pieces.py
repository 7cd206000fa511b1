"""Parts of inputs that are read one by one: a file, or some of the frames of a large one.

Many structures are not read at once. A walk over the inputs yields the place of one frame after the
other (:class:`Mark`), and never holds more than one folder's names. Marks are put together into
pieces, which are small, and which any process can read by itself.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from csgnn_dgl.errors import ConfigError, DataError

__all__ = [
    "Frame",
    "Mark",
    "Piece",
    "file_marks",
    "files_below",
    "fingerprint",
    "partitions",
    "walk",
]

Item = TypeVar("Item")


@dataclass(frozen=True)
class Mark:
    """The place of one frame of a file.

    Parameters
    ----------
    path
        Absolute path of the file.
    name
        The file as the user named it, for tables and messages.
    kind
        How the file is read; ``"file"`` if it is read whole.
    frame
        Index of the frame in the file.
    place
        Where the frame is, in numbers that the kind defines.
    problem
        Why the file cannot be read; None if it can.
    """

    path: str
    name: str
    kind: str = "file"
    frame: int = 0
    place: tuple[int, ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class Piece:
    """Consecutive frames of one file.

    Parameters
    ----------
    first, last
        Marks of the first and the last frame.
    count
        Number of frames.
    """

    first: Mark
    last: Mark
    count: int


@dataclass(frozen=True, eq=False)
class Frame(Generic[Item]):
    """One frame as it was read.

    Parameters
    ----------
    file, frame
        The file as the user named it, and the index of the frame in it.
    item
        The content; None if it cannot be read.
    error
        Why it cannot be read; None if it can.
    columns
        Values of the frame that the user asked for, by name.
    """

    file: str
    frame: int
    item: Item | None = None
    error: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)


def partitions(marks: Iterable[Mark], size: int) -> Iterator[tuple[Piece, ...]]:
    """Group frames into partitions of ``size`` frames; the last one may be smaller.

    Examples
    --------
    >>> marks = [Mark("/a", "a", "xyz", index, (10 * index,)) for index in range(3)]
    >>> [[piece.count for piece in part] for part in partitions(marks, 2)]
    [[2], [1]]
    """
    pieces: list[Piece] = []
    frames = 0
    for mark in marks:
        last = pieces[-1] if pieces else None
        if last is not None and _follows(last.last, mark):
            pieces[-1] = Piece(last.first, mark, last.count + 1)
        else:
            pieces.append(Piece(mark, mark, 1))
        frames += 1
        if frames == size:
            yield tuple(pieces)
            pieces, frames = [], 0
    if pieces:
        yield tuple(pieces)


def _follows(mark: Mark, following: Mark) -> bool:
    same = mark.path == following.path and mark.kind == following.kind != "file"
    return same and following.frame == mark.frame + 1 and following.problem is None


def walk(
    inputs: Sequence[Path], known: Callable[[Path], bool], *, skip: Path | None = None
) -> Iterator[tuple[Path, str]]:
    """Yield the files that inputs name, and all known ones in the folders among them.

    Folders are searched as :func:`files_below` says.

    Parameters
    ----------
    inputs
        Files and folders.
    known
        Whether a path is to be read; asked for files and folders in folders, and for folders in
        ``inputs``. A folder may be one source, as a database is.
    skip
        A folder that is passed over, such as that of the results.

    Yields
    ------
    tuple
        Absolute path, and its name with that of the input in front.

    Raises
    ------
    DataError
        An input does not exist, or a folder holds nothing that is known or cannot be listed.
    """
    barred = None if skip is None else os.path.realpath(skip)
    for given in inputs:
        place = Path(os.path.abspath(given))
        if not place.exists():
            raise DataError(f"there is no file or folder {given}")
        if not place.is_dir() or known(place):
            yield place, str(given)
            continue
        found = False
        for path, name in files_below(
            place, known, name=Path(given), refuse=_unlisted, barred=barred
        ):
            found = True
            yield path, str(name)
        if not found:
            raise DataError(f"the folder {given} holds no file that can be read")


def _unlisted(error: OSError, name: Path) -> DataError:
    return DataError(f"the folder {name} cannot be listed: {error.strerror}")


def files_below(
    folder: Path,
    known: Callable[[Path], bool],
    *,
    refuse: Callable[[OSError, Path], Exception],
    name: Path | None = None,
    barred: str | None = None,
) -> Iterator[tuple[Path, Path]]:
    """Yield the known files in a folder and in the folders below, in the order of their names.

    Links to folders are followed, but not into a folder that the search is already in. Files and
    folders whose names begin with a point are passed over, and so is what a command with ``--jobs``
    wrote about its results.

    Parameters
    ----------
    folder
        The folder.
    known
        Whether a path is to be yielded; asked for files and folders. A folder may be one source, as
        a database is, and is not searched then.
    refuse
        Makes the error to raise if a folder cannot be listed, from the system's error and the
        folder's name.
    name
        The folder as the user named it; by default its path.
    barred
        The real path of a folder that is passed over, too.

    Yields
    ------
    tuple
        Path, and its name with that of the folder in front.
    """
    yield from _inside(folder, folder if name is None else name, known, refuse, (barred,))


def _inside(
    folder: Path,
    name: Path,
    known: Callable[[Path], bool],
    refuse: Callable[[OSError, Path], Exception],
    barred: tuple[str | None, ...],
) -> Iterator[tuple[Path, Path]]:
    # A link to a folder above would never end.
    barred = (*barred, os.path.realpath(folder))
    try:
        with os.scandir(folder) as entries:
            inside = sorted(
                (entry.name, _is_folder(entry)) for entry in entries if entry.name[0] != "."
            )
    except OSError as error:
        raise refuse(error, name) from error
    for own, is_folder in inside:
        path = folder / own
        if is_folder and (os.path.realpath(path) in barred or _is_about_results(path)):
            continue
        if known(path):
            yield path, name / own
        elif is_folder:
            yield from _inside(path, name / own, known, refuse, barred)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, for instance: whoever reads it says what is wrong
        return False


def _is_about_results(path: Path) -> bool:
    # Earlier results may lie among the inputs, and ASE takes a .json file for a database. Other
    # folders of this name are the user's own.
    return path.name == "_run" and os.path.isfile(path / "run.json")


def file_marks(files: Iterable[tuple[Path, str]]) -> Iterator[Mark]:
    """Marks of files that are read whole."""
    for path, name in files:
        yield Mark(str(path), name)


def fingerprint(files: Iterable[tuple[Path, str]]) -> dict[str, Any]:
    """Count files, and make a digest of their names, sizes and times of change.

    Raises
    ------
    ConfigError
        There are no files.
    """
    digest, count = hashlib.sha256(), 0
    for path, name in files:
        # A database may be a folder.
        inner = sorted(path.iterdir()) if path.is_dir() else [path]
        for part in inner:
            # A database's lock is written by those who read it.
            if part.name.startswith("lock."):
                continue
            state = part.stat()
            text = f"{name}\0{part.name}\0{state.st_size}\0{state.st_mtime_ns}\n"
            digest.update(text.encode(errors="surrogateescape"))
        count += 1
    if not count:
        raise ConfigError("no files were given; name at least one")
    return {"files": count, "digest": digest.hexdigest()}
