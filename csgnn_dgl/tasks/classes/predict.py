"""Predict the classes of single files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from csgnn_dgl.datasets.isolation import isolation
from csgnn_dgl.datasets.shapes.checks import cloud_notes
from csgnn_dgl.datasets.shapes.shape_files import load_cloud
from csgnn_dgl.tasks.classes.trained import TrainedClassifier, load_classifier
from csgnn_dgl.tasks.classes.vote import vote
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.files import FileResult, work_on_files
from csgnn_dgl.tasks.outcome import Outcome
from csgnn_dgl.tasks.use_config import PredictConfig

__all__ = ["Prediction", "predict", "predict_outcome", "predict_points"]


@dataclass(frozen=True)
class Prediction:
    """Predicted classes of one file.

    Parameters
    ----------
    file
        The file.
    classes
        The most probable classes and their probabilities, in decreasing order; empty if the file
        cannot be used.
    error
        Why the file cannot be used; None if it can.
    warnings
        What is doubtful about the file, in sentences.
    """

    file: Path
    classes: tuple[tuple[str, float], ...] = ()
    error: str | None = None
    warnings: tuple[str, ...] = ()


def predict_points(
    trained: TrainedClassifier, points: Tensor, *, votes: int = 1, seed: int = 0
) -> Tensor:
    """Predict class probabilities of clouds in any orientation.

    Parameters
    ----------
    trained
        The classifier.
    points
        Shape ``(n, N, 3)``, centred in the same way as the training data.
    votes
        Orientations to average over: the first as given, the others random. They are the same for
        all clouds, so that a cloud's prediction does not depend on the others.
    seed
        Random seed for the rotations.

    Returns
    -------
    Tensor
        Shape ``(n, classes)``, float64.
    """
    return vote(
        trained.model,
        points,
        rotation="so3",
        up_axis=trained.header.data["up_axis"],
        votes=votes,
        seed=seed,
        unrotated_first=True,
        same_for_all=True,
    )


def predict(
    weights: str | Path,
    files: Sequence[Path],
    config: PredictConfig,
    *,
    trained: TrainedClassifier | None = None,
    done: Callable[[int], object] | None = None,
) -> list[Prediction]:
    """Classify meshes or clouds.

    Parameters
    ----------
    weights
        Run directory, or file of weights.
    files
        Meshes or clouds, of any orientation, position and size.
    config
        Votes, classes to list, seed, device.
    trained
        The classifier, if it has been loaded already.
    done
        Called with the number of files finished since the last call.

    Returns
    -------
    list of Prediction
        One for each file, in their order. If a file cannot be used, its prediction has an error.

    Raises
    ------
    CheckpointError
        There is no model, or it cannot be used.
    ConfigError
        There are no files.
    DataError
        A file cannot be used, with ``strict``.
    """
    if trained is None:
        trained = load_classifier(weights, choose_device(config.device), model=config.model)
    return [
        Prediction(
            result.file, result.values[0] if result.values else (), result.error, _notes(result)
        )
        for result in _results(trained, files, config, done)
    ]


def _notes(result: FileResult[Tensor, Any]) -> tuple[str, ...]:
    """What is doubtful about a file's cloud."""
    clouds = [cloud.numpy() for cloud in result.items]
    return tuple(cloud_notes(np.stack(clouds), (result.file.name,))) if clouds else ()


def _results(
    trained: TrainedClassifier,
    files: Sequence[Path],
    config: PredictConfig,
    done: Callable[[int], object] | None,
) -> list[FileResult[Tensor, tuple[tuple[str, float], ...]]]:
    # The same points of the file as in evaluation.
    read = partial(_read, points=trained.points, pool=trained.pool, seed=config.seed)

    def work(clouds: Sequence[Tensor]) -> list[tuple[tuple[str, float], ...]]:
        found = predict_points(
            trained, torch.stack(list(clouds)), votes=config.votes, seed=config.seed
        )
        best = found.topk(min(config.top, len(trained.class_names)), dim=1)
        return [
            tuple((trained.class_names[i], p) for i, p in zip(classes, shares, strict=True))
            for classes, shares in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    with isolation(config.isolate):
        return list(work_on_files(files, read, work, enough=64, strict=config.strict, done=done))


def _read(file: Path, *, points: int, pool: int, seed: int) -> tuple[Tensor]:
    return (load_cloud(file, points=points, pool=pool, seed=seed),)


def predict_outcome(
    weights: Path,
    files: Sequence[Path],
    config: PredictConfig,
    *,
    done: Callable[[int], object] | None = None,
) -> Outcome:
    """Like :func:`predict`, with results for the command line."""
    results = predict(weights, files, config, done=done)
    width = max(len(str(result.file)) for result in results)
    lines = []
    for result in results:
        text = "   ".join(f"{name} {100 * p:.1f} %" for name, p in result.classes)
        lines.append(f"{result.file!s:<{width}}  {text or 'cannot be used'}")
        lines += [f"  warning: {note}" for note in result.warnings]
    content = [
        {
            "file": str(result.file),
            "classes": [{"class": name, "probability": p} for name, p in result.classes],
            "error": result.error,
            "warnings": list(result.warnings),
        }
        for result in results
    ]
    return Outcome(lines, content, [(result.file, result.error) for result in results])
