"""Rows of ASE's SQLite databases."""

from __future__ import annotations

import contextlib
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ase import Atoms

from csgnn_dgl._foreign import reading
from csgnn_dgl.datasets.atoms.rows import plain_values
from csgnn_dgl.datasets.pieces import Mark, Piece
from csgnn_dgl.errors import DataError

__all__ = ["columns", "frames", "is_database", "marks"]

_MAGIC = b"SQLite format 3\0"
# Columns of every row that hold text; the others of its table hold numbers.
_TEXT = ("unique_id", "username", "calculator")
_NUMBERS = ("id", "energy", "free_energy", "natoms", "fmax", "smax", "volume", "mass", "charge")


def is_database(path: Path) -> bool:
    """Whether a file is an SQLite database, by its first bytes."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
    try:
        found = connection.execute("SELECT name FROM sqlite_master WHERE name='systems'")
        if found.fetchone() is None:
            raise DataError(f"{path.name} is an SQLite database, but not one of ASE")
        yield connection
    finally:
        connection.close()


def marks(path: Path, name: str) -> Iterator[Mark]:
    """Marks of all rows in the order of their ids, which are the places."""
    with _opened(path) as connection:
        for frame, (row,) in enumerate(connection.execute("SELECT id FROM systems ORDER BY id")):
            yield Mark(str(path), name, "ASE database", frame, (row,))
        if connection.execute("SELECT id FROM systems LIMIT 1").fetchone() is None:
            raise DataError(f"{name} holds no structure")


def frames(piece: Piece, columns: Sequence[str]) -> Iterator[tuple[Atoms | DataError, Any]]:
    """Atoms, or why they cannot be read, and values of columns of each row of a piece."""
    import ase.db

    path = Path(piece.first.path)
    first, last = piece.first.place[0], piece.last.place[0]
    # Row by row, so that a damaged row does not hide those after it.
    with _opened(path) as connection, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ids = connection.execute(
            "SELECT id FROM systems WHERE id BETWEEN ? AND ? ORDER BY id", (first, last)
        )
        with ase.db.connect(str(path), type="db", use_lock_file=False) as database:
            for (row_id,) in ids:
                try:
                    with reading(f"row {row_id}"):
                        row = database.get(id=row_id)
                        yield (
                            row.toatoms(add_additional_information=False),
                            plain_values(row, columns),
                        )
                except DataError as error:
                    yield error, {}


def columns(path: Path, wanted: Sequence[str]) -> dict[str, type[float] | type[str]]:
    """Columns of the database, and whether they hold numbers."""
    with _opened(path) as connection:
        names = [key for (key,) in connection.execute("SELECT DISTINCT key FROM keys")]
        found: dict[str, type[float] | type[str]] = {
            **dict.fromkeys(_NUMBERS, float),
            **dict.fromkeys(_TEXT, str),
        }
        for name in names:
            number = connection.execute(
                "SELECT 1 FROM number_key_values WHERE key=? LIMIT 1", (name,)
            ).fetchone()
            found[str(name)] = str if number is None else float
    return found
