"""Read PLY files: surfaces and clouds, in text or binary."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from csgnn_dgl._foreign import excerpt, parse_integer
from csgnn_dgl.datasets.shapes.attributes import NORMALS, pick
from csgnn_dgl.datasets.shapes.checks import check_normals
from csgnn_dgl.datasets.shapes.polygons import Polygons
from csgnn_dgl.datasets.shapes.text import first_columns
from csgnn_dgl.errors import DataError

__all__ = ["read_ply"]

_FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_KINDS = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
_INDICES = ("vertex_indices", "vertex_index")
_AXES = ("x", "y", "z")
_NORMAL_AXES = ("nx", "ny", "nz")


@dataclass(frozen=True)
class _Property:
    """A number of each row, or a list of numbers if ``length`` is the type of its length."""

    name: str
    kind: str
    length: str = ""


@dataclass(frozen=True)
class _Element:
    """A table of the file: so many rows with these properties."""

    name: str
    count: int
    properties: list[_Property] = field(default_factory=list)

    def find(self, *names: str) -> int | None:
        """Index of the only property with one of these names; None if there is not just one."""
        found = [i for i, prop in enumerate(self.properties) if prop.name in names]
        return found[0] if len(found) == 1 else None


# The values of each property of an element, with the number of values in each row.
_Values = list[Polygons]


def read_ply(path: Path, attributes: Sequence[str] = ()) -> tuple[np.ndarray, Polygons]:
    """Read the vertices and faces of a PLY file. Without faces, the vertices are a cloud.

    Text is read in double precision, whatever type the header states.

    Parameters
    ----------
    path
        The file.
    attributes
        Attributes of a cloud's points to read, too: ``"normals"`` for the properties nx, ny and nz,
        or any other property of its vertices. Bytes, as of colours, are divided by 255.

    Returns
    -------
    tuple
        Vertices ``(n, 3)``, or ``(n, 3 + A)`` for a cloud with attributes, float64, and faces.

    Raises
    ------
    DataError
        The header cannot be read; rows do not follow it; more or fewer bytes follow than it
        announces; there are no coordinates or no such attribute; normals have the length 0; or the
        faces are triangle strips.
    """
    content = path.read_bytes()
    elements, order, start = _header(path, content)
    # A surface has the normals of its faces. Its vertices are not what is sampled.
    if any(element.name in ("face", "tristrips") and element.count for element in elements):
        attributes = ()
    wanted = {*_AXES, *(_NORMAL_AXES if NORMALS in attributes else ()), *attributes}
    vertices: np.ndarray | None = None
    faces = Polygons.of([], [])
    body = (
        _Text(path, content[start:], wanted)
        if order == ""
        else _Binary(path, content[start:], order)
    )
    for element in elements:
        values = body.read(element)
        if element.name == "vertex":
            vertices = _vertices(path, element, values)
            if attributes:
                own = _attributes(element, values)
                if NORMALS in attributes and NORMALS in own:
                    check_normals(own[NORMALS], str(path))
                vertices = np.concatenate([vertices, pick(own, attributes, str(path))], axis=1)
        elif element.name == "face" and element.count:
            faces = _faces(path, element, values)
        elif element.name == "tristrips":
            raise DataError(f"{path} holds triangle strips, which are not read; save it with faces")
    body.finish()
    if vertices is None:
        listed = excerpt(", ".join(element.name for element in elements)) or "nothing"
        raise DataError(f"{path} holds no vertices, but: {listed}")
    return vertices, faces


def _header(path: Path, content: bytes) -> tuple[list[_Element], str, int]:
    """Elements, byte order (empty for text), and where the rows begin."""
    if content[:3] != b"ply":
        raise DataError(f"{path} does not begin with 'ply': not a .ply file")
    place = content.find(b"end_header")
    start = content.find(b"\n", place) + 1
    if place < 0 or start == 0:
        raise DataError(f"{path} has no end_header line: truncated, or not a .ply file")
    elements: list[_Element] = []
    order: str | None = None
    for line in content[3:place].decode("latin-1").splitlines():
        words = line.split()
        if not words or words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format" and words[2:] == ["1.0"] and words[1] in _FORMATS:
            order = _FORMATS[words[1]]
        elif words[0] == "element" and len(words) == 3:
            count = parse_integer(words[2])
            # Each row takes at least a byte, in text and in binary.
            if count is None or not 0 <= count <= len(content) - start:
                raise DataError(
                    f"{path} announces {excerpt(words[2], 40)} rows of {excerpt(words[1], 40)!r}, "
                    f"but {len(content) - start} bytes follow its header: truncated or damaged"
                )
            elements.append(_Element(words[1], count))
        elif words[0] == "property" and elements and _property(words) is not None:
            elements[-1].properties.append(_property(words))  # type: ignore[arg-type]
        else:
            raise DataError(f"{path}: the header's line {excerpt(line, 60)!r} cannot be read")
    if order is None:
        raise DataError(f"{path} does not say its format (ascii or binary)")
    empty = [element for element in elements if element.count and not element.properties]
    if empty:
        raise DataError(f"{path}: the rows of {excerpt(empty[0].name, 40)!r} have no properties")
    return elements, order, start


def _property(words: list[str]) -> _Property | None:
    if len(words) == 3 and words[1] in _KINDS:
        return _Property(words[2], _KINDS[words[1]])
    if len(words) == 5 and words[1] == "list" and words[2] in _KINDS and words[3] in _KINDS:
        length = _KINDS[words[2]]
        return _Property(words[4], _KINDS[words[3]], length) if length[0] != "f" else None
    return None


class _Text:
    """Rows in text: one in each line."""

    def __init__(self, path: Path, body: bytes, wanted: Collection[str]) -> None:
        self.path, self.wanted = path, wanted
        self.lines = [line for line in body.decode("latin-1").splitlines() if line.strip()]
        self.place = 0

    def read(self, element: _Element) -> _Values:
        lines = self.lines[self.place : self.place + element.count]
        self.place += len(lines)
        if len(lines) < element.count:
            raise _too_short(self.path, element, len(lines))
        rows = [self._row(element, line) for line in lines]
        return [
            self._values(element, prop, [row[i] for row in rows])
            for i, prop in enumerate(element.properties)
        ]

    def finish(self) -> None:
        _check_rest(self.path, len(self.lines) - self.place, "lines")

    def _row(self, element: _Element, line: str) -> list[list[str]]:
        """Words of each property in a row."""
        words, place, parts = line.split(), 0, []
        for prop in element.properties:
            length: int | None = 1
            if prop.length:
                length = parse_integer(words[place]) if place < len(words) else None
                place += 1
            if length is None or length < 0 or place + length > len(words):
                raise self._bad_row(element, line)
            parts.append(words[place : place + length])
            place += length
        if place != len(words):
            raise self._bad_row(element, line)
        return parts

    def _values(self, element: _Element, prop: _Property, parts: list[list[str]]) -> Polygons:
        """Numbers of a property; only those that are used are read."""
        sizes = np.array([len(part) for part in parts], dtype=np.int64)
        words = [word for part in parts for word in part]
        if prop.name in self.wanted and prop.name not in _INDICES:
            where = f"{self.path}: {prop.name} of {excerpt(element.name, 40)!r}"
            return Polygons(sizes, first_columns(words, 1, where)[:, 0])
        if prop.name not in _INDICES:
            return Polygons(sizes, np.zeros(len(words)))
        numbers = [number for word in words if (number := parse_integer(word)) is not None]
        if len(numbers) < len(words):
            bad = next(word for word in words if parse_integer(word) is None)
            raise DataError(f"{self.path}: {excerpt(bad, 40)!r} is no index of a vertex")
        return Polygons.of(sizes.tolist(), numbers)

    def _bad_row(self, element: _Element, line: str) -> DataError:
        return DataError(
            f"{self.path}: the row {excerpt(line, 60)!r} of {excerpt(element.name, 40)!r} does not "
            f"have the numbers that the header announces; the file is truncated or damaged"
        )


class _Binary:
    """Rows in binary."""

    def __init__(self, path: Path, body: bytes, order: str) -> None:
        self.path, self.body, self.order = path, body, order
        self.place = 0

    def read(self, element: _Element) -> _Values:
        parts: list[np.ndarray] = []
        lengths: list[int] | None = []
        left, ahead = element.count, 1
        while left:
            lengths = self._lengths(element)
            if lengths is None:
                raise _too_short(self.path, element, element.count - left)
            # In most files all lists are equally long, so that many rows are read at once.
            kind = self._row_type(element, lengths)
            fit = min(left, ahead, (len(self.body) - self.place) // kind.itemsize)
            table = np.frombuffer(self.body, kind, fit, self.place)
            table = table[: self._alike(element, table, lengths)]
            parts.append(table)
            self.place += len(table) * kind.itemsize
            left -= len(table)
            ahead = 2 * len(table)
        return [_joined(parts, f"v{index}") for index in range(len(element.properties))]

    def finish(self) -> None:
        _check_rest(self.path, len(self.body[self.place :].strip()), "bytes")

    def _alike(self, element: _Element, table: np.ndarray, lengths: list[int]) -> int:
        """Number of rows at the start whose lists have these lengths."""
        alike = np.ones(len(table), dtype=bool)
        for index, prop in enumerate(element.properties):
            if prop.length:
                alike &= table[f"n{index}"] == lengths[index]
        return len(table) if alike.all() else int(alike.argmin())

    def _lengths(self, element: _Element) -> list[int] | None:
        """Numbers of values of the next row's properties; None if the row does not fit."""
        lengths, place = [], self.place
        for prop in element.properties:
            length = 1
            if prop.length:
                kind = np.dtype(self.order + prop.length)
                if place + kind.itemsize > len(self.body):
                    return None
                length = int(np.frombuffer(self.body, kind, 1, place)[0])
                place += kind.itemsize
            place += max(length, 0) * np.dtype(prop.kind).itemsize
            if length < 0 or place > len(self.body):
                return None
            lengths.append(length)
        return lengths

    def _row_type(self, element: _Element, lengths: list[int]) -> np.dtype:
        fields: list[tuple[str, str, tuple[int, ...]]] = []
        for i, (prop, length) in enumerate(zip(element.properties, lengths, strict=True)):
            if prop.length:
                fields.append((f"n{i}", self.order + prop.length, ()))
            fields.append((f"v{i}", self.order + prop.kind, (length,)))
        return np.dtype(fields)


def _joined(parts: list[np.ndarray], name: str) -> Polygons:
    """The values called ``name`` of several tables."""
    values = [part[name].reshape(len(part), -1) for part in parts]
    sizes = [np.full(len(value), value.shape[1], dtype=np.int64) for value in values]
    none = np.zeros(0, dtype=np.int64)
    return Polygons(
        np.concatenate([none, *sizes]),
        np.concatenate([value.reshape(-1) for value in values]) if values else none,
    )


def _vertices(path: Path, element: _Element, values: _Values) -> np.ndarray:
    places = [element.find(axis) for axis in _AXES]
    for axis, place in zip(_AXES, places, strict=True):
        if place is None or element.properties[place].length:
            raise DataError(f"{path}: its vertices have no number {axis!r}")
    columns = [values[place].corners for place in places if place is not None]
    return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)


def _attributes(element: _Element, values: _Values) -> dict[str, np.ndarray]:
    """The numbers of vertices by name, beside their coordinates."""
    found = {}
    for prop, value in zip(element.properties, values, strict=True):
        if not prop.length and prop.name not in _AXES and element.find(prop.name) is not None:
            column = np.asarray(value.corners, dtype=np.float64)
            found[prop.name] = column / 255 if prop.kind == "u1" else column
    if all(axis in found for axis in _NORMAL_AXES):
        found[NORMALS] = np.stack([found[axis] for axis in _NORMAL_AXES], axis=1)
    return found


def _faces(path: Path, element: _Element, values: _Values) -> Polygons:
    place = element.find(*_INDICES)
    if place is None or not element.properties[place].length:
        raise DataError(f"{path}: its faces have no list {_INDICES[0]!r}")
    if element.properties[place].kind[0] == "f":
        raise DataError(f"{path}: the list {_INDICES[0]!r} of its faces holds no integers")
    return Polygons(values[place].sizes, values[place].corners.astype(np.int64))


def _too_short(path: Path, element: _Element, found: int) -> DataError:
    return DataError(
        f"{path} announces {element.count} rows of {excerpt(element.name, 40)!r}, but {found} can "
        f"be read: it is truncated or damaged"
    )


def _check_rest(path: Path, rest: int, what: str) -> None:
    if rest:
        raise DataError(f"{path} holds {rest} {what} more than its header announces: it is damaged")
