"""The Lightning module: class weights, schedules."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from csgnn_dgl.tasks.shapes.classification import ClassificationTask
from csgnn_dgl.tasks.shapes.config import TrainModelNetConfig


def task(small: dict[str, Any], **others: Any) -> ClassificationTask:
    config = TrainModelNetConfig.resolve(flags={**small, **others})
    return ClassificationTask(config, [10, 40, 10], "z")


@pytest.mark.parametrize(("power", "ratio"), [(0.0, 1.0), (0.5, 2.0), (1.0, 4.0)])
def test_classes_are_weighed_by_their_counts(
    power: float, ratio: float, small: dict[str, Any]
) -> None:
    weights = task(small, class_balance=power).class_weights
    assert weights[0] / weights[1] == pytest.approx(ratio)
    assert weights.mean() == pytest.approx(1)


def test_weights_of_classes_are_not_in_checkpoints(small: dict[str, Any]) -> None:
    assert "class_weights" not in task(small).state_dict()


def test_running_averages_are_what_is_kept(small: dict[str, Any]) -> None:
    plain, averaged = task(small), task(small, ema_decay=0.9)
    assert plain.kept is plain.model
    assert averaged.kept is not averaged.model
    before = [p.clone() for p in averaged.kept.parameters()]
    averaged.on_train_batch_end(None, None, 0)  # the first update copies
    with torch.no_grad():
        for parameter in averaged.model.parameters():
            parameter.add_(1.0)
    averaged.on_train_batch_end(None, None, 1)
    moved = [p - b for p, b in zip(averaged.kept.parameters(), before, strict=True)]
    assert all(torch.allclose(m, torch.full_like(m, 0.1), atol=1e-5) for m in moved)
