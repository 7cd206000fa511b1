"""Meshes, clouds and data sets of shapes."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from random import Random

import h5py
import numpy as np

from csgnn_dgl.datasets import download as downloads
from csgnn_dgl.datasets.shapes import load_dataset
from csgnn_dgl.datasets.shapes.meshes import Mesh
from csgnn_dgl.datasets.shapes.shape_files import read_shape, shape_points
from tests.fuzz.format import Format, Seed
from tests.fuzz.mutations import damage, in_npy, in_zip

__all__ = ["SHAPE_FORMATS"]

_CORNERS = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
_SQUARES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
_TRIANGLES = [t for a, b, c, d in _SQUARES for t in ((a, b, c), (a, c, d))]
_POINTS = np.random.default_rng(0).normal(size=(24, 3)).round(4)
_WANTED = 16


def read_file(folder: Path, target: Path) -> None:
    """Read a mesh or a cloud, sample it as the commands do, and check both."""
    shape = read_shape(target)
    count = _WANTED if isinstance(shape, Mesh) else min(_WANTED, len(shape))
    _check_points(shape_points(target, shape, count, 0), count)
    if not isinstance(shape, Mesh):
        assert shape.shape == (len(shape), 3), "points are not (m, 3)"
        return
    vertices, faces = shape.vertices, shape.faces
    assert vertices.shape == (len(vertices), 3), "vertices are not (n, 3)"
    assert faces.shape == (len(faces), 3), "faces are not (m, 3)"
    assert len(faces) > 0, "a mesh without faces"
    assert faces.min() >= 0, "a face has a negative index"
    assert faces.max() < len(vertices), "a face refers to no vertex"
    # A vertex that no face uses may be anything.
    assert np.isfinite(vertices[np.unique(faces)]).all(), "vertices of faces are not finite"


def _check_points(points: np.ndarray, count: int) -> None:
    assert points.shape == (count, 3), "points of another shape"
    assert points.dtype == np.float32, "points are not float32"
    assert np.isfinite(points).all(), "sampled points are not finite"
    radius = float(np.linalg.norm(points.astype(float), axis=1).max())
    assert 0.999 < radius < 1.001, f"the radius is {radius:.4g}, not 1"
    middle = float(np.abs(points.astype(float).mean(axis=0)).max())
    assert middle < 1e-3, f"the centre is off by {middle:.3g}"


def _off() -> list[Seed]:
    vertices = "".join(f"{x} {y} {z}\n" for x, y, z in _CORNERS)
    squares = "".join(f"4 {' '.join(map(str, f))}\n" for f in _SQUARES)
    triangles = "".join(f"3 {' '.join(map(str, f))} 0.5 0.5 0.5\n" for f in _TRIANGLES)
    return [
        Seed.of("cube.off", f"OFF\n8 6 0\n{vertices}{squares}"),
        Seed.of("cube.off", f"OFF8 12 0\n{vertices}{triangles}"),
        Seed.of("cube.off", f"OFF # a cube\n\n8 12 18\n# corners\n{vertices}\n{triangles}"),
    ]


def _obj() -> list[Seed]:
    vertices = "".join(f"v {x} {y} {z}\n" for x, y, z in _CORNERS)
    squares = "".join(f"f {' '.join(str(i + 1) for i in f)}\n" for f in _SQUARES)
    slashed = "".join(f"f {' '.join(f'{i + 1}/1/1' for i in f)}\n" for f in _TRIANGLES)
    negative = "".join(f"f {' '.join(f'{i - 8}//1' for i in f)}\n" for f in _TRIANGLES)
    more = "vn 0 0 1\nvt 0 0\nusemtl m\ns off\n"
    return [
        Seed.of("cube.obj", f"# a cube\nmtllib a.mtl\no cube\n{vertices}{squares}"),
        Seed.of("cube.obj", f"{vertices}{more}g a\n{slashed}"),
        Seed.of("cube.obj", f"{vertices}{more}{negative}"),
    ]


def _ply_header(kind: str, vertex: str, n_faces: int, face: str) -> str:
    faces = f"element face {n_faces}\n{face}" if n_faces else ""
    count = 8 if n_faces else len(_POINTS)
    return f"ply\nformat {kind} 1.0\ncomment made by a test\nelement vertex {count}\n" + (
        f"{vertex}{faces}end_header\n"
    )


_XYZ = "property float x\nproperty float y\nproperty float z\n"
_LIST = "property list uchar int vertex_indices\n"


def _ply_text() -> list[Seed]:
    vertices = "".join(f"{x} {y} {z}\n" for x, y, z in _CORNERS)
    coloured = "".join(f"{x} {y} {z} 255 0 0\n" for x, y, z in _CORNERS)
    colours = "property uchar red\nproperty uchar green\nproperty uchar blue\n"
    squares = "".join(f"4 {' '.join(map(str, f))}\n" for f in _SQUARES)
    triangles = "".join(f"3 {' '.join(map(str, f))}\n" for f in _TRIANGLES)
    cloud = "".join(f"{x} {y} {z}\n" for x, y, z in _POINTS)
    return [
        Seed.of("cube.ply", _ply_header("ascii", _XYZ, 6, _LIST) + vertices + squares),
        Seed.of("cube.ply", _ply_header("ascii", _XYZ + colours, 12, _LIST) + coloured + triangles),
        Seed.of("cloud.ply", _ply_header("ascii", _XYZ, 0, "") + cloud),
    ]


def _ply_binary() -> list[Seed]:
    seeds = []
    for order, name in (("<", "little"), (">", "big")):
        data = b"".join(struct.pack(order + "3f", *c) for c in _CORNERS)
        faces = b"".join(struct.pack(order + "B3i", 3, *f) for f in _TRIANGLES)
        head = _ply_header(f"binary_{name}_endian", _XYZ, 12, _LIST).encode()
        seeds.append(Seed.of("cube.ply", head + data + faces))
    cloud = b"".join(struct.pack("<3dB", *p, 7) for p in _POINTS)
    columns = _XYZ.replace("float", "double") + "property uchar grey\n"
    head = _ply_header("binary_little_endian", columns, 0, "").encode()
    return [*seeds, Seed.of("cloud.ply", head + cloud)]


def _stl_text() -> list[Seed]:
    lines = ["solid cube"]
    for face in _TRIANGLES:
        lines += ["facet normal 0 0 0", "outer loop"]
        lines += [f"vertex {x} {y} {z}" for x, y, z in (_CORNERS[i] for i in face)]
        lines += ["endloop", "endfacet"]
    text = "\n".join([*lines, "endsolid cube\n"])
    return [Seed.of("cube.stl", text), Seed.of("cube.stl", text.replace("\n", "\r\n  "))]


def _stl_binary() -> list[Seed]:
    facets = b"".join(
        struct.pack("<12fH", 0, 0, 0, *(x for i in face for x in _CORNERS[i]), 0)
        for face in _TRIANGLES
    )
    return [
        Seed.of("cube.stl", head.ljust(80, b" ") + struct.pack("<I", len(_TRIANGLES)) + facets)
        for head in (b"made by a test", b"solid but binary")
    ]


def _saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _npy() -> list[Seed]:
    arrays = (_POINTS, _POINTS.astype("f4"), np.asfortranarray(_POINTS), np.hstack([_POINTS] * 2))
    arrays = (*arrays, (_POINTS * 100).astype("i4"), _POINTS.astype(">f8"))
    return [Seed.of("cloud.npy", _saved(array)) for array in arrays]


def _npz() -> list[Seed]:
    plain, packed = io.BytesIO(), io.BytesIO()
    np.savez(plain, points=_POINTS, other=np.arange(3))
    np.savez_compressed(packed, any=_POINTS)
    return [Seed.of("cloud.npz", buffer.getvalue()) for buffer in (plain, packed)]


def _npz_inside(rng: Random, content: bytes) -> bytes:
    return in_zip(in_npy if rng.random() < 0.7 else damage)(rng, content)


def _tables() -> list[Seed]:
    rows = "".join(f"{x} {y} {z}\n" for x, y, z in _POINTS)
    longer = "".join(f"{x:.6e}\t{y}\t{z}\t1\t0\t0\n" for x, y, z in _POINTS)
    return [
        Seed.of("cloud.xyz", rows),
        Seed.of("cloud.pts", f"{len(_POINTS)}\n{rows}"),
        Seed.of("cloud.txt", "# x, y, z\n" + rows.replace(" ", ", ")),
        Seed.of("cloud.txt", "// cloud\n" + longer),
    ]


def _hdf5(**replaced: object) -> bytes:
    rng = np.random.default_rng(1)
    arrays = {
        "data": rng.normal(size=(6, 20, 3)).clip(-0.5, 0.5).astype("f4"),
        "label": (np.arange(6) % 3).astype("u1")[:, None],
        **replaced,
    }
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, array in arrays.items():
            if isinstance(array, tuple):  # a declared size, and nothing stored
                file.create_dataset(name, array[0], array[1], chunks=True)
            elif isinstance(array, h5py.SoftLink | h5py.ExternalLink | np.dtype):
                file[name] = array
            elif isinstance(array, str):
                file.create_group(name).create_dataset("inner", data=[1])
            elif array is not None:
                file[name] = array
    return buffer.getvalue()


def _modelnet() -> list[Seed]:
    names = ("train0", "train1", "test0")
    files = {f"m/ply_data_{name}.h5": _hdf5() for name in names}
    files["m/train_files.txt"] = b"data/x/ply_data_train0.h5\ndata/x/ply_data_train1.h5\n"
    files["m/test_files.txt"] = b"ply_data_test0.h5\n"
    files["m/shape_names.txt"] = b"bed\ndesk\nnight stand\n"
    damaged = ("m/ply_data_train0.h5", "m/ply_data_test0.h5", *list(files)[3:])
    return [Seed("m", files, damaged)]


_ODD_HDF5 = (
    {"label": np.full((6, 1), 2_000_000_000)},
    {"label": np.full((6, 1), -1)},
    {"label": np.arange(6) / 2},
    {"label": np.array([[np.nan]] * 6)},
    {"label": np.full((6, 1), 2**63, "u8")},
    {"label": np.array([b"a"] * 6)},
    {"label": "group"},
    {"label": None},
    {"label": ((10**9, 1), "u1")},
    {"label": np.zeros((6, 2), "u1")},
    {"label": np.zeros(5, "u1")},
    {"label": np.float32(1)},
    {"label": h5py.SoftLink("/label")},
    {"label": h5py.ExternalLink("absent.h5", "/label")},
    {"data": "group"},
    {"data": None},
    {"data": ((10**9, 2048, 3), "f4")},
    {"data": ((6, 10**10, 3), "f4")},
    {"data": ((10**6, 1000, 3), "f4"), "label": ((10**6, 1), "u1")},
    {"data": np.zeros((6, 20, 3), "f4")},
    {"data": np.full((6, 20, 3), 1e155)},
    {"data": np.full((6, 20, 3), np.nan, "f4")},
    {"data": np.zeros((0, 20, 3), "f4"), "label": np.zeros((0, 1), "u1")},
    {"data": np.zeros((6, 0, 3), "f4")},
    {"data": np.zeros((6, 20), "f4")},
    {"data": np.zeros((6, 20, 2), "f4")},
    {"data": np.zeros((6, 20, 3), "c8")},
    {"data": np.zeros((6, 20, 3), "i4")},
    {"data": np.zeros((6, 20, 3), [("x", "f4")])},
    {"data": np.array([[["a"] * 3] * 20] * 6, "S4")},
    {"data": h5py.SoftLink("/data")},
    {"data": h5py.SoftLink("/nowhere")},
    {"data": h5py.ExternalLink("/dev/zero", "/data")},
    {"data": np.dtype("f4")},
    {"data": h5py.Empty("f4")},
)


def _in_hdf5(rng: Random, content: bytes) -> bytes:
    return _hdf5(**rng.choice(_ODD_HDF5))


def _read_modelnet(folder: Path, target: Path) -> None:
    data = load_dataset(target, points=16)
    assert data.class_names, "no classes"
    for split in (data.train, data.test):
        assert split.points.isfinite().all(), "points are not finite"
        assert len(split.points) == len(split.labels) == len(split.names), "counts differ"
        if len(split):
            assert split.points.shape[1:] == (16, 3), "points of another shape"
            assert int(split.labels.min()) >= 0, "a negative label"
            assert int(split.labels.max()) < len(data.class_names), "a label without a class"
    assert len(data.train) > 0, "nothing to train on"


_ARCHIVE = downloads.RemoteArchive("x", "x.zip", "x", (), None, "made by a test")


def _zips() -> list[Seed]:
    seeds = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, text in (("x/", ""), ("x/a.txt", "a" * 99), ("x/b/c.txt", "c"), ("y", "y")):
                archive.writestr(zipfile.ZipInfo(name), text)
        seeds.append(Seed.of("d/x.zip", buffer.getvalue()))
    return seeds


def _read_zip(folder: Path, target: Path) -> None:
    before = set(folder.iterdir())
    found = downloads.download(_ARCHIVE, target.parent, mirrors=(), progress=False)
    assert found.is_dir(), "no folder"
    assert set(folder.iterdir()) == before, "something was written outside its folder"
    inside = [p for p in found.rglob("*") if p.is_symlink()]
    assert not inside, "a link was unpacked"
    size = sum(p.stat().st_size for p in found.rglob("*") if p.is_file())
    assert size < 1 << 28, "a small archive filled the disk"


def _folders() -> list[Seed]:
    """Two classes of clouds and meshes, without a split."""
    off = _off()[0].files["cube.off"]
    files = {f"m/{kind}/{i}.npy": _saved(_POINTS * (i + 1)) for kind in "ab" for i in range(3)}
    return [Seed("m", {**files, "m/a/3.off": off, "m/a/4.xyz": b"0 0 0\n" * 3 + b"1 2 3\n" * 20})]


def _read_folder(folder: Path, target: Path) -> None:
    data = load_dataset(target, points=16, cache_dir=folder / "cache")
    assert data.class_names == ("a", "b"), "other classes"
    for split in (data.train, data.test):
        for points in split.points.numpy():
            assert np.isfinite(points).all(), "points are not finite"
            assert np.linalg.norm(points, axis=1).max() < 1.001, "the radius is not 1"


_PLY_WORDS = tuple(
    b"ply format ascii binary_little_endian binary_big_endian element vertex face edge property "
    b"list char uchar short int uint float double float64 int8 uint64 vertex_indices "
    b"vertex_index x y z nx end_header comment obj_info 1.0".split()
)
_STL_WORDS = tuple(b"solid facet normal outer loop vertex endloop endfacet endsolid".split())

#: Formats of shapes.
SHAPE_FORMATS = (
    Format("off", _off, read_file, (b"OFF", b"COFF", b"NOFF", b"STOFF", b"nOFF", b"4OFF", b"#")),
    Format("obj", _obj, read_file, tuple(b"v vn vt f l p g o s usemtl mtllib 1//1 -1 \\".split())),
    Format("ply", _ply_text, read_file, _PLY_WORDS),
    Format("ply-binary", _ply_binary, read_file, _PLY_WORDS, text=False, inside=damage),
    Format("stl", _stl_text, read_file, _STL_WORDS),
    Format("stl-binary", _stl_binary, read_file, _STL_WORDS, text=False),
    Format("npy", _npy, read_file, text=False, inside=in_npy),
    Format("npz", _npz, read_file, text=False, inside=_npz_inside),
    Format("table", _tables, read_file, (b"#", b"//", b",", b"24")),
    Format("modelnet-hdf5", _modelnet, _read_modelnet, text=False, inside=_in_hdf5, share=0.7),
    Format("shape-folder", _folders, _read_folder, text=False, share=0.2),
    Format("download", _zips, _read_zip, text=False, inside=in_zip(damage)),
)
