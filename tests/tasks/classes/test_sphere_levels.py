"""A classifier on spheres of different levels, from training to an exported program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.export import export_model
from csgnn_dgl.mapping import normalize_clouds
from csgnn_dgl.shapes import ShapeClassifier
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.train import train
from csgnn_dgl.tasks.classes.trained import load_classifier
from csgnn_dgl.tasks.weights import load_weights
from csgnn_dgl.testing import run_alone


@pytest.mark.parametrize(
    "richer",
    [
        {},
        {
            "filter_order": 2,
            "gradients": True,
            "readout": ["pool", "power"],
            "point_features": ["cosine", "planarity"],
        },
    ],
    ids=["paper", "richer"],
)
def test_train_load_predict_export(
    small: dict[str, Any], tmp_path: Path, richer: dict[str, Any]
) -> None:
    own = {"sphere_levels": [0, 1], "sphere_coarsening": "in_turn", "epochs": 1, **richer}
    run = train(TrainModelNetConfig.resolve(flags={**small, **own, "output": tmp_path / "run"}))
    header, _ = load_weights(run.model, "classifier")
    hypers = header.model["hypers"]
    assert (hypers["sphere_levels"], hypers["sphere_coarsening"]) == ([0, 1], "in_turn")
    classifier = ShapeClassifier(run.path)
    clouds = torch.randn(2, 64, 3).numpy()
    found = classifier.probabilities(clouds)
    assert found.shape == (2, len(classifier.class_names))
    export_model(run.model, tmp_path / "model.pt2")
    trained, points = load_classifier(run.path), torch.from_numpy(clouds)
    (scores,), _ = run_alone(tmp_path / "model.pt2", (points,))
    with torch.no_grad():
        expected = trained.model(normalize_clouds(points))
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=1e-4)


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
