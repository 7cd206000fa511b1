"""Train on densities of states from options, or resume a training."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from csgnn_dgl.datasets.atoms.dos import DOSDataset, DOSRecord
from csgnn_dgl.datasets.atoms.loading import load_dos_dataset
from csgnn_dgl.errors import DataError
from csgnn_dgl.models import CurveHead, DOSModel
from csgnn_dgl.tasks.baseline import BASELINE, training_warnings
from csgnn_dgl.tasks.callbacks import KeepWeights
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.dos.baseline import MeanCurves
from csgnn_dgl.tasks.dos.closing_fit import RIDGES, closing_fit, held_out_loss
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.dos.learn import learn_atoms
from csgnn_dgl.tasks.dos.plots import plot_examples
from csgnn_dgl.tasks.dos.task import DOSTask, StructureBatches, target_tensor
from csgnn_dgl.tasks.dos.trained import KIND, TrainedDOS, dos_network, load_dos_model
from csgnn_dgl.tasks.history import History
from csgnn_dgl.tasks.learned import Learned
from csgnn_dgl.tasks.plots import plot_curves
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.same_data import identity
from csgnn_dgl.tasks.training import Echo, silent
from csgnn_dgl.tasks.training_job import Split, TrainingJob, resume_job, train_job
from csgnn_dgl.tasks.weights import Header, save_weights

__all__ = ["DOSJob", "closing_lines", "load_run_data", "resume", "train", "without_curves"]


# Fewer training structures than this get a warning. A cautious choice: a model of 11 structures was
# worse than the mean curve, and where the limit lies was not measured.
_FEW = 40


def train(config: TrainDOSConfig, echo: Echo = silent) -> RunDirectory:
    """Train on densities of states; see :func:`~csgnn_dgl.tasks.training_job.train_job`."""
    return train_job(DOSJob, config, echo)


def resume(path: Path, echo: Echo = silent, *, model: Any = None) -> RunDirectory:
    """Resume a run; see :func:`~csgnn_dgl.tasks.training_job.resume_job`."""
    return resume_job(DOSJob, TrainDOSConfig, path, echo, model)


def closing_lines(run: RunDirectory) -> list[str]:
    """Describe the results of a finished run and the next step, in lines to print."""
    summary = run.read_summary()
    return [
        f"{run.path}: mean absolute validation error {summary['validation_error']:.4g} "
        f"{summary['data']['dos_unit']} (epoch {summary['kept_epoch']} of "
        f"{summary['epochs']}, {summary['seconds_per_epoch']:.1f} s per epoch)",
        f"curves: {run.figure('curves')}, examples: {run.figure('examples-validation')}",
        f"test it: csgnn-dgl evaluate {run.path}",
    ]


def load_run_data(config: TrainDOSConfig, data: Path | None = None) -> DOSDataset:
    """Load the data that ``config`` names, or the same kind of data at another path."""
    return load_dos_dataset(config.data if data is None else data, seed=config.seed)


class DOSJob(TrainingJob[TrainDOSConfig, DOSDataset]):
    """The training of one model of densities of states."""

    command = "dos"
    built_in = "the built-in carbon set"

    def load_data(self) -> DOSDataset:
        return load_run_data(self.config)

    def build(self) -> DOSModel:
        network = dos_network(self.model, self.config.hypers, self.data.elements, self._head())
        if self.config.calibrate:
            head = cast(CurveHead, network.head)  # it is fitted only after the training
            head.calibrate(_curves_to_start_from(self.training))
        return network

    def _head(self) -> dict[str, Any]:
        config = self.config
        return {
            "bins": self.data.grid.size,
            "hidden": list(config.hidden),
            "dropout": config.dropout,
            "norm": config.norm,
            # Files of the usual head stay as they were.
            **({"apart": True} if config.apart else {}),
        }

    def header(self, network: Any) -> Header:
        data, electrons = self.data, self.data.electrons_per_element
        return Header(
            kind=KIND,
            model={
                "name": self.config.model,
                "elements": list(network.model.elements),
                "hypers": self.config.hypers.model_dump(mode="json"),
            },
            head=self._head(),
            data={
                "name": data.name,
                "source": data.source,
                **identity(data),
                "grid": asdict(data.grid),
                "quantity": data.quantity,
                "dos_unit": data.dos_unit,
                "seed": self.config.seed,
                "validation_fraction": self.config.validation_fraction,
                BASELINE: MeanCurves.of(self.training).to_plain(),
                "electrons_per_element": electrons
                and {str(number): count for number, count in electrons.items()},
            },
        )

    def splits(self, network: Any) -> tuple[Split, Split]:
        training, validation = (
            Split(
                part,
                StructureBatches(
                    part,
                    network.model.cutoff,
                    grid=self.data.grid if self.config.band_weight else None,
                ),
                [record.group for record in part],
            )
            for part in (self.training, self.validation)
        )
        return training, validation

    def task(self, network: Any) -> DOSTask:
        return DOSTask(self.config, network, self.data.grid)

    def opening(self) -> list[str]:
        data, lines = self.data, list(self.data.warnings)
        if data.rejected:
            lines.append(
                f"{len(data.rejected)} structures cannot be used; the first is "
                f"{data.rejected[0].name}: {data.rejected[0].reason}"
            )
        config = self.config
        lines += training_warnings(
            samples=len(self.training),
            few=_FEW,
            what="structures",
            batch_size=config.batch_size,
            epochs=config.epochs,
            ema_decay=config.ema_decay,
        )
        lines += without_curves(self.training, config.atoms_per_structure)
        return [
            *lines,
            f"{len(self.training)} training and {len(self.validation)} validation structures of "
            f"{len(data.elements)} elements",
        ]

    def finish(self, run: RunDirectory, splits: tuple[Split, Split], echo: Echo) -> dict[str, Any]:
        if not self.config.closing_fit:
            return {}
        started, trained = time.perf_counter(), self.load_trained(run)
        header, network = trained.header, trained.model
        if self.config.accelerator in ("auto", "gpu", "cuda"):
            network.to(choose_device("auto"))
        task = self.task(network).to(next(network.parameters()).device)
        training, validation = (cast(StructureBatches, split.batches) for split in splits)
        if header.head.get("fitted"):  # a finished run is resumed
            loss, error = held_out_loss(task, network, validation)
            # Unknown, if the run was stopped after the fit and before its summary was written.
            known = run.read_summary().get("closing_fit")
            return {
                "validation_loss": loss,
                "validation_error": error,
                **({"closing_fit": known} if known else {}),
            }
        head = {**header.head, "fitted": True}
        fitted = dos_network(self.model, self.config.hypers, header.model["elements"], head)
        found = closing_fit(task, fitted, training, validation)
        seconds = round(time.perf_counter() - started, 2)
        if found.ridge is None:
            echo(
                f"the closing fit did not lower the validation loss ({found.loss:.3g} with all "
                f"atoms), so the last layer stays as it was trained"
            )
        else:
            # What was learned of the trained layer, in a run that had finished, holds no more.
            header = replace(header, head=head, domain={}, calibration={})
            save_weights(run.model, fitted.state_dict(), header)
            echo(
                f"closing fit of the last layer: validation loss {found.losses[None]:.3g} before, "
                f"{found.loss:.3g} after, with all atoms; {seconds:.0f} s"
            )
            if found.ridge == RIDGES[-1]:
                echo(f"its penalty, {found.ridge:g}, is the largest that was tried")
        return {
            "validation_loss": found.loss,
            "validation_error": found.error,
            "closing_fit": {
                "ridge": found.ridge,
                "validation_loss_before": found.losses[None],
                "seconds": seconds,
            },
        }

    def load_trained(self, run: RunDirectory) -> TrainedDOS:
        return load_dos_model(run.path, model=self.model)

    def learn(self, trained: Any) -> Learned:
        return learn_atoms(trained, self.training, self.validation, self.config.seed)

    def report(
        self, run: RunDirectory, trained: Any, history: History, keep: KeepWeights
    ) -> dict[str, Any]:
        data, validation = self.data, self.validation
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
                "training_structures": len(self.training),
                "validation_structures": len(validation),
                "test_structures": len(data.test),
                "rejected": len(data.rejected),
            },
            "validation_loss": best["validation_loss"],
            "validation_error": best["validation_error"],
        }


def without_curves(records: Sequence[DOSRecord], count: int | None) -> list[str]:
    """Warn if some atoms stand for a structure, but their own curves are not known."""
    if count is None:
        return []
    lacking = [r for r in records if r.atom_dos is None and len(r.atoms) > count]
    if not lacking:
        return []
    return [
        f"{len(lacking)} of {len(records)} training structures, such as {lacking[0].name}, have no "
        f"curves of their atoms. With atoms_per_structure = {count}, {count} atoms at random "
        f"then stand for all {len(lacking[0].atoms)}, so every atom is drawn to the mean of its "
        f"structure. Take all atoms (leave out atoms_per_structure, or take another preset)"
    ]


def _curves_to_start_from(records: Sequence[DOSRecord]) -> Tensor:
    """Curves of some atoms of every structure, or the structure's curve if these are unknown."""
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
    """Choose a few structures from as many groups as possible."""
    by_group: dict[str, list[DOSRecord]] = {}
    for record in records:
        by_group.setdefault(record.group, []).append(record)
    rounds = zip(*(members * count for members in by_group.values()), strict=False)
    unique = dict.fromkeys(record for round_ in rounds for record in round_)
    if not unique:
        raise DataError("there are no structures to show")
    return list(unique)[:count]
