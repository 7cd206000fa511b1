"""What happens at the end of an epoch besides training itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from csgnn_dgl.tasks.training_task import TrainingTask

__all__ = ["KeepWeights"]

Task = TrainingTask[Any, Any]


class KeepWeights(Callback):
    """Saves the weights worth keeping, epoch by epoch.

    Parameters
    ----------
    select
        ``"best"``: those of the epoch with the highest
        :meth:`~csgnn_dgl.tasks.training_task.TrainingTask.validation_score`; ``"last"``: the
        latest.
    save
        Called with the task whenever its weights are the ones to keep.
    """

    def __init__(self, select: str, save: Callable[[Task], None]) -> None:
        self.select, self.save = select, save
        self.best: tuple[float, ...] | None = None
        self.epoch: int | None = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, TrainingTask)
        score = pl_module.validation_score(trainer.callback_metrics)
        if self.select == "best" and self.best is not None and score <= self.best:
            return
        self.best, self.epoch = score, trainer.current_epoch
        if trainer.is_global_zero:
            self.save(pl_module)

    def state_dict(self) -> dict[str, Any]:
        return {"best": list(self.best) if self.best else None, "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        best = state_dict["best"]
        self.best = tuple(best) if best else None
        self.epoch = state_dict["epoch"]
