"""OBJ files: indices, slashes, polygons, and damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from csgnn_dgl.datasets.shapes.meshes import Mesh
from csgnn_dgl.datasets.shapes.shape_files import read_shape
from csgnn_dgl.errors import DataError

VERTICES = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n"
FACES = "f 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"


def read(text: str | bytes, folder: Path) -> Mesh:
    path = folder / "a.obj"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    mesh = read_shape(path)
    assert isinstance(mesh, Mesh)
    return mesh


def corners(mesh: Mesh) -> list[list[list[float]]]:
    return [sorted(triangle) for triangle in mesh.vertices[mesh.faces].tolist()]


@pytest.mark.parametrize(
    "text",
    [
        VERTICES + "f -4 -2 -3\nf -4 -3 -1\nf -4 -1 -2\nf -3 -2 -1\n",
        VERTICES
        + "vt 0 0\nvn 0 0 1\nf 1/1/1 3/1/1 2/1/1\nf 1//1 2//1 4//1\nf 1/1 4/1 3/1\nf 2 3 4\n",
        VERTICES + FACES.replace("f 1 3 2", "f 1 3 \\\n 2"),
        VERTICES + FACES.replace("f 1 3 2", "f 1 3 \\\r\n 2"),
        *(VERTICES.replace("\n", f" {one}\n") + FACES for one in ("1.0", "1", "+1.", "01", "1e0")),
        VERTICES.replace("\n", " 0.5 0.5 0.5\n") + FACES,
        "mtllib none.mtl\no a\ng b\nusemtl c\ns off\n" + VERTICES + "l 1 2\n# f 9 9 9\n" + FACES,
        b"# f\xfcr Gr\xf6\xdfe\ng \xe9\n" + (VERTICES + FACES).encode(),
        "\ufeff" + VERTICES + FACES,
        # Negative indices count back from where they are, also between vertices.
        "v 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -1 -2\nv 0 0 1\nf -4 -3 -1\nf -4 -1 -2\nf -3 -2 -1\n",
    ],
)
def test_sound_files_are_read(text: str | bytes, tmp_path: Path) -> None:
    assert corners(read(text, tmp_path)) == corners(read(VERTICES + FACES, tmp_path))


def test_a_far_mesh_keeps_its_shape(tmp_path: Path) -> None:
    far = "".join(f"v {100_000_000 + x} {x % 2} {x % 3}\n" for x in range(4))
    mesh = read(far + FACES, tmp_path)
    assert np.ptp(mesh.vertices, axis=0).tolist() == [3, 1, 2]


def test_a_polygon_becomes_triangles(tmp_path: Path) -> None:
    mesh = read("v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf 1 2 3 4\n", tmp_path)
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            VERTICES + FACES.replace("2 3 4", "2 3 9"),
            "refers to vertex 9, but there are",
        ),
        (VERTICES + FACES.replace("2 3 4", "2 3"), "face 4 has 2 corners"),
        (VERTICES + FACES.replace("2 3 4", "2 3 0"), "line 8: 'f 2 3 0' is no face"),
        (VERTICES + FACES.replace("2 3 4", "2 3 -5"), "'f 2 3 -5' is no face"),
        (VERTICES + FACES.replace("2 3 4", "2 3 4.0"), "'f 2 3 4.0' is no face"),
        (VERTICES + FACES.replace("2 3 4", "2 x 4"), "'f 2 x 4' is no face"),
        (VERTICES + FACES.replace("2 3 4", "2 3 4/x"), "'f 2 3 4/x' is no face"),
        (VERTICES + FACES.replace("2 3 4", "2 3 ²"), "is no face"),
        (VERTICES + FACES.replace("2 3 4", f"2 3 {'9' * 5000}"), "is no face"),
        (VERTICES.replace("v 0 0 1", "v 0 0") + FACES, "line 4: 'v 0 0' is no vertex"),
        (VERTICES.replace("v 0 0 1", "v 0 0 1 1 1") + FACES, "is no vertex"),
        *(
            (VERTICES.replace("v 0 0 1", f"v 0 0 1 {weight}") + FACES, "a weight of 1")
            for weight in ("2.5", "10", "0.1", "100.0", "1_0", "1_", "one", "nan", "１")
        ),
        (VERTICES.replace("v 0 0 1", "v 0 0 abc") + FACES, "'0 0 abc' cannot be read"),
        (VERTICES.replace("v 0 0 1", "v 0 0 1,5") + FACES, "'0 0 1,5' cannot be read"),
        (VERTICES.replace("v 0 0 1", "v 0 0 1_5") + FACES, "'0 0 1_5' cannot be read"),
        # Without this vertex, the faces would refer to others.
        (VERTICES.replace("v 1 0 0", "vv 1 0 0") + FACES, "line 2: 'vv 1 0 0' begins with"),
        (VERTICES + FACES + "curv 0 1 1 2\n", "begins with a word that is not known"),
        (VERTICES, "4 vertices but no faces"),
        (b"\0" + VERTICES.encode(), "is not text in UTF-8"),
        ((VERTICES + FACES).encode("utf-16"), "in UTF-16"),
    ],
)
def test_damaged_files_are_named(text: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.obj") as caught:
        read(text, tmp_path)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 600
