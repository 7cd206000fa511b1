"""Which weights a training keeps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from csgnn_dgl.tasks.callbacks import KeepWeights
from csgnn_dgl.tasks.training_task import TrainingTask


class Task(TrainingTask[Any, Any]):
    """A task whose score is that of its metrics."""

    def validation_score(self, metrics: Any) -> tuple[float, ...]:
        return (float(metrics["score"]),)

    def epoch_line(self, row: Any) -> str:
        return ""


def epoch(number: int, loss: float, score: float) -> Any:
    metrics = {"train_loss": torch.tensor(loss), "score": torch.tensor(score)}
    return SimpleNamespace(callback_metrics=metrics, current_epoch=number, is_global_zero=True)


@pytest.mark.parametrize("select", ["best", "last"])
def test_weights_that_are_not_finite_replace_no_others(select: str) -> None:
    saved: list[float] = []
    task = Task(SimpleNamespace(), nn.Linear(1, 1, bias=False))
    keep = KeepWeights(select, lambda state: saved.append(float(state["weight"])))

    def after(number: int, weight: float, loss: float, score: float) -> None:
        nn.init.constant_(task.model.weight, weight)
        keep.on_train_epoch_end(epoch(number, loss, score), task)

    nan = float("nan")
    after(0, 1.0, loss=1.0, score=0.1)
    after(1, nan, loss=nan, score=nan)
    after(2, nan, loss=1.0, score=0.9)  # spoilt by the last step
    after(3, float("inf"), loss=1.0, score=0.9)
    assert (saved, keep.epoch) == ([1.0], 1)
    after(4, 2.0, loss=1.0, score=0.5)
    assert (saved, keep.epoch) == ([1.0, 2.0], 5)
