"""Class probabilities of clouds under a rotation protocol, with votes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from csgnn_dgl._progress import working
from csgnn_dgl.mapping import (
    RotationProtocol,
    UpAxis,
    normalize_clouds,
    rotate_clouds,
)
from csgnn_dgl.models import Classifier
from csgnn_dgl.models.contract import has_normals
from csgnn_dgl.tasks.use_config import VoteSet
from csgnn_dgl.tasks.votes import average_over_votes, vote_rotations

__all__ = ["embed", "rotated_embedding", "rotated_scores", "vote"]

#: From the network, clouds and a rotation of each to a row for each cloud.
Answer = Callable[[Classifier, Tensor, Tensor], Tensor]


@torch.no_grad()
def rotated_scores(model: Classifier, points: Tensor, rotations: Tensor) -> Tensor:
    """Compute the class scores of rotated clouds: one step of every evaluation and prediction.

    Parameters
    ----------
    model
        The classifier in evaluation mode, on any device.
    points
        Shape ``(B, N, 3)``.
    rotations
        A matrix for each cloud, shape ``(B, 3, 3)``.

    Returns
    -------
    Tensor
        Scores before the softmax, on the device of the model, shape ``(B, num_classes)``.
    """
    scores: Tensor = model(_rotated(model, points, rotations))
    return scores


@torch.no_grad()
def rotated_embedding(model: Classifier, points: Tensor, rotations: Tensor) -> Tensor:
    """Compute the embeddings of rotated clouds, shape ``(B, features)``; see :func:`embed`.

    The arguments are those of :func:`rotated_scores`.
    """
    return model.embed(_rotated(model, points, rotations))


def _rotated(model: Classifier, points: Tensor, rotations: Tensor) -> Tensor:
    """Rotated clouds on the device of the model, in the unit ball."""
    like = next(model.parameters())
    clouds = points.to(like.device, like.dtype)
    matrices = rotations.to(like.device, like.dtype)
    return normalize_clouds(rotate_clouds(clouds, matrices, normals=has_normals(model.model)))


def vote(
    model: Classifier,
    points: Tensor,
    *,
    rotation: RotationProtocol,
    up_axis: UpAxis,
    votes: int = 1,
    seed: int = 0,
    batch_size: int = 64,
    unrotated_first: bool = False,
    same_for_all: bool = False,
    vote_set: VoteSet = "designed",
) -> Tensor:
    """Average class probabilities over ``votes`` rotations of each cloud.

    Every cloud has its own rotations. They are drawn for the whole set at once, so the batch size
    does not affect the result. The softmax is averaged, not the scores, over all votes (the paper's
    released code kept only the last vote).

    Parameters
    ----------
    model
        The classifier in evaluation mode, on any device.
    points
        Shape ``(n, N, 3)``, or ``(n, N, 3 + A)`` with the model's attributes.
    rotation, up_axis
        Protocol of :func:`~csgnn_dgl.mapping.random_rotations`.
    votes
        Rotations per cloud.
    seed
        Random seed for the rotations.
    batch_size
        Clouds per step.
    unrotated_first, vote_set
        See :func:`~csgnn_dgl.tasks.votes.vote_rotations`.
    same_for_all
        Use the same rotations for all clouds, so that a cloud's result does not depend on its
        place among them.

    Returns
    -------
    Tensor
        Probabilities, float64 on the CPU, shape ``(n, num_classes)``.
    """
    return _averaged(
        model,
        points,
        lambda *given: rotated_scores(*given).softmax(dim=-1),
        model.num_classes,
        batch_size,
        vote_rotations(
            votes,
            seed,
            samples=1 if same_for_all else len(points),
            rotation=rotation,
            up_axis=up_axis,
            unrotated_first=unrotated_first,
            vote_set=vote_set,
        ),
    )


def embed(
    model: Classifier,
    points: Tensor,
    *,
    votes: int = 1,
    seed: int = 0,
    batch_size: int = 64,
    vote_set: VoteSet = "designed",
    rotation: RotationProtocol = "so3",
    up_axis: UpAxis = "z",
    unrotated_first: bool = True,
    same_for_all: bool = True,
) -> Tensor:
    """Average the embedding of each cloud over ``votes`` rotations.

    The embedding is what :meth:`csgnn_dgl.models.Classifier.embed` returns. With the defaults, one
    vote takes clouds as given, and a cloud's embedding does not depend on the other clouds.

    Parameters
    ----------
    model
        The classifier in evaluation mode, on any device.
    points, votes, seed, batch_size, vote_set, rotation, up_axis, unrotated_first, same_for_all
        As for :func:`vote`.

    Returns
    -------
    Tensor
        Float64 on the CPU, shape ``(n, features)``.

    Raises
    ------
    DataError
        An embedding is NaN or infinite.
    """
    return _averaged(
        model,
        points,
        rotated_embedding,
        model.embedding_features,
        batch_size,
        vote_rotations(
            votes,
            seed,
            samples=1 if same_for_all else len(points),
            rotation=rotation,
            up_axis=up_axis,
            unrotated_first=unrotated_first,
            vote_set=vote_set,
        ),
    )


@torch.no_grad()
def _averaged(
    model: Classifier,
    points: Tensor,
    answer: Answer,
    columns: int,
    batch_size: int,
    rotations: list[Tensor],
) -> Tensor:
    """Mean of the answers for each cloud over all rotations, shape ``(n, columns)``."""
    rows = []
    with working("shapes", len(rotations) * len(points), unit="shape") as done:
        for start in range(0, len(points), batch_size):
            chosen = slice(start, start + batch_size)
            clouds = points[chosen].to(next(model.parameters()).device)

            def answers(matrices: Tensor, clouds: Tensor = clouds) -> list[Tensor]:
                found = answer(model, clouds, matrices)
                done(len(clouds))
                return [found.to("cpu", torch.float64)]

            rows += average_over_votes(
                answers, [matrices.expand(len(points), 3, 3)[chosen] for matrices in rotations]
            )
    return torch.cat(rows) if rows else torch.zeros(0, columns)
