"""Evaluate an embedding by retrieval: does similarity find the other shapes of a class?"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from csgnn_dgl._progress import shown
from csgnn_dgl.errors import DataError
from csgnn_dgl.tasks.classes.embedding import embed_shapes
from csgnn_dgl.tasks.classes.evaluate import choose_shapes, plain_table
from csgnn_dgl.tasks.classes.similar import random_average_precision, rank
from csgnn_dgl.tasks.classes.trained import TrainedClassifier
from csgnn_dgl.tasks.evaluation import votes_text
from csgnn_dgl.tasks.use_config import EvaluateConfig

__all__ = ["Retrieval", "ShapeRetrieval", "evaluate"]


@dataclass(frozen=True)
class Retrieval:
    """Results of retrieval: every shape in turn is the query, and ranks all others of the split.

    Parameters
    ----------
    split, rotation, votes, vote_set, seed
        The shapes; their rotations, one for each shape; and orientations to average over.
    shapes
        Number of shapes.
    mean_average_precision
        Mean over queries of the average precision.
    nearest_neighbour
        Share of queries whose most similar shape is of their class.
    first_tier, second_tier
        Mean share of the ``c`` others of a query's class that are among the ``c``, and among the
        ``2 c``, most similar shapes.
    random
        Mean average precision to expect of a random order.
    alone
        Number of shapes that are no queries, because no other shape is of their class.
    milliseconds_per_shape
        Wall time per embedding, for all votes together.
    data, fingerprint
        Path of the data, and the SHA-256 of their content.
    """

    split: str
    rotation: str
    votes: int
    vote_set: str | None
    seed: int
    shapes: int
    mean_average_precision: float
    nearest_neighbour: float
    first_tier: float
    second_tier: float
    random: float
    alone: int
    milliseconds_per_shape: float
    data: str
    fingerprint: str


@dataclass(frozen=True, eq=False)
class ShapeRetrieval:
    """Results of retrieval, as numbers and as text.

    Parameters
    ----------
    lines
        Text to print.
    result
        The numbers.
    table
        Mean average precision of each class, one row per class.
    """

    lines: list[str]
    result: Retrieval
    table: pd.DataFrame

    @property
    def content(self) -> dict[str, Any]:
        """The results as plain values for JSON."""
        return {**asdict(self.result), **plain_table(self.table), "messages": self.lines[1:]}


def evaluate(
    weights: str | Path, config: EvaluateConfig, *, trained: TrainedClassifier | None = None
) -> ShapeRetrieval:
    """Rank the shapes of a split by the cosine similarity of their embeddings.

    The data may have any classes. If the weights belong to a run, the result is added to its
    ``summary.json``, where it replaces an earlier one of the same protocol.

    Parameters
    ----------
    weights
        A run directory, a file of weights, or a shipped model by name.
    config
        Protocol, data and device.
    trained
        The classifier, if it has been loaded already.

    Raises
    ------
    CSGNNError
        There are no such weights or data, or no class has two shapes in the split.
    """
    with shown(config.progress):
        return _evaluate(weights, config, trained)


def _evaluate(
    weights: str | Path, config: EvaluateConfig, trained: TrainedClassifier | None
) -> ShapeRetrieval:
    of = choose_shapes(weights, config, trained)
    found, split, chosen, vote_set = of.found, of.split, of.shapes, of.vote_set
    options, dataset = found.options, found.data
    expected = random_average_precision(chosen.labels) if len(chosen) else np.nan
    if np.isnan(expected):
        raise DataError(
            f"no class of {dataset.source} has two {split} shapes, so there is nothing to "
            f"retrieve; name data with --data that have such classes"
        )
    started = time.perf_counter()
    features = embed_shapes(
        found.trained,
        chosen.clouds[:, : options.points],
        votes=config.votes,
        seed=config.seed,
        batch_size=config.batch_size,
        vote_set=config.vote_set,
        rotation=config.rotation,
        up_axis=dataset.up_axis,
        unrotated_first=False,
        same_for_all=False,
    )
    seconds = time.perf_counter() - started
    ranking = rank(features, chosen.labels)
    result = Retrieval(
        split=split,
        rotation=config.rotation,
        votes=config.votes,
        vote_set=vote_set,
        seed=config.seed,
        shapes=len(chosen),
        mean_average_precision=float(np.nanmean(ranking.average_precision)),
        nearest_neighbour=float(np.nanmean(ranking.nearest)),
        first_tier=float(np.nanmean(ranking.first_tier)),
        second_tier=float(np.nanmean(ranking.second_tier)),
        random=expected,
        alone=int(np.isnan(ranking.average_precision).sum()),
        milliseconds_per_shape=1000 * seconds / len(chosen),
        data=dataset.source,
        fingerprint=dataset.fingerprint,
    )
    labels = pd.Series(dataset.class_names)[chosen.labels.tolist()].to_numpy()
    table = (
        pd.DataFrame({"class": labels, "average_precision": ranking.average_precision})
        .groupby("class")["average_precision"]
        .agg(["size", "mean"])
        .reset_index()
        .rename(columns={"size": "shapes", "mean": "mean_average_precision"})
    )
    if found.run is not None:
        found.run.record_evaluation(
            asdict(result),
            ("split", "rotation", "votes", "vote_set", "seed", "fingerprint"),
            "retrieval",
        )
    notes = [f"warning: {warning}" for warning in dataset.warnings]
    return ShapeRetrieval([*_lines(result, table), *notes], result, table)


def _lines(result: Retrieval, table: pd.DataFrame) -> list[str]:
    values = [f"{100 * value:.1f} %" for value in table["mean_average_precision"]]
    lines = [
        table.assign(mean_average_precision=values).to_string(index=False),
        f"mean average precision {100 * result.mean_average_precision:.2f} % (a random order: "
        f"{100 * result.random:.1f} %), nearest neighbour "
        f"{100 * result.nearest_neighbour:.2f} %, first tier {100 * result.first_tier:.1f} %, "
        f"second tier {100 * result.second_tier:.1f} % on {result.shapes} {result.split} shapes; "
        f"{result.rotation} rotations, {votes_text(result.votes, result.vote_set)}; "
        f"{result.milliseconds_per_shape:.1f} ms per shape",
    ]
    if result.alone:
        lines.append(
            f"{result.alone} shapes are alone in their class and no queries; they are ranked only"
        )
    return lines
