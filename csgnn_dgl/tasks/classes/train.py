"""Train a classifier from options, or resume its training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torchmetrics.functional.classification import multiclass_confusion_matrix

from csgnn_dgl._progress import working
from csgnn_dgl.datasets.shapes import ShapeDataset, ShapeSplit, load_dataset
from csgnn_dgl.datasets.shapes.loading import is_built_in
from csgnn_dgl.errors import DataError
from csgnn_dgl.grid import require_memory
from csgnn_dgl.mapping import rotate_clouds
from csgnn_dgl.models import Classifier
from csgnn_dgl.tasks.baseline import BASELINE, training_warnings
from csgnn_dgl.tasks.callbacks import KeepWeights
from csgnn_dgl.tasks.classes.baseline import count_classes
from csgnn_dgl.tasks.classes.classification import ClassificationTask, ShapeBatches
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.domain import learn_shapes
from csgnn_dgl.tasks.classes.plots import plot_confusion
from csgnn_dgl.tasks.classes.trained import (
    KIND,
    TrainedClassifier,
    classifier_network,
    load_classifier,
)
from csgnn_dgl.tasks.classes.vote import vote
from csgnn_dgl.tasks.history import History
from csgnn_dgl.tasks.initial import start_from
from csgnn_dgl.tasks.learned import Learned
from csgnn_dgl.tasks.plots import plot_curves
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.same_data import identity
from csgnn_dgl.tasks.seeds import generator
from csgnn_dgl.tasks.training import Echo, silent
from csgnn_dgl.tasks.training_job import Split, TrainingJob, resume_job, train_job
from csgnn_dgl.tasks.votes import vote_rotations
from csgnn_dgl.tasks.weights import Header

__all__ = [
    "ClassifierJob",
    "closing_lines",
    "load_run_data",
    "resume",
    "split_run_data",
    "train",
]


# Fewer training shapes per class than this get a warning. A cautious choice, not a measured limit.
_FEW = 4


def train(config: TrainModelNetConfig, echo: Echo = silent) -> RunDirectory:
    """Train a classifier; see :func:`~csgnn_dgl.tasks.training_job.train_job`."""
    return train_job(ClassifierJob, config, echo)


def resume(path: Path, echo: Echo = silent, *, model: Any = None) -> RunDirectory:
    """Resume a run; see :func:`~csgnn_dgl.tasks.training_job.resume_job`."""
    return resume_job(ClassifierJob, TrainModelNetConfig, path, echo, model)


def closing_lines(run: RunDirectory) -> list[str]:
    """Describe the results of a finished run and the next step, in lines to print."""
    summary = run.read_summary()
    return [
        f"{run.path}: validation accuracy {100 * summary['validation_accuracy']:.1f} % "
        f"({summary['rotation']['train']} rotations, "
        f"epoch {summary['kept_epoch']} of {summary['epochs']}, "
        f"{summary['seconds_per_epoch']:.1f} s per epoch)",
        f"curves: {run.figure('curves')}",
        f"test it: csgnn-dgl evaluate {run.path} --rotation so3",
    ]


def load_run_data(
    config: TrainModelNetConfig, data: Path | None = None, attributes: Sequence[str] = ()
) -> ShapeDataset:
    """Load the data that ``config`` names, or the same kind of data at another path."""
    path = config.data if data is None else data
    return load_dataset(
        path,
        members=config.shapes_per_class if is_built_in(path) else None,
        points=config.points,
        pool=config.pool,
        up_axis=config.up_axis,
        seed=config.seed,
        attributes=attributes,
    )


def split_run_data(
    data: ShapeDataset, config: TrainModelNetConfig
) -> tuple[ShapeSplit, ShapeSplit]:
    """The shapes that a run is trained on, and those that it holds out for validation."""
    training, validation = data.split_validation(config.validation_fraction, config.seed)
    if config.shapes_per_class is not None:
        training = fewer_shapes(training, config.shapes_per_class, config.seed)
    return training, validation


def fewer_shapes(split: ShapeSplit, most: int, seed: int) -> ShapeSplit:
    """Keep at most ``most`` shapes of each class, chosen at random, in their order.

    A larger number keeps the shapes of a smaller one, too.

    Examples
    --------
    >>> shapes = ShapeSplit(torch.rand(5, 4, 3), torch.tensor([0, 0, 0, 1, 1]), tuple("abcde"))
    >>> fewer_shapes(shapes, 1, seed=0).labels.tolist()
    [0, 1]
    """
    order = torch.randperm(len(split), generator=generator(seed, "shapes"))
    kept: list[int] = []
    for label in split.labels.unique().tolist():
        kept += order[split.labels[order] == label][:most].tolist()
    return split.select(sorted(kept))


class ClassifierJob(TrainingJob[TrainModelNetConfig, ShapeDataset]):
    """The training of one classifier."""

    command = "modelnet"
    built_in = "the built-in solids"

    def check_memory(self) -> None:
        config = self.config
        self.model.check_points(config.hypers, config.points)
        clouds = config.batch_size * (2 if config.consistency else 1)
        values = self.model.training_memory(config.hypers, clouds, config.points)
        if values is None:
            return
        itemsize = 8 if config.precision.startswith("64") else 4
        if "16" in config.precision:
            itemsize = 2
        sizes = ", ".join(f"{k} {v}" for k, v in config.hypers if type(v) is int)
        require_memory(
            values * itemsize,
            f"a training step of {clouds} clouds with {config.model} ({sizes})",
            "choose a smaller --batch-size or a smaller network",
        )

    def load(self) -> None:
        with working("reading data"):
            self.data = self.load_data()
        self.training, self.validation = split_run_data(self.data, self.config)

    def load_data(self) -> ShapeDataset:
        wanted = self.model.wanted_attributes(self.config.hypers)
        return load_run_data(self.config, attributes=wanted)

    def build(self) -> Classifier:
        classes = len(self.data.class_names)
        return classifier_network(self.model, self.config.hypers, classes, self._head())

    def initialise(self, network: Any) -> None:
        config = self.config
        if config.init_from is not None:
            start_from(
                network,
                config.init_from,
                kind=KIND,
                model=config.model,
                hypers=config.hypers,
            )

    def _head(self) -> dict[str, Any]:
        return {"hidden": list(self.config.hidden), "dropout": self.config.dropout}

    def header(self, network: Any) -> Header:
        config, data = self.config, self.data
        return Header(
            kind=KIND,
            model={"name": config.model, "hypers": config.hypers.model_dump(mode="json")},
            head=self._head(),
            class_names=data.class_names,
            data={
                "name": data.name,
                "source": data.source,
                **identity(data),
                "up_axis": data.up_axis,
                "points": config.points,
                "pool": data.train.points.shape[1],
                "asked_pool": config.pool,
                "train_rotation": config.train_rotation,
                "seed": config.seed,
                "validation_fraction": config.validation_fraction,
                "shapes_per_class": config.shapes_per_class,
                BASELINE: count_classes(self.training.labels.tolist(), data.class_names),
            },
        )

    @cached_property
    def rotated_validation(self) -> ShapeSplit:
        """The validation shapes under rotations of the training protocol.

        Each shape has its own rotation. It depends neither on the epoch nor on the batch, so that
        epochs can be compared, and the report after training repeats the kept epoch's result.
        """
        split, config = self.validation, self.config
        (rotations,) = vote_rotations(
            1,
            config.seed,
            samples=len(split),
            rotation=config.train_rotation,
            up_axis=self.data.up_axis,
            unrotated_first=False,
        )
        normals = "normals" in self.model.wanted_attributes(config.hypers)
        clouds = split.clouds[:, : config.points]
        return split.with_clouds(rotate_clouds(clouds, rotations, normals=normals))

    def splits(self, network: Any) -> tuple[Split, Split]:
        if len(self.training) < 2:
            raise DataError(
                f"{self.data.source}: {len(self.training)} training shapes are left after holding "
                f"out {len(self.validation)} for validation; at least 2 are needed"
            )
        return (
            Split(self.training, ShapeBatches(self.training)),
            Split(self.validation, ShapeBatches(self.rotated_validation)),
        )

    def task(self, network: Any) -> ClassificationTask:
        counts = torch.bincount(self.training.labels, minlength=len(self.data.class_names))
        return ClassificationTask(self.config, network, counts.tolist(), self.data.up_axis)

    def opening(self) -> list[str]:
        config = self.config
        return [
            *self.data.warnings,
            *training_warnings(
                samples=len(self.training),
                few=_FEW * len(self.data.class_names),
                what="shapes",
                batch_size=config.batch_size,
                epochs=config.epochs,
                ema_decay=config.ema_decay,
            ),
            f"{len(self.training)} training and {len(self.validation)} validation shapes in "
            f"{len(self.data.class_names)} classes",
        ]

    def load_trained(self, run: RunDirectory) -> TrainedClassifier:
        return load_classifier(run.path, model=self.model)

    def learn(self, trained: Any) -> Learned:
        return learn_shapes(
            trained,
            self.training,
            self.validation,
            rotation=self.config.train_rotation,
            seed=self.config.seed,
        )

    def report(
        self, run: RunDirectory, trained: Any, history: History, keep: KeepWeights
    ) -> dict[str, Any]:
        config, data, validation = self.config, self.data, self.validation
        probabilities = vote(
            trained.model,
            self.rotated_validation.clouds,
            rotation="none",
            up_axis=data.up_axis,
            batch_size=config.batch_size,
        )
        predicted = probabilities.argmax(dim=1)
        matrix = multiclass_confusion_matrix(predicted, validation.labels, len(data.class_names))
        # That of the epoch whose weights were kept. The matrix agrees with it, except where the
        # training's precision is lower than that of evaluation.
        accuracy = next(
            row["validation_accuracy"] for row in history.rows if row["epoch"] == keep.epoch
        )
        plot_curves(
            history.table,
            run.figure("curves"),
            loss="cross-entropy",
            second="accuracy",
            second_unit="%",
            factor=100,
            limits=(0, 102),
        )
        averaged = ", averaged weights" if config.ema_decay else ""
        plot_confusion(
            matrix.numpy(),
            data.class_names,
            run.figure("confusion-validation"),
            f"{data.name}, validation split, {config.train_rotation}, 1 vote"
            f"{averaged}: {100 * accuracy:.1f} %",
        )
        return {
            "data": {
                "classes": len(data.class_names),
                "training_shapes": len(self.training),
                "validation_shapes": len(validation),
                "test_shapes": len(data.test),
            },
            "rotation": {"train": config.train_rotation, "validation": config.train_rotation},
            "votes": 1,
            "validation_accuracy": accuracy,
        }
