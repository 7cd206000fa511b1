"""Predictions averaged over orientations, for evaluation and prediction of every target."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor

from csgnn_dgl.errors import ConfigError, DataError, suggest
from csgnn_dgl.mapping import (
    RotationProtocol,
    UpAxis,
    designed_angles,
    designed_rotations,
    random_rotations,
)
from csgnn_dgl.mapping.designed import LARGEST_DESIGN
from csgnn_dgl.mapping.rotations import rotations_about
from csgnn_dgl.tasks.seeds import generator
from csgnn_dgl.tasks.use_config import VoteSet

__all__ = ["average_over_votes", "check_votes", "has_design", "vote_rotations"]

Answer = TypeVar("Answer")


def check_votes(votes: int) -> None:
    """Refuse a number of orientations that is no whole number.

    Raises
    ------
    ConfigError
        It is not.

    Examples
    --------
    >>> check_votes(8)
    """
    if isinstance(votes, bool) or not isinstance(votes, (int, np.integer)):
        raise ConfigError(f"votes is {votes!r}, but it must be a whole number, 1 or greater")


def vote_rotations(
    votes: int,
    seed: int,
    *,
    samples: int = 1,
    rotation: RotationProtocol = "so3",
    up_axis: UpAxis = "z",
    unrotated_first: bool = True,
    vote_set: VoteSet = "designed",
) -> list[Tensor]:
    """Choose the rotations to average over.

    They depend on nothing but the arguments. With ``samples=1``, a sample's prediction does not
    depend on the other samples.

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
        Use the samples without rotation for the first vote of a random set, and for a single vote.
    vote_set
        ``"designed"``: the set of :func:`~csgnn_dgl.mapping.designed_rotations`, turned as a whole
        by one random rotation for each sample; more than 16 votes are several such sets, each with
        a random rotation of its own. For ``rotation="z"``, evenly spaced angles, turned by a random
        angle. ``"random"``: independent rotations; the first votes stay the same when more are
        asked for. Rotations of the protocol ``"euler"`` are not uniform, so they are always
        independent.

    Returns
    -------
    list of Tensor
        For each vote, shape ``(samples, 3, 3)``, float32.

    Raises
    ------
    ConfigError
        ``votes`` is less than 1, or there is no such set.

    Examples
    --------
    >>> one = vote_rotations(1, seed=0)[0]
    >>> torch.equal(one[0], torch.eye(3))
    True
    >>> [vote.shape for vote in vote_rotations(2, seed=0, samples=4)]
    [torch.Size([4, 3, 3]), torch.Size([4, 3, 3])]
    """
    check_votes(votes)
    if votes < 1:
        raise ConfigError(f"{votes} votes give no answer; at least 1 is needed")
    if vote_set not in get_args(VoteSet):
        hint = suggest(str(vote_set), get_args(VoteSet))
        raise ConfigError(f"unknown set of votes {vote_set!r}: {hint}")

    def draw(vote: int) -> Tensor:
        stream = generator(seed, "votes", vote)
        return random_rotations(samples, rotation, up_axis, stream, torch.float64)

    if votes == 1 or vote_set == "random" or not has_design(rotation):
        rotations = [draw(vote) for vote in range(votes)]
        if unrotated_first:
            rotations[0] = torch.eye(3).expand(samples, 3, 3)
    else:
        rotations = []
        for first, design in _designs(votes, rotation, up_axis):
            # The design is on the left: a model on the grid is invariant if rotations of the
            # icosahedron are applied after all others.
            turn = draw(first)
            rotations += [each @ turn for each in design]
    # Change the type at the end, so that no digit is lost in products.
    return [each.float() for each in rotations]


def has_design(rotation: str) -> bool:
    """Whether votes under a rotation protocol can be designed: not for ``none`` and ``euler``."""
    return rotation in ("so3", "z")


def _designs(votes: int, rotation: str, up_axis: UpAxis) -> Iterator[tuple[int, Tensor]]:
    """Sets of rotations that are ``votes`` together, each with the number of its first vote."""
    if rotation == "z":
        yield 0, rotations_about(designed_angles(votes), up_axis)
        return
    for first in range(0, votes, LARGEST_DESIGN):
        yield first, designed_rotations(min(LARGEST_DESIGN, votes - first))


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
