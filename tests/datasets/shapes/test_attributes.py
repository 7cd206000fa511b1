"""Normals, colours and other columns of points, from every kind of file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from csgnn_dgl.datasets.readers import Reader, register, unregister
from csgnn_dgl.datasets.shapes import (
    ShapeDataset,
    ShapeSplit,
    center_and_scale,
    load_dataset,
    load_shape,
)
from csgnn_dgl.datasets.shapes.loading import ShapeOptions
from csgnn_dgl.datasets.shapes.meshes import Mesh, sample_surface
from csgnn_dgl.datasets.shapes.shape_files import read_shape, shape_points
from csgnn_dgl.datasets.shapes.solids import load_solids
from csgnn_dgl.errors import DataError

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(40, 3))
NORMALS = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
SHADE = RNG.random(40)
BOX = """OFF
8 6 0
0 0 0
2 0 0
2 1 0
0 1 0
0 0 3
2 0 3
2 1 3
0 1 3
4 0 3 2 1
4 4 5 6 7
4 0 1 5 4
4 1 2 6 5
4 2 3 7 6
4 3 0 4 7
"""


def ply(path: Path, *, binary: bool = False) -> Path:
    names = ("x", "y", "z", "nx", "ny", "nz", "shade")
    kinds = "".join(f"property double {name}\n" for name in names) + "property uchar red\n"
    form = "binary_little_endian" if binary else "ascii"
    head = f"ply\nformat {form} 1.0\nelement vertex 40\n{kinds}end_header\n".encode()
    numbers = np.column_stack([POINTS, NORMALS, SHADE])
    if binary:
        table = np.zeros(40, [("numbers", "<f8", 7), ("red", "u1")])
        table["numbers"], table["red"] = numbers, 51
        path.write_bytes(head + table.tobytes())
    else:
        rows = [" ".join([*map(repr, map(float, row)), "51"]) for row in numbers]
        path.write_bytes(head + "\n".join(rows).encode())
    return path


@pytest.mark.parametrize("binary", [False, True])
def test_properties_of_ply(tmp_path: Path, binary: bool) -> None:
    path = ply(tmp_path / "a.ply", binary=binary)
    found = read_shape(path, ("normals", "shade", "red"))
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found[:, :3], POINTS, rtol=0, atol=0)
    np.testing.assert_allclose(found[:, 3:6], NORMALS, rtol=0, atol=0)
    np.testing.assert_allclose(found[:, 6], SHADE, rtol=0, atol=0)
    assert (found[:, 7] == 0.2).all(), "bytes become shares of 255"
    plain = read_shape(path)
    assert isinstance(plain, np.ndarray)
    assert plain.shape == (40, 3)


@pytest.mark.parametrize("binary", [False, True])
def test_normals_of_length_0(tmp_path: Path, binary: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    normals = NORMALS * 2
    monkeypatch.setitem(globals(), "NORMALS", normals)
    path = ply(tmp_path / "a.ply", binary=binary)
    found = read_shape(path, ("normals",))  # other lengths are allowed
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found[:, 3:], normals)
    normals[[6, 9]] = 0
    ply(path, binary=binary)
    message = r"a\.ply: 2 of 40 normals have the length 0, the first that of point 7; compute"
    with pytest.raises(DataError, match=message):
        read_shape(path, ("shade", "normals"))
    read_shape(path, ("shade", "nx"))  # where nobody asks for normals, they do not matter


@pytest.mark.parametrize("suffix", [".txt", ".npy"])
def test_columns_of_tables(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    table = np.column_stack([POINTS, NORMALS, SHADE])
    np.save(path, table) if suffix == ".npy" else np.savetxt(path, table)
    found = read_shape(path, ("normals", "column7", "column4"))
    np.testing.assert_allclose(found, np.column_stack([table, NORMALS[:, 0]]))
    # Columns of another length are no normals.
    table[3, 3:6] *= 1.1
    np.save(path, table) if suffix == ".npy" else np.savetxt(path, table)
    with pytest.raises(DataError, match=r"normals.*column4, column5, column6, column7"):
        read_shape(path, ("normals",))


def test_a_part_of_the_points_keeps_its_attributes(tmp_path: Path) -> None:
    path = ply(tmp_path / "a.ply")
    wide = load_shape(path, points=25, attributes=("shade", "red"))
    plain = load_shape(path, points=25)
    assert torch.equal(wide[:, :3], plain), "attributes do not change the choice"
    chosen = [int(np.abs(SHADE - shade).argmin()) for shade in wide[:, 3].tolist()]
    np.testing.assert_allclose(wide[:, 3], SHADE[chosen], atol=1e-6)
    np.testing.assert_allclose(wide[:, :3], center_and_scale(POINTS[chosen]), atol=1e-6)


@pytest.mark.usefixtures("open3d")
@pytest.mark.parametrize("suffix", [".off", ".obj", ".stl", ".ply"])
def test_normals_of_meshes_are_those_of_faces(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / "box.off"
    source.write_text(BOX)
    mesh = read_shape(source)
    assert isinstance(mesh, Mesh)
    path = tmp_path / f"box{suffix}"
    corners = [" ".join(map(str, row)) for row in mesh.vertices]
    if suffix == ".obj":
        faces = [f"f {' '.join(map(str, row + 1))}" for row in mesh.faces]
        path.write_text("\n".join([f"v {c}" for c in corners] + faces))
    elif suffix == ".stl":
        parts = [
            "facet normal 0 0 0\nouter loop\n"
            + "".join(f"vertex {corners[c]}\n" for c in row)
            + "endloop\nendfacet\n"
            for row in mesh.faces
        ]
        path.write_text("solid a\n" + "".join(parts) + "endsolid a\n")
    elif suffix == ".ply":
        head = (
            "ply\nformat ascii 1.0\nelement vertex 8\nproperty float x\nproperty float y\n"
            "property float z\nproperty float nx\nelement face 12\n"
            "property list uchar int vertex_indices\nend_header\n"
        )
        faces = [f"3 {' '.join(map(str, row))}" for row in mesh.faces]
        path.write_text(head + "\n".join([f"{c} 9" for c in corners] + faces))
    wide = load_shape(path, points=300, attributes=("normals",))
    assert torch.equal(wide[:, :3], load_shape(path, points=300)), "the points stay the same"
    # Each normal is that of a side, and points of a side lie in a plane.
    side = wide[:, 3:].abs().argmax(dim=1)
    torch.testing.assert_close(wide[:, 3:].abs().amax(dim=1), torch.ones(300))
    for axis in range(3):
        own = wide[side == axis]
        for sign in (-1, 1):
            place = own[own[:, 3 + axis] * sign > 0][:, axis]
            assert len(place) > 0
            assert float(place.max() - place.min()) < 1e-6
    with pytest.raises(DataError, match=r"box.*has no attribute 'red'.*it has: normals"):
        load_shape(path, points=5, attributes=("normals", "red"))


@pytest.mark.usefixtures("open3d")
def test_normals_of_a_distant_mesh() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]]) * 1e-3 + 1e5
    mesh = Mesh(vertices, np.array([[0, 1, 2]]))
    found = sample_surface(mesh, 5, 0, "here", normals=True)
    np.testing.assert_allclose(found[:, 3:], np.tile([0, 0, 1], (5, 1)), atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_attributes_that_are_no_numbers(tmp_path: Path, bad: float) -> None:
    table = np.column_stack([POINTS, SHADE])
    table[6, 3] = bad
    np.save(tmp_path / "a.npy", table)
    with pytest.raises(DataError, match="column4 of point 7 is"):
        load_shape(tmp_path / "a.npy", points=30, attributes=("column4",))
    load_shape(tmp_path / "a.npy", points=30)  # where nobody asks for them, they do not matter


def folder_of_clouds(path: Path) -> Path:
    for name in ("one", "two"):
        (path / name).mkdir(parents=True)
        for index in range(4):
            table = np.column_stack([RNG.normal(size=(30, 3)), NORMALS[:30], RNG.random(30)])
            np.save(path / name / f"{index}.npy", table)
    return path


def test_folders(tmp_path: Path) -> None:
    data = folder_of_clouds(tmp_path / "data")
    options = {"points": 20, "cache_dir": tmp_path / "cache"}
    plain = load_dataset(data, **options)
    for _ in range(2):  # from the files, and from the cache
        wide = load_dataset(data, **options, attributes=("normals", "column7"))
        assert wide.train.attributes is not None
        assert wide.train.attributes.shape == (len(wide.train), 20, 4)
        assert torch.equal(wide.train.points, plain.train.points)
    assert plain.train.attributes is None
    assert plain.fingerprint == load_dataset(data, **options).fingerprint
    assert plain.fingerprint != wide.fingerprint
    file = Path(wide.train.names[0])
    expected = shape_points(file, read_shape(file, ("column7",)), 20, 0, ("column7",))
    np.testing.assert_array_equal(wide.train.attributes[0, :, 3], expected[:, 3])
    uses = {column.name: column.meaning for column in wide.columns}
    assert uses["columns 4 to 7"] == "attributes"
    assert {c.name: c.meaning for c in plain.columns}["columns 4 to 7"] is None
    first, second = wide.split_validation(0.5, 0)
    assert first.clouds.shape[2] == second.clouds.shape[2] == 7
    with pytest.raises(DataError, match=r"files cannot be used(.|\n)*column9"):
        load_dataset(data, **options, attributes=("column9",))


def test_hdf5(tmp_path: Path) -> None:
    (tmp_path / "shape_names.txt").write_text("a\nb\n")
    for which in ("train", "test"):
        (tmp_path / f"{which}_files.txt").write_text(f"{which}.h5\n")
        with h5py.File(tmp_path / f"{which}.h5", "w") as file:
            file["data"] = RNG.normal(size=(4, 30, 3)).astype("f4")
            file["normal"] = np.tile(NORMALS[:30], (4, 1, 1))
            file["curve"] = np.tile(SHADE[:30], (4, 1))
            file["faceId"] = np.zeros((4, 1), dtype=int)
            file["label"] = np.array([0, 1, 0, 1])
    found = load_dataset(tmp_path, points=20, attributes=("normals", "curve"))
    assert found.train.attributes is not None
    np.testing.assert_allclose(found.train.attributes[2, :, :3], NORMALS[:20], atol=1e-6)
    np.testing.assert_allclose(found.train.attributes[2, :, 3], SHADE[:20], atol=1e-6)
    assert torch.equal(found.test.points, load_dataset(tmp_path, points=20).test.points)
    with pytest.raises(DataError, match=r"'red'.*curve, faceId, normals"):
        load_dataset(tmp_path, points=20, attributes=("red",))
    with pytest.raises(DataError, match=r"'faceId' is .* of shape"):
        load_dataset(tmp_path, points=20, attributes=("faceId",))


def test_solids() -> None:
    few: dict[str, Any] = {"points": 32, "train_per_class": 2, "test_per_class": 1}
    found = load_solids(**few, attributes=("normals",))
    assert torch.equal(found.train.points, load_solids(**few).train.points)
    assert found.train.attributes is not None
    lengths = found.train.attributes.norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    # Those of a ball, stretched a little, point away from its centre.
    ball = found.class_names.index("ball")
    own = found.train.labels == ball
    along = (found.train.points[own] * found.train.attributes[own]).sum(-1).abs()
    radius = found.train.points[own].norm(dim=-1)
    assert float((along / radius).mean()) > 0.8
    with pytest.raises(DataError, match="solid has no attribute 'red'"):
        load_dataset(None, points=32, attributes=("red",))


def test_a_users_reader_that_gives_none(tmp_path: Path) -> None:
    def load(path: Path, options: ShapeOptions) -> ShapeDataset:
        split = ShapeSplit(torch.rand(4, 9, 3), torch.tensor([0, 0, 1, 1]), tuple("abcd"))
        return ShapeDataset("x", str(path), ("a", "b"), "z", split, split)

    (tmp_path / "mine").mkdir()
    reader = Reader("shapes", "mine", "", lambda path: path.name == "mine", load)
    register(reader)
    try:
        assert load_dataset(tmp_path / "mine", points=5).train.attributes is None
        with pytest.raises(DataError, match=r"the reader 'mine' gave 0 columns.*normals"):
            load_dataset(tmp_path / "mine", points=5, attributes=("normals",))
    finally:
        unregister(reader)


def test_attributes_must_fit() -> None:
    points, labels, names = torch.rand(2, 5, 3), torch.tensor([0, 1]), ("a", "b")
    with pytest.raises(DataError, match=r"attributes of points have shape \(2, 4, 1\)"):
        ShapeSplit(points, labels, names, torch.rand(2, 4, 1))
