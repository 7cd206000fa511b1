"""NumPy's files: what the header declares is compared with the file before memory is taken."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from csgnn_dgl.datasets.shapes.shape_files import load_shape, read_shape
from csgnn_dgl.errors import DataError

POINTS = np.random.default_rng(0).normal(size=(96, 3))


def npy(array: np.ndarray = POINTS) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def with_header(text: str, body: bytes = POINTS.tobytes()) -> bytes:
    header = text.encode("latin-1").ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


def header(shape: str, kind: str = "<f8") -> bytes:
    return with_header(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}")


def npz(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def with_flag(content: bytes, offset: int, local: int, value: int) -> bytes:
    """Change a field of the only entry, in the local header and in the directory."""
    changed = bytearray(content)
    changed[local : local + 2] = value.to_bytes(2, "little")
    place = content.index(b"PK\x01\x02") + offset
    changed[place : place + 2] = value.to_bytes(2, "little")
    return bytes(changed)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npy", npy()),
        ("a.npy", npy(np.asfortranarray(POINTS))),
        ("a.npy", npy(POINTS.astype(">f8"))),
        ("a.npy", npy(np.hstack([POINTS, POINTS]))),
        ("a.npz", npz({"points.npy": npy(), "normals.npy": npy(), "label.npy": npy(np.ones(1))})),
        ("a.npz", npz({"anything.npy": npy()})),
        ("a.npz", npz({"points.npy": npy()}, zipfile.ZIP_LZMA)),
    ],
)
def test_sound_files_are_read(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    np.testing.assert_array_equal(read_shape(tmp_path / name), POINTS)


def test_integers_and_small_types(tmp_path: Path) -> None:
    for kind in ("i1", "u2", "i8", "f2", "f4"):
        grid = np.random.default_rng(0).integers(0, 24, size=(96, 3)).astype(kind)
        (tmp_path / "a.npy").write_bytes(npy(grid))
        shape = read_shape(tmp_path / "a.npy")
        assert isinstance(shape, np.ndarray)
        assert shape.dtype == np.float64
        np.testing.assert_array_equal(shape, grid)
        assert load_shape(tmp_path / "a.npy", points=96).norm(dim=1).max() == pytest.approx(1)


SHORT = "it is truncated or damaged"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header("(1000000000, 3)", "<f4"), "and so 12000000128 bytes, but has 2432: " + SHORT),
        (header("(10000000000000, 3)"), SHORT),
        (header("(99999999999999999999999, 3)"), "its header declares the shape (9999"),
        (header("(95, 3)"), SHORT),
        (header("(-96, 3)"), "its header declares the shape (-96, 3)"),
        (header("(96, True)"), "its header declares the shape (96, True)"),
        (header("(96.0, 3)"), "cannot be read: shape is not valid"),
        (header("(288,)"), "holds float64 of shape (288,)"),
        (header("(96, 3)", "<c16"), "holds complex128"),
        (header("(96, 3)", "<m8[s]"), "holds timedelta64[s]"),
        (header("(96, 3)", "|b1"), "holds bool"),
        (header("(96, 3)", "|O"), "holds object"),
        (header("(3, 96)"), "transpose it to (N, 3)"),
        (with_header("{" * 100), "cannot be read"),
        (with_header("(" * 100 + ")" * 10), "cannot be read"),
        (with_header("{'descr': '<f8', 'shape': (96, 3)}"), "cannot be read"),
        (with_header("\xb2\x00\xff"), "cannot be read"),
        (npy()[:-1], SHORT),
        (npy() + b"x", SHORT),
        (b"\x93NUMPY\x09\x00" + npy()[8:], "its format has the version (9, 0)"),
        (npy(np.full((96, 3), np.inf, dtype="f2")), "96 points have NaN or infinite"),
    ],
)
def test_damaged_arrays_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npy") as caught:
        load_shape(tmp_path / "a.npy", points=96)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 500


GOOD = npz({"points.npy": npy()})


def damaged_middle(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[len(content) // 2] ^= 255
    return bytes(changed)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (with_flag(GOOD, 8, 6, 1), "is encrypted"),
        (with_flag(GOOD, 10, 8, 9), "compression method is not supported"),
        (damaged_middle(GOOD), "cannot be read"),
        (damaged_middle(npz({"points.npy": npy()}, zipfile.ZIP_LZMA)), "cannot be read"),
        (GOOD[:-30], "is no zip archive"),
        (npz({"a.npy": npy(), "b.npy": npy()}), "holds the arrays a, b; name one of them 'points'"),
        (npz({}), "holds the arrays (none)"),
        (npz({"points.npy": header("(1000000000, 3)")}), "a.npz: points declares float64"),
        (npz({"points.npy": b"words"}), "cannot be read"),
        (npz({f"{i}\n\x1b[31m.npy": b"" for i in range(999)}), "holds the arrays 0 \\x1b[31m, 1"),
    ],
)
def test_damaged_archives_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz") as caught:
        load_shape(tmp_path / "a.npz", points=96)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(npz({"points.npy": npy(np.zeros((3_000_000, 3)))}))
    assert (tmp_path / "a.npz").stat().st_size < 100_000
    with pytest.raises(DataError, match=r"declares 72000128 bytes but takes .* made to fill"):
        load_shape(tmp_path / "a.npz", points=96)
