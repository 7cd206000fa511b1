"""Evaluate a classifier under a rotation protocol."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from csgnn_dgl._progress import shown
from csgnn_dgl.datasets.shapes import ShapeDataset, ShapeSplit
from csgnn_dgl.errors import DataError
from csgnn_dgl.tasks.baseline import find_baseline
from csgnn_dgl.tasks.classes.baseline import MajorityClass, count_classes
from csgnn_dgl.tasks.classes.calibration_report import report_calibration
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.domain import calibrated
from csgnn_dgl.tasks.classes.plots import plot_confusion
from csgnn_dgl.tasks.classes.train import load_run_data, split_run_data
from csgnn_dgl.tasks.classes.trained import TrainedClassifier, check_classes, load_classifier
from csgnn_dgl.tasks.classes.vote import vote
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.evaluation import Found, check_held_out, chosen_set, find_evaluated, votes_text
from csgnn_dgl.tasks.shipped import find_weights
from csgnn_dgl.tasks.use_config import EvaluateConfig, VoteSet

__all__ = [
    "ChosenShapes",
    "Evaluation",
    "ShapeEvaluation",
    "choose_shapes",
    "evaluate",
    "find_shapes",
    "plain_table",
]


@dataclass(frozen=True)
class Evaluation:
    """Results on a split.

    Parameters
    ----------
    split
        Name of the split.
    train_rotation, rotation
        Protocols of training and of this evaluation.
    votes, vote_set, seed
        Rotations per shape, the kind of their set (None for one), and their random seed.
    shapes
        Number of shapes.
    accuracy
        Share of shapes classified correctly.
    class_accuracy
        Share of shapes classified correctly in each class, averaged over classes.
    milliseconds_per_shape
        Wall time per shape, for all votes together.
    data, fingerprint
        Path of the data, and the SHA-256 of their content.
    baseline
        Accuracy of always naming the commonest class of the training data; None if that is not
        known.
    """

    split: str
    train_rotation: str
    rotation: str
    votes: int
    vote_set: str | None
    seed: int
    shapes: int
    accuracy: float
    class_accuracy: float
    milliseconds_per_shape: float
    data: str
    fingerprint: str
    baseline: dict[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class ShapeEvaluation:
    """Results on a split, as numbers and as text.

    Parameters
    ----------
    lines
        Text to print.
    result
        The numbers.
    table
        Accuracy of each class, one row per class.
    picture
        The confusion matrix, if one was drawn.
    chosen
        The shapes of the split.
    probabilities
        Their class probabilities, calibrated if the classifier's file tells how, shape
        ``(n, classes)``.
    """

    lines: list[str]
    result: Evaluation
    table: pd.DataFrame
    picture: Path | None
    chosen: ShapeSplit
    probabilities: Tensor

    @property
    def content(self) -> dict[str, Any]:
        """The results as plain values for JSON."""
        return {**asdict(self.result), **plain_table(self.table), "messages": self.lines[1:]}


@dataclass(frozen=True, eq=False)
class ChosenShapes:
    """What an evaluation works on.

    Parameters
    ----------
    found
        The classifier, the options of its training, and the data.
    split, shapes
        Name of the split, and its shapes.
    vote_set
        Kind of the votes; None for one.
    """

    found: Found[TrainedClassifier, TrainModelNetConfig, ShapeDataset]
    split: str
    shapes: ShapeSplit
    vote_set: VoteSet | None


def evaluate(
    weights: str | Path, config: EvaluateConfig, *, trained: TrainedClassifier | None = None
) -> ShapeEvaluation:
    """Classify the test split of a run's data, or of other data with the same classes.

    Or, with ``config.split``, the shapes that the training held out for validation.
    If the weights belong to a run, the result is added to its ``summary.json``, where it replaces
    an earlier one of the same protocol, and the confusion matrix is drawn.

    Parameters
    ----------
    weights
        A run directory, or a file of weights.
    config
        Protocol, data and device.
    trained
        The classifier, if it has been loaded already.

    Raises
    ------
    CSGNNError
        There is no such run, the data have changed or have other classes, or there are no test
        shapes.
    """
    with shown(config.progress):
        return _evaluate(weights, config, trained)


def _evaluate(
    weights: str | Path, config: EvaluateConfig, trained: TrainedClassifier | None
) -> ShapeEvaluation:
    of = choose_shapes(weights, config, trained)
    found, split, chosen, vote_set = of.found, of.split, of.shapes, of.vote_set
    trained, options, dataset = found.trained, found.options, found.data
    check_classes(trained, dataset.class_names, dataset.source)
    if len(chosen) == 0:
        raise DataError(
            f"{dataset.source} has no {split} shapes; name data that have some with --data"
        )
    started = time.perf_counter()
    total = len(chosen)
    probabilities = vote(
        trained.model,
        chosen.clouds[:, : options.points],
        rotation=config.rotation,
        up_axis=dataset.up_axis,
        votes=config.votes,
        seed=config.seed,
        vote_set=config.vote_set,
        batch_size=config.batch_size,
    )
    seconds = time.perf_counter() - started
    labels, predicted = chosen.labels, probabilities.argmax(dim=1)
    matrix = multiclass_confusion_matrix(predicted, labels, len(dataset.class_names)).numpy()
    counts = matrix.sum(axis=1)
    recall = np.divide(
        matrix.diagonal(), counts, out=np.full(len(counts), np.nan), where=counts > 0
    )
    accuracy = float((predicted == labels).double().mean())
    names = dataset.class_names
    majority, missing = find_baseline(
        found,
        read=lambda counts: MajorityClass.of(dict(counts), labels.tolist(), names),
        compute=lambda data: MajorityClass.of(
            count_classes(_training_labels(data, options), names), labels.tolist(), names
        ),
        load=partial(load_run_data, attributes=trained.attributes),
    )
    result = Evaluation(
        split=split,
        train_rotation=options.train_rotation,
        rotation=config.rotation,
        votes=config.votes,
        vote_set=vote_set,
        seed=config.seed,
        shapes=total,
        accuracy=accuracy,
        class_accuracy=float(np.nanmean(recall)),
        milliseconds_per_shape=1000 * seconds / total,
        data=dataset.source,
        fingerprint=dataset.fingerprint,
        baseline=None if majority is None else majority.plain(accuracy),
    )
    confused = matrix - np.diag(matrix.diagonal())
    table = pd.DataFrame(
        {
            "class": dataset.class_names,
            "shapes": counts,
            "accuracy": recall,
            "most often taken for": [
                dataset.class_names[row.argmax()] if row.sum() else "" for row in confused
            ],
        }
    )
    report, calibration = report_calibration(
        trained,
        chosen.points,
        labels,
        probabilities,
        votes=config.votes,
        split=split,
        name=f"{split}-{config.rotation}-{config.votes}-votes",
        run=found.run,
    )
    picture = None
    if found.run is not None:
        picture = found.run.figure(f"confusion-{split}-{config.rotation}-{config.votes}-votes")
        title = (
            f"{dataset.name}, {split} split, {options.train_rotation}/{config.rotation}, "
            f"{votes_text(config.votes, vote_set)}: {100 * result.accuracy:.1f} %"
        )
        plot_confusion(matrix, dataset.class_names, picture, title)
        found.run.record_evaluation(
            {**asdict(result), "calibration": calibration},
            ("split", "rotation", "votes", "vote_set", "seed", "fingerprint"),
        )
    notes = [missing if majority is None else majority.line(accuracy)]
    notes += [f"warning: {warning}" for warning in dataset.warnings]
    if split == "validation" and calibration["ece"] is not None:
        report.append("the calibration was learned from this split, so it does not test it")
    lines = _lines(result, table, picture, notes) + report
    shares = calibrated(trained, probabilities, config.votes)
    return ShapeEvaluation(lines, result, table, picture, chosen, shares)


def choose_shapes(
    weights: str | Path, config: EvaluateConfig, trained: TrainedClassifier | None = None
) -> ChosenShapes:
    """Find the shapes to evaluate on, and check that the options of the protocol have an effect.

    Raises
    ------
    CSGNNError
        As :func:`evaluate`, but other classes and a split without shapes are not refused.
    """
    if config.rotation == "none":
        # Every vote would be the same.
        config.refuse_unused(
            ("votes", "vote_set", "seed"), "with --rotation none, shapes are taken as given"
        )
    vote_set = chosen_set(config)
    found = find_shapes(weights, config, trained)
    split, shapes = config.split or "test", found.data.test
    if split == "validation":
        check_held_out(found)
        _, shapes = split_run_data(found.data, found.options)
    return ChosenShapes(found, split, shapes, vote_set)


def plain_table(table: pd.DataFrame) -> dict[str, Any]:
    """Rows of classes as plain values for JSON; what is not known is None."""
    rows = [
        {key: None if value != value else value for key, value in row.items()}
        for row in table.to_dict("records")
    ]
    return {"classes": rows}


def find_shapes(
    weights: str | Path, config: EvaluateConfig, trained: TrainedClassifier | None = None
) -> Found[TrainedClassifier, TrainModelNetConfig, ShapeDataset]:
    """Find a classifier, and the data that it is evaluated on, with the attributes it needs.

    See :func:`~csgnn_dgl.tasks.evaluation.find_evaluated`.
    """
    if trained is None:
        path = find_weights(weights)
        trained = load_classifier(path, choose_device(config.device), model=config.model)
    found = find_evaluated(
        weights,
        config,
        load=load_classifier,
        trained=trained,
        options=options_of,
        config_class=TrainModelNetConfig,
        data=partial(load_run_data, attributes=trained.attributes),
    )
    if found.run is None and trained.was_trained_on(found.data):
        # The axis may have been given to the training. Other data have their own.
        own = replace(found.data, up_axis=trained.header.data["up_axis"])
        found = replace(found, data=own)
    return found


def _training_labels(data: ShapeDataset, options: TrainModelNetConfig) -> list[int]:
    training, _ = split_run_data(data, options)
    labels: list[int] = training.labels.tolist()
    return labels


def options_of(trained: TrainedClassifier) -> TrainModelNetConfig:
    data = trained.header.data
    # Where the data name no splits, they are drawn again.
    known = ("train_rotation", "seed", "validation_fraction", "shapes_per_class")
    return TrainModelNetConfig(
        points=trained.points,
        pool=data.get("asked_pool"),
        **{name: data[name] for name in known if name in data},
    )


def _lines(
    result: Evaluation, table: pd.DataFrame, picture: Path | None, notes: list[str]
) -> list[str]:
    shown = table.assign(accuracy=[f"{100 * value:.1f} %" for value in table["accuracy"]])
    return [
        shown.to_string(index=False),
        f"accuracy {100 * result.accuracy:.2f} % (mean of classes "
        f"{100 * result.class_accuracy:.2f} %) on {result.shapes} {result.split} shapes; "
        f"trained with {result.train_rotation}, tested with "
        f"{result.rotation} rotations, {votes_text(result.votes, result.vote_set)}; "
        f"{result.milliseconds_per_shape:.1f} ms per shape",
        *notes,
        *([] if picture is None else [f"confusion matrix: {picture}"]),
    ]
