"""PLY files: what a sound one may look like, and every way to be damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from csgnn_dgl.datasets.shapes.meshes import Mesh
from csgnn_dgl.datasets.shapes.shape_files import read_shape
from csgnn_dgl.errors import DataError

CORNERS = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n"
FACES = "3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"
VERTEX = "element vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
FACE = "element face 4\nproperty list uchar int vertex_indices\n"
SOUND = [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]


def ply(
    elements: str = VERTEX + FACE, body: str | bytes = CORNERS + FACES, form: str = "ascii"
) -> bytes:
    head = f"ply\nformat {form} 1.0\n{elements}end_header\n".encode()
    return head + (body.encode() if isinstance(body, str) else body)


def read(content: bytes, folder: Path) -> Mesh | np.ndarray:
    path = folder / "a.ply"
    path.write_bytes(content)
    return read_shape(path)


def binary(order: str, faces: str = FACES) -> bytes:
    rows = [struct.pack(f"{order}3f", *map(float, row.split())) for row in CORNERS.splitlines()]
    for row in faces.splitlines():
        size, *corners = map(int, row.split())
        rows.append(struct.pack(f"{order}B{size}i", size, *corners))
    return b"".join(rows)


@pytest.mark.parametrize(
    "content",
    [
        ply(),
        ply().replace(b"vertex_indices", b"vertex_index"),
        ply().replace(b"\n", b"\r\n"),
        ply("comment property float q\n" + VERTEX + "obj_info x\n" + FACE),
        ply(FACE + VERTEX, FACES + CORNERS),
        ply(VERTEX.replace("float", "double") + "property uchar red\n" + FACE).replace(
            b"0 0 0\n1 0 0\n0 1 0\n0 0 1\n", b"0 0 0 9\n1 0 0 9\n0 1 0 9\n0 0 1 9\n"
        ),
        ply(
            VERTEX + "element face 4\nproperty uchar red\nproperty list uchar int vertex_indices\n"
            "property list uchar float texcoord\n",
            CORNERS + "".join(f"7 {face} 2 0.5 0.5\n" for face in FACES.splitlines()),
        ),
        ply(
            "element vertex 4\nproperty float z\nproperty float x\nproperty float y\n" + FACE,
            "0 0 0\n0 1 0\n0 0 1\n1 0 0\n" + FACES,
        ),
        ply(VERTEX + FACE + "element edge 1\nproperty int a\n", CORNERS + FACES + "5\n"),
        ply(
            "element vertex 4\nproperty list uchar int of\nproperty float x\nproperty float y\n"
            "property float z\n" + FACE,
            "".join(f"1 8 {row}\n" for row in CORNERS.splitlines()) + FACES,
        ),
        ply(body=binary("<"), form="binary_little_endian"),
        ply(body=binary(">"), form="binary_big_endian"),
        ply(body=binary("<") + b"\n", form="binary_little_endian"),
    ],
)
def test_sound_files_are_read(content: bytes, tmp_path: Path) -> None:
    mesh = read(content, tmp_path)
    assert isinstance(mesh, Mesh)
    np.testing.assert_array_equal(mesh.vertices, [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert mesh.faces.tolist() == SOUND


@pytest.mark.parametrize("order", ["<", ">"])
def test_faces_of_different_sizes_in_binary(order: str, tmp_path: Path) -> None:
    faces = "3 0 2 1\n3 0 1 3\n4 0 1 2 3\n3 0 3 2\n"
    form = {"<": "binary_little_endian", ">": "binary_big_endian"}[order]
    mesh = read(ply(body=binary(order, faces), form=form), tmp_path)
    text = read(ply(body=CORNERS + faces), tmp_path)
    assert isinstance(mesh, Mesh)
    assert isinstance(text, Mesh)
    assert mesh.faces.tolist() == text.faces.tolist()
    assert len(mesh.faces) == 5


def test_text_keeps_the_digits_that_a_float_would_lose(tmp_path: Path) -> None:
    mesh = read(ply().replace(b"1 0 0", b"1.23456789012 0 0"), tmp_path)
    assert isinstance(mesh, Mesh)
    assert mesh.vertices[1, 0] == 1.23456789012


def test_more_than_255_corners(tmp_path: Path) -> None:
    angles = np.linspace(0, 2 * np.pi, 300, endpoint=False)
    body = "".join(f"{np.cos(a):.6f} {np.sin(a):.6f} 0\n" for a in angles)
    body += f"300 {' '.join(map(str, range(300)))}\n"
    elements = VERTEX.replace("4", "300") + FACE.replace("4", "1")
    mesh = read(ply(elements, body), tmp_path)
    assert isinstance(mesh, Mesh)
    assert len(mesh.faces) == 298


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ply().replace(b"3 1 2 3", b"3 1 2 9"), "refers to vertex 9, but there are vertices 0 … 3"),
        (ply().replace(b"3 1 2 3", b"3 1 2 -1"), "refers to vertex -1"),
        (ply().replace(b"3 1 2 3", b"2 1 2"), "face 4 has 2 corners"),
        (ply().replace(b"3 0 2 1", b"0"), "face 1 has 0 corners"),
        (ply().replace(b"3 0 2 1", b"-3 0 2 1"), "the row '-3 0 2 1' of 'face'"),
        (ply().replace(b"3 0 1 3", b"3 0 1"), "the row '3 0 1' of 'face' does not have"),
        (ply().replace(b"3 0 1 3", b"3 0 1 3 2"), "the row '3 0 1 3 2' of 'face'"),
        (ply().replace(b"3 1 2 3", b"200 1 2 3"), "the row '200 1 2 3'"),
        (ply().replace(b"3 1 2 3", b"3 1 2 x"), "'x' is no index"),
        (ply().replace(b"3 1 2 3", b"3 1 2 2.5"), "'2.5' is no index"),
        (ply().replace(b"3 1 2 3", b"3 1 2 \xb2"), "'²' is no index"),
        (ply().replace(b"0 0 1\n", b"0 0\n"), "the row '0 0' of 'vertex'"),
        (ply().replace(b"0 0 1\n", b"0 0 1 7\n"), "the row '0 0 1 7' of 'vertex'"),
        (ply().replace(b"0 0 1\n", b"0 0 1_0\n"), "z of 'vertex' '1_0' cannot be read"),
        (ply() + b"3 0 1 2\n", "holds 1 lines more than its header announces"),
        (ply()[:-9], "announces 4 rows of 'face', but 3 can be read"),
        (ply().replace(b"vertex 4", b"vertex 1000000000"), "announces 1000000000 rows of 'vertex'"),
        (ply().replace(b"face 4", b"face 1000000000"), "announces 1000000000 rows of 'face'"),
        (ply().replace(b"vertex 4", b"vertex -1"), "announces -1 rows of 'vertex'"),
        (ply().replace(b"vertex 4", b"vertex 1_0"), "announces 1_0 rows of 'vertex'"),
        (ply().replace(b"vertex 4", b"vertex " + b"9" * 5000), "announces 999"),
        (ply().replace(b"float z", b"float w"), "its vertices have no number 'z'"),
        (ply().replace(b"float z", b"float z" + b"9" * 5000), "no number 'z'"),
        (ply().replace(b"float z", b"float x"), "its vertices have no number 'x'"),
        (ply().replace(b"float z", b"text z"), "the header's line 'property text z'"),
        (ply().replace(b"list uchar int", b"int"), "the row '3 0 2 1' of 'face'"),
        (ply().replace(b"list uchar int", b"list float int"), "the header's line"),
        (ply().replace(b"list uchar int", b"list uchar float"), "is no index|holds no integers"),
        (
            ply(VERTEX + "element face 4\nproperty int vertex_indices\n", CORNERS + "0\n1\n2\n3\n"),
            "its faces have no list 'vertex_indices'",
        ),
        (ply().replace(b"vertex_indices", b"corners"), "its faces have no list"),
        (ply().replace(b"format ascii 1.0\n", b""), "does not say its format"),
        (ply().replace(b"ascii", b"morse"), "the header's line 'format morse 1.0'"),
        (ply("element face 1\n" + VERTEX), "the rows of 'face' have no properties"),
        (ply(FACE, FACES), "holds no vertices, but: face"),
        (b"hello\n" + ply(), "does not begin with 'ply'"),
        (
            ply(
                VERTEX + "element tristrips 1\nproperty list int int vertex_indices\n",
                CORNERS + "4 0 1 2 3\n",
            ),
            "holds triangle strips",
        ),
        (ply(body=binary("<")[:-1], form="binary_little_endian"), "'face', but 3 can be read"),
        (ply(body=binary("<")[:30], form="binary_little_endian"), "'vertex', but 2 can be read"),
        (ply(body=binary("<") + b"rest", form="binary_little_endian"), "holds 4 bytes more"),
        (
            ply(body=binary("<"), form="binary_little_endian").replace(b"list uchar", b"list char")[
                :-13
            ]
            + struct.pack("<b3i", -1, 0, 1, 2),
            "'face', but 3 can be read",
        ),
        (
            ply(body=binary("<"), form="binary_little_endian").replace(
                b"uchar int vertex", b"uchar uint vertex"
            )[:-4]
            + b"\xff" * 4,
            "refers to vertex 4294967295",
        ),
    ],
)
def test_damaged_files_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.ply") as caught:
        read(content, tmp_path)
    assert any(part in str(caught.value) for part in message.split("|"))
    assert len(str(caught.value)) < 600
