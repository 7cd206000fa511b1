"""Read OFF files, as ModelNet has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from csgnn_dgl._foreign import excerpt, parse_integer
from csgnn_dgl.datasets.shapes.polygons import Polygons
from csgnn_dgl.datasets.shapes.text import first_columns, read_text
from csgnn_dgl.errors import DataError

__all__ = ["read_off"]

# A face may end with a colour: an index, RGB or RGBA.
_COLOUR = (0, 1, 3, 4)


def read_off(path: Path) -> tuple[np.ndarray, Polygons]:
    """Read an OFF file with a line per vertex and face.

    Returns
    -------
    tuple
        Vertices ``(n, 3)``, float64, and faces.

    Raises
    ------
    DataError
        It is no OFF file; it has another number of lines than it announces; or a line cannot be
        read.
    """
    lines = [line.split("#")[0].strip() for line in read_text(path).splitlines()]
    lines = [line for line in lines if line]
    if not lines or not lines[0].upper().startswith("OFF"):
        start = excerpt(lines[0], 20) if lines else ""
        raise DataError(f"{path} does not begin with 'OFF' but with {start!r}: not an OFF file")
    glued = lines[0][3:].strip()  # in ModelNet's files, counts may follow OFF on the same line
    lines = ([glued] if glued else []) + lines[1:]
    counts = [parse_integer(word) for word in lines[0].split()[:2]] if lines else []
    if len(counts) < 2 or counts[0] is None or counts[1] is None:
        raise DataError(f"{path}: no counts of vertices and faces follow 'OFF'")
    n_vertices, n_faces = counts[0], counts[1]
    body = lines[1:]
    if min(n_vertices, n_faces) < 0 or len(body) != n_vertices + n_faces:
        raise DataError(
            f"{path} announces {n_vertices} vertices and {n_faces} faces, but {len(body)} lines "
            f"follow: it is truncated or damaged"
        )
    vertices = first_columns(body[:n_vertices], 3, f"{path}: the vertex")
    return vertices, _read_faces(path, body[n_vertices:])


def _read_faces(path: Path, lines: list[str]) -> Polygons:
    """Faces in lines ``sides corner corner … [colour]``."""
    sizes, corners = [], []
    for line in lines:
        words = line.split()
        size = parse_integer(words[0])
        numbers = [parse_integer(word) for word in words[1 : 1 + max(size or 0, 0)]]
        found = [number for number in numbers if number is not None]
        if size is None or size < 0 or len(found) < size:
            raise DataError(
                f"{path}: the face {excerpt(line, 60)!r} cannot be read: a number of corners and "
                f"as many vertices are needed"
            )
        if len(words) - 1 - size not in _COLOUR:
            raise DataError(
                f"{path}: the face {excerpt(line, 60)!r} has {len(words) - 1} numbers after "
                f"{words[0]!r}, which are neither {size} corners nor corners and a colour"
            )
        sizes.append(size)
        corners += found
    return Polygons.of(sizes, corners)
