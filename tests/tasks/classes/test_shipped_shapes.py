"""The weights of shapes that come with the package, and how they get there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from csgnn_dgl.datasets.shapes.families import family_points
from csgnn_dgl.errors import CheckpointError
from csgnn_dgl.shape_descriptor import ShapeDescriptor
from csgnn_dgl.tasks.classes.evaluate import evaluate
from csgnn_dgl.tasks.classes.retrieval import evaluate as evaluate_retrieval
from csgnn_dgl.tasks.classes.similar import random_average_precision, rank
from csgnn_dgl.tasks.classes.trained import load_classifier
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.ship import ship
from csgnn_dgl.tasks.shipped import FOLDER, shipped_models
from csgnn_dgl.tasks.use_config import EvaluateConfig


def test_a_run_is_shipped_with_its_results(small_run: RunDirectory, tmp_path: Path) -> None:
    folder, copy = tmp_path / "weights", tmp_path / "run"
    folder.mkdir()
    shutil.copy(FOLDER / "models.json", folder)
    shutil.copytree(small_run.path, copy)
    with pytest.raises(CheckpointError, match="was not evaluated"):
        ship(copy, "shapes", folder)
    evaluate(copy, EvaluateConfig(progress=False))
    ranked = evaluate_retrieval(copy, EvaluateConfig(progress=False, retrieval=True))
    with pytest.raises(CheckpointError, match="kind 'classifier', but carbon-tb is one of"):
        ship(copy, "carbon-tb", folder)
    target = ship(copy, "shapes", folder)
    assert str(tmp_path).encode() not in target.read_bytes()
    cloud = np.random.default_rng(0).normal(size=(96, 3))
    np.testing.assert_array_equal(
        ShapeDescriptor(target).create(cloud), ShapeDescriptor(copy).create(cloud)
    )
    figures = json.loads((folder / "models.json").read_text())["shapes"]["figures"]
    assert (figures["split"], figures["rotation"], figures["shapes"]) == ("test", "so3", 18)
    expected = ranked.result.mean_average_precision
    assert figures["mean_average_precision"] == pytest.approx(expected, abs=1e-4)


def test_the_shipped_weights_are_small_and_of_made_shapes() -> None:
    model = shipped_models()["shapes"]
    assert model.path.stat().st_size <= 5_000_000
    trained = load_classifier(model.path)
    assert trained.header.data["name"] == "kinds"
    assert trained.embedding_scale is not None
    assert model.figures["accuracy"] > 0.3


def test_the_shipped_weights_find_other_members_of_a_kind_in_any_orientation() -> None:
    families = ("quadruped", "chair", "knot", "octopus", "cabinet", "vase", "bird", "scissors")
    clouds, labels = [], []
    rng = np.random.default_rng(0)
    for label, family in enumerate(families):
        for member in range(4):
            turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
            turn *= np.sign(np.linalg.det(turn))
            points = family_points(family, 1024, (77, member), kind=1)
            clouds.append((3 * points @ turn + 5).astype(np.float32))
            labels.append(label)
    found = torch.tensor(labels)
    features = torch.from_numpy(ShapeDescriptor(votes=2).create(np.stack(clouds)))
    precision = np.nanmean(rank(features, found).average_precision)
    assert precision > 0.8 > random_average_precision(found) + 0.5
