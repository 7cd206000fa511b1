"""Classification of shapes in a call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from csgnn_dgl.datasets.shapes import load_shape
from csgnn_dgl.errors import CheckpointError, ConfigError, DataError, DataWarning
from csgnn_dgl.models import Hypers, ShapeModel
from csgnn_dgl.shapes import ShapeClassifier, train_classifier
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.train import load_run_data

TINY: dict[str, Any] = {
    "points": 64,
    "hidden": [8],
    "epochs": 2,
    "batch_size": 4,
    "validation_fraction": 0.34,
    "accelerator": "cpu",
    "train_rotation": "none",
    "learning_rate": 0.02,
    "select": "last",
}


class Spread(ShapeModel):
    """The spread of a cloud along each axis, which tells rods from discs."""

    class Hypers(Hypers):
        """Options."""

        width: int = 6

    def __init__(self, hypers: Any) -> None:
        super().__init__(hypers)
        self.features = hypers.width
        self.linear = torch.nn.Linear(3, hypers.width)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.linear(points.std(dim=1))
        return out


def absurd(coordinate: float) -> np.ndarray:
    """A cloud with one coordinate of this value, if it is not zero."""
    cloud = np.random.default_rng(0).normal(size=(64, 3))
    if coordinate:
        cloud[5, 1] = coordinate
    return cloud


def masked() -> np.ma.MaskedArray:
    """A cloud with a masked point, whose masked numbers are sound."""
    cloud = np.ma.masked_array(absurd(0))
    cloud[3, :2] = np.ma.masked
    return cloud


@pytest.fixture(scope="module")
def classifier(clouds: Path, tmp_path_factory: pytest.TempPathFactory) -> ShapeClassifier:
    output = tmp_path_factory.mktemp("api") / "run"
    options = {**TINY, "level": 0, "n_spheres": 2, "channels": 2, "base_width": 2}
    return train_classifier(clouds, output=output, **options)


def test_train_load_evaluate_and_predict(classifier: ShapeClassifier, clouds: Path) -> None:
    again = ShapeClassifier(classifier.weights)
    assert again.class_names == ("ball", "disc", "rod")
    files = sorted(clouds.glob("*/test/*.npy"))
    found = again.predict(files, top=3)
    assert [prediction.file for prediction in found] == files
    points = np.stack([np.load(file) for file in files])
    shares = again.probabilities(points)
    assert shares.shape == (18, 3)
    for prediction, row in zip(found, shares, strict=True):
        known = {again.class_names[i]: row[i] for i in range(3)}
        assert dict(prediction.classes) == pytest.approx(known)
    np.testing.assert_allclose(again.probabilities(points[0])[0], shares[0])
    assert again.probabilities(np.zeros((0, 64, 3))).shape == (0, 3)


@pytest.mark.parametrize("pool", [None, 80])
def test_evaluation_is_what_predictions_add_up_to(
    pool: int | None, clouds: Path, tmp_path: Path
) -> None:
    options = {**TINY, "level": 0, "n_spheres": 2, "channels": 2, "base_width": 2, "pool": pool}
    classifier = train_classifier(clouds, output=tmp_path / "run", **options)
    files = sorted(clouds.glob("*/test/*.npy"))
    found = classifier.predict(files)
    right = [p.classes[0][0] == p.file.parts[-3] for p in found]
    evaluation = classifier.evaluate(rotation="none")
    assert evaluation.result.accuracy == pytest.approx(np.mean(right))
    assert evaluation.result.shapes == len(files)
    # Not only the classes: the very points are the same.
    split = load_run_data(TrainModelNetConfig.from_yaml(classifier.weights / "config.yaml")).test
    known = dict(zip(split.names, split.points[:, :64], strict=True))
    for file in files:
        (points,) = [p for name, p in known.items() if Path(name).name == file.name]
        assert torch.equal(load_shape(file, points=64, pool=pool), points)


def test_a_class_of_ones_own(clouds: Path, tmp_path: Path) -> None:
    trained = train_classifier(clouds, model=Spread, width=5, output=tmp_path / "run", **TINY)
    with pytest.raises(CheckpointError, match="imported only if you name it"):
        ShapeClassifier(tmp_path / "run")
    again = ShapeClassifier(tmp_path / "run", model=Spread)
    cloud = np.random.default_rng(0).normal(size=(64, 3))
    np.testing.assert_array_equal(again.probabilities(cloud), trained.probabilities(cloud))
    assert again.evaluate(rotation="none").result.shapes == 18


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((3, 2)), r"shape \(3, 2\)"),
        (np.ones((64, 3)), "all 64 points are equal"),
        (np.full((64, 3), np.nan), "NaN or infinite"),
        (np.eye(3), "cloud 0 has 3 points, but 64 are asked for"),
        (np.zeros((0, 3)), "cloud 0 has 0 points, but 64 are asked for"),
        (masked(), "a mask that hides 2 of its 192 numbers; leave these points out"),
        ([masked(), masked()], "a mask that hides 2 of its 192 numbers"),
        (absurd(1e155), "cloud 0: 1 of 64 points lie more than 1000 times as far"),
        (absurd(1e30), "cloud 0: 1 of 64 points lie more than 1000 times as far"),
        (absurd(0).astype(complex), "type complex128"),
        (np.full((64, 3), "1"), "type <U1"),
        ((absurd(0) + 2e7).astype(np.float32), "away from the origin"),
    ],
)
def test_unusable_clouds(points: np.ndarray, message: str, classifier: ShapeClassifier) -> None:
    with pytest.raises(DataError, match=message):
        classifier.probabilities(points)
    with pytest.raises(DataError, match=message):
        classifier.scores(points)


def test_a_mask_that_hides_nothing(classifier: ShapeClassifier) -> None:
    cloud = absurd(0)
    found = classifier.probabilities(np.ma.masked_array(cloud, mask=False))
    np.testing.assert_array_equal(found, classifier.probabilities(cloud))


def test_clouds_of_any_size(classifier: ShapeClassifier) -> None:
    expected = classifier.probabilities(absurd(0))
    for scale in (2.0**-900, 2.0**900):
        np.testing.assert_array_equal(classifier.probabilities(absurd(0) * scale), expected)


def test_an_outlier_is_a_warning(classifier: ShapeClassifier, tmp_path: Path) -> None:
    with pytest.warns(DataWarning, match="cloud 1: 1 of 64 points lie more than 10 times"):
        classifier.probabilities(np.stack([absurd(0), absurd(90)]))
    np.save(tmp_path / "sound.npy", absurd(0))
    np.save(tmp_path / "doubtful.npy", absurd(90))
    files = [tmp_path / "sound.npy", tmp_path / "doubtful.npy"]
    sound, doubtful = classifier.predict(files)
    assert sound.warnings == ()
    assert "doubtful.npy: 1 of 64 points lie more than 10 times" in doubtful.warnings[0]
    assert doubtful.classes


def test_unusable_options(classifier: ShapeClassifier, clouds: Path) -> None:
    with pytest.raises(ConfigError, match="unknown key 'epoch'"):
        train_classifier(clouds, epoch=3)
    with pytest.raises(ConfigError, match="votes = 0"):
        classifier.evaluate(votes=0)
    for name, value in (("device", "cpu"), ("model", "csgnn")):
        for call in (lambda **options: classifier.predict([], **options), classifier.evaluate):
            with pytest.raises(ConfigError, match=f"{name} is chosen when the classifier is"):
                call(**{name: value})
    with pytest.raises(CheckpointError, match="there is no run nowhere"):
        ShapeClassifier("nowhere")
