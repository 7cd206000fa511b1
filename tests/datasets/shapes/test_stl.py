"""STL files: text and binary, told apart by their size."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from csgnn_dgl.datasets.shapes.meshes import Mesh
from csgnn_dgl.datasets.shapes.shape_files import load_shape, read_shape
from csgnn_dgl.errors import DataError

TRIANGLES = (
    ((0, 0, 0), (0, 1, 0), (1, 0, 0)),
    ((0, 0, 0), (1, 0, 0), (0, 0, 1)),
    ((0, 0, 0), (0, 0, 1), (0, 1, 0)),
    ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
)
TEXT = (
    "solid a solid facet\n"
    + "".join(
        "facet normal 0 0 0\n  outer loop\n"
        + "".join("    vertex {} {} {}\n".format(*corner) for corner in triangle)
        + "  endloop\nendfacet\n"
        for triangle in TRIANGLES
    )
    + "endsolid a\n"
)


def binary(title: bytes = b"", count: int | None = None, tail: bytes = b"") -> bytes:
    rows = [struct.pack("<12fH", 0, 0, 0, *sum(corners, ()), 0) for corners in TRIANGLES]
    head = title.ljust(80) + struct.pack("<I", len(rows) if count is None else count)
    return head + b"".join(rows) + tail


def read(content: str | bytes, folder: Path) -> Mesh:
    path = folder / "a.stl"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    mesh = read_shape(path)
    assert isinstance(mesh, Mesh)
    return mesh


@pytest.mark.parametrize(
    "content",
    [
        TEXT,
        TEXT.upper(),
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("endsolid a", "endsolid"),
        TEXT.replace("normal 0 0 0", "normal nan nan nan"),
        binary(),
        binary(b"solid made by a program"),
        binary(b"solid facet normal 0 0 0"),
    ],
)
def test_sound_files_are_read(content: str | bytes, tmp_path: Path) -> None:
    mesh = read(content, tmp_path)
    assert [tuple(map(tuple, t)) for t in mesh.vertices[mesh.faces].tolist()] == list(TRIANGLES)
    assert len(mesh.vertices) == 4, "corners at one place are one vertex"


def test_two_solids_are_both_read(tmp_path: Path) -> None:
    assert len(read(TEXT + TEXT.replace("0 0 1", "0 0 2"), tmp_path).faces) == 8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TEXT[:-70], "is no whole facet with three vertices"),
        (TEXT.replace("endsolid a\n", ""), "has no endsolid line"),
        (TEXT.replace("    vertex 0 1 0\n", "", 1), "is no whole facet"),
        (TEXT.replace("vertex 0 1 0\n", "vertex 0 1 0\nvertex 5 5 5\n", 1), "is no whole facet"),
        (TEXT.replace("vertex 0 1 0\n", "vertex 0 1 0 7\n", 1), "is no whole facet"),
        (TEXT.replace("vertex 0 1 0\n", "vertex 0 1\n", 1), "is no whole facet"),
        (TEXT.replace("vertex 0 1 0\n", "verte  vertex 0 1 0\n", 1), "is no whole facet"),
        (TEXT.replace("vertex 0 1 0\n", "vertex 0 abc 0\n", 1), "'0 abc 0' cannot be read"),
        (TEXT.replace("endsolid", "junk\nendsolid"), "'junk' is no whole facet"),
        (binary(count=2), "announces 2 triangles and so 184 bytes, but has 284"),
        (binary(count=5), "announces 5 triangles"),
        (binary(count=0), "announces 0 triangles"),
        (binary(count=1_000_000_000), "announces 1000000000 triangles"),
        (binary(tail=b"xx"), "but has 286"),
        (b"solid", "has no endsolid line"),
    ],
)
def test_damaged_files_are_named(content: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.stl") as caught:
        read(content, tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize("content", [TEXT.replace("0 1 0", "0 nan 0", 1), binary()[:-4]])
def test_not_a_number(content: str | bytes, tmp_path: Path) -> None:
    if isinstance(content, bytes):
        content = binary()[:96] + struct.pack("<f", float("nan")) + binary()[100:]
    read(content, tmp_path)
    with pytest.raises(DataError, match="NaN or infinite"):
        load_shape(tmp_path / "a.stl", points=10)
