"""Files that others wrote: which may be opened, how numbers are read, how failures are reported.

Any reader, ours or a library's, can fail in any way on a damaged file. Each reader runs inside
:func:`reading`, so that whatever it raises becomes one line about this file. A compressed file may
expand to a thousand times its size, so :func:`check_expansion` looks before a library opens it.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from csgnn_dgl.errors import CSGNNError, DataError

__all__ = [
    "check_expansion",
    "check_file",
    "excerpt",
    "message_text",
    "open_text",
    "parse_integer",
    "printable",
    "quoted",
    "read_bytes",
    "read_text",
    "reading",
]

#: Longest piece of foreign text in a message.
LIMIT = 200
# Longest integer of 64 bits, with its sign.
_DIGITS = 20
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
# Files may expand to this size in any case [bytes], and beyond it only by this factor. Text of
# numbers expands 3 to 10 times.
_SMALL, _RATIO = 1 << 26, 50
_OPENERS: dict[str, Callable[[Path], io.BufferedIOBase]] = {
    ".gz": gzip.GzipFile,
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
_ARCHIVES = (".zip", ".npz")


def excerpt(text: object, limit: int = LIMIT) -> str:
    """Make foreign text fit for a message: one line, no control characters, not too long.

    Parameters
    ----------
    text
        The text; another object is converted by ``str``.
    limit
        Largest number of characters.

    Examples
    --------
    >>> excerpt("a\\n  b\\x1b[31m")
    'a b\\\\x1b[31m'
    >>> excerpt("9" * 5000, 10)
    '999999999…'
    """
    # Only the start is looked at, because a file may consist of one line.
    start = str(text)[: 4 * limit]
    line = " ".join(start.split())
    line = printable(line)
    whole = len(line) <= limit and len(str(text)) <= 4 * limit
    return line if whole else f"{line[: limit - 1]}…"


def quoted(value: object) -> str:
    """Show a value of another's in a message, in quotes if it is text.

    Examples
    --------
    >>> quoted("words"), quoted([1, 2])
    ("'words'", '[1, 2]')
    """
    return excerpt(repr(value))


def printable(text: object, keep: str = "") -> str:
    """Escape control characters, so that no name of a file can steer a terminal.

    Parameters
    ----------
    text
        The text; another object is converted by ``str``.
    keep
        Characters that stay as they are.

    Examples
    --------
    >>> printable("a\\nb\\x1b[2J Å")
    'a\\\\nb\\\\x1b[2J Å'
    """
    # Parts of names that are not UTF-8, which no stream can print, are not printable either.
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode()
        for c in str(text)
    )


def message_text(text: object) -> str:
    """Text of a message: printable, and words as long as no name should be are cut in the middle.

    Examples
    --------
    >>> message_text("no file " + "a" * 5000)[:20], len(message_text("no file " + "a" * 5000))
    ('no file aaaaaaaaaaaa', 209)
    """
    half = LIMIT // 2
    return re.sub(
        rf"\S{{{2 * LIMIT},}}", lambda m: f"{m[0][:half]}…{m[0][-half:]}", printable(text)
    )


def parse_integer(text: str | bytes) -> int | None:
    """Read an integer of at most 20 characters in ASCII digits; None if it is none.

    ``str.isdigit`` also accepts ``"²"``, which ``int`` refuses, and ``int`` refuses thousands of
    digits.

    Examples
    --------
    >>> parse_integer("-12"), parse_integer(b"12"), parse_integer("²"), parse_integer("9" * 5000)
    (-12, 12, None, None)
    """
    if isinstance(text, bytes):
        text = text.decode("ascii", errors="replace")
    text = text.strip()
    return int(text) if len(text) <= _DIGITS and _INTEGER.fullmatch(text) else None


def check_file(path: Path, error: type[CSGNNError] = DataError) -> int:
    """Refuse a path that is no regular file with content, and return the file's size in bytes.

    Devices and pipes are refused: they may have no end, or block for ever.

    Parameters
    ----------
    path
        The path; symbolic links are followed.
    error
        Type of the error.

    Raises
    ------
    CSGNNError
        Of the type ``error``: there is no file, or it is a folder, a device, a pipe, or empty.

    Examples
    --------
    >>> check_file(Path("/dev/null"))
    Traceback (most recent call last):
    csgnn_dgl.errors.DataError: /dev/null is a device, a pipe or a socket, not a file
    """
    name = excerpt(path)
    try:
        state = os.stat(path)
    except FileNotFoundError:
        raise error(f"{name} does not exist") from None
    except (OSError, ValueError) as problem:  # ValueError: a null byte in the name
        raise error(f"{name} cannot be read: {_reason(problem)}") from problem
    if stat.S_ISDIR(state.st_mode):
        raise error(f"{name} is a folder, not a file")
    if not stat.S_ISREG(state.st_mode):
        raise error(f"{name} is a device, a pipe or a socket, not a file")
    if state.st_size == 0:
        raise error(f"{name} is empty (0 bytes)")
    return state.st_size


def check_expansion(path: Path, error: type[CSGNNError] = DataError) -> None:
    """Refuse a compressed file that expands to far more than data do.

    Streams (.gz, .bz2, .xz) are expanded piece by piece, without keeping any. Archives (.zip, .npz)
    declare the sizes of their members, and no reader expands further. Other files pass.

    Parameters
    ----------
    path
        The file.
    error
        Type of the error.

    Raises
    ------
    CSGNNError
        Of the type ``error``: the file cannot be expanded, or is a bomb.
    """
    suffix = path.suffix.lower()
    opener = _OPENERS.get(suffix)
    if opener is None and suffix not in _ARCHIVES:
        return
    with reading(path, error):
        limit = max(_SMALL, _RATIO * path.stat().st_size)
        if opener is None:
            with zipfile.ZipFile(path) as archive:
                size = sum(member.file_size for member in archive.infolist())
        else:
            size = 0
            with opener(path) as file:
                while size <= limit and (piece := file.read(1 << 20)):
                    size += len(piece)
        if size > limit:
            raise error(
                f"{excerpt(path)} expands to more than {limit >> 20} MiB, over {_RATIO} times its "
                f"size, which data never do; expand it yourself if it is sound"
            )


def read_bytes(path: Path, error: type[CSGNNError] = DataError) -> bytes:
    """Read a whole file, expanded if its name says that it is compressed.

    Raises
    ------
    CSGNNError
        Of the type ``error``: it is no regular file with content, cannot be read or expanded, or
        is a bomb.
    """
    check_file(path, error)
    check_expansion(path, error)
    with reading(path, error):
        opener = _OPENERS.get(path.suffix.lower())
        if opener is None:
            return path.read_bytes()
        with opener(path) as file:
            return file.read()


def open_text(path: Path, error: type[CSGNNError] = DataError) -> TextIO:
    """Open a text file, plain or compressed, of any encoding that begins with its mark.

    Parameters
    ----------
    path
        The file. Without a byte-order mark it is read as UTF-8; bytes that are not UTF-8 become
        replacement characters.
    error
        Type of the error.

    Raises
    ------
    CSGNNError
        Of the type ``error``: the file cannot be opened or expanded, or is a bomb.
    """
    check_expansion(path, error)
    with reading(path, error):
        opener = _OPENERS.get(path.suffix.lower(), lambda path: path.open("rb"))
        file = opener(path)
        marked = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
        file.seek(0)
        encoding = "utf-16" if marked else "utf-8-sig"
        return io.TextIOWrapper(file, encoding=encoding, errors="replace")


def read_text(path: Path, error: type[CSGNNError] = DataError) -> str:
    """Read a whole text file; see :func:`open_text`.

    Raises
    ------
    CSGNNError
        Of the type ``error``: the file cannot be read or expanded, or is a bomb.
    """
    with reading(path, error), open_text(path, error) as file:
        return file.read()


@contextlib.contextmanager
def reading(path: object, error: type[CSGNNError] = DataError, advice: str = "") -> Iterator[None]:
    """Report whatever a reader raises as one line about its file.

    Parameters
    ----------
    path
        The file, or a name for a part of it.
    error
        Type of the error to raise.
    advice
        What to do, added to the message after a semicolon.

    Raises
    ------
    CSGNNError
        Of the type ``error``, in place of any other exception. Errors of the package pass
        unchanged, and so does what stops the program (``KeyboardInterrupt``, ``SystemExit``).

    Examples
    --------
    >>> with reading("a.json", advice="write it again"):
    ...     raise ValueError("line 1:\\n  no value")
    Traceback (most recent call last):
    csgnn_dgl.errors.DataError: a.json cannot be read: line 1: no value; write it again
    """
    try:
        yield
    except CSGNNError:
        raise
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    # Extensions written in Rust raise their panics as BaseException.
    except BaseException as problem:
        after = f"; {advice}" if advice else ""
        raise error(f"{excerpt(path)} cannot be read: {_reason(problem)}{after}") from problem


_ADVICE = re.compile(r"\s*To allow loading|[^.]*(?:allow_pickle|weights_only)")


def _reason(problem: BaseException) -> str:
    if isinstance(problem, MemoryError):
        return "it needs more memory than there is"
    if isinstance(problem, RecursionError):
        return "it is nested too deeply"
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror
    if isinstance(problem, KeyError):
        return f"{excerpt(problem)} is missing or not known"
    if isinstance(problem, IndexError):
        return "it ends too early, or its lines do not follow its format"
    # Libraries say how to read what may hold code. No message repeats that.
    text = str(problem)[: 4 * LIMIT].replace(" when allow_pickle=False", "")
    return excerpt(_ADVICE.split(text)[0]) or type(problem).__name__
