"""Predictions averaged over orientations, for evaluation and prediction of every target."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from csgnn_dgl.errors import ConfigError, DataError
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
    """Draw the rotations to average over.

    The rotations of a vote depend only on the seed and the index of the vote. So the first votes
    stay the same when more are asked for. With ``samples=1``, a sample's prediction does not depend
    on the other samples.

    Parameters
    ----------
    votes
        Number of orientations.
    seed
        Random seed.
    samples
        Rotations to draw for each vote: one for all samples, or one for each sample.
    rotation, up_axis
        Protocol of :func:`~csgnn_dgl.mapping.random_rotations`.
    unrotated_first
        Use the samples without rotation for the first vote.

    Returns
    -------
    list of Tensor
        For each vote, shape ``(samples, 3, 3)``, float32.

    Raises
    ------
    ConfigError
        ``votes`` is less than 1.

    Examples
    --------
    >>> first, second = vote_rotations(2, seed=0)
    >>> torch.equal(first[0], torch.eye(3)), torch.equal(second, vote_rotations(3, seed=0)[1])
    (True, True)
    """
    if votes < 1:
        raise ConfigError(f"{votes} votes give no answer; at least 1 is needed")
    rotations = [
        random_rotations(samples, rotation, up_axis, generator(seed, "votes", vote))
        for vote in range(votes)
    ]
    if unrotated_first:
        rotations[0] = torch.eye(3).expand(samples, 3, 3)
    return rotations


def average_over_votes(
    answer: Callable[[Tensor], list[Answer]], rotations: list[Tensor]
) -> list[Answer]:
    """Average what ``answer`` returns for each of the rotations.

    Parameters
    ----------
    answer
        Maps rotations ``(samples, 3, 3)`` to a prediction for each sample: arrays or tensors of the
        same shapes for every vote.
    rotations
        See :func:`vote_rotations`.

    Returns
    -------
    list
        The mean prediction for each sample.

    Raises
    ------
    DataError
        A prediction is NaN or infinite.
    """
    # NumPy arrays and tensors have no type in common, hence Any.
    total: list[Any] = answer(rotations[0])
    for rotation in rotations[1:]:
        total = [a + b for a, b in zip(total, answer(rotation), strict=True)]
    mean = [value / len(rotations) for value in total]
    if not all(math.isfinite(value.sum()) for value in mean):
        raise DataError(
            "the model's answer is not a finite number (NaN or infinity): the numbers in the file "
            "are too large for it, or the model is at fault"
        )
    return mean
