"""Answers averaged over orientations: one way for evaluation and prediction of every kind."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from csgnn_dgl.errors import ConfigError, CSGNNError
from csgnn_dgl.mapping import RotationProtocol, UpAxis, random_rotations
from csgnn_dgl.tasks.seeds import generator

__all__ = ["average_over_votes", "vote_rotations"]

Answer = TypeVar("Answer")


def vote_rotations(
    votes: int,
    seed: int,
    *,
    samples: int = 1,
    rotation: RotationProtocol = "so3",
    up_axis: UpAxis = "z",
    unrotated_first: bool = True,
) -> list[Tensor]:
    """The rotations to average over.

    The rotations of a vote depend on the seed and the number of the vote alone. So more votes keep
    those of fewer, and with ``samples=1`` a sample's answer does not depend on what else there is.

    Parameters
    ----------
    votes
        How many orientations.
    seed
        Random seed.
    samples
        Rotations to draw for each vote: one for all samples, or one each.
    rotation, up_axis
        Protocol of :func:`~csgnn_dgl.mapping.random_rotations`.
    unrotated_first
        Let the first vote be the samples as they are.

    Returns
    -------
    list of Tensor
        For each vote, shape ``(samples, 3, 3)``, float32.

    Raises
    ------
    ConfigError
        Fewer than one vote.

    Examples
    --------
    >>> first, second = vote_rotations(2, seed=0)
    >>> torch.equal(first[0], torch.eye(3)), torch.equal(second, vote_rotations(3, seed=0)[1])
    (True, True)
    """
    if votes < 1:
        raise ConfigError(f"{votes} votes give no answer; at least 1 is needed")
    turns = [
        random_rotations(samples, rotation, up_axis, generator(seed, "votes", vote))
        for vote in range(votes)
    ]
    if unrotated_first:
        turns[0] = torch.eye(3).expand(samples, 3, 3)
    return turns


def average_over_votes(
    answer: Callable[[Tensor], list[Answer]], rotations: list[Tensor]
) -> list[Answer]:
    """The mean of what ``answer`` gives for each of the rotations.

    Parameters
    ----------
    answer
        Rotations ``(samples, 3, 3)`` → an answer for each sample: arrays or tensors of the same
        shapes for every vote.
    rotations
        See :func:`vote_rotations`.

    Returns
    -------
    list
        The mean answer for each sample.

    Raises
    ------
    CSGNNError
        An answer that is NaN or infinite.
    """
    # Arrays or tensors, which have no type in common.
    total: list[Any] = answer(rotations[0])
    for rotation in rotations[1:]:
        total = [a + b for a, b in zip(total, answer(rotation), strict=True)]
    mean = [value / len(rotations) for value in total]
    if not all(math.isfinite(value.sum()) for value in mean):
        raise CSGNNError(
            "the model's answer is not a finite number (NaN or infinity): its weights are of a "
            "training that diverged, or the model is at fault"
        )
    return mean
