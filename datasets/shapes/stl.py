"""Read STL files: binary or text."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from csgnn_dgl._foreign import excerpt
from csgnn_dgl.datasets.shapes.polygons import Polygons
from csgnn_dgl.datasets.shapes.text import first_columns, read_text
from csgnn_dgl.errors import DataError

__all__ = ["read_stl"]

_HEADER = 84  # 80 bytes of text and the number of triangles
_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])

_XYZ = r"\s+(\S+\s+\S+\s+\S+)\s+"
_FACET = re.compile(
    rf"facet\s+normal{_XYZ}outer\s+loop\s+vertex{_XYZ}vertex{_XYZ}vertex{_XYZ}endloop\s+endfacet\b",
    re.IGNORECASE,
)


def read_stl(path: Path) -> tuple[np.ndarray, Polygons]:
    """Read the triangles of an STL file. Normals are not used.

    The size decides whether a file is binary, because some binary files begin with ``solid``, too.

    Returns
    -------
    tuple
        Vertices ``(n, 3)``, float64, and faces. Corners at the same place are one vertex.

    Raises
    ------
    DataError
        It is neither a whole binary file nor a whole text file.
    """
    with path.open("rb") as file:
        start = file.read(_HEADER)
    size = path.stat().st_size
    announced = int.from_bytes(start[80:84], "little")
    if len(start) == _HEADER and size == _HEADER + _TRIANGLE.itemsize * announced:
        data = np.fromfile(path, _TRIANGLE, offset=_HEADER)
        corners = data["corners"].reshape(-1, 3).astype(np.float64)
    elif start.lstrip()[:5].lower() == b"solid":
        corners = _read_facets(path)
    else:
        raise DataError(
            f"{path} announces {announced} triangles and so "
            f"{_HEADER + _TRIANGLE.itemsize * announced} bytes, but has {size}: truncated, or not "
            f"an .stl file"
        )
    vertices, index = np.unique(corners, axis=0, return_inverse=True)
    triangles = np.full(len(corners) // 3, 3, dtype=np.int64)
    return vertices, Polygons(triangles, index.reshape(-1).astype(np.int64))


def _read_facets(path: Path) -> np.ndarray:
    """Corners ``(3 m, 3)`` of the facets in a text file."""
    text = read_text(path)
    rows: list[str] = []
    open_solids = end = 0
    for facet in (*_FACET.finditer(text), None):
        between = text[end : facet.start() if facet else len(text)]
        for line in filter(None, map(str.strip, between.splitlines())):
            word = line.split()[0].lower()
            if word not in ("solid", "endsolid"):
                raise DataError(
                    f"{path}: {excerpt(line, 60)!r} is no whole facet with three vertices: "
                    f"truncated or damaged"
                )
            open_solids += 1 if word == "solid" else -1
        if facet:
            rows += facet.groups()[1:]
            end = facet.end()
    if open_solids != 0:
        raise DataError(f"{path} has no endsolid line: truncated")
    return first_columns(rows, 3, f"{path}: the vertex")
