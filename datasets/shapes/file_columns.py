"""List the content of a mesh or cloud file, and what is used of it."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

from csgnn_dgl._foreign import excerpt
from csgnn_dgl.datasets.shapes.arrays import npy_shape
from csgnn_dgl.datasets.shapes.attributes import NORMALS
from csgnn_dgl.datasets.shapes.tables import table_rows

__all__ = ["file_columns"]

_POINTS, _SURFACE, _ATTRIBUTES = "points", "surface", "attributes"
_NAME = 60  # longest name of a column that is shown


def file_columns(
    file: Path, content: bytes, attributes: Sequence[str] = ()
) -> dict[str, str | None]:
    """List arrays, columns or properties of a file with their uses; None if not used.

    Parameters
    ----------
    file
        The file; its suffix determines the format.
    content
        Its bytes. Nothing is listed if they do not follow the format, such as those of a reader of
        your own.
    attributes
        Attributes of the points that are used, too.

    Examples
    --------
    >>> file_columns(Path("a.xyz"), b"0 0 0 255 255 255\\n")
    {'columns 1 to 3': 'points', 'columns 4 to 6': None}
    """
    try:
        found = _columns(file.suffix.lower(), content)
        return {name: use or _attribute_use(name, attributes) for name, use in found.items()}
    except Exception:  # the points come from elsewhere; this list is for information only
        return {}


def _attribute_use(column: str, attributes: Sequence[str]) -> str | None:
    """The use of a column that holds no coordinates."""
    name = column.removeprefix("vertex ")
    normals = NORMALS in attributes
    if name in attributes or (normals and name in ("nx", "ny", "nz")):
        return _ATTRIBUTES
    if numbers := re.fullmatch(r"columns? (\d+)(?: to (\d+))?", column):
        first, last = int(numbers[1]), int(numbers[2] or numbers[1])
        used = [f"column{number}" in attributes for number in range(first, last + 1)]
        return _ATTRIBUTES if any(used) or (normals and last >= 6) else None
    return None


def _columns(suffix: str, content: bytes) -> dict[str, str | None]:
    if suffix == ".npz":
        return _npz(content)
    if suffix == ".npy":
        return _numbered(_npy_columns(content))
    if suffix in (".xyz", ".pts", ".txt"):
        return _numbered(_table_columns(content))
    if suffix == ".ply":
        return _ply(content)
    if suffix == ".obj":
        words = dict.fromkeys(re.findall(rb"^[ \t]*([A-Za-z]+)(?=\s)", content, re.MULTILINE))
        return {word.decode(): _SURFACE if word in (b"v", b"f") else None for word in words}
    if suffix == ".off":
        return {"vertices": _SURFACE, "faces": _SURFACE}
    if suffix == ".stl":
        return {"triangles": _SURFACE, "normals": None}
    return {}


def _npz(content: bytes) -> dict[str, str | None]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [excerpt(name.removesuffix(".npy"), _NAME) for name in archive.namelist()]
    return {n: _POINTS if n == "points" or len(names) == 1 else None for n in names}


def _npy_columns(content: bytes) -> int:
    shape, _ = npy_shape(io.BytesIO(content))
    return shape[1] if len(shape) == 2 else 0


def _table_columns(content: bytes) -> int:
    """Count the columns of the second row; the first row may be a count."""
    rows = table_rows(content[: 1 << 16].decode("latin-1"))[:2]
    return len(rows[-1].replace(",", " ").split()) if rows else 0


def _numbered(count: int) -> dict[str, str | None]:
    found: dict[str, str | None] = {"columns 1 to 3": _POINTS}
    if count == 4:
        found["column 4"] = None
    elif count > 4:
        found[f"columns 4 to {count}"] = None
    return found


def _ply(content: bytes) -> dict[str, str | None]:
    header = content.partition(b"end_header")[0].decode("ascii", errors="replace")
    found: dict[str, str | None] = {}
    element = ""
    for words in (line.split() for line in header.splitlines()):
        if len(words) >= 2 and words[0] == "element":
            element = words[1]
        elif len(words) >= 3 and words[0] == "property":
            used = words[-1] in (
                ("x", "y", "z") if element == "vertex" else ("vertex_indices", "vertex_index")
            )
            meaning = _POINTS if element == "vertex" else _SURFACE
            found[excerpt(f"{element} {words[-1]}", _NAME)] = meaning if used else None
    return found
