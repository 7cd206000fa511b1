"""Callbacks of a training: averaging the weights, saving those to keep, showing progress."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch import Tensor

from csgnn_dgl._progress import working
from csgnn_dgl.tasks.training_task import TrainingTask
from csgnn_dgl.tasks.weights import infinite

__all__ = ["Averaging", "KeepWeights", "ShowProgress"]

Task = TrainingTask[Any, Any]


class Averaging(EMAWeightAveraging):
    """Lightning's running average of the weights, with a method to read the average.

    Lightning validates the average in place of the weights.

    Parameters
    ----------
    decay
        Decay of the average per step.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(decay=decay)

    def weights(self) -> dict[str, Tensor]:
        """The average of the network's weights."""
        assert self._average_model is not None  # made by Lightning before the first epoch
        copy = self._average_model.module
        assert isinstance(copy, TrainingTask)
        averaged: dict[str, Tensor] = copy.model.state_dict()
        return averaged


class KeepWeights(Callback):
    """Saves the best or the latest weights at the end of each epoch.

    Parameters
    ----------
    select
        ``"best"`` keeps the weights of the epoch with the highest
        :meth:`~csgnn_dgl.tasks.training_task.TrainingTask.validation_score`; ``"last"`` keeps the
        latest.
    save
        Called with the weights to keep.
    averaging
        The running average; if given, it is kept instead of the weights themselves.
    """

    def __init__(
        self,
        select: str,
        save: Callable[[dict[str, Tensor]], None],
        averaging: Averaging | None = None,
    ) -> None:
        self.select, self.save, self.averaging = select, save, averaging
        self.best: tuple[float, ...] | None = None
        self.epoch: int | None = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, TrainingTask)
        if not math.isfinite(trainer.callback_metrics["train_loss"]):
            return  # it diverged, which the task says next
        score = pl_module.validation_score(trainer.callback_metrics)
        if self.select == "best" and self.best is not None and not score > self.best:
            return
        averaged = self.averaging and self.averaging.weights()
        weights = averaged or pl_module.model.state_dict()
        # The last step of an epoch may have spoilt them. Good ones stay.
        if infinite(weights):
            return
        self.best, self.epoch = score, trainer.current_epoch + 1
        if trainer.is_global_zero:
            self.save(weights)

    def state_dict(self) -> dict[str, Any]:
        best = list(self.best) if self.best else None
        return {"best": best, "epoch": self.epoch, "first_epoch": 1}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        best = state_dict["best"]
        self.best = tuple(best) if best else None
        # Versions before 0.2 counted epochs from 0.
        epoch = state_dict["epoch"]
        self.epoch = epoch if epoch is None else epoch + 1 - state_dict.get("first_epoch", 0)


class ShowProgress(Callback):
    """Counts the steps of each epoch in the line of progress."""

    def __init__(self) -> None:
        self._epoch, self._validation = ExitStack(), ExitStack()
        self._step: Callable[[int], None] = lambda count: None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        name = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        total = int(trainer.num_training_batches)
        self._step = self._epoch.enter_context(working(name, total, unit="step"))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._step(1)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validation.enter_context(working("validation"))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validation.close()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch.close()
