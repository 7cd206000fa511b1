"""Read OBJ files: vertices and faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from csgnn_dgl._foreign import excerpt, parse_integer
from csgnn_dgl.datasets.shapes.polygons import Polygons
from csgnn_dgl.datasets.shapes.text import first_columns, read_text
from csgnn_dgl.errors import DataError

__all__ = ["read_obj"]

# What may be left out: it is no part of a surface. Anything else, such as a damaged "v" or a
# curved surface, is refused, because without it the surface would be another one.
_IGNORED = frozenset(
    {"vt", "vn", "vp", "g", "s", "o", "l", "p", "usemtl", "mtllib", "usemap", "maplib", "lod", "mg"}
    | {"bevel", "c_interp", "d_interp", "shadow_obj", "trace_obj"}
)
# x y z, then nothing, a weight, a colour, or both.
_NUMBERS = (3, 4, 6, 7)


def read_obj(path: Path) -> tuple[np.ndarray, Polygons]:
    """Read the vertices and faces of an OBJ file.

    Faces may count vertices from the first (1, 2, …) or back from the latest (−1, −2, …), and may
    have texture coordinates and normals, which are not used.

    Returns
    -------
    tuple
        Vertices ``(n, 3)``, float64, and faces.

    Raises
    ------
    DataError
        A line cannot be read, or has a meaning that is not known.
    """
    rows: list[str] = []
    sizes: list[int] = []
    corners: list[int] = []
    text = read_text(path)
    if "\\" in text:  # a line that continues on the next one
        text = text.replace("\\\r\n", " ").replace("\\\n", " ")
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#")[0].split()
        if not words or words[0] in _IGNORED:
            continue
        if words[0] == "v":
            if len(words) - 1 not in _NUMBERS or (len(words) == 5 and not _is_one(words[4])):
                raise DataError(
                    f"{path}, line {number}: {excerpt(line, 60)!r} is no vertex with three "
                    f"coordinates (and perhaps a weight of 1 or a colour)"
                )
            rows.append(" ".join(words[1:]))
        elif words[0] == "f":
            face = [_vertex(word, len(rows)) for word in words[1:]]
            if None in face:
                raise DataError(
                    f"{path}, line {number}: {excerpt(line, 60)!r} is no face: vertices are "
                    f"1, 2, … or −1, −2, …, of which {len(rows)} precede this line"
                )
            sizes.append(len(face))
            corners += [corner for corner in face if corner is not None]
        else:
            raise DataError(
                f"{path}, line {number}: {excerpt(line, 60)!r} begins with a word that is not "
                f"known in .obj files of meshes; it may be damaged"
            )
    return first_columns(rows, 3, f"{path}: the vertex"), Polygons.of(sizes, corners, first=1)


def _is_one(word: str) -> bool:
    """Whether a weight is 1, however it is written."""
    try:
        # float() also reads 1_0 and digits of other scripts.
        return word.isascii() and "_" not in word and float(word) == 1
    except ValueError:
        return False


def _vertex(word: str, latest: int) -> int | None:
    """Index from 0 of the vertex in ``1``, ``1/2``, ``1//3`` or ``1/2/3``; None if it is none."""
    parts = word.split("/")
    if len(parts) > 3 or any(part and parse_integer(part) is None for part in parts[1:]):
        return None
    number = parse_integer(parts[0])
    if number is None or number == 0 or number < -latest:
        return None
    return number - 1 if number > 0 else latest + number
