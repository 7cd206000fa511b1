"""Classifiers with features of points: training, evaluation, prediction, export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.mapping import normalize_clouds, random_rotations, rotate_clouds
from csgnn_dgl.models import ShapeCSGNN, ShapeCSGNNHypers
from csgnn_dgl.shapes import ShapeClassifier
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.export import export
from csgnn_dgl.tasks.classes.train import train
from csgnn_dgl.tasks.classes.trained import load_classifier
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.testing import run_alone

TINY: dict[str, Any] = {"level": 1, "n_spheres": 2, "channels": 2, "base_width": 4}
FEATURES = ["normal", "planarity", "column7"]


def table(seed: int, which: int) -> np.ndarray:
    """Points on a shell or in a disc, with normals and a number."""
    rng = np.random.default_rng((seed, which))
    points = rng.normal(size=(60, 3)) * ([1, 1, 1] if which else [1, 1, 0.05])
    normals = rng.normal(size=(60, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return np.column_stack([points, normals, rng.random(60)])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for which, name in enumerate(("disc", "shell")):
        (folder / name).mkdir()
        for seed in range(6):
            np.save(folder / name / f"{seed}.npy", table(seed, which))
    return folder


@pytest.fixture(scope="module")
def with_features(data: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    flags = {
        **TINY,
        "hidden": [8],
        "points": 40,
        "epochs": 1,
        "batch_size": 4,
        "accelerator": "cpu",
        "data": data,
        "output": tmp_path_factory.mktemp("run") / "a",
        "progress": False,
        "point_features": FEATURES,
        "feature_neighbors": 6,
        "validation_fraction": 0.34,
    }
    return train(TrainModelNetConfig.resolve(flags=flags))


def test_the_weights_say_what_they_need(with_features: RunDirectory) -> None:
    trained = load_classifier(with_features.path)
    assert trained.attributes == ("normals", "column7")
    assert trained.header.model["hypers"]["point_features"] == FEATURES
    # Three features and the density, in two channels each.
    assert trained.model.model.encoder.config.in_channels == 8


def test_evaluation_and_prediction(with_features: RunDirectory, data: Path, tmp_path: Path) -> None:
    classifier = ShapeClassifier(with_features.path)
    assert classifier.evaluate(votes=2).result.shapes == 2
    assert classifier.evaluate(votes=2, data=data).result.votes == 2
    (found,) = classifier.predict([data / "disc" / "0.npy"], votes=2)
    assert found.error is None
    # The same points from memory, all of them in training's order.
    shares = classifier.probabilities(table(0, 0), votes=2)
    assert shares[0].max() == pytest.approx(found.classes[0][1], abs=1e-6)
    for wrong in (table(0, 0)[:, :3], table(0, 0)[:, :6]):
        with pytest.raises(DataError, match="needed: coordinates and normals, column7"):
            classifier.probabilities(wrong)
    clouds = np.stack([table(0, 0), table(1, 0)])
    clouds[1, 4, 3:6] = 0
    with pytest.raises(DataError, match="cloud 1: 1 of 60 normals have the length 0, the first th"):
        classifier.probabilities(clouds)


def test_files_without_them_are_refused(
    with_features: RunDirectory, data: Path, tmp_path: Path
) -> None:
    from csgnn_dgl.cli.main import main

    plain = tmp_path / "plain.npy"
    np.save(plain, table(0, 0)[:, :3])
    classifier = ShapeClassifier(with_features.path)
    (found,) = classifier.predict([plain])
    assert found.error is not None
    assert "plain.npy has no attribute 'normals'" in found.error
    assert "point_features; it has: none" in found.error
    with pytest.raises(SystemExit) as stop:
        main(["predict", str(with_features.path), str(plain), "--no-progress"])
    assert stop.value.code == 2
    folder = tmp_path / "folder"
    for name in ("disc", "shell"):
        (folder / name).mkdir(parents=True)
        for seed in range(3):
            np.save(folder / name / f"{seed}.npy", table(seed, 0)[:, :6])
    with pytest.raises(DataError, match="'column7'"):
        classifier.evaluate(data=folder)


def test_normals_turn_with_their_points(with_features: RunDirectory) -> None:
    """Scores of all votes agree on features whose geometry rotations do not change."""
    model = load_classifier(with_features.path).model.model.double()
    assert isinstance(model, ShapeCSGNN)
    clouds = torch.from_numpy(np.stack([table(seed, 1) for seed in range(2)]))
    clouds = normalize_clouds(clouds)
    turns = random_rotations(2, "so3", "z", torch.Generator().manual_seed(0), torch.float64)
    plain = model.point_features(clouds)
    found = model.point_features(rotate_clouds(clouds, turns, normals=True))
    assert plain is not None
    assert found is not None
    assert (found - plain).abs().max() < 1e-10
    # Control
    wrong = model.point_features(rotate_clouds(clouds, turns))
    assert wrong is not None
    assert (wrong - plain)[..., 0].abs().max() > 0.1


def test_export(with_features: RunDirectory, tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    export(with_features.path, path)
    clouds = torch.from_numpy(np.stack([table(seed, 1) for seed in range(3)])).float()[:, :50]
    trained = load_classifier(with_features.path)
    (scores,), header = run_alone(path, (clouds,))
    assert header["model"]["hypers"]["point_features"] == FEATURES
    with torch.no_grad():
        expected = trained.model(normalize_clouds(clouds))
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=1e-4)


def test_built_in_solids_have_normals(tmp_path: Path) -> None:
    flags = {
        **TINY,
        "hidden": [8],
        "points": 16,
        "pool": 16,
        "epochs": 1,
        "batch_size": 256,
        "output": tmp_path / "run",
        "progress": False,
        "accelerator": "cpu",
        "point_features": ["normal"],
    }
    run = train(TrainModelNetConfig.resolve(flags=flags))
    assert load_classifier(run.path).attributes == ("normals",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"point_features": ["density", "density"]}, "names density twice"),
        ({"point_features": ["normals"]}, "called 'normal'"),
        ({"feature_mean": "sum"}, "no feature of points uses it"),
        ({"point_features": ["normal"], "feature_neighbors": 8}, "feature_neighbors is 8"),
    ],
)
def test_options_without_effect(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ShapeCSGNNHypers(**options)


def test_more_neighbours_than_points(tmp_path: Path) -> None:
    flags = {"points": 16, "point_features": ["density"], "output": tmp_path / "run"}
    with pytest.raises(ConfigError, match="density are computed from 16 neighbours"):
        train(TrainModelNetConfig.resolve(flags={**TINY, **flags}))
    assert not (tmp_path / "run").exists()


def test_a_model_of_earlier_versions_has_none() -> None:
    """Options that an old header does not have are those of the paper's model."""
    model = ShapeCSGNN(ShapeCSGNNHypers(**TINY))
    assert model.attributes == ()
    assert model.encoder.config.in_channels == 2
    with pytest.raises(DataError, match=r"\(B, N, 3\) is needed: coordinates"):
        model(torch.rand(1, 9, 6))
