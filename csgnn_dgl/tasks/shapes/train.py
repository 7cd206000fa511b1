"""Training a classifier from a configuration, from scratch or onwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torchmetrics.functional.classification import multiclass_confusion_matrix

from csgnn_dgl.datasets.shapes import ShapeDataset, ShapeSplit, load_dataset
from csgnn_dgl.errors import DataError
from csgnn_dgl.grid import require_memory
from csgnn_dgl.models import ClassifierConfig
from csgnn_dgl.tasks.callbacks import KeepWeights
from csgnn_dgl.tasks.history import History
from csgnn_dgl.tasks.loaders import batch_loader
from csgnn_dgl.tasks.plots import plot_curves
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.seeds import derive_seed
from csgnn_dgl.tasks.shapes.classification import (
    ClassificationTask,
    ShapeBatches,
    classifier_config,
)
from csgnn_dgl.tasks.shapes.config import TrainModelNetConfig
from csgnn_dgl.tasks.shapes.inference import vote
from csgnn_dgl.tasks.shapes.plots import plot_confusion
from csgnn_dgl.tasks.shapes.trained import KIND, load_classifier
from csgnn_dgl.tasks.training import (
    Echo,
    fit,
    is_first_process,
    new_run,
    require_free,
    seed_weights,
    silent,
)
from csgnn_dgl.tasks.weights import Header

__all__ = ["resume", "train"]


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
    _require_training_memory(config)
    require_free(config)
    if config.data is None and is_first_process():
        echo("no --data given: training on the built-in solids")
    dataset = _load(config)
    with new_run(config, "modelnet") as run:
        _fit(run, config, dataset, echo)
    return run


def resume(path: Path, echo: Echo = silent) -> RunDirectory:
    """Go on with the run at ``path`` from the end of its last complete epoch.

    On a CPU, with as many threads as before, it ends with the very weights that an uninterrupted
    run would have ended with.

    Raises
    ------
    CheckpointError
        No run there, or a damaged one, or the data have changed since.
    """
    run = RunDirectory.open(path)
    config = TrainModelNetConfig.from_yaml(run.config)
    _fit(run, config, _load(config), echo)
    return run


def _load(config: TrainModelNetConfig) -> ShapeDataset:
    return load_dataset(
        config.data,
        points=config.points,
        pool=config.pool,
        up_axis=config.up_axis,
        seed=config.seed,
    )


def _require_training_memory(config: TrainModelNetConfig) -> None:
    itemsize = 8 if config.precision.startswith("64") else 4
    if "16" in config.precision:
        itemsize = 2
    encoder = classifier_config(config, num_classes=1).encoder
    values = 0
    for step, (intra, radial) in enumerate(
        zip(encoder.intra_widths, encoder.radial_widths, strict=True)
    ):
        sites = (10 * 4 ** (encoder.level - step) + 2) * encoder.n_spheres
        values += sites * config.batch_size * sum((*intra, *radial))
    # Kept for the backward pass of each block: its convolution's output and its own.
    require_memory(
        2 * values * itemsize,
        f"a training step of {config.batch_size} clouds at level {config.level} with "
        f"{config.n_spheres} spheres",
        "choose a smaller --batch-size, --level, --n-spheres or --base-width",
    )


def _header(
    dataset: ShapeDataset, config: TrainModelNetConfig, network: ClassifierConfig
) -> Header:
    return Header(
        kind=KIND,
        model=network.to_dict(),
        class_names=dataset.class_names,
        data={
            "name": dataset.name,
            "source": dataset.source,
            "fingerprint": dataset.fingerprint,
            "up_axis": dataset.up_axis,
            "points": config.points,
            "train_rotation": config.train_rotation,
        },
    )


def _fit(run: RunDirectory, config: TrainModelNetConfig, dataset: ShapeDataset, echo: Echo) -> None:
    training, validation = dataset.split_validation(config.validation_fraction, config.seed)
    if len(training.labels) < 2:
        raise DataError(
            f"{dataset.source}: {len(training.labels)} training shapes are left after holding out "
            f"{len(validation.labels)} for validation; at least 2 are needed"
        )
    header = _header(dataset, config, classifier_config(config, len(dataset.class_names)))
    seed_weights(config.seed)
    counts = torch.bincount(training.labels, minlength=len(dataset.class_names))
    task = ClassificationTask(config, counts.tolist(), dataset.up_axis)
    if is_first_process():
        for warning in dataset.warnings:
            echo(f"warning: {warning}")
        parameters = sum(p.numel() for p in task.model.parameters())
        echo(
            f"{run.path}: {len(training)} training and {len(validation)} validation shapes in "
            f"{len(dataset.class_names)} classes, {parameters:,} parameters"
        )

    def make_loaders(rank: int, world_size: int) -> tuple[Any, Any]:
        training_loader, validation_loader = (
            batch_loader(
                ShapeBatches(split),
                config.batch_size,
                seed=derive_seed(config.seed, "order") % 2**32,
                shuffle=split is training,
                rank=rank,
                world_size=world_size,
            )
            for split in (training, validation)
        )
        return training_loader, validation_loader

    done = fit(run, task, header, make_loaders, command="modelnet", echo=echo)
    if done is not None:
        _report(run, config, dataset, (training, validation), *done)


def _report(
    run: RunDirectory,
    config: TrainModelNetConfig,
    dataset: ShapeDataset,
    splits: tuple[ShapeSplit, ShapeSplit],
    history: History,
    keep: KeepWeights,
) -> None:
    """Plots and summary, from the weights as saved."""
    training, validation = splits
    trained = load_classifier(run.path)
    probabilities = vote(
        trained.model,
        validation.points[:, : config.points],
        rotation=config.train_rotation,
        up_axis=dataset.up_axis,
        seed=config.seed,
    )
    predicted = probabilities.argmax(dim=1)
    matrix = multiclass_confusion_matrix(predicted, validation.labels, len(dataset.class_names))
    plot_curves(
        history.table,
        run.figure("curves"),
        loss="cross-entropy",
        second="accuracy",
        second_unit="%",
        factor=100,
        limits=(0, 102),
    )
    accuracy = float((predicted == validation.labels).double().mean())
    plot_confusion(
        matrix.numpy(),
        dataset.class_names,
        run.figure("confusion-validation"),
        f"{dataset.name}, validation split, {config.train_rotation}: {100 * accuracy:.1f} %",
    )
    seconds = history.table["seconds"]
    run.write_summary(
        {
            **run.read_summary(),
            "command": "train modelnet",
            "data": {
                "name": dataset.name,
                "source": dataset.source,
                "fingerprint": dataset.fingerprint,
                "classes": len(dataset.class_names),
                "training_shapes": len(training.labels),
                "validation_shapes": len(validation.labels),
                "test_shapes": len(dataset.test.labels),
            },
            "rotation": {"train": config.train_rotation, "validation": config.train_rotation},
            "votes": 1,
            "seed": config.seed,
            "parameters": sum(p.numel() for p in trained.model.parameters()),
            "epochs": len(history.rows),
            "kept_epoch": keep.epoch,
            "validation_accuracy": accuracy,
            "seconds_per_epoch": float(seconds.median()),
            "seconds_of_training": float(seconds.sum()),
            "threads": torch.get_num_threads(),
            "versions": dict(trained.header.versions),
        }
    )
