"""Frames of xyz and extxyz files, found without keeping them."""

from __future__ import annotations

import contextlib
import itertools
import numbers
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from ase import Atoms

from csgnn_dgl._foreign import open_text, parse_integer
from csgnn_dgl.datasets.atoms.xyz import is_vector, read_frame, xyz_frames
from csgnn_dgl.datasets.pieces import Mark, Piece
from csgnn_dgl.errors import DataError

__all__ = ["columns", "frames", "marks", "values_of"]

_COMPRESSED = (".gz", ".bz2", ".xz")
# Start of a file that shows how its lines end [bytes].
_START = 1 << 16


def marks(path: Path, name: str) -> Iterator[Mark]:
    """Marks of all frames; the places are line, and byte or −1.

    A file is read once, line by line. In a compressed file there is no way to a byte, so each of
    its pieces is expanded from the start.
    """
    with _opened(path) as (lines, has_bytes):
        rest: Iterator[str | bytes] = iter(lines)
        byte = number = frame = 0
        start: tuple[int, int] | None = None
        line: str | bytes
        for line in rest:
            here, number = byte, number + 1
            byte += len(line)
            text = line.decode("utf-8", "replace") if isinstance(line, bytes) else line
            if (start is not None and is_vector(text)) or not text.strip():
                continue
            start = (number, here if has_bytes else -1)
            yield Mark(str(path), name, "xyz", frame, start)
            frame += 1
            count = parse_integer(text)
            if count is None or count < 0:
                return  # xyz_frames() says what is wrong, and nothing follows
            for row in itertools.islice(rest, count + 1):
                byte, number = byte + len(row), number + 1


def frames(piece: Piece, columns: Sequence[str]) -> Iterator[tuple[Atoms | DataError, Any]]:
    """Atoms, or why they cannot be read, and values of columns of each frame of a piece."""
    path, (line, byte) = Path(piece.first.path), piece.first.place
    with _opened(path, byte) as (lines, _):
        text: Iterator[str] = (
            x.decode("utf-8", "replace") if isinstance(x, bytes) else x for x in lines
        )
        if byte < 0:
            text = itertools.islice(text, line - 1, None)
        found = xyz_frames((x.replace("\r\n", "\n") for x in text), before=line - 1)
        for first, count, body in itertools.islice(found, piece.count):
            if isinstance(body, DataError):
                yield body, {}
                continue
            try:
                atoms = read_frame(count, body)
            except DataError as error:
                yield DataError(f"from line {first}: {error}"), {}
                continue
            values = values_of(atoms)
            yield atoms, {column: values.get(column) for column in columns}


def columns(path: Path, wanted: Sequence[str]) -> dict[str, type[float] | type[str]]:
    """Values that the first frame has, and whether they are numbers."""
    with open_text(path) as lines:
        first = next(xyz_frames(lines), None)
    if first is None or isinstance(first[2], DataError):
        raise DataError(f"{path.name} holds no frame that can be read")
    return {
        name: float if isinstance(value, numbers.Real) else str
        for name, value in values_of(read_frame(first[1], first[2])).items()
    }


def values_of(atoms: Atoms) -> dict[str, Any]:
    """Numbers and text of a structure, by name; ASE keeps some with the results of a calculator."""
    found = dict(atoms.info)
    if atoms.calc is not None:
        found |= getattr(atoms.calc, "results", {})
    return {
        str(key): value for key, value in found.items() if isinstance(value, (numbers.Real, str))
    }


@contextlib.contextmanager
def _opened(path: Path, byte: int = 0) -> Iterator[tuple[Iterable[bytes] | Iterable[str], bool]]:
    """Lines of a file from some byte on, and whether bytes can be found again."""
    with path.open("rb") as file:
        if _is_plain(path, file):
            file.seek(max(byte, 0))
            # Left out as text readers do; bytes count from the start of the file all the same.
            yield _marked(file) if byte == 0 else file, True
            return
    with open_text(path) as lines:
        yield lines, False


def _marked(file: IO[bytes]) -> Iterator[bytes]:
    """Lines; a mark of UTF-8 at the start of the first is blank, which keeps its length."""
    for number, line in enumerate(file):
        yield b"   " + line[3:] if number == 0 and line.startswith(b"\xef\xbb\xbf") else line


def _is_plain(path: Path, file: IO[bytes]) -> bool:
    start = file.read(_START)
    if path.suffix.lower() in _COMPRESSED or start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return False
    # Lines that end with a carriage return alone are found by text readers only.
    return b"\r" not in start.replace(b"\r\n", b"").rstrip(b"\r")
