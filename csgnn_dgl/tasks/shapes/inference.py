"""Class probabilities of clouds under a rotation protocol, with votes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from csgnn_dgl.mapping import (
    RotationProtocol,
    UpAxis,
    normalize_clouds,
    random_rotations,
    rotate_clouds,
)
from csgnn_dgl.models import Classifier
from csgnn_dgl.tasks.seeds import generator

__all__ = ["vote"]


@torch.no_grad()
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
    progress: Callable[[int], object] | None = None,
) -> Tensor:
    """Class probabilities, averaged over ``votes`` random rotations of each cloud.

    Every cloud gets rotations of its own, drawn for the whole set at once, so the batch size does
    not matter. The softmax is averaged, not the scores, and over all votes (the paper's released
    code kept only the last one).

    Parameters
    ----------
    model
        In evaluation mode, on any device.
    points
        Shape ``(n, N, 3)``.
    rotation, up_axis
        Protocol of :func:`~csgnn_dgl.mapping.random_rotations`.
    votes
        Rotations per cloud.
    seed
        Of the rotations.
    batch_size
        Clouds per step.
    unrotated_first
        Let the first vote be the cloud as it is.
    progress
        Called with the number of clouds done.

    Returns
    -------
    Tensor
        Probabilities, float64 on the CPU, shape ``(n, num_classes)``.
    """
    device = next(model.parameters()).device
    dtype = next(model.parameters()).dtype
    turns = [
        random_rotations(len(points), rotation, up_axis, generator(seed, "votes", index))
        for index in range(votes)
    ]
    if unrotated_first and turns:
        turns[0] = torch.eye(3).expand(len(points), 3, 3)
    shares = []
    for start in range(0, len(points), batch_size):
        chosen = slice(start, start + batch_size)
        clouds = points[chosen].to(device, dtype)
        total = torch.zeros(len(clouds), model.config.num_classes, dtype=torch.float64)
        for turn in turns:
            rotated = rotate_clouds(clouds, turn[chosen].to(device, dtype))
            scores = model(normalize_clouds(rotated))
            total += scores.softmax(dim=-1).to("cpu", torch.float64)
        shares.append(total / votes)
        if progress is not None:
            progress(len(clouds))
    return torch.cat(shares) if shares else torch.zeros(0, model.config.num_classes)
