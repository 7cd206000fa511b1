"""How far shapes lie from a classifier's training data, and how sure it may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from csgnn_dgl.datasets.shapes import ShapeSplit
from csgnn_dgl.mapping import RotationProtocol
from csgnn_dgl.mapping.shape_fingerprint import shape_fingerprint
from csgnn_dgl.tasks.calibration import calibrated_probabilities, fit_temperature
from csgnn_dgl.tasks.classes.baseline import count_classes
from csgnn_dgl.tasks.classes.embedding_scale import EmbeddingScale, fit_scale
from csgnn_dgl.tasks.classes.trained import TrainedClassifier
from csgnn_dgl.tasks.classes.vote import embed, vote
from csgnn_dgl.tasks.domain import fit_domain
from csgnn_dgl.tasks.learned import Learned, sampled

__all__ = ["calibrated", "learn_shapes", "outside_note", "score_shapes"]

Floats = npt.NDArray[np.float64]

# Numbers of votes that temperatures are learned for.
_VOTES = (1, 5)
# Most held-out shapes, and training shapes.
_HELD_OUT, _TRAINING = 2000, 5000
# Training shapes from which the scales of the embedding are learned.
_EMBEDDED = 4000


def score_shapes(trained: TrainedClassifier, points: Tensor) -> Floats | None:
    """Out-of-domain scores of clouds ``(n, N, 3 + A)``: ``(n,)``, above 1 outside; None if unknown.

    A cloud must be centred in the same way as the training data. Its first points are used, as
    many as in training.
    """
    if trained.domain is None:
        return None
    return trained.domain.scores(_fingerprints(trained, points))


def _fingerprints(trained: TrainedClassifier, points: Tensor) -> Floats:
    found: Floats = shape_fingerprint(points[:, : trained.points, :3].cpu()).numpy()
    return found


def outside_note(
    score: float | None, name: str, advice: str = "its probabilities mean nothing"
) -> str | None:
    """Describe a shape outside the domain; None for one inside, or if that is unknown.

    ``advice`` says what that means for the result.

    Examples
    --------
    >>> outside_note(0.4, "runs/a") is None
    True
    >>> outside_note(3.25, "runs/a")[:59]
    'unlike what runs/a was trained on (score 3.25, above 1: out'
    """
    if score is None or score <= 1:
        return None
    return f"unlike what {name} was trained on (score {score:.2f}, above 1: outside); {advice}"


def calibrated(trained: TrainedClassifier, probabilities: Tensor, votes: int) -> Tensor:
    """Probabilities that agree with shares of right answers, where the classifier knows how."""
    temperature = trained.temperature(votes)
    if temperature is None or not len(probabilities):
        return probabilities
    return torch.from_numpy(calibrated_probabilities(probabilities.numpy(), temperature))


def learn_shapes(
    trained: TrainedClassifier,
    training: ShapeSplit,
    held_out: ShapeSplit,
    *,
    rotation: RotationProtocol,
    seed: int,
) -> Learned:
    """Learn a classifier's domain, its temperatures, and the counts of its training classes.

    Also learns the scales of its embedding.

    Parameters
    ----------
    trained
        The classifier.
    training, held_out
        Shapes that it was and was not trained on.
    rotation
        Rotations in training; held-out shapes are classified under the same.
    seed
        Random seed for the choice of shapes and for rotations.
    """
    baseline = count_classes(training.labels.tolist(), trained.class_names)
    inside, own = (
        (split.clouds[chosen], split.labels[chosen])
        for split, chosen in (
            (training, _chosen(training, _TRAINING, seed)),
            (held_out, _chosen(held_out, _HELD_OUT, seed)),
        )
    )
    domain = fit_domain(
        [row[None] for row in _fingerprints(trained, inside[0])],
        [row[None] for row in _fingerprints(trained, own[0])],
        grouped=False,
        labels=inside[1].numpy(),
        seed=seed,
    )
    if domain is None:
        return Learned(baseline=baseline)
    scale = _scale(trained, training, rotation, seed)
    entries: dict[str, Any] = {}
    for votes in _VOTES:
        probabilities = vote(
            trained.model,
            own[0][:, : trained.points],
            rotation=rotation,
            up_axis=trained.header.data["up_axis"],
            votes=votes,
            seed=seed,
        )
        fitted = fit_temperature(probabilities.numpy(), own[1].numpy(), seed=seed)
        if fitted is not None:
            entries[str(votes)] = fitted
    calibration = {"rotation": rotation, "votes": entries} if entries else {}
    tensors = {} if scale is None else scale.tensors()
    return Learned(domain, calibration, tensors, baseline)


def _scale(
    trained: TrainedClassifier, training: ShapeSplit, rotation: RotationProtocol, seed: int
) -> EmbeddingScale | None:
    """Learn the scales of the embedding, under the rotations of the training."""
    chosen = _chosen(training, _EMBEDDED, seed)
    features = embed(
        trained.model,
        training.clouds[chosen][:, : trained.points],
        seed=seed,
        rotation=rotation,
        up_axis=trained.header.data["up_axis"],
        unrotated_first=False,
        same_for_all=False,
    )
    return fit_scale(features, training.labels[chosen])


def _chosen(split: ShapeSplit, most: int, seed: int) -> list[int]:
    indices: Sequence[int] = sampled(range(len(split)), most, seed)
    return list(indices)
