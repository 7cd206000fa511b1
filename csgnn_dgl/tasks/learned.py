"""What is learned about a network after its training: its domain, its errors, its baseline."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from csgnn_dgl.tasks.baseline import BASELINE
from csgnn_dgl.tasks.domain import Domain
from csgnn_dgl.tasks.trained import Trained
from csgnn_dgl.tasks.weights import join_state, load_weights, save_weights, split_state

__all__ = ["Learned", "Relearned", "drop_intervals", "sampled", "save_learned"]

Sample = TypeVar("Sample")


@dataclass(frozen=True, eq=False)
class Learned:
    """What is learned from the training data and from held-out data.

    Parameters
    ----------
    domain
        The region of the training data; None if there are too few data.
    calibration
        How wrong predictions were, as plain values; the target knows what they mean.
    tensors
        Arrays of the calibration, stored beside those of the domain.
    baseline
        The trivial baseline of the training data, as plain values; None if it is unknown.
    """

    domain: Domain | None = None
    calibration: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    baseline: Mapping[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Relearned:
    """What was learned about a network that had been trained before.

    Parameters
    ----------
    learned, trained
        What was learned, and the network.
    data
        The data.
    held_out
        Number of held-out samples.
    """

    learned: Learned
    trained: Trained[Any]
    data: Any
    held_out: int


def save_learned(path: Path, kind: str, learned: Learned) -> None:
    """Put what was learned into a file of weights, in place of what is there.

    The tensors of the network stay the same, bit for bit.

    Parameters
    ----------
    path
        The file.
    kind
        The kind that its header names.
    learned
        What to put into it.

    Raises
    ------
    CheckpointError
        The file is no file of weights.
    ResourceError
        It cannot be written. The older file stays unchanged.
    """
    header, everything = load_weights(path, kind)
    network, _ = split_state(everything)
    domain = learned.domain
    data = {name: entry for name, entry in header.data.items() if name != BASELINE}
    if learned.baseline is not None:
        data[BASELINE] = learned.baseline
    header = replace(
        header,
        data=data,
        domain={} if domain is None else domain.plain(),
        calibration=dict(learned.calibration),
    )
    arrays = {} if domain is None else {**domain.tensors(), **learned.tensors}
    save_weights(path, join_state(network, arrays), header)


def drop_intervals(path: Path, kind: str, quantities: Collection[str]) -> None:
    """Remove the intervals of some quantities from a file of weights.

    Parameters
    ----------
    path
        The file. It stays as it is if there are no quantities, or no intervals in it.
    kind
        The kind that its header names.
    quantities
        Names of quantities whose intervals would mislead.

    Raises
    ------
    CheckpointError
        The file is no file of weights.
    ResourceError
        It cannot be written. The older file stays unchanged.
    """
    header, state = load_weights(path, kind)
    if not quantities or not header.calibration.get("votes"):
        return
    votes = {
        number: {name: entry for name, entry in entries.items() if name not in quantities}
        for number, entries in header.calibration["votes"].items()
    }
    network, arrays = split_state(state)
    left = {
        name: array
        for name, array in arrays.items()
        if not (name.startswith("error.") and name.split(".")[-1] in quantities)
    }
    header = replace(header, calibration={**header.calibration, "votes": votes})
    save_weights(path, join_state(network, left), header)


def sampled(samples: Sequence[Sample], most: int, seed: int) -> Sequence[Sample]:
    """At most ``most`` of the samples, at random, in their order.

    Examples
    --------
    >>> len(sampled(range(10), 3, seed=0)), sampled([5, 6], 3, seed=0)
    (3, [5, 6])
    """
    if len(samples) <= most:
        return samples
    chosen = np.sort(np.random.default_rng(seed).choice(len(samples), most, replace=False))
    return [samples[index] for index in chosen]
