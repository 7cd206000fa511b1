"""Training on densities of states from a configuration, from scratch or onwards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from csgnn_dgl.datasets.atoms.dos import DOSDataset, DOSRecord
from csgnn_dgl.datasets.atoms.loading import load_dos_dataset
from csgnn_dgl.errors import DataError
from csgnn_dgl.models import DOSConfig, DOSModel
from csgnn_dgl.tasks.callbacks import KeepWeights
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.dos.plots import plot_examples
from csgnn_dgl.tasks.dos.task import DOSTask, StructureBatches, dos_config, target_tensor
from csgnn_dgl.tasks.dos.trained import KIND, load_dos_model
from csgnn_dgl.tasks.history import History
from csgnn_dgl.tasks.loaders import batch_loader
from csgnn_dgl.tasks.plots import plot_curves
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.seeds import derive_seed
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

__all__ = ["dos_header", "fit_model", "report", "resume", "train"]


def train(config: TrainDOSConfig, echo: Echo = silent) -> RunDirectory:
    """Train a model of densities of states in a new run directory.

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
    require_free(config)
    if config.data is None and is_first_process():
        echo("no --data given: training on the built-in carbon set")
    dataset = load_dos_dataset(config.data, seed=config.seed)
    with new_run(config, "dos") as run:
        _fit(run, config, dataset, echo)
    return run


def resume(path: Path, echo: Echo = silent) -> RunDirectory:
    """Go on with the run at ``path`` from the end of its last complete epoch.

    Raises
    ------
    CheckpointError
        No run there, or a damaged one, or the data have changed since.
    """
    run = RunDirectory.open(path)
    config = TrainDOSConfig.from_yaml(run.config)
    _fit(run, config, load_dos_dataset(config.data, seed=config.seed), echo)
    return run


def dos_header(dataset: DOSDataset, network: DOSConfig) -> Header:
    """What must be known to use a model that was trained on ``dataset``."""
    grid, electrons = dataset.grid, dataset.electrons_per_element
    return Header(
        kind=KIND,
        model=network.to_dict(),
        data={
            "name": dataset.name,
            "source": dataset.source,
            "fingerprint": dataset.fingerprint,
            "grid": {
                "start": grid.start,
                "step": grid.step,
                "size": grid.size,
                "unit": grid.unit,
                "zero": grid.zero,
            },
            "quantity": dataset.quantity,
            "dos_unit": dataset.dos_unit,
            "electrons_per_element": electrons
            and {str(number): count for number, count in electrons.items()},
        },
    )


def fit_model(
    run: RunDirectory,
    config: TrainDOSConfig,
    dataset: DOSDataset,
    model: DOSModel,
    echo: Echo = silent,
) -> tuple[DOSTask, History, KeepWeights] | None:
    """Train a given model in a run directory; None in further processes of a distributed run."""
    training, validation = dataset.split_validation(config.validation_fraction, config.seed)
    if config.calibrate:
        model.calibrate(_curves_to_start_from(training))
    task = DOSTask(config, model, dataset.grid.step)
    if is_first_process():
        for warning in dataset.warnings:
            echo(f"warning: {warning}")
        if dataset.rejected:
            echo(
                f"warning: {len(dataset.rejected)} structures cannot be used, the first is "
                f"{dataset.rejected[0].name}: {dataset.rejected[0].reason}"
            )
        parameters = sum(p.numel() for p in model.parameters())
        echo(
            f"{run.path}: {len(training)} training and {len(validation)} validation structures of "
            f"{len(dataset.elements)} elements, {parameters:,} parameters"
        )
    cutoff = model.config.atoms.cutoff
    batches = [StructureBatches(split, cutoff) for split in (training, validation)]

    def make_loaders(rank: int, world_size: int) -> tuple[Any, Any]:
        training_loader, validation_loader = (
            batch_loader(
                part,
                config.batch_size,
                seed=derive_seed(config.seed, "order") % 2**32,
                shuffle=part is batches[0],
                groups=[record.group for record in part.records],
                rank=rank,
                world_size=world_size,
            )
            for part in batches
        )
        return training_loader, validation_loader

    header = dos_header(dataset, model.config)
    done = fit(run, task, header, make_loaders, command="dos", echo=echo)
    return None if done is None else (task, *done)


def _curves_to_start_from(records: Sequence[DOSRecord]) -> Tensor:
    """Curves of atoms of all structures, some of each; of structures where atoms have none."""
    if any(record.atom_dos is None for record in records):
        return target_tensor(records)
    rng = np.random.default_rng(0)
    some = [
        record.atom_dos[rng.integers(len(record.atoms), size=8)]
        for record in records
        if record.atom_dos is not None
    ]
    return torch.from_numpy(np.concatenate(some).astype(np.float32))


def _fit(run: RunDirectory, config: TrainDOSConfig, dataset: DOSDataset, echo: Echo) -> None:
    seed_weights(config.seed)
    done = fit_model(run, config, dataset, DOSModel(dos_config(config, dataset)), echo)
    if done is None:
        return
    _, history, keep = done
    report(run, config, dataset, history, keep)


def report(
    run: RunDirectory,
    config: TrainDOSConfig,
    dataset: DOSDataset,
    history: History,
    keep: KeepWeights,
) -> None:
    """Plots and summary, from the weights as saved."""
    training, validation = dataset.split_validation(config.validation_fraction, config.seed)
    plot_curves(
        history.table,
        run.figure("curves"),
        loss="loss",
        second="error",
        second_unit=f"mean absolute error [{dataset.dos_unit}]",
        log=True,
    )
    trained = load_dos_model(run.path)
    shown = _spread_out(validation, 6)
    predicted = trained.predict([record.atoms for record in shown])
    plot_examples(shown, predicted, dataset, run.figure("examples-validation"))
    seconds = history.table["seconds"]
    best = next(row for row in history.rows if row["epoch"] == keep.epoch)
    run.write_summary(
        {
            **run.read_summary(),
            "command": "train dos",
            "data": {
                **{k: trained.header.data[k] for k in ("name", "source", "fingerprint", "grid")},
                "quantity": dataset.quantity,
                "dos_unit": dataset.dos_unit,
                "elements": list(dataset.elements),
                "training_structures": len(training),
                "validation_structures": len(validation),
                "test_structures": len(dataset.test),
                "rejected": len(dataset.rejected),
            },
            "seed": config.seed,
            "parameters": sum(p.numel() for p in trained.model.parameters()),
            "epochs": len(history.rows),
            "kept_epoch": keep.epoch,
            "validation_loss": best["validation_loss"],
            "validation_error": best["validation_error"],
            "seconds_per_epoch": float(seconds.median()),
            "seconds_of_training": float(seconds.sum()),
            "threads": torch.get_num_threads(),
            "versions": dict(trained.header.versions),
        }
    )


def _spread_out(records: tuple[DOSRecord, ...], count: int) -> list[DOSRecord]:
    """A few structures, of as many groups as there are."""
    by_group: dict[str, list[DOSRecord]] = {}
    for record in records:
        by_group.setdefault(record.group, []).append(record)
    rounds = zip(*(members * count for members in by_group.values()), strict=False)
    unique = dict.fromkeys(record for round_ in rounds for record in round_)
    if not unique:
        raise DataError("there are no structures to show")
    return list(unique)[:count]
