"""Orientations to average over: one way, whatever is evaluated or predicted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.tasks.votes import average_over_votes, vote_rotations

IDENTITY = torch.eye(3)


def test_they_are_rotations() -> None:
    for turns in vote_rotations(4, 0, samples=5):
        assert turns.shape == (5, 3, 3)
        assert turns.dtype == torch.float32
        torch.testing.assert_close(turns @ turns.mT, IDENTITY.expand(5, 3, 3))
        torch.testing.assert_close(torch.linalg.det(turns), torch.ones(5))


@pytest.mark.parametrize("samples", [1, 4])
def test_more_votes_keep_those_of_fewer(samples: int) -> None:
    few, many = (vote_rotations(votes, 7, samples=samples) for votes in (3, 6))
    assert all(torch.equal(a, b) for a, b in zip(few, many[:3], strict=True))
    distinct = {tuple(turns.flatten().tolist()) for turns in many}
    assert len(distinct) == 6
    other = vote_rotations(3, 8, samples=samples)
    assert torch.equal(other[0], few[0])
    assert not any(torch.equal(a, b) for a, b in zip(few[1:], other[1:], strict=True))


def test_the_first_is_the_sample_as_it_is() -> None:
    first, second = vote_rotations(2, 0, samples=3)
    assert torch.equal(first, IDENTITY.expand(3, 3, 3))
    turned = vote_rotations(2, 0, samples=3, unrotated_first=False)
    assert not torch.allclose(turned[0], IDENTITY.expand(3, 3, 3))
    # The others do not depend on that.
    assert torch.equal(turned[1], second)


def test_every_sample_has_its_own() -> None:
    turns = vote_rotations(2, 0, samples=6)[1]
    assert len({tuple(turn.flatten().tolist()) for turn in turns}) == 6


@pytest.mark.parametrize(("up_axis", "column"), [("x", 0), ("y", 1), ("z", 2)])
def test_protocols(up_axis: Any, column: int) -> None:
    about = vote_rotations(3, 0, samples=4, rotation="z", up_axis=up_axis, unrotated_first=False)
    for turns in about:
        torch.testing.assert_close(turns[:, :, column], IDENTITY[column].expand(4, 3))
        assert not torch.allclose(turns, IDENTITY.expand(4, 3, 3))
    for turns in vote_rotations(3, 0, rotation="none", unrotated_first=False):
        assert torch.equal(turns, IDENTITY.expand(1, 3, 3))


@pytest.mark.parametrize("votes", [0, -1])
def test_no_votes(votes: int) -> None:
    with pytest.raises(ConfigError, match=f"{votes} votes give no answer"):
        vote_rotations(votes, 0)


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_the_mean_over_all_votes(kind: Any) -> None:
    turns = vote_rotations(5, 3, samples=2)
    asked: list[Tensor] = []

    def answer(rotation: Tensor) -> list[Any]:
        asked.append(rotation)
        # Two samples, whose answers have different shapes.
        return [kind(rotation[0].double().numpy()), kind(rotation[1, 0].double().numpy())]

    found = average_over_votes(answer, turns)
    assert all(torch.equal(a, b) for a, b in zip(asked, turns, strict=True))
    stacked = torch.stack(turns).double()
    expected = [stacked[:, 0].mean(dim=0), stacked[:, 1, 0].mean(dim=0)]
    for value, mean in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(value), mean.numpy(), atol=1e-15)
    # Control: neither the first vote alone, nor the last.
    for turn in (turns[0], turns[-1]):
        assert not np.allclose(np.asarray(found[0]), turn[0].double().numpy())


def test_answers_are_not_changed() -> None:
    kept = np.ones(3)
    found = average_over_votes(lambda rotation: [kept], vote_rotations(3, 0))
    assert found[0].tolist() == [1, 1, 1]
    assert kept.tolist() == [1, 1, 1]


def test_samples_must_stay_as_many() -> None:
    sizes = iter([2, 1])
    with pytest.raises(ValueError, match="shorter"):
        average_over_votes(lambda rotation: [1.0] * next(sizes), vote_rotations(2, 0))
