"""Attributes of points beside their coordinates: normals, colours, intensities, by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from csgnn_dgl._foreign import excerpt
from csgnn_dgl.errors import DataError

__all__ = ["NORMALS", "check_attributes", "numbered", "pick", "refuse_missing", "width"]

#: The attribute with three columns, which rotations turn. All others have one.
NORMALS = "normals"
# Columns 4 to 6 whose lengths are 1 up to this are normals.
_UNIT = 0.02


def width(attributes: Sequence[str]) -> int:
    """Number of columns of some attributes.

    Examples
    --------
    >>> width(["normals", "intensity"])
    4
    """
    return sum(3 if name == NORMALS else 1 for name in attributes)


def refuse_missing(attributes: Sequence[str], known: Sequence[str], where: str) -> None:
    """Raise an error for the first attribute that is not known.

    Raises
    ------
    DataError
        There is one; the message lists those that are known.
    """
    for name in attributes:
        if name not in known:
            has = ", ".join(excerpt(each, 40) for each in known) or "none"
            raise DataError(
                f"{where} has no attribute {name!r} of its points, which the model needs for its "
                f"point_features; it has: {has}"
            )


def pick(columns: Mapping[str, np.ndarray], attributes: Sequence[str], where: str) -> np.ndarray:
    """Put the attributes that are wanted side by side.

    Parameters
    ----------
    columns
        Attributes by name: shape ``(M,)``, or ``(M, 3)`` for normals.
    attributes
        The names that are wanted, in order.
    where
        Origin of the points, for messages.

    Returns
    -------
    numpy.ndarray
        Shape ``(M, width(attributes))``, float64.

    Raises
    ------
    DataError
        One is missing.

    Examples
    --------
    >>> pick({"red": np.array([1.0, 2.0]), "blue": np.zeros(2)}, ["red"], "a.ply").tolist()
    [[1.0], [2.0]]
    """
    refuse_missing(attributes, list(columns), where)
    parts = [np.asarray(columns[name], dtype=np.float64) for name in attributes]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def numbered(table: np.ndarray) -> dict[str, np.ndarray]:
    """Names of the columns after the coordinates in a table ``(M, K)``: column4, column5, ….

    Columns 4 to 6 are normals, too, if every row of them has the length 1.

    Examples
    --------
    >>> sorted(numbered(np.array([[1, 2, 3, 0, 0.6, 0.8]])))
    ['column4', 'column5', 'column6', 'normals']
    """
    found = {f"column{index + 1}": table[:, index] for index in range(3, table.shape[1])}
    if table.shape[1] >= 6 and len(table):
        vectors = np.asarray(table[:, 3:6], dtype=np.float64)
        with np.errstate(all="ignore"):  # columns of something else may hold anything
            lengths = np.linalg.norm(vectors, axis=1)
        if (np.abs(lengths - 1) < _UNIT).all():
            found[NORMALS] = vectors
    return found


def check_attributes(values: np.ndarray, attributes: Sequence[str], where: str) -> None:
    """Refuse attributes ``(M, A)`` that are NaN or infinite, or too large for float32.

    Raises
    ------
    DataError
        There are such values; the message names the attribute and the point.
    """
    wrong = ~(np.abs(values) < np.finfo(np.float32).max)
    if wrong.any():
        point, column = (int(index) for index in np.argwhere(wrong)[0])
        names = [name for name in attributes for _ in range(width([name]))]
        raise DataError(
            f"{where}: {names[column]} of point {point + 1} is {values[point, column]:g}, but a "
            f"finite number is needed"
        )
