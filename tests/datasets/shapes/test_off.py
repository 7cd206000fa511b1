"""OFF files: exactly the lines that are announced, and whole faces."""

from __future__ import annotations

from pathlib import Path

import pytest

from csgnn_dgl.datasets.shapes.meshes import Mesh
from csgnn_dgl.datasets.shapes.shape_files import read_shape
from csgnn_dgl.errors import DataError

CORNERS = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n"
FACES = "3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"
OFF = "OFF\n4 4 0\n" + CORNERS + FACES


def read(text: str | bytes, folder: Path) -> Mesh:
    path = folder / "a.off"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    mesh = read_shape(path)
    assert isinstance(mesh, Mesh)
    return mesh


@pytest.mark.parametrize(
    "text",
    [
        OFF,
        OFF + "\n# the end\n\n",
        "\ufeff" + OFF,
        b"# f\xfcr\n".join([b"OFF ", OFF.encode()[4:]]),
        OFF.replace("3 0 2 1", "3 0 2 1 7"),  # a colour's index
        OFF.replace("3 0 2 1", "3 0 2 1 0.5 0.5 0.5 1"),
        OFF.replace("0 0 1\n", "0 0 1 255 0 0 255\n"),
    ],
)
def test_sound_files_are_read(text: str | bytes, tmp_path: Path) -> None:
    mesh = read(text, tmp_path)
    assert mesh.faces.tolist() == [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OFF.replace("3 0 2 1", "-3 0 2 1"), "the face '-3 0 2 1' cannot be read"),
        (OFF.replace("3 1 2 3", "2 1 2"), "face 4 has 2 corners"),
        (OFF.replace("3 1 2 3", "1 2"), "face 4 has 1 corners"),
        (OFF.replace("3 1 2 3", "0"), "face 4 has 0 corners"),
        (OFF.replace("3 1 2 3", "3 1 2"), "the face '3 1 2' cannot be read"),
        (OFF.replace("3 1 2 3", "3 1 2 2.5"), "the face '3 1 2 2.5' cannot be read"),
        (OFF.replace("3 1 2 3", "3 1 2 3 9 9"), "has 5 numbers after '3'"),
        (OFF.replace("3 1 2 3", "² 1 2 3"), "cannot be read"),
        (OFF.replace("4 4 0", "4 2 0"), "2 faces, but 8 lines follow: it is truncated or damaged"),
        (OFF.replace("4 4 0", "3 4 0"), "8 lines follow"),
        (OFF.replace("4 4 0", "1000000000 4 0"), "announces 1000000000 vertices"),
        (OFF.replace("4 4 0", f"{'9' * 5000} 4 0"), "no counts of vertices"),
        (OFF.replace("4 4 0", "² 4 0"), "no counts of vertices"),
        (OFF.replace("4 4 0", "-4 4 0"), "announces -4 vertices"),
        (OFF.replace("1 0 0\n", "1 0\n"), "the vertex '1 0' cannot be read"),
        (OFF.replace("1 0 0\n", "1,5 0 0\n"), "the vertex '1,5 0 0' cannot be read"),
        (OFF.replace("1 0 0\n", "1_0 0 0\n"), "the vertex '1_0 0 0' cannot be read"),
        (OFF.replace("OFF", "4OFF"), "does not begin with 'OFF'"),
        (OFF.replace("OFF", "NOFF"), "does not begin with 'OFF'"),
        (b"OFF BINARY\n\0\0\0\4", "is not text in UTF-8"),
    ],
)
def test_damaged_files_are_named(text: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.off") as caught:
        read(text, tmp_path)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 600
