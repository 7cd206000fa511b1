"""Rows of ASE's databases in LMDB files.

The layout is that of the ``ase-db-backends`` package, in which large data sets are published
(``.aselmdb``): the keys are the ids 1, 2, … as text, and the values are rows in ASE's JSON,
compressed by zlib; ``nextid`` and ``deleted_ids`` tell which ids there are. Older LMDB files of
atoms hold pickled Python objects. Reading those could run any program, so they are refused.
"""

from __future__ import annotations

import contextlib
import numbers
import os
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ase import Atoms

from csgnn_dgl._foreign import reading
from csgnn_dgl.datasets.atoms.other_formats import check_json_text
from csgnn_dgl.datasets.atoms.rows import plain_values
from csgnn_dgl.datasets.pieces import Mark, Piece
from csgnn_dgl.errors import DataError, MissingDependencyError

__all__ = ["columns", "frames", "is_lmdb", "marks"]

_SUFFIXES = (".lmdb", ".aselmdb")
_DATA = "data.mdb"
# Rows that are larger in ASE's JSON are not of one structure [bytes].
_LARGEST_ROW = 1 << 28
# LMDB allows each process to open a file once. Here is what is open, and how often it is used.
_OPEN: dict[str, tuple[Any, int]] = {}
_LOCK = threading.Lock()
_FIXED = {"id": float, "energy": float, "natoms": float, "unique_id": str, "calculator": str}


def is_lmdb(path: Path) -> bool:
    """Whether a path is a file or folder of LMDB by its name.

    Examples
    --------
    >>> is_lmdb(Path("train.aselmdb")), is_lmdb(Path("train.cif"))
    (True, False)
    """
    return (path / _DATA).is_file() if path.is_dir() else path.suffix.lower() in _SUFFIXES


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        import lmdb
    except ImportError as error:
        raise MissingDependencyError(
            f"reading {path.name} needs lmdb, which is not installed: pip install "
            f"'csgnn-dgl[cluster]'"
        ) from error
    key = os.path.realpath(path)
    with _LOCK:
        try:
            opened, users = _OPEN.pop(key, (None, 0))
            if opened is None:
                opened = lmdb.open(
                    key, subdir=path.is_dir(), readonly=True, lock=False, readahead=False, max_dbs=0
                )
        except lmdb.Error as error:
            raise DataError(f"{path.name} is no LMDB file that can be read: {error}") from error
        _OPEN[key] = opened, users + 1
    try:
        with opened.begin() as transaction:
            yield transaction
    except lmdb.Error as error:
        raise DataError(f"{path.name} cannot be read: {error}") from error
    finally:
        with _LOCK:
            opened, users = _OPEN.pop(key)
            if users > 1:
                _OPEN[key] = opened, users - 1
            else:
                opened.close()


def _refuse_pickle(value: bytes, what: str) -> None:
    if value[:1] == b"\x80":  # every pickle of protocol 2 or later begins so
        raise DataError(
            f"{what} is a pickled Python object, which can run any program when it is read; write "
            f"the structures as .aselmdb (ase-db-backends), .db or .extxyz"
        )


def _decoded(value: bytes, what: str) -> Any:
    from ase.io.jsonio import decode

    _refuse_pickle(value, what)
    with reading(what):
        expand = zlib.decompressobj()
        text = expand.decompress(value, _LARGEST_ROW)
        if expand.unconsumed_tail:
            raise DataError(f"{what} expands to more than {_LARGEST_ROW >> 20} MiB")
        return decode(check_json_text(text.decode("utf-8"), what))


def _ids(transaction: Any, name: str, first: int = 1, last: int | None = None) -> Iterator[int]:
    """Ids of rows in their order, from ``first`` to ``last``."""
    following = transaction.get(b"nextid")
    if following is None:
        entry = next(iter(transaction.cursor()), None)
        if entry is not None:
            _refuse_pickle(entry[1], f"the first entry of {name}")
        raise DataError(
            f"{name} is an LMDB file, but not of ASE: it lacks the entry 'nextid'; write the "
            f"structures as .aselmdb (ase-db-backends), .db or .extxyz"
        )
    stop = _decoded(following, f"nextid of {name}")
    removed = transaction.get(b"deleted_ids")
    deleted = set(() if removed is None else _decoded(removed, f"deleted_ids of {name}"))
    if not isinstance(stop, int) or stop - 1 - len(deleted) > transaction.stat()["entries"]:
        raise DataError(f"{name} declares {stop} as its next id, but has fewer entries")
    stop = stop if last is None else min(stop, last + 1)
    yield from (number for number in range(first, stop) if number not in deleted)


def marks(path: Path, name: str) -> Iterator[Mark]:
    """Marks of all rows in the order of their ids, which are the places."""
    with _opened(path) as transaction:
        frame = -1
        for frame, row in enumerate(_ids(transaction, name)):
            yield Mark(str(path), name, "ASE LMDB", frame, (row,))
        if frame < 0:
            raise DataError(f"{name} holds no structure")


def _row(transaction: Any, number: int) -> Any:
    from ase.db.row import AtomsRow

    value = transaction.get(str(number).encode())
    if value is None:
        raise DataError(f"row {number} is missing")
    content = _decoded(value, f"row {number}")
    if not isinstance(content, dict):
        raise DataError(f"row {number} is no row of a database")
    content["id"] = number
    return AtomsRow(content)


def frames(piece: Piece, columns: Sequence[str]) -> Iterator[tuple[Atoms | DataError, Any]]:
    """Atoms, or why they cannot be read, and values of columns of each row of a piece."""
    path = Path(piece.first.path)
    first, last = piece.first.place[0], piece.last.place[0]
    with _opened(path) as transaction:
        for number in _ids(transaction, piece.first.name, first, last):
            try:
                with reading(f"row {number}"):
                    row = _row(transaction, number)
                    yield row.toatoms(add_additional_information=False), plain_values(row, columns)
            except DataError as error:
                yield error, {}


def columns(path: Path, wanted: Sequence[str]) -> dict[str, type[float] | type[str]]:
    """Columns of the first row, and whether they hold numbers."""
    with _opened(path) as transaction:
        number = next(_ids(transaction, path.name), None)
        if number is None:
            raise DataError(f"{path.name} holds no structure")
        row = _row(transaction, number)
    found: dict[str, type[float] | type[str]] = dict(_FIXED)
    for name, value in row.key_value_pairs.items():
        if isinstance(value, (numbers.Real, str)):
            found[name] = float if isinstance(value, numbers.Real) else str
    return found
