"""A classifier on spheres of different levels, from training to an exported program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.export import export_model
from csgnn_dgl.shapes import ShapeClassifier
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.train import train
from csgnn_dgl.tasks.weights import load_weights


def test_train_load_predict_export(small: dict[str, Any], tmp_path: Path) -> None:
    own = {"sphere_levels": [0, 1], "sphere_coarsening": "in_turn", "epochs": 1}
    run = train(TrainModelNetConfig.resolve(flags={**small, **own, "output": tmp_path / "run"}))
    header, _ = load_weights(run.model, "classifier")
    hypers = header.model["hypers"]
    assert (hypers["sphere_levels"], hypers["sphere_coarsening"]) == ([0, 1], "in_turn")
    classifier = ShapeClassifier(run.path)
    clouds = torch.randn(2, 64, 3).numpy()
    found = classifier.probabilities(clouds)
    assert found.shape == (2, len(classifier.class_names))
    export_model(run.model, tmp_path / "model.pt2")
    assert (tmp_path / "model.pt2").exists()


def test_levels_set_the_sizes() -> None:
    config = TrainModelNetConfig.resolve(flags={"sphere_levels": [1, 2, 2]})
    assert (config.hypers.level, config.hypers.n_spheres) == (2, 3)
    again = TrainModelNetConfig.resolve(
        preset="compact", flags={"sphere_levels": [1] * 4 + [3] * 4}
    )
    assert (again.hypers.level, again.hypers.n_spheres) == (3, 8)


def test_levels_that_do_not_fit_the_preset() -> None:
    with pytest.raises(ConfigError, match=r"the levels of 2 spheres are given, .* n_spheres is 6"):
        TrainModelNetConfig.resolve(preset="quick", flags={"sphere_levels": [1, 2]})
