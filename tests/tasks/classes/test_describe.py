"""Embeddings of shapes, from files and arrays, and what is most similar."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import csgnn_dgl
from csgnn_dgl.errors import CheckpointError, ConfigError, DataError, DataWarning
from csgnn_dgl.shape_descriptor import ShapeDescriptor
from csgnn_dgl.shapes import ShapeClassifier
from csgnn_dgl.tasks.classes import describe
from csgnn_dgl.tasks.classes.describe import describe_each, describe_shapes, load_describer
from csgnn_dgl.tasks.classes.predict import predict_points
from csgnn_dgl.tasks.classes.trained import load_classifier
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.use_config import DescribeShapesConfig

FEATURES = 24


@pytest.fixture(scope="module")
def descriptor(small_run: RunDirectory) -> ShapeDescriptor:
    return ShapeDescriptor(small_run.path, votes=2)


@pytest.fixture(scope="module")
def files(clouds: Path) -> list[Path]:
    return sorted(clouds.glob("*/test/*.npy"))


def config(run: RunDirectory, **options: Any) -> DescribeShapesConfig:
    return DescribeShapesConfig(weights=str(run.path), progress=False, **options)


def test_files_paths_and_arrays_have_the_same_embedding(
    descriptor: ShapeDescriptor, files: list[Path]
) -> None:
    assert csgnn_dgl.ShapeDescriptor is ShapeDescriptor
    clouds = np.stack([np.load(file) for file in files])
    found = descriptor.create(clouds)
    assert found.shape == (len(files), FEATURES)
    assert descriptor.get_number_of_features() == FEATURES
    assert found.dtype == np.float32
    for others in (descriptor.create(files), descriptor.create([str(file) for file in files])):
        np.testing.assert_allclose(others, found, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(descriptor.create(files[0]), found[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(descriptor.create(clouds[0]), found[0], rtol=1e-5, atol=1e-6)
    assert descriptor.create(np.zeros((0, 96, 3))).shape == (0, FEATURES)
    # Clouds of different sizes come as a list.
    uneven = descriptor.create([clouds[0], clouds[1][:80]])
    np.testing.assert_allclose(uneven[0], found[0], rtol=1e-5, atol=1e-6)
    assert np.isfinite(descriptor.scores(clouds)).all() or np.isnan(descriptor.scores(clouds)).all()


def test_tables_and_tensors(
    descriptor: ShapeDescriptor, small_run: RunDirectory, files: list[Path]
) -> None:
    pandas = pytest.importorskip("pandas")
    clouds = [np.load(file) for file in files[:2]]
    tables = [pandas.DataFrame(cloud, columns=["x", "y", "z"]) for cloud in clouds]
    found = descriptor.create(clouds)
    same: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(descriptor.create(tables), found, **same)
    for single in (tables[0], pandas.DataFrame(clouds[0]), torch.from_numpy(clouds[0])):
        assert descriptor.create(single).shape == (FEATURES,)
        np.testing.assert_allclose(descriptor.create(single), found[0], **same)
    np.testing.assert_array_equal(descriptor.scores(tables[0]), descriptor.scores(clouds[0]))
    classifier = ShapeClassifier(small_run.path)
    np.testing.assert_array_equal(
        classifier.probabilities(tables[0]), classifier.probabilities(clouds[0])
    )
    # A column of paths is a list of files.
    column = pandas.Series([str(file) for file in files[:2]])
    np.testing.assert_allclose(descriptor.create(column), found, **same)
    stacked = torch.from_numpy(np.stack(clouds))
    np.testing.assert_allclose(descriptor.create(stacked), found, **same)


def test_the_embedding_is_the_input_of_the_head_averaged_over_votes(
    small_run: RunDirectory, clouds: Path
) -> None:
    trained = load_classifier(small_run.path)
    cloud = torch.from_numpy(np.load(clouds / "rod" / "test" / "rod0.npy")[:64]).float()
    placed = cloud - cloud.mean(dim=0)
    placed = placed / placed.norm(dim=1).max()
    given: list[torch.Tensor] = []
    trained.model.head.register_forward_hook(lambda m, args, out: given.append(args[0]))
    predict_points(trained, placed[None], votes=3)
    expected = torch.stack(given).double().mean(dim=0)
    found = ShapeDescriptor(small_run.path, votes=3).create(cloud.numpy())
    np.testing.assert_allclose(found, expected[0].numpy(), rtol=1e-4, atol=1e-5)
    # Control: another number of votes gives another mean.
    other = ShapeDescriptor(small_run.path, votes=1).create(cloud.numpy())
    assert np.abs(other - expected[0].numpy()).max() > 1e-4


def test_a_file_does_not_depend_on_the_others(small_run: RunDirectory, files: list[Path]) -> None:
    trained = load_describer(small_run.path)
    together = list(describe_each(trained, files, config(small_run, votes=2, batch_size=5)))
    alone = list(describe_each(trained, files[3:4], config(small_run, votes=2)))
    assert together[3].features is not None
    assert alone[0].features is not None
    np.testing.assert_allclose(together[3].features, alone[0].features, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ending", [".npz", ".csv", ".parquet"])
def test_written_files(
    ending: str, small_run: RunDirectory, files: list[Path], tmp_path: Path
) -> None:
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    output = tmp_path / f"shapes{ending}"
    bad = tmp_path / "bad.npy"
    np.save(bad, np.full((64, 3), np.nan))
    paths = [*files[:4], bad, *files[4:]]
    found = describe_shapes(paths, config(small_run, output=output, nearest=2, votes=2))
    good = [result for result in found if result.features is not None]
    expected = np.stack([r.features for r in good])
    assert [result.file for result in found] == paths
    if ending == ".npz":
        with np.load(output) as written:
            np.testing.assert_array_equal(written["features"], expected)
            assert written["source_file"].tolist() == [str(file) for file in files]
            assert written["nearest"].shape == written["similarity"].shape == (len(files), 2)
            names = [str(files[i]) for i in written["nearest"][0]]
            metadata = json.loads(str(written["metadata"]))
        assert names == [str(file) for file, _ in good[0].nearest]
        assert metadata["weights"] == str(small_run.path)
        assert (metadata["votes"], metadata["features"]) == (2, FEATURES)
        return
    table = pd.read_csv(output) if ending == ".csv" else pd.read_parquet(output)
    columns = [name for name in table if name[0] == "f" and name[1:].isdigit()]
    np.testing.assert_allclose(table[columns].to_numpy(np.float32), expected, rtol=1e-6)
    assert table["file"].tolist() == [str(file) for file in files]
    assert table["nearest_1"][0] == str(good[0].nearest[0][0])
    assert table["similarity_2"][3] == pytest.approx(good[3].nearest[1][1])
    if ending == ".parquet":
        assert table.attrs["csgnn_dgl"]["votes"] == 2


def test_a_copy_in_another_place_is_the_nearest(
    small_run: RunDirectory, files: list[Path], tmp_path: Path
) -> None:
    copy = tmp_path / "copy.npy"
    np.save(copy, 7 * np.load(files[0]) + [5, 0, 0])
    found = describe_shapes([*files, copy], config(small_run, nearest=1))
    assert found[-1].nearest[0] == (files[0], pytest.approx(1, abs=1e-5))
    assert found[0].nearest[0][0] == copy


@pytest.mark.parametrize("twice", ["a file", "a folder and a file in it"])
def test_a_file_that_is_given_twice(
    twice: str, small_run: RunDirectory, files: list[Path], tmp_path: Path
) -> None:
    output, bad = tmp_path / "shapes.npz", tmp_path / "bad.npy"
    np.save(bad, np.full((64, 3), np.nan))
    again = files[1]
    folder = [again.parent] if twice != "a file" else sorted(again.parent.glob("*.npy"))
    found = describe_shapes([bad, *folder, again], config(small_run, output=output, nearest=2))
    with np.load(output) as written:
        names, nearest = written["source_file"].tolist(), written["nearest"]
    one, other = (row for row, name in enumerate(names) if name == str(again))
    assert (nearest[one, 0], nearest[other, 0]) == (other, one)
    assert not (nearest == np.arange(len(names))[:, None]).any()
    for result, rows in zip(found[1:], nearest.tolist(), strict=True):
        assert [str(file) for file, _ in result.nearest] == [names[row] for row in rows]
    assert [result.nearest_rows for result in found] == [(), *map(tuple, nearest.tolist())]


def test_folders(small_run: RunDirectory, clouds: Path, tmp_path: Path) -> None:
    found = describe_shapes([clouds], config(small_run))
    assert [result.file for result in found] == sorted(clouds.rglob("*.npy"))
    (tmp_path / ".hidden").mkdir()
    np.save(tmp_path / ".hidden" / "a.npy", np.eye(3))
    (tmp_path / "notes.md").write_text("no shape")
    with pytest.raises(DataError, match=r"holds no file that can be read; suffixes: \.off"):
        describe_shapes([tmp_path], config(small_run))


def test_mistakes(
    small_run: RunDirectory, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for weights in ("carbon-tb", "phonon-dos"):
        with pytest.raises(CheckpointError, match=f"{weights} predicts densities of states, but"):
            ShapeDescriptor(weights)
    with pytest.raises(ConfigError, match="nearest is 3, but 3 files are given, so each has 2"):
        describe_shapes(files[:3], config(small_run, nearest=3))
    with pytest.raises(ConfigError, match="nearest = 0"):
        config(small_run, nearest=0)
    with pytest.raises(ConfigError, match=r"cannot write .*a\.png as \.png"):
        describe_shapes(files, config(small_run, output=tmp_path / "a.png"))
    given = config(small_run, output=tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", np.eye(3))
    with pytest.raises(ConfigError, match="is also an input"):
        describe_shapes([*files, tmp_path / "a.npz"], given)
    with pytest.raises(ConfigError, match="vote_set"):
        describe_shapes(files, config(small_run, vote_set="random"))
    monkeypatch.setattr(describe, "write_rows", None)
    # Without a usable file nothing is written.
    np.save(tmp_path / "bad.npy", np.full((64, 3), np.nan))
    given = config(small_run, output=tmp_path / "b.npz")
    (only,) = describe_shapes([tmp_path / "bad.npy"], given)
    assert only.error is not None
    assert "NaN" in only.error
    with pytest.raises(DataError, match="NaN"):
        describe_shapes([tmp_path / "bad.npy"], config(small_run, strict=True))


def test_mistakes_in_python(descriptor: ShapeDescriptor, files: list[Path]) -> None:
    for shapes, message in (
        (np.full((64, 3), np.nan), "NaN"),
        (np.ones((64, 2)), r"shape \(64, 2\)"),
        ([files[0], np.ones((64, 3))], "shape 0 is a path and shape 1 is not"),
        (files[0].with_name("absent.off"), "absent.off"),
        (np.full((64, 3), "1"), "type <U1"),
        (np.zeros((0, 3)), "cloud 0 has 0 points"),
        ([np.zeros((0, 3))], "cloud 0 has 0 points"),
        (np.ma.masked_array(np.ones((64, 3)), mask=True), "a mask that hides 192 of its 192"),
        ([np.ma.masked_array(np.ones((64, 3)), mask=True)], "a mask that hides 192 of its 192"),
        (np.ma.masked_array(np.ones((1, 64, 3)), mask=True), "a mask that hides 192 of its 192"),
    ):
        with pytest.raises(DataError, match=message):
            descriptor.create(shapes)
    for name, value in (("votes", 3), ("weights", "shapes"), ("device", "cpu")):
        with pytest.raises(ConfigError, match=f"{name} is chosen when the descriptor is made"):
            descriptor.describe(files, **{name: value})
    with pytest.raises(ConfigError, match="nearst"):
        descriptor.describe(files, nearst=2)
    with pytest.raises(ConfigError, match="votes = 0"):
        ShapeDescriptor(descriptor.weights, votes=0)
    cloud = np.random.default_rng(0).normal(size=(64, 3))
    cloud[5, 1] = 90
    with pytest.warns(DataWarning, match="1 of 64 points lie more than 10 times"):
        descriptor.create(cloud)
