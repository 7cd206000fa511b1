"""The LightningModule that all trainings share: optimiser, schedule, checkpoints."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Adam
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
)

from csgnn_dgl.errors import CheckpointError, CSGNNError
from csgnn_dgl.tasks.config import TrainingConfig
from csgnn_dgl.tasks.weights import differences

__all__ = ["TrainingTask"]

Model = TypeVar("Model", bound=nn.Module)
Config = TypeVar("Config", bound=TrainingConfig)


class TrainingTask(LightningModule, Generic[Model, Config]):
    """A model with its optimiser and its schedule.

    A subclass adds ``training_step`` and ``validation_step``, which log ``train_loss`` and
    ``validation_loss``, and a score of each epoch.

    Parameters
    ----------
    config
        The run's options.
    model
        The network to train.
    """

    def __init__(self, config: Config, model: Model) -> None:
        super().__init__()
        self.config = config
        self.model: Model = model
        self._plateau: ReduceLROnPlateau | None = None
        self._resumed_plateau: dict[str, Any] | None = None

    @abstractmethod
    def validation_score(self, metrics: Mapping[str, Tensor]) -> tuple[float, ...]:
        """Score of an epoch; greater is better. Tuples are compared from the first number on."""

    @abstractmethod
    def epoch_line(self, row: Mapping[str, float]) -> str:
        """Metrics of an epoch, as a line to print."""

    def on_train_epoch_start(self) -> None:
        if self.current_epoch >= self.config.freeze_statistics * self.config.epochs:
            for module in self.model.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()

    def on_train_epoch_end(self) -> None:
        metrics = self.trainer.callback_metrics
        loss = float(metrics["train_loss"])
        if not math.isfinite(loss):
            raise CSGNNError(
                f"the training loss is {loss} after epoch {self.current_epoch + 1}: training "
                f"diverged. Lower --learning-rate (it is {self.config.learning_rate}) or set "
                f"--gradient-clip"
            )
        if self._plateau is not None:
            self._plateau.step(float(metrics["validation_loss"]))
            rate = self._plateau.optimizer.param_groups[0]["lr"]
            self.trainer.should_stop |= rate < self.config.min_learning_rate

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self._plateau is not None:
            checkpoint["plateau"] = self._plateau.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if wrong := differences(self, checkpoint["state_dict"]):
            raise CheckpointError(
                f"the run's last.ckpt belongs to another model: {wrong}; put back the run's own, "
                f"or remove it to start the run from the beginning"
            )
        self._resumed_plateau = checkpoint.get("plateau")

    def on_fit_start(self) -> None:
        if self._plateau is not None and self._resumed_plateau is not None:
            self._plateau.load_state_dict(self._resumed_plateau)

    def configure_optimizers(self) -> Any:
        config = self.config
        optimizer = Adam(
            self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        if config.schedule == "plateau":
            # Stepped in on_train_epoch_end: Lightning would step it only after writing the
            # checkpoint, and would skip that step after resuming.
            self._plateau = ReduceLROnPlateau(
                optimizer,
                mode="min",
                factor=0.1,
                patience=config.plateau_patience,
                threshold=config.plateau_threshold,
                threshold_mode="rel",
            )
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        schedules: dict[str, Callable[[], LRScheduler]] = {
            "one-cycle": lambda: OneCycleLR(
                optimizer, config.learning_rate, total_steps=steps, pct_start=config.warmup
            ),
            "cosine": lambda: CosineAnnealingLR(optimizer, steps),
            "constant": lambda: ConstantLR(optimizer, factor=1.0, total_iters=0),
        }
        return [optimizer], [{"scheduler": schedules[config.schedule](), "interval": "step"}]
