"""Training of a classifier, as Lightning sees it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Adam
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
)
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from csgnn_dgl.errors import CSGNNError
from csgnn_dgl.mapping import (
    Augmentation,
    UpAxis,
    normalize_clouds,
    random_rotations,
    rotate_clouds,
    subsample,
)
from csgnn_dgl.models import Classifier, ClassifierConfig, EncoderConfig
from csgnn_dgl.tasks.seeds import derive_seed, generator
from csgnn_dgl.tasks.shapes.config import TrainModelNetConfig

__all__ = ["ClassificationTask", "classifier_config"]


def classifier_config(config: TrainModelNetConfig, num_classes: int) -> ClassifierConfig:
    """Sizes of the network that ``config`` asks for."""
    encoder = EncoderConfig.with_base_width(
        config.level,
        config.n_spheres,
        config.channels,
        base_width=config.base_width,
        kernel_size=config.kernel_size,
        pooling=config.pooling,
        global_pooling=config.global_pooling,
        self_loop=config.self_loop,
        residual=config.residual,
        concatenate=config.concatenate,
    )
    return ClassifierConfig(
        encoder,
        num_classes,
        hidden=tuple(config.hidden),
        dropout=config.dropout,
        radial=config.radial,
        bandwidth=config.bandwidth,
        threshold=config.threshold,
    )


class ClassificationTask(LightningModule):
    """A classifier with its augmentation, loss, optimiser and metrics.

    Points arrive raw; subsampling, augmentation and mapping run batched on the model's device.
    Everything random is drawn from streams made from the seed, the epoch and the batch, so nothing
    of the kind needs to be in a checkpoint.

    Parameters
    ----------
    config
        The run's options.
    class_counts
        Number of training shapes of each class.
    up_axis
        The data set's up axis.

    Shapes
    ------
    A batch is ``(points (B, P, 3), labels (B,))`` with ``P`` at least ``config.points``.
    """

    class_weights: Tensor

    def __init__(
        self, config: TrainModelNetConfig, class_counts: Sequence[int], up_axis: UpAxis
    ) -> None:
        super().__init__()
        num_classes = len(class_counts)
        weights = torch.tensor(class_counts).clamp(min=1).double().pow(-config.class_balance)
        self.register_buffer("class_weights", (weights / weights.mean()).float(), persistent=False)
        self.config, self.up_axis = config, up_axis
        self._plateau: ReduceLROnPlateau | None = None
        self._resumed_plateau: dict[str, Any] | None = None
        self.model = Classifier(classifier_config(config, num_classes))
        self.averaged: AveragedModel | None = None
        if config.ema_decay:
            self.averaged = AveragedModel(
                self.model,
                multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay),
                use_buffers=True,
            ).requires_grad_(False)
        self.augment = Augmentation(
            scale=(1 - config.scale, 1 + config.scale),
            rotation=config.train_rotation,
            translation=config.translation,
            jitter=config.jitter,
            jitter_clip=config.jitter_clip,
            up_axis=up_axis,
        )
        # NaN must show: it means that training diverged.
        self.train_loss = MeanMetric(nan_strategy="disable")
        self.validation_loss = MeanMetric(nan_strategy="disable")
        self.train_accuracy = MulticlassAccuracy(num_classes, average="micro")
        self.validation_accuracy = MulticlassAccuracy(num_classes, average="micro")

    @property
    def kept(self) -> Classifier:
        """The weights that are validated and saved."""
        model = self.model if self.averaged is None else self.averaged.module
        assert isinstance(model, Classifier)
        return model

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        points, labels = batch
        place = (self.current_epoch, batch_idx, self.global_rank)
        # Dropout draws from the global generator, as PyTorch's modules do.
        torch.manual_seed(derive_seed(self.config.seed, "dropout", *place))
        if self.config.resample:
            points = subsample(
                points, self.config.points, generator(self.config.seed, "points", *place)
            )
        else:
            points = points[:, : self.config.points]
        points = self.augment(points, generator(self.config.seed, "augment", *place))
        scores = self.model(normalize_clouds(points))
        loss = F.cross_entropy(
            scores,
            labels,
            weight=self.class_weights.to(scores.dtype),
            label_smoothing=self.config.label_smoothing,
        )
        self.train_loss.update(loss.detach(), len(labels))
        self.train_accuracy.update(scores.detach(), labels)
        self.log("train_loss", self.train_loss, on_epoch=True, on_step=False, prog_bar=True)
        self.log("train_accuracy", self.train_accuracy, on_epoch=True, on_step=False)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        points, labels = batch
        turns = random_rotations(
            len(points),
            self.config.train_rotation,
            self.up_axis,
            # The same rotations in every epoch: epochs are compared with each other.
            generator(self.config.seed, "validation", batch_idx, self.global_rank),
            points.dtype,
            points.device,
        )
        points = normalize_clouds(rotate_clouds(points[:, : self.config.points], turns))
        scores = self.kept(points)
        self.validation_loss.update(F.cross_entropy(scores, labels), len(labels))
        self.validation_accuracy.update(scores, labels)
        self.log("validation_loss", self.validation_loss, on_epoch=True)
        self.log("validation_accuracy", self.validation_accuracy, on_epoch=True, prog_bar=True)

    def on_train_epoch_end(self) -> None:
        metrics = self.trainer.callback_metrics
        loss = float(metrics["train_loss"])
        if not math.isfinite(loss):
            raise CSGNNError(
                f"the training loss is {loss} after epoch {self.current_epoch}: training diverged. "
                f"Lower --learning-rate (it is {self.config.learning_rate}) or set --gradient-clip"
            )
        if self._plateau is not None:
            self._plateau.step(float(metrics["validation_loss"]))
            rate = self._plateau.optimizer.param_groups[0]["lr"]
            self.trainer.should_stop |= rate < self.config.min_learning_rate

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self._plateau is not None:
            checkpoint["plateau"] = self._plateau.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._resumed_plateau = checkpoint.get("plateau")

    def configure_optimizers(self) -> Any:
        config = self.config
        optimizer = Adam(
            self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        if config.schedule == "plateau":
            # Stepped in on_train_epoch_end rather than by Lightning, which does so only after it
            # has written the checkpoint, and skips the step of that epoch when it resumes.
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

    def on_fit_start(self) -> None:
        if self._plateau is not None and self._resumed_plateau is not None:
            self._plateau.load_state_dict(self._resumed_plateau)
