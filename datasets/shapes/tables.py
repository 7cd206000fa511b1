"""Read clouds from tables of text."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np

from csgnn_dgl._foreign import excerpt, parse_integer
from csgnn_dgl.datasets.shapes.text import read_text
from csgnn_dgl.errors import DataError

__all__ = ["TABLE_SUFFIXES", "read_table", "table_rows"]

TABLE_SUFFIXES = (".xyz", ".pts", ".txt")
_COMMENTS = ("#", "//")


def read_table(path: Path) -> np.ndarray:
    """Read rows of numbers, separated by blanks or by commas; a first line may count the rows.

    Returns
    -------
    numpy.ndarray
        Shape ``(rows, columns)``, float64.

    Raises
    ------
    DataError
        The file is no table of numbers; commas may be decimal ones; the first column numbers the
        rows; or the count is another one.
    """
    rows = table_rows(read_text(path))
    count: int | None = None
    if rows and len(rows[0].split()) == 1:
        count = parse_integer(rows[0])
        rows = rows if count is None else rows[1:]
    _check_commas(path, rows)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # numpy warns about an empty file
            text = io.StringIO("\n".join(rows).replace(",", " "))
            table = np.loadtxt(text, ndmin=2, comments=None)
    except ValueError as error:
        raise DataError(
            f"{path} is not a table of numbers ({excerpt(error)}); it begins with "
            f"{excerpt(rows[0], 40)!r}"
        ) from error
    if count is not None and count != len(table):
        raise DataError(
            f"{path} announces {count} points and holds {len(table)}; it may be truncated"
        )
    if table.shape[1] > 3 and len(table) > 2:
        numbers = table[:, 0] - table[0, 0]
        if table[0, 0] in (0, 1) and (numbers == np.arange(len(table))).all():
            raise DataError(
                f"{path}: the first of its {table.shape[1]} columns numbers the rows, so columns "
                f"1 to 3 are no coordinates; remove that column"
            )
    return table if table.size else np.zeros((0, 3))


def table_rows(text: str) -> list[str]:
    """Rows of a table, without comments and empty lines.

    Examples
    --------
    >>> table_rows("# x y z\\n1 2 3  // first\\n\\n4 5 6\\n")
    ['1 2 3', '4 5 6']
    """
    lines = text.splitlines()
    for mark in _COMMENTS:
        if mark in text:
            lines = [line.partition(mark)[0] for line in lines]
    return [line for line in map(str.strip, lines) if line]


def _check_commas(path: Path, rows: list[str]) -> None:
    """Refuse rows such as ``1,5 2,5 3,5``, which are three numbers and not six."""
    for row in rows:
        cells = row.split(",")
        if len(cells) == 1:
            continue
        several = any(len(cell.split()) > 1 for cell in cells)
        # "1,5, 2,5, 3,5" has a blank after every other comma.
        blank = [cell[:1].isspace() for cell in cells[1:]]
        pairs = len(blank) > 1 and blank == [k % 2 == 1 for k in range(len(blank))]
        if several or (pairs and "." not in row):
            raise DataError(
                f"{path}: {excerpt(row, 60)!r} may have decimal commas; write decimal points, and "
                f"separate numbers by blanks or by commas, but not by both"
            )
