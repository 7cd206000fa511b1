"""The test split, once, under a rotation protocol."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from torchmetrics.functional.classification import multiclass_confusion_matrix
from tqdm import tqdm

from csgnn_dgl.datasets.shapes import load_dataset
from csgnn_dgl.errors import DataError
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.shapes.config import EvaluateConfig, TrainModelNetConfig
from csgnn_dgl.tasks.shapes.inference import vote
from csgnn_dgl.tasks.shapes.plots import plot_confusion
from csgnn_dgl.tasks.shapes.trained import check_classes, load_classifier

__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True)
class Evaluation:
    """What came out on the test split.

    Parameters
    ----------
    train_rotation, rotation
        Protocols of training and of this evaluation.
    votes, seed
        Rotations per shape, and their seed.
    shapes
        How many test shapes.
    accuracy
        Share of shapes classified rightly.
    class_accuracy
        Mean over classes of the share of their shapes classified rightly.
    milliseconds_per_shape
        Wall time of one shape, votes included.
    data, fingerprint
        Where the data are, and the SHA-256 of their content.
    """

    train_rotation: str
    rotation: str
    votes: int
    seed: int
    shapes: int
    accuracy: float
    class_accuracy: float
    milliseconds_per_shape: float
    data: str
    fingerprint: str


def evaluate(path: Path, config: EvaluateConfig) -> tuple[Evaluation, pd.DataFrame, Path]:
    """Classify the test split of a run's data.

    The result is added to the run's ``summary.json`` (in place of an earlier one of the same
    protocol), and the confusion matrix is drawn.

    Parameters
    ----------
    path
        The run directory.
    config
        Protocol and place.

    Returns
    -------
    tuple
        The result; a table with a row per class; the picture's path.

    Raises
    ------
    CSGNNError
        No such run, other data, no test shapes.
    """
    run = RunDirectory.open(path)
    trained = load_classifier(path, choose_device(config.device))
    options = TrainModelNetConfig.from_yaml(run.config)
    dataset = load_dataset(
        options.data if config.data is None else config.data,
        points=options.points,
        pool=options.pool,
        up_axis=options.up_axis,
        seed=options.seed,
    )
    check_classes(trained, dataset.class_names, dataset.source)
    known = trained.header.data.get("fingerprint")
    if dataset.fingerprint != known and config.data is None:
        raise DataError(
            f"{dataset.source} has changed since {path} was trained on it, so its test shapes may "
            f"have been training shapes; restore it, or name the data to use with --data"
        )
    if len(dataset.test) == 0:
        raise DataError(f"{dataset.source} has no test shapes")
    started = time.perf_counter()
    total = len(dataset.test)
    quiet = not (config.progress and sys.stderr.isatty())
    with tqdm(total=total, desc="evaluating", unit="shape", leave=False, disable=quiet) as bar:
        probabilities = vote(
            trained.model,
            dataset.test.points[:, : options.points],
            rotation=config.rotation,
            up_axis=dataset.up_axis,
            votes=config.votes,
            seed=config.seed,
            batch_size=config.batch_size,
            progress=bar.update,
        )
    seconds = time.perf_counter() - started
    labels, predicted = dataset.test.labels, probabilities.argmax(dim=1)
    matrix = multiclass_confusion_matrix(predicted, labels, len(dataset.class_names)).numpy()
    counts = matrix.sum(axis=1)
    recall = np.divide(
        matrix.diagonal(), counts, out=np.full(len(counts), np.nan), where=counts > 0
    )
    result = Evaluation(
        train_rotation=options.train_rotation,
        rotation=config.rotation,
        votes=config.votes,
        seed=config.seed,
        shapes=total,
        accuracy=float((predicted == labels).double().mean()),
        class_accuracy=float(np.nanmean(recall)),
        milliseconds_per_shape=1000 * seconds / total,
        data=dataset.source,
        fingerprint=dataset.fingerprint,
    )
    picture = run.figure(f"confusion-test-{config.rotation}-{config.votes}-votes")
    title = (
        f"{dataset.name}, test split, {options.train_rotation}/{config.rotation}, "
        f"{config.votes} vote{'s' * (config.votes > 1)}: {100 * result.accuracy:.1f} %"
    )
    plot_confusion(matrix, dataset.class_names, picture, title)
    run.record_evaluation(asdict(result), ("rotation", "votes", "seed", "fingerprint"))
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
    return result, table, picture
