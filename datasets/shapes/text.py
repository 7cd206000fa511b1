"""Text of mesh and cloud files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from csgnn_dgl._foreign import excerpt
from csgnn_dgl.errors import DataError

__all__ = ["first_columns", "read_text"]


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, or else in Latin-1.

    Numbers are the same bytes in both, so the encoding matters for comments and names only.

    Raises
    ------
    DataError
        The file holds null bytes: it is binary, or text in UTF-16.
    """
    content = path.read_bytes()
    if b"\0" in content or content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path} is not text in UTF-8: it is binary, or in UTF-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def first_columns(rows: Sequence[str], count: int, where: str) -> np.ndarray:
    """Read the first ``count`` numbers of each row of text.

    Returns
    -------
    numpy.ndarray
        Shape ``(rows, count)``, float64.

    Raises
    ------
    DataError
        A row has too few numbers, or a word that is not a number. The message quotes the row.

    Examples
    --------
    >>> first_columns(["0 1 2", "3 4 5 255"], 2, "here").tolist()
    [[0.0, 1.0], [3.0, 4.0]]
    """
    if not rows:
        return np.zeros((0, count))
    try:
        # Unlike float(), this refuses 1_000 and digits of other scripts.
        table = np.loadtxt(rows, ndmin=2, usecols=range(count), comments=None, max_rows=len(rows))
    except ValueError as error:
        bad = next((row for row in rows if not _starts_with(row, count)), rows[0])
        raise DataError(
            f"{where} {excerpt(bad, 60)!r} cannot be read: {count} numbers are needed"
        ) from error
    if len(table) != len(rows):
        raise DataError(f"{where} an empty row cannot be read: {count} numbers are needed")
    return table


def _starts_with(row: str, count: int) -> bool:
    try:
        np.loadtxt([row], usecols=range(count), comments=None)
    except ValueError:
        return False
    return True
