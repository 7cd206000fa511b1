"""Predict the classes of single files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from csgnn_dgl.datasets.isolation import isolation
from csgnn_dgl.datasets.shapes.checks import cloud_notes
from csgnn_dgl.tasks.classes.clouds import reader_of
from csgnn_dgl.tasks.classes.domain import calibrated, outside_note, score_shapes
from csgnn_dgl.tasks.classes.trained import TrainedClassifier, load_classifier
from csgnn_dgl.tasks.classes.vote import vote
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.evaluation import chosen_set
from csgnn_dgl.tasks.files import FileResult, work_on_files
from csgnn_dgl.tasks.outcome import Outcome
from csgnn_dgl.tasks.output_files import check_output
from csgnn_dgl.tasks.table_files import TABLE_ENDINGS, write_rows
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
    probabilities
        Probability of every class, in the order of the classes; empty if the file cannot be used.
    """

    file: Path
    classes: tuple[tuple[str, float], ...] = ()
    error: str | None = None
    warnings: tuple[str, ...] = ()
    score: float | None = None
    calibrated: bool = False
    probabilities: Mapping[str, float] = field(default_factory=dict)

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
    """Classify meshes or clouds, and write the output file.

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
        There are no files, or the format of the output is not known.
    DataError
        A file cannot be used, with ``strict``.
    ResourceError
        The output cannot be written.
    """
    if config.output is not None:
        check_output(config.output, TABLE_ENDINGS, files)
    if trained is None:
        trained = load_classifier(weights, choose_device(config.device), model=config.model)
    found = [
        replace(result.values[0], file=result.file, warnings=_notes(result, str(weights)))
        if result.values
        else Prediction(result.file, error=result.error)
        for result in _results(trained, files, config, done)
    ]
    usable = [prediction for prediction in found if prediction.classes]
    if config.output is not None and usable:
        _write(config, usable, str(weights), trained)
    return found


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
    read = reader_of(trained, config.seed)
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
                probabilities=dict(zip(trained.class_names, row, strict=True)),
            )
            for classes, shares, score, row in zip(
                best.indices.tolist(), best.values.tolist(), known, found.tolist(), strict=True
            )
        ]

    with isolation(config.isolate):
        return list(work_on_files(files, read, work, enough=64, strict=config.strict, done=done))


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
    usable = [result for result in results if result.classes]
    if config.output is not None and usable:
        lines.append(f"probabilities of {len(usable)} shapes written to {config.output}")
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


def _write(
    config: PredictConfig, results: Sequence[Prediction], model: str, trained: TrainedClassifier
) -> None:
    """Write the probabilities of all classes, in the format of the ending of the output."""
    assert config.output is not None
    names = list(trained.class_names)
    rows = np.array([list(result.probabilities.values()) for result in results])
    columns = {
        "file": [str(result.file) for result in results],
        "class": [names[index] for index in rows.argmax(axis=1)],
        "score": [np.nan if result.score is None else result.score for result in results],
        "calibrated": [result.calibrated for result in results],
        "warnings": ["; ".join(result.warnings) for result in results],
    }
    shares = pd.DataFrame(rows, columns=[f"p_{name}" for name in names])
    metadata = {
        "model": model,
        "classes": names,
        "votes": config.votes,
        **({"vote_set": config.vote_set} if config.votes > 1 else {}),
        "seed": config.seed,
        "score": "distance from the training data; above 1: outside; NaN: unknown",
        "calibrated": "whether probabilities are shares of right answers among held-out shapes",
    }
    write_rows(
        config.output,
        pd.concat([pd.DataFrame(columns), shares], axis=1),
        {
            "source_file": columns["file"],
            **{name: values for name, values in columns.items() if name != "file"},
            "probabilities": rows,
            "class_names": names,
        },
        metadata,
    )


def _text(result: Prediction) -> str:
    if not result.classes:
        return "cannot be used"
    if result.outside:
        return "   ".join(name for name, _ in result.classes) + "   (probability unknown)"
    text = "   ".join(f"{name} {100 * p:.1f} %" for name, p in result.classes)
    if not result.calibrated:
        text += "   (not calibrated)"
    return text if result.score is None else f"{text}   score {result.score:.2f}"
