"""The LightningModule that trains a classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchmetrics.classification import MulticlassAccuracy

from csgnn_dgl.datasets.shapes import ShapeSplit
from csgnn_dgl.mapping import (
    Augmentation,
    UpAxis,
    normalize_clouds,
    subsample,
)
from csgnn_dgl.models import Classifier
from csgnn_dgl.models.contract import has_normals
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.cuda_graphs import CudaGraphs
from csgnn_dgl.tasks.mean import SampleMean
from csgnn_dgl.tasks.seeds import derive_seed, generator
from csgnn_dgl.tasks.training_task import TrainingTask

__all__ = ["ClassificationTask", "ShapeBatches", "divergence"]


class ShapeBatches(Dataset[tuple[Tensor, Tensor]]):
    """A split that returns whole batches: points ``(B, P, 3 + A)`` and labels ``(B,)``.

    The points have their attributes in ``A`` further columns.
    """

    def __init__(self, split: ShapeSplit) -> None:
        self.split, self.clouds = split, split.clouds

    def __len__(self) -> int:
        return len(self.split.labels)

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        chosen = list(indices)
        return self.clouds[chosen], self.split.labels[chosen]


def divergence(scores: Tensor, others: Tensor) -> Tensor:
    """Mean over shapes of the symmetric Kullback-Leibler divergence of two predictions.

    Parameters
    ----------
    scores, others
        Scores before the softmax, shape ``(B, classes)``.

    Examples
    --------
    >>> scores = torch.tensor([[0.0, 1.0]])
    >>> float(divergence(scores, scores)), float(divergence(scores, -scores)) > 0.1
    (0.0, True)
    """
    first, second = F.log_softmax(scores, dim=-1), F.log_softmax(others, dim=-1)
    difference = (first.exp() - second.exp()) * (first - second)
    return difference.sum(dim=-1).mean() / 2


class ClassificationTask(TrainingTask[Classifier, TrainModelNetConfig]):
    """A classifier with its augmentation, loss, optimiser and metrics.

    Batches hold raw points. Subsampling, augmentation and mapping run batched on the model's
    device. Random numbers come from streams made from the seed, the epoch and the batch, so a
    checkpoint needs no state of a generator.

    Parameters
    ----------
    config
        The run's options.
    model
        The classifier to train.
    class_counts
        Number of training shapes of each class.
    up_axis
        The data set's up axis.

    Shapes
    ------
    A batch is ``(points (B, P, 3 + A), labels (B,))`` with the model's attributes in ``A`` columns,
    and ``P`` at least ``config.points``. Validation
    batches have exactly that many points, in the orientation in which they are to be classified.
    """

    class_weights: Tensor

    def __init__(
        self,
        config: TrainModelNetConfig,
        model: Classifier,
        class_counts: Sequence[int],
        up_axis: UpAxis,
    ) -> None:
        num_classes = len(class_counts)
        super().__init__(config, model)
        self.up_axis = up_axis
        weights = torch.tensor(class_counts).clamp(min=1).double().pow(-config.class_balance)
        self.register_buffer("class_weights", (weights / weights.mean()).float(), persistent=False)
        self.augment = Augmentation(
            scale=config.scales,
            rotation=config.train_rotation,
            translation=config.translation,
            jitter=config.jitter,
            jitter_clip=config.jitter_clip,
            up_axis=up_axis,
        )
        self._graphs = CudaGraphs()
        self.train_loss, self.validation_loss = SampleMean(), SampleMean()
        # The data were checked when they were read. To check them again waits for the device.
        options: dict[str, Any] = {"average": "micro", "validate_args": False}
        self.train_accuracy = MulticlassAccuracy(num_classes, **options)
        self.validation_accuracy = MulticlassAccuracy(num_classes, **options)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        points, labels = batch
        place = (self.current_epoch, batch_idx, self.global_rank)
        # Dropout draws from the global generator, as PyTorch's modules do.
        torch.manual_seed(derive_seed(self.config.seed, "dropout", *place))
        views = self._view(points, "", place)
        if self.config.consistency:
            views = torch.cat([views, self._view(points, " of second views", place)])
            labels = labels.repeat(2)
        found = self._called(normalize_clouds(views))
        scores, penalty = found if isinstance(found, tuple) else (found, None)
        loss = self._loss(scores, labels)
        if penalty is not None:
            loss = loss + penalty
        if scores.dim() == 3:  # scores of parts of each cloud, or of several heads
            scores = scores.mean(dim=1)
        if self.config.consistency:
            loss = loss + self.config.consistency * divergence(*scores.chunk(2))
        self.train_loss.update(loss.detach(), len(labels))
        self.train_accuracy.update(scores.detach(), labels)
        self.log("train_loss", self.train_loss, on_epoch=True, on_step=False, prog_bar=True)
        self.log("train_accuracy", self.train_accuracy, on_epoch=True, on_step=False)
        return loss

    def _called(self, points: Tensor) -> Any:
        """The network's results in training.

        Several processes share statistics of batch norm, and gradients of recorded steps cannot be
        accumulated.
        """
        trainer = self._trainer
        usual = trainer is not None and (
            trainer.world_size > 1 or trainer.accumulate_grad_batches > 1
        )
        if usual or not self.model.model.capturable:
            return self.model(points)
        return self._graphs(self.model, points)

    def _view(self, points: Tensor, stream: str, place: tuple[int, ...]) -> Tensor:
        """Points of each cloud at random, and changed at random."""
        seed, number = self.config.seed, self.config.points
        if self.config.resample:
            points = subsample(points, number, generator(seed, f"points{stream}", *place))
        else:
            points = points[:, :number]
        normals = has_normals(self.model.model)
        return self.augment(points, generator(seed, f"augment{stream}", *place), normals=normals)

    def _loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of scores ``(B, classes)``, or of parts or heads ``(B, M, classes)``."""
        if scores.dim() == 3:
            labels = labels[:, None].expand(scores.shape[:2]).flatten()
            scores = scores.flatten(0, 1)
        return F.cross_entropy(
            scores,
            labels,
            weight=self.class_weights.to(scores.dtype),
            label_smoothing=self.config.label_smoothing,
        )

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        # The points were subsampled and rotated before training.
        points, labels = batch
        scores = self.model(normalize_clouds(points))
        self.validation_loss.update(F.cross_entropy(scores, labels), len(labels))
        self.validation_accuracy.update(scores, labels)
        self.log("validation_loss", self.validation_loss, on_epoch=True)
        self.log("validation_accuracy", self.validation_accuracy, on_epoch=True, prog_bar=True)

    def validation_score(self, metrics: Mapping[str, Tensor]) -> tuple[float, ...]:
        # Among epochs of equal accuracy, the one with the lowest loss is best.
        return float(metrics["validation_accuracy"]), -float(metrics["validation_loss"])

    def epoch_line(self, row: Mapping[str, float]) -> str:
        return (
            f"training loss {row['train_loss']:.3f}, accuracy {100 * row['train_accuracy']:.1f} %; "
            f"validation {row['validation_loss']:.3f}, {100 * row['validation_accuracy']:.1f} %"
        )
