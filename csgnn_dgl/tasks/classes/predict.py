"""Predict the classes of single files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from csgnn_dgl.datasets.isolation import isolation
from csgnn_dgl.datasets.shapes.checks import cloud_notes
from csgnn_dgl.datasets.shapes.shape_files import load_cloud
from csgnn_dgl.tasks.classes.domain import calibrated, outside_note, score_shapes
from csgnn_dgl.tasks.classes.trained import TrainedClassifier, load_classifier
from csgnn_dgl.tasks.classes.vote import vote
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.evaluation import chosen_set
from csgnn_dgl.tasks.files import FileResult, work_on_files
from csgnn_dgl.tasks.outcome import Outcome
from csgnn_dgl.tasks.use_config import PredictConfig, VoteSet

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
    score
        Out-of-domain score, above 1 if the shape is unlike those in training; None if unknown.
    calibrated
        Whether a probability is the share of right answers among held-out shapes for which the
        classifier is as sure. It is not so outside the domain.
    """

    file: Path
    classes: tuple[tuple[str, float], ...] = ()
    error: str | None = None
    warnings: tuple[str, ...] = ()
    score: float | None = None
    calibrated: bool = False

    @property
    def outside(self) -> bool | None:
        """Whether the shape lies outside the training data; None if unknown."""
        return None if self.score is None else self.score > 1


def predict_points(
    trained: TrainedClassifier,
    points: Tensor,
    *,
    votes: int = 1,
    seed: int = 0,
    vote_set: VoteSet = "designed",
) -> Tensor:
    """Predict class probabilities of clouds in any orientation.

    Parameters
    ----------
    trained
        The classifier.
    points
        Shape ``(n, N, 3)``, or ``(n, N, 3 + A)`` with the model's attributes; centred in the same
        way as the training data.
    votes
        Orientations to average over; a single one is the cloud as given. They are the same for all
        clouds, so that a cloud's prediction does not depend on the others.
    seed, vote_set
        Random seed for the rotations, and the kind of their set
        (:func:`~csgnn_dgl.tasks.votes.vote_rotations`).

    Returns
    -------
    Tensor
        Shape ``(n, classes)``, float64. They are calibrated if the classifier's file tells how.
    """
    found = vote(
        trained.model,
        points,
        rotation="so3",
        up_axis=trained.header.data["up_axis"],
        votes=votes,
        seed=seed,
        unrotated_first=True,
        same_for_all=True,
        vote_set=vote_set,
    )
    return calibrated(trained, found, votes)


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
        replace(result.values[0], file=result.file, warnings=_notes(result, str(weights)))
        if result.values
        else Prediction(result.file, error=result.error)
        for result in _results(trained, files, config, done)
    ]


def _notes(result: FileResult[Tensor, Prediction], name: str) -> tuple[str, ...]:
    """What is doubtful about a file's cloud, and about predictions for it by the model ``name``."""
    clouds = [cloud[:, :3].numpy() for cloud in result.items]
    notes = list(cloud_notes(np.stack(clouds), (result.file.name,))) if clouds else []
    outside = [outside_note(value.score, name) for value in result.values]
    return (*notes, *(note for note in outside if note))


def _results(
    trained: TrainedClassifier,
    files: Sequence[Path],
    config: PredictConfig,
    done: Callable[[int], object] | None,
) -> list[FileResult[Tensor, Prediction]]:
    chosen_set(config)
    # The same points of the file as in evaluation.
    read = partial(
        _read,
        points=trained.points,
        pool=trained.pool,
        seed=config.seed,
        attributes=trained.attributes,
    )

    sure = trained.temperature(config.votes) is not None

    def work(clouds: Sequence[Tensor]) -> list[Prediction]:
        points = torch.stack(list(clouds))
        found = predict_points(
            trained, points, votes=config.votes, seed=config.seed, vote_set=config.vote_set
        )
        scores = score_shapes(trained, points)
        known = [None] * len(points) if scores is None else scores.tolist()
        best = found.topk(min(config.top, len(trained.class_names)), dim=1)
        return [
            Prediction(
                Path(),  # the caller knows the file
                tuple((trained.class_names[i], p) for i, p in zip(classes, shares, strict=True)),
                score=score,
                calibrated=sure and not (score is not None and score > 1),
            )
            for classes, shares, score in zip(
                best.indices.tolist(), best.values.tolist(), known, strict=True
            )
        ]

    with isolation(config.isolate):
        return list(work_on_files(files, read, work, enough=64, strict=config.strict, done=done))


def _read(
    file: Path, *, points: int, pool: int, seed: int, attributes: tuple[str, ...]
) -> tuple[Tensor]:
    return (load_cloud(file, points=points, pool=pool, seed=seed, attributes=attributes),)


def predict_outcome(
    weights: Path,
    files: Sequence[Path],
    config: PredictConfig,
    *,
    done: Callable[[int], object] | None = None,
) -> Outcome:
    """Like :func:`predict`, with results for the command line."""
    trained = load_classifier(weights, choose_device(config.device), model=config.model)
    results = predict(weights, files, config, trained=trained, done=done)
    width = max(len(str(result.file)) for result in results)
    lines = []
    for result in results:
        lines.append(f"{result.file!s:<{width}}  {_text(result)}")
        lines += [f"  warning: {note}" for note in result.warnings]
    if trained.domain is None:
        lines.append(
            f"warning: {trained.path} does not say what its model was trained on, so there are no "
            f"out-of-domain scores; csgnn_dgl.tasks.calibrate adds them"
        )
    content = [
        {
            "file": str(result.file),
            "classes": [{"class": name, "probability": p} for name, p in result.classes],
            "out_of_domain_score": result.score,
            "outside_domain": result.outside,
            "calibrated": result.calibrated,
            "error": result.error,
            "warnings": list(result.warnings),
        }
        for result in results
    ]
    return Outcome(lines, content, [(result.file, result.error) for result in results])


def _text(result: Prediction) -> str:
    if not result.classes:
        return "cannot be used"
    if result.outside:
        return "   ".join(name for name, _ in result.classes) + "   (probability unknown)"
    text = "   ".join(f"{name} {100 * p:.1f} %" for name, p in result.classes)
    if not result.calibrated:
        text += "   (not calibrated)"
    return text if result.score is None else f"{text}   score {result.score:.2f}"
