"""Training on densities of states from options, from scratch or onwards."""

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
from csgnn_dgl.models import DOSModel
from csgnn_dgl.tasks.callbacks import KeepWeights
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.dos.plots import plot_examples
from csgnn_dgl.tasks.dos.task import DOSTask, StructureBatches, target_tensor
from csgnn_dgl.tasks.dos.trained import KIND, TrainedDOS, dos_network, load_dos_model
from csgnn_dgl.tasks.history import History
from csgnn_dgl.tasks.plots import plot_curves
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.training import Echo, silent
from csgnn_dgl.tasks.training_job import Split, TrainingJob
from csgnn_dgl.tasks.weights import Header

__all__ = ["closing_lines", "load_run_data", "resume", "train"]


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
    return _JOB.train(config, echo)


def resume(path: Path, echo: Echo = silent, *, model: Any = None) -> RunDirectory:
    """Go on with the run at ``path`` from the end of its last complete epoch.

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
        f"{run.path}: mean absolute validation error {summary['validation_error']:.4g} "
        f"{summary['data']['dos_unit']} (epoch {summary['kept_epoch'] + 1} of "
        f"{summary['epochs']}, {summary['seconds_per_epoch']:.1f} s per epoch)",
        f"curves: {run.figure('curves')}, examples: {run.figure('examples-validation')}",
        f"test it: csgnn-dgl evaluate {run.path}",
    ]


def load_run_data(config: TrainDOSConfig, data: Path | None = None) -> DOSDataset:
    """The data that ``config`` names, or the same kind of data at another place."""
    return load_dos_dataset(config.data if data is None else data, seed=config.seed)


class _DOSJob(TrainingJob[TrainDOSConfig, DOSDataset]):
    command = "dos"
    built_in = "the built-in carbon set"
    config_class = TrainDOSConfig

    def load_data(self, config: TrainDOSConfig) -> DOSDataset:
        return load_run_data(config)

    def build(self, model: Any, config: TrainDOSConfig, data: DOSDataset) -> DOSModel:
        network = dos_network(model, config.hypers, data.elements, _head(config, data))
        if config.calibrate:
            training, _ = data.split_validation(config.validation_fraction, config.seed)
            network.head.calibrate(_curves_to_start_from(training))
        return network

    def header(self, config: TrainDOSConfig, data: DOSDataset, network: Any) -> Header:
        grid, electrons = data.grid, data.electrons_per_element
        return Header(
            kind=KIND,
            model={
                "name": config.model,
                "elements": list(network.model.elements),
                "hypers": config.hypers.model_dump(mode="json"),
            },
            head=_head(config, data),
            data={
                "name": data.name,
                "source": data.source,
                "fingerprint": data.fingerprint,
                "grid": {
                    "start": grid.start,
                    "step": grid.step,
                    "size": grid.size,
                    "unit": grid.unit,
                    "zero": grid.zero,
                },
                "quantity": data.quantity,
                "dos_unit": data.dos_unit,
                "electrons_per_element": electrons
                and {str(number): count for number, count in electrons.items()},
            },
        )

    def splits(self, config: TrainDOSConfig, data: DOSDataset, network: Any) -> tuple[Split, Split]:
        training, validation = (
            Split(
                part,
                StructureBatches(part, network.model.cutoff),
                [record.group for record in part],
            )
            for part in data.split_validation(config.validation_fraction, config.seed)
        )
        return training, validation

    def task(
        self, config: TrainDOSConfig, data: DOSDataset, network: Any, splits: tuple[Split, Split]
    ) -> DOSTask:
        return DOSTask(config, network, data.grid.step)

    def opening(
        self, config: TrainDOSConfig, data: DOSDataset, splits: tuple[Split, Split]
    ) -> list[str]:
        lines = list(data.warnings)
        if data.rejected:
            lines.append(
                f"{len(data.rejected)} structures cannot be used, the first is "
                f"{data.rejected[0].name}: {data.rejected[0].reason}"
            )
        sizes = [len(split.samples) for split in splits]
        return [
            *lines,
            f"{sizes[0]} training and {sizes[1]} validation structures of {len(data.elements)} "
            f"elements",
        ]

    def load_trained(self, run: RunDirectory, model: Any) -> TrainedDOS:
        return load_dos_model(run.path, model=model)

    def report(
        self,
        run: RunDirectory,
        config: TrainDOSConfig,
        data: DOSDataset,
        splits: tuple[Split, Split],
        trained: Any,
        history: History,
        keep: KeepWeights,
    ) -> dict[str, Any]:
        training, validation = (split.samples for split in splits)
        plot_curves(
            history.table,
            run.figure("curves"),
            loss="loss",
            second="error",
            second_unit=f"mean absolute error [{data.dos_unit}]",
            log=True,
        )
        shown = _spread_out(validation, 6)
        predicted = trained.predict([record.atoms for record in shown])
        plot_examples(shown, predicted, data, run.figure("examples-validation"))
        best = next(row for row in history.rows if row["epoch"] == keep.epoch)
        return {
            "data": {
                "grid": trained.header.data["grid"],
                "quantity": data.quantity,
                "dos_unit": data.dos_unit,
                "elements": list(data.elements),
                "training_structures": len(training),
                "validation_structures": len(validation),
                "test_structures": len(data.test),
                "rejected": len(data.rejected),
            },
            "validation_loss": best["validation_loss"],
            "validation_error": best["validation_error"],
        }


def _head(config: TrainDOSConfig, data: DOSDataset) -> dict[str, Any]:
    return {
        "bins": data.grid.size,
        "hidden": list(config.hidden),
        "dropout": config.dropout,
        "norm": config.norm,
    }


def _curves_to_start_from(records: Sequence[DOSRecord]) -> Tensor:
    """Curves of some atoms of every structure, or its own where those of its atoms are unknown."""
    if all(record.atom_dos is None for record in records):
        return target_tensor(records)
    rng = np.random.default_rng(0)
    some = [
        record.dos[None]
        if record.atom_dos is None
        else record.atom_dos[rng.integers(len(record.atoms), size=8)]
        for record in records
    ]
    return torch.from_numpy(np.concatenate(some).astype(np.float32))


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


_JOB = _DOSJob()
