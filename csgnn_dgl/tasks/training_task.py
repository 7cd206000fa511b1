"""The LightningModule that all trainings share: optimiser, schedule, checkpoints."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LambdaLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
)

from csgnn_dgl.errors import CheckpointError, CSGNNError
from csgnn_dgl.tasks.config import TrainingConfig
from csgnn_dgl.tasks.weights import differences

__all__ = ["TrainingTask", "stepped"]

Model = TypeVar("Model", bound=nn.Module)
Config = TypeVar("Config", bound=TrainingConfig)


def stepped(config: TrainingConfig, steps_per_epoch: float, step: int) -> float:
    """Share of the learning rate that the schedule ``step`` leaves in an optimiser's step.

    Examples
    --------
    >>> config = TrainingConfig.model_construct(
    ...     learning_rate=0.1, step_epochs=2, step_factor=0.5, final_learning_rate=0.03
    ... )
    >>> [stepped(config, 10, step) for step in (0, 19, 20, 40)]
    [1.0, 1.0, 0.5, 0.3]
    """
    falls = int(step / steps_per_epoch) // config.step_epochs
    return max(config.step_factor**falls, config.final_learning_rate / config.learning_rate)


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
        self._resumed_schedules: list[dict[str, Any]] = []

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
        if checkpoint["epoch"] >= self.config.epochs:
            raise CheckpointError(
                f"the run has finished {checkpoint['epoch'] + 1} epochs, and its config.yaml gives "
                f"{self.config.epochs}; put back its number of epochs"
            )
        self._resumed_plateau = checkpoint.get("plateau")
        self._resumed_schedules = checkpoint.get("lr_schedulers", [])

    def _check_course(self, steps: int) -> None:
        """Refuse to resume a schedule that was planned for another number of steps."""
        for state in self._resumed_schedules:
            planned = state.get("total_steps", state.get("T_max"))
            if planned not in (None, steps):
                raise CheckpointError(
                    f"the run was begun with {planned} steps, and its config.yaml now gives "
                    f"{steps}. The schedule {self.config.schedule} is planned for all steps of a "
                    f"run: put back the number of epochs and the batch size, or start a new run"
                )

    def on_fit_start(self) -> None:
        if self._plateau is not None and self._resumed_plateau is not None:
            self._plateau.load_state_dict(self._resumed_plateau)

    def _optimizer(self) -> Optimizer:
        config = self.config
        common: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
        if config.optimizer == "sgd":
            return SGD(self.model.parameters(), momentum=config.momentum, **common)
        # One kernel for all parameters. With 16-mixed, it would exclude clipping of gradients.
        on_gpu = next(self.model.parameters()).is_cuda and config.precision != "16-mixed"
        kind = AdamW if config.optimizer == "adamw" else Adam
        return kind(self.model.parameters(), fused=on_gpu or None, **common)

    def configure_optimizers(self) -> Any:
        config = self.config
        optimizer = self._optimizer()
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
        self._check_course(steps)
        schedules: dict[str, Callable[[], LRScheduler]] = {
            "one-cycle": lambda: OneCycleLR(
                optimizer, config.learning_rate, total_steps=steps, pct_start=config.warmup
            ),
            "cosine": lambda: CosineAnnealingLR(optimizer, steps, config.final_learning_rate),
            "step": lambda: LambdaLR(optimizer, partial(stepped, config, steps / config.epochs)),
            "constant": lambda: ConstantLR(optimizer, factor=1.0, total_iters=0),
        }
        return [optimizer], [{"scheduler": schedules[config.schedule](), "interval": "step"}]
