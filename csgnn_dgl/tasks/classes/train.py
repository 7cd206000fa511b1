"""Training a classifier from options, from scratch or onwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torchmetrics.functional.classification import multiclass_confusion_matrix

from csgnn_dgl.datasets.shapes import ShapeDataset, load_dataset
from csgnn_dgl.errors import DataError
from csgnn_dgl.grid import require_memory
from csgnn_dgl.models import Classifier
from csgnn_dgl.tasks.callbacks import KeepWeights
from csgnn_dgl.tasks.classes.classification import ClassificationTask, ShapeBatches
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.plots import plot_confusion
from csgnn_dgl.tasks.classes.trained import (
    KIND,
    TrainedClassifier,
    classifier_network,
    load_classifier,
)
from csgnn_dgl.tasks.classes.vote import vote
from csgnn_dgl.tasks.history import History
from csgnn_dgl.tasks.plots import plot_curves
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.training import Echo, silent
from csgnn_dgl.tasks.training_job import Split, TrainingJob
from csgnn_dgl.tasks.weights import Header

__all__ = ["closing_lines", "load_run_data", "resume", "train"]


def train(config: TrainModelNetConfig, echo: Echo = silent) -> RunDirectory:
    """Train a classifier in a new run directory.

    Parameters
    ----------
    config
        All options.
    echo
        Called with a line of text now and then: where the run is, one line per epoch.

    Raises
    ------
    CSGNNError
        The data, the options or the place to write cannot be used; nothing was overwritten.
    """
    return _JOB.train(config, echo)


def resume(path: Path, echo: Echo = silent, *, model: Any = None) -> RunDirectory:
    """Go on with the run at ``path`` from the end of its last complete epoch.

    On a CPU, with as many threads as before, it ends with the very weights that an uninterrupted
    run would have ended with.

    Parameters
    ----------
    path
        The run.
    echo
        As for :func:`train`.
    model
        The model, if it is one of your own.

    Raises
    ------
    CheckpointError
        No run there, or a damaged one, or the data have changed since.
    """
    return _JOB.resume(path, echo, model=model)


def closing_lines(run: RunDirectory) -> list[str]:
    """What came out of a finished run, and what to do next."""
    summary = run.read_summary()
    return [
        f"{run.path}: validation accuracy {100 * summary['validation_accuracy']:.1f} % "
        f"({summary['rotation']['train']} rotations, "
        f"epoch {summary['kept_epoch'] + 1} of {summary['epochs']}, "
        f"{summary['seconds_per_epoch']:.1f} s per epoch)",
        f"curves: {run.figure('curves')}",
        f"test it: csgnn-dgl evaluate {run.path} --rotation so3",
    ]


def load_run_data(config: TrainModelNetConfig, data: Path | None = None) -> ShapeDataset:
    """The data that ``config`` names, or the same kind of data at another place."""
    return load_dataset(
        config.data if data is None else data,
        points=config.points,
        pool=config.pool,
        up_axis=config.up_axis,
        seed=config.seed,
    )


class _ClassifierJob(TrainingJob[TrainModelNetConfig, ShapeDataset]):
    command = "modelnet"
    built_in = "the built-in solids"
    config_class = TrainModelNetConfig

    def before_data(self, config: TrainModelNetConfig, model: Any) -> None:
        values = model.training_memory(config.hypers, config.batch_size, config.points)
        if values is None:
            return
        itemsize = 8 if config.precision.startswith("64") else 4
        if "16" in config.precision:
            itemsize = 2
        sizes = ", ".join(f"{k} {v}" for k, v in config.hypers if isinstance(v, int))
        require_memory(
            values * itemsize,
            f"a training step of {config.batch_size} clouds with {config.model} ({sizes})",
            "choose a smaller --batch-size or a smaller network",
        )

    def load_data(self, config: TrainModelNetConfig) -> ShapeDataset:
        return load_run_data(config)

    def build(self, model: Any, config: TrainModelNetConfig, data: ShapeDataset) -> Classifier:
        return classifier_network(model, config.hypers, len(data.class_names), _head(config))

    def header(self, config: TrainModelNetConfig, data: ShapeDataset, network: Any) -> Header:
        return Header(
            kind=KIND,
            model={"name": config.model, "hypers": config.hypers.model_dump(mode="json")},
            head=_head(config),
            class_names=data.class_names,
            data={
                "name": data.name,
                "source": data.source,
                "fingerprint": data.fingerprint,
                "up_axis": data.up_axis,
                "points": config.points,
                "pool": data.train.points.shape[1],
                "train_rotation": config.train_rotation,
            },
        )

    def splits(
        self, config: TrainModelNetConfig, data: ShapeDataset, network: Any
    ) -> tuple[Split, Split]:
        training, validation = data.split_validation(config.validation_fraction, config.seed)
        if len(training.labels) < 2:
            raise DataError(
                f"{data.source}: {len(training.labels)} training shapes are left after holding "
                f"out {len(validation.labels)} for validation; at least 2 are needed"
            )
        return Split(training, ShapeBatches(training)), Split(validation, ShapeBatches(validation))

    def task(
        self,
        config: TrainModelNetConfig,
        data: ShapeDataset,
        network: Any,
        splits: tuple[Split, Split],
    ) -> ClassificationTask:
        counts = torch.bincount(splits[0].samples.labels, minlength=len(data.class_names))
        return ClassificationTask(config, network, counts.tolist(), data.up_axis)

    def opening(
        self, config: TrainModelNetConfig, data: ShapeDataset, splits: tuple[Split, Split]
    ) -> list[str]:
        sizes = [len(split.samples) for split in splits]
        return [
            *data.warnings,
            f"{sizes[0]} training and {sizes[1]} validation shapes in {len(data.class_names)} "
            f"classes",
        ]

    def load_trained(self, run: RunDirectory, model: Any) -> TrainedClassifier:
        return load_classifier(run.path, model=model)

    def report(
        self,
        run: RunDirectory,
        config: TrainModelNetConfig,
        data: ShapeDataset,
        splits: tuple[Split, Split],
        trained: Any,
        history: History,
        keep: KeepWeights,
    ) -> dict[str, Any]:
        training, validation = (split.samples for split in splits)
        probabilities = vote(
            trained.model,
            validation.points[:, : config.points],
            rotation=config.train_rotation,
            up_axis=data.up_axis,
            seed=config.seed,
        )
        predicted = probabilities.argmax(dim=1)
        matrix = multiclass_confusion_matrix(predicted, validation.labels, len(data.class_names))
        accuracy = float((predicted == validation.labels).double().mean())
        plot_curves(
            history.table,
            run.figure("curves"),
            loss="cross-entropy",
            second="accuracy",
            second_unit="%",
            factor=100,
            limits=(0, 102),
        )
        plot_confusion(
            matrix.numpy(),
            data.class_names,
            run.figure("confusion-validation"),
            f"{data.name}, validation split, {config.train_rotation}: {100 * accuracy:.1f} %",
        )
        return {
            "data": {
                "classes": len(data.class_names),
                "training_shapes": len(training.labels),
                "validation_shapes": len(validation.labels),
                "test_shapes": len(data.test.labels),
            },
            "rotation": {"train": config.train_rotation, "validation": config.train_rotation},
            "votes": 1,
            "validation_accuracy": accuracy,
        }


def _head(config: TrainModelNetConfig) -> dict[str, Any]:
    return {"hidden": list(config.hidden), "dropout": config.dropout}


_JOB = _ClassifierJob()
