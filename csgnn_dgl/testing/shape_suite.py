"""The tests of a model of shapes, to be inherited. Needs pytest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from csgnn_dgl.mapping import normalize_clouds
from csgnn_dgl.models import Hypers, ShapeModel
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.evaluate import evaluate
from csgnn_dgl.tasks.classes.predict import predict, predict_points
from csgnn_dgl.tasks.classes.train import load_run_data
from csgnn_dgl.tasks.classes.trained import load_classifier
from csgnn_dgl.tasks.use_config import EvaluateConfig, PredictConfig
from csgnn_dgl.testing.alone import run_alone
from csgnn_dgl.testing.batches import assert_batch_independent
from csgnn_dgl.testing.compare import assert_close
from csgnn_dgl.testing.curve import equivariance_curve
from csgnn_dgl.testing.model_suite import Record
from csgnn_dgl.testing.permutation import assert_permutation_invariant
from csgnn_dgl.testing.rotation import assert_rotation_invariant
from csgnn_dgl.testing.run_suite import EPOCHS, RunSuite
from csgnn_dgl.testing.samples import random_clouds, write_shape_folder
from csgnn_dgl.testing.tolerances import TOLERANCES

__all__ = ["ShapeModelSuite"]


class ShapeModelSuite(RunSuite):
    """Everything that a :class:`~csgnn_dgl.models.ShapeModel` has to be, as tests to inherit.

    A test class of a few lines gets some thirty tests, which take seconds in all: the contract and
    the options; batches, order of points, rotations, gradients, types, a pretended GPU, hooks;
    training, resuming, two processes, saving, loading, evaluation, prediction and export. Two
    processes take longest; ``pytest -k "not two_processes"`` leaves them out. Measured errors are
    in the report that ``--junit-xml`` writes.

    Attributes
    ----------
    points
        Points of a cloud.
    least_points
        The smallest cloud that the model takes.
    order_matters
        Whether the order of the points matters to it, as to one that takes the first few.

    All others are those of :class:`~csgnn_dgl.testing.model_suite.ModelSuite`.

    Examples
    --------
    .. code-block:: python

        from csgnn_dgl.testing import ShapeModelSuite

        class TestHexNet(ShapeModelSuite):
            model = "my_models:HexNet"
            hypers = {"width": 8}
            symmetry = "icosahedral"
    """

    points: int = 64
    least_points: int = 1
    order_matters: bool = False

    domain = "shapes"
    kind = "classifier"
    config_class = TrainModelNetConfig
    not_random = {  # noqa: RUF012 (declared a class variable by the base)
        "train_rotation": "none",
        "scale": 0.0,
        "translation": 0.0,
        "jitter": 0.0,
        "resample": False,
        "dropout": 0.0,
    }

    @property
    def small(self) -> dict[str, Any]:  # type: ignore[override]
        """Options of the suite's trainings."""
        return {
            "points": self.points,
            "epochs": EPOCHS,
            "batch_size": 4,
            "hidden": [8],
            "dropout": 0.1,
            "learning_rate": 0.01,
            "validation_fraction": 0.34,
            "accelerator": "cpu",
            "progress": False,
        }

    def construct(self, hypers: Hypers) -> ShapeModel:
        """The model of these options."""
        model: ShapeModel = self.model_class(hypers)
        return model

    def inputs(self, *, seed: int = 0) -> Tensor:
        """Clouds, float64."""
        return random_clouds(3, self.points, seed=seed)

    def differentiable_part(self, inputs: Any) -> tuple[Tensor, Callable[[Tensor], Any]]:
        """The clouds themselves."""
        return inputs, lambda points: points

    def rows(self, inputs: Any) -> int:
        """How many clouds there are."""
        return len(inputs)

    def cast(self, inputs: Any, dtype: torch.dtype) -> Any:
        """Clouds in another type."""
        return inputs.to(dtype)

    # What must not matter

    def test_clouds_do_not_see_each_other(self, record_property: Record) -> None:
        model = self.made()
        error = assert_batch_independent(lambda p: self.features(model, p), self.inputs())
        record_property("error of batches", error)

    @torch.no_grad()
    def test_any_number_of_clouds_and_points(self) -> None:
        model = self.made()
        for clouds, points in ((1, self.points), (2, self.points + 7), (2, self.least_points)):
            # A single point is in the middle of its cloud.
            found = self.features(model, random_clouds(clouds, max(points, 2))[:, :points])
            assert found.shape[0] == clouds
            assert bool(found.isfinite().all())

    def test_order_of_the_points(self, record_property: Record) -> None:
        model, clouds = self.made(), self.inputs()
        if self.order_matters:
            with torch.no_grad():
                moved = self.features(model, clouds.flip(1))
                assert not torch.equal(moved, self.features(model, clouds)), (
                    "order_matters is False"
                )
            return
        error = assert_permutation_invariant(lambda p: self.features(model, p), clouds)
        record_property("error of permutations", error)

    def test_rotations(self, record_property: Record) -> None:
        model, clouds = self.made(), self.inputs()

        def function(points: Tensor) -> Tensor:
            return self.features(model, points)

        curve = equivariance_curve(function, clouds, angles=(1, 40, 180), rotations=4)
        largest, typical = float(curve["largest"].max()), float(curve["mean"].iloc[1])
        record_property("error of rotations by 40 degrees", typical)
        if self.symmetry == "so3":
            limit = TOLERANCES[torch.float64]
            assert largest <= limit, f"rotations matter: relative error {largest:.2e}"
            return
        assert typical > self.least_change, (
            f"rotations by 40 degrees change features by {typical:.1e} only: is symmetry 'so3'?"
        )
        if self.symmetry == "icosahedral":
            record_property(
                "error of icosahedral rotations", assert_rotation_invariant(function, clouds)
            )
            return
        try:
            assert_rotation_invariant(function, clouds, tolerance=self.least_change)
        except AssertionError:
            return
        raise AssertionError("icosahedral rotations do not matter: is symmetry 'icosahedral'?")

    # Training and use

    def write_data(self, folder: Path) -> Path:
        """Rods, discs and balls."""
        return write_shape_folder(folder, points=self.points)

    def files_for_testing(self, data: Path) -> list[Path]:
        """Clouds for testing."""
        return sorted(data.glob("*/test/*.npy"))

    def load(self, weights: Path, model: Any) -> Any:
        """The trained classifier."""
        return load_classifier(weights, model=model)

    @torch.no_grad()
    def answers(self, trained: Any) -> Tensor:
        """Scores of clouds."""
        scores: Tensor = trained.model(self.inputs().float())
        return scores

    def check_prediction_against_evaluation(self, run: Path, data: Path, name: str) -> float:
        """Classes and accuracies agree; gives the largest difference of probabilities."""
        options: dict[str, Any] = {"model": name, "progress": False}
        evaluated = evaluate(run, EvaluateConfig(rotation="none", **options))
        files = self.files_for_testing(data)
        predicted = predict(run, files, PredictConfig(top=3, **options))
        guesses = [prediction.classes[0][0] for prediction in predicted]
        right = [file.parts[-3] == guess for file, guess in zip(files, guesses, strict=True)]
        assert sum(right) / len(right) == evaluated.result.accuracy
        trained = load_classifier(run, model=self.model)
        dataset = load_run_data(TrainModelNetConfig.from_yaml(run / "config.yaml", self.model))
        expected = predict_points(trained, dataset.test.points)
        names = trained.class_names
        found = [[dict(prediction.classes)[name] for name in names] for prediction in predicted]
        order = sorted(range(len(files)), key=lambda i: names.index(files[i].parts[-3]))
        return assert_close(
            torch.tensor(found, dtype=torch.float64)[order],
            expected,
            "prediction and evaluation disagree",
            tolerance=TOLERANCES[torch.float32],
        )

    def check_program(self, program: Path, trained: Any) -> float:
        """Scores of other clouds than it was traced with."""
        size = self.points + 9 * self.model_class.export_any_size
        clouds = 7 * random_clouds(5, size).float() + 1
        (scores,), header = run_alone(program, (clouds,))
        assert tuple(header["class_names"]) == trained.class_names
        expected = trained.model(normalize_clouds(clouds))
        return assert_close(scores, expected, "the program gives other scores")
