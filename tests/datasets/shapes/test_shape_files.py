"""Single files: meshes and clouds, whole and broken."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from csgnn_dgl.datasets.shapes import center_and_scale, load_shape
from csgnn_dgl.datasets.shapes.meshes import Mesh, sample_surface
from csgnn_dgl.datasets.shapes.shape_files import read_shape
from csgnn_dgl.errors import DataError, DataWarning

TETRAHEDRON = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n"
FACES = "3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"


def off(header: str = "OFF\n4 4 0\n", vertices: str = TETRAHEDRON, faces: str = FACES) -> str:
    return header + vertices + faces


OBJ = (
    "".join(f"v {line}\n" for line in TETRAHEDRON.splitlines())
    + "f 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
)
PLY = (
    "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\n"
    "property float z\nelement face 4\nproperty list uchar int vertex_indices\nend_header\n"
    + TETRAHEDRON
    + FACES
)
STL = (
    "solid t\n"
    + "".join(
        f"facet normal 0 0 0\nouter loop\n{corners}endloop\nendfacet\n"
        for corners in (
            "vertex 0 0 0\nvertex 0 1 0\nvertex 1 0 0\n",
            "vertex 0 0 0\nvertex 1 0 0\nvertex 0 0 1\n",
            "vertex 0 0 0\nvertex 0 0 1\nvertex 0 1 0\n",
            "vertex 1 0 0\nvertex 0 1 0\nvertex 0 0 1\n",
        )
    )
    + "endsolid t\n"
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.off", off()),
        ("glued.off", off("OFF4 4 0\n")),
        ("same-line.off", off("OFF 4 4 0\n")),
        ("comments.off", off("OFF # made by hand\n# more\n4 4 6\n\n")),
        ("colours.off", off(faces=FACES.replace("\n", " 255 0 0\n"))),
        ("a.obj", OBJ),
        ("a.ply", PLY),
        ("a.stl", STL),
        ("UPPER.OFF", off()),
    ],
)
@pytest.mark.usefixtures("open3d")
def test_meshes_are_read_and_sampled(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    mesh = read_shape(path)
    assert isinstance(mesh, Mesh)
    assert len(mesh.faces) == 4
    points = load_shape(path, points=200)
    assert points.shape == (200, 3)
    assert points.dtype == torch.float32
    assert points.norm(dim=1).max() == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(points.mean(dim=0), torch.zeros(3), atol=1e-6, rtol=0)


def test_polygons_become_triangles(tmp_path: Path) -> None:
    path = tmp_path / "square.off"
    path.write_text("OFF\n4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3\n")
    mesh = read_shape(path)
    assert isinstance(mesh, Mesh)
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]


@pytest.mark.usefixtures("open3d")
def test_samples_follow_area_and_seed(tmp_path: Path) -> None:
    # A square of area 1 at z = 0 and one of area 3 at z = 1.
    vertices = np.array(
        [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [3, 0, 1], [3, 1, 1], [0, 1, 1]],
        dtype=float,
    )
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    points = sample_surface(Mesh(vertices, faces), 20000, 0, "squares")
    share = (points[:, 2] > 0.5).mean()
    assert share == pytest.approx(0.75, abs=0.02)
    again = sample_surface(Mesh(vertices, faces), 20000, 0, "squares")
    np.testing.assert_array_equal(points, again)
    assert not np.array_equal(points, sample_surface(Mesh(vertices, faces), 20000, 1, "squares"))


@pytest.mark.usefixtures("open3d")
def test_size_and_place_do_not_matter() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=float)
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    reference = center_and_scale(sample_surface(Mesh(vertices, faces), 100, 0, "here"))
    for scale, shift in ((1e-9, 0.0), (1e9, 0.0), (1.0, 1e6)):
        mesh = Mesh(vertices * scale + shift, faces)
        moved = center_and_scale(sample_surface(mesh, 100, 0, "there"))
        np.testing.assert_allclose(moved, reference, atol=1e-8)


def save_text(separator: str, header: str = "") -> Callable[[Path, np.ndarray], None]:
    def save(path: Path, points: np.ndarray) -> None:
        rows = "\n".join(separator.join(f"{x:.17g}" for x in row) for row in points)
        path.write_text(f"{header}{rows}\n")

    return save


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("a.npy", np.save),
        ("a.npz", lambda path, points: np.savez(path, points=points, normals=points)),
        ("one.npz", lambda path, points: np.savez(path, anything=points)),
        ("a.xyz", save_text(" ")),
        ("a.txt", save_text(",")),
        ("a.pts", save_text(" ", "50\n")),
        ("comments.txt", save_text("\t", "# x y z\n")),
    ],
)
def test_clouds_are_read(
    name: str, save: Callable[[Path, np.ndarray], None], tmp_path: Path
) -> None:
    points = np.random.default_rng(0).normal(size=(50, 3))
    path = tmp_path / name
    save(path, points)
    np.testing.assert_allclose(read_shape(path), points)
    assert load_shape(path, points=50).numpy() == pytest.approx(center_and_scale(points), abs=1e-6)
    # More points than asked for: a part of them, the same for the same seed.
    few = load_shape(path, points=20, seed=1)
    assert torch.equal(few, load_shape(path, points=20, seed=1))
    assert not torch.equal(few, load_shape(path, points=20, seed=2))


def test_further_columns_are_left_out(tmp_path: Path) -> None:
    table = np.random.default_rng(0).normal(size=(30, 6))
    np.savetxt(tmp_path / "normals.txt", table, delimiter=",")
    np.testing.assert_allclose(read_shape(tmp_path / "normals.txt"), table[:, :3])


@pytest.mark.usefixtures("open3d")
def test_a_ply_without_faces_is_a_cloud(tmp_path: Path) -> None:
    path = tmp_path / "cloud.ply"
    head, body = PLY.split("element face 4\nproperty list uchar int vertex_indices\n")
    path.write_text(head + body.removesuffix(FACES))
    shape = read_shape(path)
    assert isinstance(shape, np.ndarray)
    assert shape.shape == (4, 3)


NAN_CLOUD = "0 0 0\n1 nan 0\n0 1 0\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.off", "", "is empty"),
        ("not.off", "hello\n", "does not begin with 'OFF'"),
        ("counts.off", "OFF\nmany few 0\n", "no counts of vertices and faces follow"),
        ("only-header.off", "OFF\n", "no counts of vertices and faces follow"),
        ("negative.off", "OFF\n-3 1 0\n", "truncated"),
        ("cut.off", off(faces="3 0 2 1\n"), "truncated"),
        ("short-face.off", off(faces="3 0 2 1\n3 0 1\n3 0 3 2\n3 1 2 3\n"), "cannot be read"),
        ("word.off", off(vertices="0 0 zero\n1 0 0\n0 1 0\n0 0 1\n"), "cannot be read"),
        ("past.off", off(faces=FACES.replace("3 1 2 3", "3 1 2 4")), "refers to vertex 4"),
        ("below.off", off(faces=FACES.replace("3 1 2 3", "3 1 2 -1")), "refers to vertex -1"),
        ("no-faces.off", off("OFF\n4 0 0\n", faces=""), "no faces, so it has no surface"),
        ("no-vertices.off", "OFF\n0 0 0\n", "no vertices"),
        ("flat.off", off(vertices="0 0 0\n1 0 0\n2 0 0\n3 0 0\n"), "has no area"),
        ("point.off", off(vertices="1 1 1\n" * 4), "vertices are equal"),
        ("nan.off", off(vertices="0 0 0\n1 0 nan\n0 1 0\n0 0 1\n"), "NaN or infinite"),
        ("inf.off", off(vertices="0 0 0\n1 0 inf\n0 1 0\n0 0 1\n"), "NaN or infinite"),
        ("binary.off", b"OFF\n\xff\xfe\x00", "is not text in UTF-8"),
        ("past.obj", OBJ.replace("f 2 3 4", "f 2 3 9"), "past.obj"),
        ("cut.ply", PLY[:-12], "announces 4 rows of 'face', but 3 can be read"),
        ("cut-in-vertices.ply", PLY[: PLY.index("0 1 0")], "announces 4 rows of 'vertex'"),
        ("no-header.ply", "ply\nformat ascii 1.0\n", "no end_header"),
        ("cut.stl", bytes(80) + (12).to_bytes(4, "little") + bytes(100), "truncated"),
        ("words.obj", "these are words\n", "'these are words' begins with a word"),
        ("words.stl", "these are words\n", "words.stl"),
        ("empty.npy", b"", "is empty"),
        ("broken.npy", b"\x93NUMPY", "cannot be read: EOF"),
        ("broken.npz", b"PK\x03\x04", "is no zip archive"),
        ("words.txt", "these are words\n", "not a table of numbers"),
        ("ragged.xyz", "1 2 3\n4 5\n", "not a table of numbers"),
        ("narrow.xyz", "1 2\n3 4\n", "numbers of shape (N, 3) are needed"),
        ("blank.xyz", "\n\n", "holds no points"),
        ("short.pts", "9\n1 2 3\n4 5 6\n", "announces 9 points and holds 2"),
        ("nan.xyz", NAN_CLOUD, "NaN or infinite"),
        ("inf.xyz", NAN_CLOUD.replace("nan", "inf"), "NaN or infinite"),
        ("equal.xyz", "1 2 3\n" * 5, "points are equal"),
        ("few.xyz", "1 2 3\n4 5 6\n", "has 2 points, but 3 are asked for"),
        ("a.docx", "x", "not a mesh or cloud file"),
        ("utf.txt", b"\xff\xfe\x31", "not text"),
    ],
)
@pytest.mark.usefixtures("open3d")
def test_unusable_files_are_named(
    name: str, content: str | bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=name) as caught:
        load_shape(path, points=3)
    assert message in str(caught.value)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load_shape(tmp_path / "gone.off", points=3)
    with pytest.raises(DataError, match="is a folder"):
        load_shape(tmp_path, points=3)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.off")
    (tmp_path / "zero.npy").symlink_to("/dev/zero")
    for name in ("pipe.off", "zero.npy"):
        with pytest.raises(DataError, match=f"{name} is a device, a pipe or a socket"):
            load_shape(tmp_path / name, points=3)
    with pytest.raises(DataError, match="cannot be read: File name too long") as caught:
        load_shape(tmp_path / f"{'a' * 5000}.off", points=3)
    assert len(str(caught.value)) < 300
    with pytest.raises(DataError, match="cannot be read: embedded null"):
        load_shape(tmp_path / "a\0.off", points=3)


def test_memory_that_runs_out_belongs_to_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.off").write_text(off())
    load_shape(tmp_path / "a.off", points=3)

    def fail(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(DataError, match=r"a\.off cannot be read: it needs more memory than there"):
        load_shape(tmp_path / "a.off", points=3)


@pytest.mark.usefixtures("open3d")
@pytest.mark.parametrize("exponent", [-1060, -300, 300, 1020])
def test_meshes_of_any_size_give_the_same_points(exponent: int) -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=float)
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    reference = center_and_scale(sample_surface(Mesh(vertices, faces), 100, 0, "here"))
    scaled = sample_surface(Mesh(np.ldexp(vertices, exponent), faces), 100, 0, "there")
    # Below 1e-308, sampled points have few digits.
    tolerance = 1e-12 if exponent > -1000 else 1e-3
    np.testing.assert_allclose(center_and_scale(scaled), reference, atol=tolerance)


@pytest.mark.parametrize("far", ["1e30", "1e155", "1e200", "1e308"])
def test_a_vertex_that_is_absurdly_far_is_named(far: str, tmp_path: Path) -> None:
    path = tmp_path / "a.off"
    path.write_text(f"OFF\n5 3 0\n{TETRAHEDRON}{far} 0 0\n3 0 1 2\n3 0 1 3\n3 1 2 4\n")
    with pytest.raises(DataError, match="1 of 5 vertices lie more than 10000 times as far"):
        load_shape(path, points=3)


def test_an_outlier_is_a_warning(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(100, 3))
    np.save(tmp_path / "a.npy", points)
    load_shape(tmp_path / "a.npy", points=100)
    points[0] = 60
    np.save(tmp_path / "a.npy", points)
    with pytest.warns(DataWarning, match=r"a\.npy: 1 of 100 points lie more than 10 times"):
        load_shape(tmp_path / "a.npy", points=100)


@pytest.mark.parametrize(("dtype", "shape"), [("U3", (5, 3)), ("f8", (5,)), ("f8", (5, 2))])
def test_arrays_of_other_kinds_are_named(
    dtype: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", np.ones(shape).astype(dtype))
    with pytest.raises(DataError, match=r"numbers of shape \(N, 3\) are needed"):
        load_shape(tmp_path / "a.npy", points=3)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="holds object of shape"):
        load_shape(tmp_path / "a.npy", points=3)


def test_ambiguous_archives_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", one=np.ones((3, 3)), two=np.ones((3, 3)))
    with pytest.raises(DataError, match="name one of them 'points'"):
        load_shape(tmp_path / "a.npz", points=3)


def test_only_sampling_needs_open3d(tmp_path: Path) -> None:
    (tmp_path / "a.off").write_text(off())
    (tmp_path / "a.obj").write_text(OBJ)
    (tmp_path / "cloud.ply").write_text(PLY.replace("face 4", "face 0").removesuffix(FACES))
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(9, 3)))
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from csgnn_dgl.datasets.shapes.shape_files import load_shape, read_shape\n"
        "read_shape(Path('a.off')), read_shape(Path('a.obj'))\n"
        "load_shape(Path('cloud.ply'), points=4), load_shape(Path('a.npy'), points=9)\n"
        "assert 'open3d' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


@pytest.mark.usefixtures("open3d")
def test_original_modelnet_meshes(shared_data: Path) -> None:
    files = sorted((shared_data / "modelnet_off").rglob("*.off"))
    assert files
    for file in files:
        assert load_shape(file, points=64).shape == (64, 3)
