"""The HDF5 layout of ModelNet40."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from csgnn_dgl.datasets.shapes import load_dataset, load_modelnet_hdf5
from csgnn_dgl.datasets.shapes.shape_files import center_and_scale
from csgnn_dgl.errors import DataError


def clouds(n: int, seed: int) -> np.ndarray:
    """Points at distance 1, each followed by its opposite, so that an even number is centred."""
    points = np.random.default_rng(seed).normal(size=(n, 20, 1, 3))
    points /= np.linalg.norm(points, axis=3, keepdims=True)
    return np.concatenate([points, -points], axis=2).reshape(n, 40, 3).astype(np.float32)


def write(path: Path, n: int, seed: int, **replaced: np.ndarray | None) -> None:
    arrays: dict[str, np.ndarray | None] = {
        "data": clouds(n, seed),
        "label": np.arange(n).astype(np.uint8)[:, None] % 3,
        **replaced,
    }
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            if array is not None:
                file[name] = array


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for which, seed in (("train0", 0), ("train1", 1), ("test0", 2)):
        write(tmp_path / f"ply_data_{which}.h5", 6, seed)
    for which, files in (("train", ("train0", "train1")), ("test", ("test0",))):
        # As in the original: paths of the author's machine.
        lines = [f"data/modelnet40_ply_hdf5_2048/ply_data_{file}.h5\n" for file in files]
        (tmp_path / f"{which}_files.txt").write_text("".join(lines))
    (tmp_path / "shape_names.txt").write_text("bed\ndesk\nsofa\n")
    return tmp_path


def test_files_are_joined_in_order(folder: Path) -> None:
    data = load_dataset(folder, points=32)
    assert data.class_names == ("bed", "desk", "sofa")
    assert data.up_axis == "y"
    assert (len(data.train), len(data.test)) == (12, 6)
    with h5py.File(folder / "ply_data_train1.h5") as file:
        np.testing.assert_array_equal(data.train.points[6].numpy(), file["data"][0, :32])
    assert data.train.names[6] == "ply_data_train1.h5[0]"
    assert load_dataset(folder, points=32, up_axis="z").up_axis == "z"


def test_a_name_is_a_line(folder: Path) -> None:
    (folder / "shape_names.txt").write_text("night stand\n\n  bed \r\ntv\n")
    assert load_dataset(folder, points=32).class_names == ("night stand", "bed", "tv")


def test_flat_labels_and_absent_names(folder: Path) -> None:
    (folder / "shape_names.txt").unlink()
    write(folder / "ply_data_test0.h5", 6, 2, label=np.arange(6) % 3)
    data = load_dataset(folder, points=32)
    assert data.class_names == ("0", "1", "2")
    assert data.test.labels.tolist() == [0, 1, 2, 0, 1, 2]


def no_data(folder: Path) -> None:
    write(folder / "ply_data_train1.h5", 6, 1, data=None)


def no_labels(folder: Path) -> None:
    write(folder / "ply_data_train1.h5", 6, 1, label=None)


def other_shape(folder: Path) -> None:
    write(folder / "ply_data_train1.h5", 6, 1, data=np.zeros((6, 40)))


def label_outside(folder: Path) -> None:
    write(folder / "ply_data_test0.h5", 6, 1, label=np.array([0, 1, 2, 3, 0, 1]))


def label_count(folder: Path) -> None:
    write(folder / "ply_data_test0.h5", 6, 1, label=np.arange(5))


def label_type(folder: Path) -> None:
    write(folder / "ply_data_test0.h5", 6, 1, label=np.ones(6))


def not_a_number(folder: Path) -> None:
    points = np.random.default_rng(0).normal(size=(6, 40, 3))
    points[2, 3, 1] = np.nan
    write(folder / "ply_data_train0.h5", 6, 1, data=points)


def all_equal(folder: Path) -> None:
    points = np.random.default_rng(0).normal(size=(6, 40, 3))
    points[4] = 1
    write(folder / "ply_data_train0.h5", 6, 1, data=points)


def one_absurd_coordinate(folder: Path) -> None:
    points = np.random.default_rng(0).normal(size=(6, 40, 3))
    points[5, 3, 1] = 1e155
    write(folder / "ply_data_train0.h5", 6, 1, data=points)


def complex_points(folder: Path) -> None:
    write(folder / "ply_data_train0.h5", 6, 1, data=np.ones((6, 40, 3), dtype=complex))


def label_of_twenty_digits(folder: Path) -> None:
    labels = np.full(6, 2**64 - 1, dtype=np.uint64)
    write(folder / "ply_data_train0.h5", 6, 1, label=labels)


def label_of_two_billion(folder: Path) -> None:
    (folder / "shape_names.txt").unlink()
    write(folder / "ply_data_train0.h5", 6, 1, label=np.array([0, 1, 2, 0, 1, 2_000_000_000]))


def label_of_texts(folder: Path) -> None:
    with h5py.File(folder / "ply_data_train0.h5", "a") as file:
        del file["label"]
        file["label"] = ["bed"] * 6  # objects of any length


def group_instead(folder: Path) -> None:
    with h5py.File(folder / "ply_data_train0.h5", "a") as file:
        del file["data"]
        file.create_group("data")


def named_type_instead(folder: Path) -> None:
    with h5py.File(folder / "ply_data_train0.h5", "a") as file:
        del file["data"]
        file["data"] = np.dtype("f8")


def no_dataspace(folder: Path) -> None:
    with h5py.File(folder / "ply_data_train0.h5", "a") as file:
        del file["label"]
        file["label"] = h5py.Empty("i8")


def external_link(folder: Path) -> None:
    with h5py.File(folder / "ply_data_train0.h5", "a") as file:
        del file["data"]
        file["data"] = h5py.ExternalLink(str(folder / "ply_data_train1.h5"), "/data")


def dangling_link(folder: Path) -> None:
    with h5py.File(folder / "ply_data_train0.h5", "a") as file:
        del file["data"]
        file["data"] = h5py.SoftLink("/nowhere")


def external_storage(folder: Path) -> None:
    (folder / "secret").write_bytes(bytes(6 * 40 * 3 * 4))
    with h5py.File(folder / "ply_data_train0.h5", "a") as file:
        del file["data"]
        stored = [(str(folder / "secret"), 0, 6 * 40 * 3 * 4)]
        file.create_dataset("data", (6, 40, 3), "f4", external=stored)


def virtual(folder: Path) -> None:
    layout = h5py.VirtualLayout(shape=(6, 40, 3), dtype="f4")
    layout[:] = h5py.VirtualSource(str(folder / "ply_data_train1.h5"), "data", shape=(6, 40, 3))
    with h5py.File(folder / "ply_data_train0.h5", "a") as file:
        del file["data"]
        file.create_virtual_dataset("data", layout)


def never_written(folder: Path) -> None:
    with h5py.File(folder / "ply_data_train0.h5", "a") as file:
        del file["data"], file["label"]
        file.create_dataset("data", (100_000_000, 1024, 3), "f4", chunks=(1, 1024, 3))
        file.create_dataset("label", (100_000_000,), "u1", chunks=(1000,))


def hardly_written(folder: Path) -> None:
    with h5py.File(folder / "ply_data_train0.h5", "a") as file:
        del file["data"], file["label"]
        points = file.create_dataset("data", (10_000_000, 1024, 3), "f4", chunks=(1, 1024, 3))
        points[0] = 1
        file["label"] = np.zeros(10_000_000, dtype="u1")


def same_name_twice(folder: Path) -> None:
    (folder / "shape_names.txt").write_text("bed\ndesk\nbed\n")


def name_of_a_megabyte(folder: Path) -> None:
    (folder / "shape_names.txt").write_text(f"bed\ndesk\n{'x' * 1_000_000}\n")


def pipe(folder: Path) -> None:
    (folder / "ply_data_train0.h5").unlink()
    os.mkfifo(folder / "ply_data_train0.h5")


def long_name(folder: Path) -> None:
    (folder / "train_files.txt").write_text("a" * 5000 + ".h5\n")


def truncated(folder: Path) -> None:
    path = folder / "ply_data_train0.h5"
    path.write_bytes(path.read_bytes()[:1000])


def missing_file(folder: Path) -> None:
    (folder / "ply_data_train0.h5").unlink()


def missing_list(folder: Path) -> None:
    (folder / "test_files.txt").unlink()


def empty_list(folder: Path) -> None:
    (folder / "train_files.txt").write_text("\n")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (no_data, "ply_data_train1.h5 has no array 'data'; it holds: label"),
        (no_labels, "ply_data_train1.h5 has no array 'label'; it holds: data"),
        (other_shape, "'data' is float64 of shape (6, 40), but numbers"),
        (label_outside, "test shape ply_data_test0.h5[3] has label 3, but there are 3 class names"),
        (label_count, "6 integers are needed"),
        (label_type, "'label' is float64"),
        (not_a_number, "NaN or infinite"),
        (all_equal, "cloud 4: all 32 points are equal"),
        (one_absurd_coordinate, "cloud 5: 1 of 32 points lie more than 1000 times"),
        (complex_points, "'data' is complex128"),
        (label_of_twenty_digits, "has the label 18446744073709551615"),
        (label_of_two_billion, "has the label 2000000000, but there are only 18 shapes"),
        (label_of_texts, "'label' is object"),
        (group_instead, "has no array 'data'"),
        (named_type_instead, "has no array 'data'"),
        (no_dataspace, "has no array 'label'"),
        (external_link, "'data' is a link, which is not followed"),
        (dangling_link, "'data' is a link, which is not followed"),
        (external_storage, "'data' is stored in other files"),
        (virtual, "'data' is stored in other files"),
        (never_written, "declares (100000000, 1024, 3) but holds no values"),
        (hardly_written, "declares 122880000000 bytes but takes 12288 in the file"),
        (same_name_twice, "two classes are called 'bed'"),
        (name_of_a_megabyte, "names need at most 200 characters"),
        (pipe, "is a device, a pipe or a socket"),
        (long_name, "cannot be read: File name too long"),
        (truncated, "ply_data_train0.h5 cannot be read as HDF5"),
        (missing_file, "names ply_data_train0.h5, but"),
        (missing_list, "has no test_files.txt"),
        (empty_list, "lists no shapes"),
    ],
)
def test_unusable_files_are_named(
    damage: Callable[[Path], None], message: str, folder: Path
) -> None:
    damage(folder)
    with pytest.raises(DataError) as caught:
        load_modelnet_hdf5(folder, points=32)
    assert message in str(caught.value)


def test_damaged_anywhere_is_still_one_line(folder: Path) -> None:
    path = folder / "ply_data_train0.h5"
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    messages = []
    for place in rng.integers(0, 4096, size=150).tolist():
        changed = bytearray(content)
        changed[place] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        try:
            load_modelnet_hdf5(folder, points=32)
        except DataError as error:
            messages.append(str(error))
    assert messages
    assert max(map(len, messages)) < 600


@pytest.mark.parametrize(("scale", "shift"), [(1, 0.6), (1e-3, 0), (1e-60, 0), (1e40, 0)])
def test_other_places_and_units_make_no_difference(
    folder: Path, scale: float, shift: float
) -> None:
    given = load_dataset(folder, points=32)
    assert not given.warnings
    for name, seed in (("train0", 0), ("train1", 1), ("test0", 2)):
        odd = (clouds(6, seed).astype(np.float64) + shift) * scale
        write(folder / f"ply_data_{name}.h5", 6, seed, data=odd)
    found = load_dataset(folder, points=32)
    np.testing.assert_allclose(found.train.points, given.train.points, atol=1e-6)
    np.testing.assert_allclose(found.test.points, given.test.points, atol=1e-6)
    [warning] = found.warnings
    assert "18 clouds (ply_data_train0.h5[0], …) were not centred" in warning


def test_they_are_placed_like_clouds_of_other_formats(folder: Path) -> None:
    with h5py.File(folder / "ply_data_test0.h5", "r+") as file:
        file["data"][:] = 3 * file["data"][:] + [1, 2, 0.5]
        expected = [center_and_scale(cloud[:32].astype(np.float64)) for cloud in file["data"]]
    found = load_dataset(folder, points=32)
    np.testing.assert_allclose(found.test.points, np.array(expected), atol=1e-6)


def test_outliers_and_mixed_classes_are_said(folder: Path) -> None:
    points = np.random.default_rng(0).normal(size=(6, 40, 3))
    points[3, 2] = 90
    points[5] = points[4]
    write(folder / "ply_data_train0.h5", 6, 0, data=points)
    warnings = load_dataset(folder, points=32).warnings
    assert any("1 shapes have the points of a shape of another class" in w for w in warnings)
    assert any("train0.h5[4] (desk) and ply_data_train0.h5[5] (sofa)" in w for w in warnings)
    assert any(w.startswith("ply_data_train0.h5[3]: 1 of 32 points lie") for w in warnings)


def test_too_few_points_are_named(folder: Path) -> None:
    with pytest.raises(DataError, match="clouds have 40 points, but 41 are asked for"):
        load_dataset(folder, points=41)


def test_real_modelnet10(shared_data: Path) -> None:
    data = load_dataset(shared_data / "modelnet10_hdf5", up_axis="z")
    assert (len(data.train), len(data.test), len(data.class_names)) == (3886, 907, 10)
    assert not data.warnings
