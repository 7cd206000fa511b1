"""Training a classifier from a configuration, from scratch or onwards."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torchmetrics.functional.classification import multiclass_confusion_matrix

from csgnn_dgl.datasets.shapes import ShapeDataset, ShapeSplit, load_dataset
from csgnn_dgl.errors import CheckpointError, ConfigError, CSGNNError, DataError, ResourceError
from csgnn_dgl.grid import require_memory
from csgnn_dgl.models import ClassifierConfig
from csgnn_dgl.tasks.callbacks import KeepWeights
from csgnn_dgl.tasks.checkpoint_io import AtomicCheckpointIO
from csgnn_dgl.tasks.history import History
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.seeds import derive_seed
from csgnn_dgl.tasks.shapes.classification import ClassificationTask, classifier_config
from csgnn_dgl.tasks.shapes.config import TrainModelNetConfig
from csgnn_dgl.tasks.shapes.inference import vote
from csgnn_dgl.tasks.shapes.loaders import shape_loader
from csgnn_dgl.tasks.shapes.plots import plot_confusion, plot_curves
from csgnn_dgl.tasks.shapes.trained import KIND, load_classifier
from csgnn_dgl.tasks.weights import Header, load_weights, save_weights

__all__ = ["is_first_process", "resume", "train"]

# Lightning starts further processes by running the same command again; they find the run here.
_RUN_VARIABLE = "CSGNN_RUN_DIRECTORY"

Echo = Callable[[str], object]


def _silent(line: str) -> None:
    """Say nothing."""


def train(config: TrainModelNetConfig, echo: Echo = _silent) -> RunDirectory:
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
    if config.data is None and is_first_process():
        echo("no --data given: training on the built-in solids")
    dataset = _load(config)
    if is_first_process():
        run = RunDirectory.create(config.output, "modelnet", config.to_yaml())
        os.environ[_RUN_VARIABLE] = str(run.path.resolve())
    else:
        run = _run_of_first_process(config)
    try:
        _fit(run, config, dataset, echo)
    finally:
        os.environ.pop(_RUN_VARIABLE, None)
    return run


def resume(path: Path, echo: Echo = _silent) -> RunDirectory:
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


def is_first_process() -> bool:
    """Whether this process is the only one, or the one that writes and prints."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def _run_of_first_process(config: TrainModelNetConfig) -> RunDirectory:
    place = os.environ.get(_RUN_VARIABLE) or config.output
    if place is None:
        raise ConfigError("training on several machines needs --output: they must share one folder")
    for _ in range(600):
        if (Path(place) / "config.yaml").is_file():
            return RunDirectory.open(Path(place))
        time.sleep(0.1)
    raise CheckpointError(f"the first process made no run directory {place} within a minute")


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
    first_process = is_first_process()
    training, validation = dataset.split_validation(config.validation_fraction, config.seed)
    if len(training.labels) < 2:
        raise DataError(
            f"{dataset.source}: {len(training.labels)} training shapes are left after holding out "
            f"{len(validation.labels)} for validation; at least 2 are needed"
        )
    network = classifier_config(config, len(dataset.class_names))
    header = _header(dataset, config, network)
    _check_unchanged(run, header)
    seed_everything(derive_seed(config.seed, "weights") % 2**32, workers=True, verbose=False)
    counts = torch.bincount(training.labels, minlength=len(dataset.class_names))
    task = ClassificationTask(config, counts.tolist(), dataset.up_axis)
    history = History(run.metrics, echo if first_process else _silent)
    if first_process:
        for warning in dataset.warnings:
            echo(f"warning: {warning}")
        parameters = sum(p.numel() for p in task.model.parameters())
        echo(
            f"{run.path}: {len(training)} training and {len(validation)} validation shapes in "
            f"{len(dataset.class_names)} classes, {parameters:,} parameters"
        )
    keep = KeepWeights(
        config.select, lambda task: save_weights(run.model, task.kept.state_dict(), header)
    )
    trainer = _trainer(run, config, [history, keep])
    loaders = [
        shape_loader(
            split,
            config.batch_size,
            seed=derive_seed(config.seed, "order") % 2**32,
            shuffle=split is training,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )
        for split in (training, validation)
    ]
    checkpoint = run.last_checkpoint if run.last_checkpoint.is_file() else None
    if first_process:
        with run.locked():
            try:
                _run_trainer(trainer, task, loaders, checkpoint)
            except ResourceError as error:
                raise ResourceError(
                    f"{error}. Every epoch before is saved; then go on with: "
                    f"csgnn-dgl train modelnet --resume {run.path}"
                ) from error
    else:
        _run_trainer(trainer, task, loaders, checkpoint)
    if trainer.interrupted:
        raise CSGNNError(
            f"interrupted after {len(history.rows)} epochs, all of them saved; go on with: "
            f"csgnn-dgl train modelnet --resume {run.path}"
        )
    if first_process:
        _report(run, config, dataset, (training, validation), history, keep)


def _check_unchanged(run: RunDirectory, header: Header) -> None:
    if not run.model.is_file():
        return
    before, _ = load_weights(run.model, KIND)
    if before.data.get("fingerprint") != header.data["fingerprint"]:
        raise CheckpointError(
            f"the data have changed since {run.path} was begun ({before.data.get('source')}, now "
            f"{header.data['source']}); restore them, or begin a new run"
        )


def _devices(text: str) -> str | int:
    return int(text) if text.lstrip("-").isdigit() else text


def _trainer(run: RunDirectory, config: TrainModelNetConfig, callbacks: list[Callback]) -> Trainer:
    if config.progress and sys.stderr.isatty():
        callbacks = [*callbacks, TQDMProgressBar(leave=False)]
        bar = True
    else:
        bar = False
    callbacks.append(
        ModelCheckpoint(
            dirpath=run.path,
            filename="last",
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
    )
    # Lightning's notes on hardware and products, which our own lines would drown in.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    try:
        return Trainer(
            accelerator=config.accelerator,
            devices=_devices(config.devices),
            num_nodes=config.num_nodes,
            precision=config.precision,
            max_epochs=config.epochs,
            gradient_clip_val=config.gradient_clip or None,
            callbacks=callbacks,
            plugins=[AtomicCheckpointIO()],
            logger=TensorBoardLogger(run.path, name="", version="tensorboard"),
            use_distributed_sampler=False,
            enable_progress_bar=bar,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
        )
    except (ValueError, RuntimeError, ImportError) as error:  # Lightning's words for bad devices
        raise ConfigError(
            f"Lightning cannot use accelerator {config.accelerator!r} with devices "
            f"{config.devices!r}: {error}"
        ) from error


def _run_trainer(
    trainer: Trainer, task: ClassificationTask, loaders: list[Any], checkpoint: Path | None
) -> None:
    with warnings.catch_warnings():
        # The shapes are in memory already: worker processes would only copy them.
        warnings.filterwarnings("ignore", message=".*does not have many workers")
        # The run directory holds its configuration before training starts.
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists")
        # A run that was moved or copied goes on where it is now.
        warnings.filterwarnings("ignore", message="The dirpath has changed")
        # Lightning's own use of torch.
        warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
        training, validation = loaders
        trainer.fit(task, training, validation, ckpt_path=checkpoint, weights_only=True)


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
    plot_curves(history.table, run.figure("curves"))
    plot_confusion(matrix.numpy(), dataset.class_names, run.figure("confusion-validation"))
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
            "validation_accuracy": float((predicted == validation.labels).double().mean()),
            "seconds_per_epoch": float(seconds.median()),
            "seconds_of_training": float(seconds.sum()),
            "threads": torch.get_num_threads(),
            "versions": dict(trained.header.versions),
        }
    )
