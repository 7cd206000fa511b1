"""The Lightning module: class weights, schedules."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from csgnn_dgl.models import Classifier, Hypers, ShapeCSGNN, ShapeModel
from csgnn_dgl.tasks.classes.classification import ClassificationTask
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig


def task(small: dict[str, Any], **others: Any) -> ClassificationTask:
    config = TrainModelNetConfig.resolve(flags={**small, **others})
    classifier = Classifier(ShapeCSGNN(config.hypers), 3, hidden=config.hidden)  # type: ignore[arg-type]
    return ClassificationTask(config, classifier, [10, 40, 10], "z")


@pytest.mark.parametrize(("power", "ratio"), [(0.0, 1.0), (0.5, 2.0), (1.0, 4.0)])
def test_classes_are_weighed_by_their_counts(
    power: float, ratio: float, small: dict[str, Any]
) -> None:
    weights = task(small, class_balance=power).class_weights
    assert weights[0] / weights[1] == pytest.approx(ratio)
    assert weights.mean() == pytest.approx(1)


def test_weights_of_classes_are_not_in_checkpoints(small: dict[str, Any]) -> None:
    assert "class_weights" not in task(small).state_dict()


class Parts(ShapeModel):
    """Answers for two halves of a cloud, and wants to be small."""

    Hypers = Hypers

    def __init__(self, hypers: Any) -> None:
        super().__init__(hypers)
        self.features = 4
        self.linear = torch.nn.Linear(3, 4)

    def forward(self, points: torch.Tensor) -> Any:
        halves = torch.stack([half.amax(dim=1) for half in points.chunk(2, dim=1)], dim=1)
        features = self.linear(halves)
        return (features, self.linear.weight.square().sum()) if self.training else features


def test_a_loss_of_parts_and_a_penalty(small: dict[str, Any]) -> None:
    config = TrainModelNetConfig.resolve(flags={**small, "label_smoothing": 0.0})
    torch.manual_seed(0)
    classifier = Classifier(Parts(Hypers()), 3, hidden=())
    trained = ClassificationTask(config, classifier, [10, 10, 10], "z")
    points, labels = torch.rand(4, 64, 3), torch.tensor([0, 1, 2, 0])
    scores, penalty = classifier(points)
    assert scores.shape == (4, 2, 3)
    each = torch.nn.functional.cross_entropy(
        scores.flatten(0, 1), labels.repeat_interleave(2), reduction="mean"
    )
    torch.testing.assert_close(trained._loss(scores, labels), each)
    torch.testing.assert_close(classifier.eval()(points), scores.mean(dim=1))
    assert float(penalty.detach()) > 0
