"""Evaluate densities of states, Fermi levels and band energies on test structures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from csgnn_dgl._progress import shown
from csgnn_dgl.datasets.atoms.dos import DOSDataset, DOSRecord
from csgnn_dgl.errors import CheckpointError, DataError
from csgnn_dgl.physics import EnergyGrid
from csgnn_dgl.tasks.baseline import find_baseline
from csgnn_dgl.tasks.dos.averages import average_curves
from csgnn_dgl.tasks.dos.baseline import Comparison, MeanCurves, plain_rows
from csgnn_dgl.tasks.dos.calibration_report import report_calibration
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.dos.errors import LEVELS, compare_curves, summarize
from csgnn_dgl.tasks.dos.plots import plot_examples, plot_parity
from csgnn_dgl.tasks.dos.train import load_run_data
from csgnn_dgl.tasks.dos.trained import TrainedDOS, load_dos_model
from csgnn_dgl.tasks.dos.unseen import unknown_elements
from csgnn_dgl.tasks.evaluation import (
    Found,
    check_held_out,
    chosen_set,
    find_evaluated,
    refuse_idle_votes,
    votes_text,
)
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.use_config import EvaluateConfig

__all__ = ["DOSEvaluation", "evaluate"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DOSEvaluation:
    """Results on a split, as numbers and as text.

    Parameters
    ----------
    lines
        Text to print.
    split, votes
        Name of the split, and orientations per structure.
    structures
        A row per structure: see :func:`~csgnn_dgl.tasks.dos.errors.compare_curves`.
    table
        A row per type of structure and one for all: see
        :func:`~csgnn_dgl.tasks.dos.errors.summarize`.
    pictures
        Files of the plots.
    milliseconds_per_structure
        Wall time per structure, for all votes together: of finding neighbours and of the model.
    units
        Unit of energies, and unit of curves.
    comparison
        The errors beside those of the mean training curve; None if that is not known.
    content
        The results as plain values for JSON.
    records, predicted
        The structures, and their predicted curves, shape ``(n, E)``.
    """

    lines: list[str]
    split: str
    votes: int
    structures: pd.DataFrame
    table: pd.DataFrame
    pictures: tuple[Path, ...]
    milliseconds_per_structure: float
    units: tuple[str, str]
    comparison: Comparison | None
    content: dict[str, Any]
    records: Sequence[DOSRecord]
    predicted: Floats


def _partly_known(table: pd.DataFrame) -> list[str]:
    """A line that says how many structures are behind the means of levels, if not all are."""
    last = table.iloc[-1]
    counts = [f"{name} {last[f'with_{name}']}" for name in LEVELS if f"with_{name}" in table]
    if not counts:
        return []
    return [
        f"structures whose levels are known and predicted: {', '.join(counts)}; the others' curves "
        f"are incomplete, hold too few states, or end within the gap"
    ]


def evaluate(weights: str | Path, config: EvaluateConfig) -> DOSEvaluation:
    """Predict the test structures of a run's data, or its validation structures if it has none.

    ``config.split`` chooses one of them. Data on which the model was not trained, and which have no
    test structures, are used whole.
    Beside the model's errors stand those of the mean curve of its training data.

    If the weights belong to a run, the result is added to its ``summary.json``, the errors of every
    structure are written to ``evaluation-<split>.csv``, and curves and band energies are drawn. For
    weights without a run nothing is written.

    Parameters
    ----------
    weights
        A run directory, a file of weights, or a shipped model by name.
    config
        Votes, seed, data, device.

    Raises
    ------
    CSGNNError
        There is no such run, the data have changed, they lack the split, or their elements or
        energies differ from the model's.
    """
    with shown(config.progress):
        return _evaluate(weights, config)


def _evaluate(weights: str | Path, config: EvaluateConfig) -> DOSEvaluation:
    refuse_idle_votes(config)
    vote_set = chosen_set(config)
    found = find_evaluated(
        weights,
        config,
        load=load_dos_model,
        options=options_of,
        config_class=TrainDOSConfig,
        data=load_run_data,
    )
    trained, dataset = found.trained, found.data
    check_same(trained, dataset)
    split, records = _chosen(found, config)
    for record in records:
        if problem := unknown_elements(trained.model.model, record.atoms, str(trained.path)):
            raise DataError(f"{record.name}: {problem}")
    # What is loaded and set up at the first use of a model would else dominate the time.
    average_curves(trained, [record.atoms for record in records[:1]])
    started = time.perf_counter()
    curves = average_curves(
        trained,
        [record.atoms for record in records],
        votes=config.votes,
        seed=config.seed,
        vote_set=config.vote_set,
    )
    milliseconds = 1000 * (time.perf_counter() - started) / len(records)
    predicted = np.array([curve.mean(axis=0) for curve in curves])
    structures = compare_curves(records, predicted, dataset.grid)
    table = summarize(structures)
    report = report_calibration(trained, records, predicted, split, config.votes, found.run)
    means, missing = find_baseline(
        found,
        read=lambda content: MeanCurves.from_plain(content, trained.grid.size),
        compute=lambda data: _training_means(data, found.options),
        load=load_run_data,
    )
    comparison = None
    if means is not None:
        comparison, baseline = _compare(means, records, dataset.grid, table)
        structures = structures.join(baseline)
    entry = {
        "split": split,
        "votes": config.votes,
        "vote_set": vote_set,
        "seed": config.seed,
        "milliseconds_per_structure": milliseconds,
        "data": dataset.source,
        "fingerprint": dataset.fingerprint,
        "figures": plain_rows(table),
        "baseline": None if comparison is None else comparison.plain(),
        "calibration": report.figures,
    }
    pictures: tuple[Path, ...] = ()
    if found.run is not None:
        pictures = _draw(found.run, split, records, predicted, structures, dataset)
        found.run.write_table(f"evaluation-{split}", structures)
        found.run.record_evaluation(entry, ("split", "votes", "vote_set", "seed", "fingerprint"))
    energy, dos = dataset.grid.unit, dataset.dos_unit
    # Phonons, and data without electrons, have no levels.
    has_levels = "band_energy" in structures
    levels = (
        f"; levels and gaps, of the curves of data and model alike, in {energy}, band energies in "
        f"{energy}/atom"
        if has_levels
        else ""
    )
    shown_table = table if comparison is None else comparison.table()
    which = f"all {len(structures)}" if split == "all" else f"{len(structures)} {split}"
    lines = [
        shown_table.to_string(index=False, float_format=lambda value: f"{value:.4f}", na_rep="–"),
        f"mean absolute errors on {which} structures, "
        f"{votes_text(config.votes, vote_set)}: dos in {dos}{levels}; "
        f"{milliseconds:.1f} ms per structure",
        *_partly_known(table),
        *([missing] if comparison is None else comparison.lines()),
        *(f"warning: {warning}" for warning in dataset.warnings),
        *report.lines,
        *(f"picture: {picture}" for picture in pictures),
    ]
    if trained.dos_unit != dos:
        lines.append(
            f"warning: {trained.path} predicts {trained.dos_unit!r}, and {dataset.source} are in "
            f"{dos!r}: is it the same unit?"
        )
    return DOSEvaluation(
        lines,
        split,
        config.votes,
        structures,
        table,
        pictures,
        milliseconds,
        (energy, dos),
        comparison,
        {**entry, "units": {"energy": energy, "dos": dos}, "messages": lines[1:]},
        records,
        predicted,
    )


def _chosen(
    found: Found[TrainedDOS, TrainDOSConfig, DOSDataset], config: EvaluateConfig
) -> tuple[str, Sequence[DOSRecord]]:
    """The structures to evaluate, and the name of their split."""
    dataset, options = found.data, found.options
    if config.split == "validation":
        check_held_out(found)
    elif dataset.test:
        return "test", dataset.test
    elif config.split == "test":
        raise DataError(
            f"{dataset.source} has no test structures; leave out --split, or name data that have "
            f"some with --data"
        )
    if found.trained.was_trained_on(dataset):
        return "validation", dataset.split_validation(options.validation_fraction, options.seed)[1]
    # The model has seen none of them, so nothing needs to be held out.
    return "all", dataset.records


def _training_means(dataset: DOSDataset, options: TrainDOSConfig) -> MeanCurves:
    training, _ = dataset.split_validation(options.validation_fraction, options.seed)
    return MeanCurves.of(training)


def _compare(
    means: MeanCurves, records: Sequence[DOSRecord], grid: EnergyGrid, table: pd.DataFrame
) -> tuple[Comparison, pd.DataFrame]:
    """Compare with the mean curves; also returns their errors by structure."""
    by_type = compare_curves(records, means.predict(records), grid)
    overall = compare_curves(records, means.predict(records, by_type=False), grid)
    typed = any(record.group in means.by_type for record in records)
    comparison = Comparison(table, summarize(by_type), summarize(overall).tail(1), typed)
    names = [str(name) for name in by_type]
    errors = [name for name in names if name.startswith(("dos_", "fdos_", "r2"))]
    errors += [name for name in names if name.endswith("_error")]
    return comparison, by_type[errors].add_prefix("mean_curve_")


def _draw(
    run: RunDirectory,
    split: str,
    records: Sequence[DOSRecord],
    predicted: Floats,
    structures: pd.DataFrame,
    dataset: DOSDataset,
) -> tuple[Path, ...]:
    order = np.argsort(structures["dos_mae"].to_numpy(), kind="stable")
    shown = order[np.linspace(0, len(order) - 1, min(6, len(order))).round().astype(int)]
    pictures = [run.figure(f"examples-{split}")]
    plot_examples([records[i] for i in shown], predicted[shown], dataset, pictures[0])
    if "band_energy_error" in structures:
        pictures.append(run.figure(f"band-energy-{split}"))
        error = float(structures["band_energy_error"].abs().mean())
        plot_parity(
            structures.dropna(subset="band_energy_error"),
            dataset.grid.unit,
            pictures[1],
            f"Band energy, {split}: mean absolute error {error:.4f} {dataset.grid.unit}/atom",
        )
    return tuple(pictures)


def options_of(trained: TrainedDOS) -> TrainDOSConfig:
    # Where the data name no splits, they are drawn again.
    known = ("seed", "validation_fraction")
    return TrainDOSConfig(**{k: v for k, v in trained.header.data.items() if k in known})


def check_same(trained: TrainedDOS, dataset: DOSDataset) -> None:
    if trained.grid != dataset.grid:
        raise DataError(
            f"{dataset.source} has the energies {dataset.grid}, but {trained.path} was trained on "
            f"the energies {trained.grid}"
        )
    if trained.quantity != dataset.quantity:
        raise CheckpointError(
            f"{trained.path} predicts {trained.quantity} densities of states, but {dataset.source} "
            f"holds {dataset.quantity} ones"
        )
