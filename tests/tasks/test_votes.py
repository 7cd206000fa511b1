"""Orientations to average over: one way, whatever is evaluated or predicted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.mapping import designed_rotations
from csgnn_dgl.tasks.votes import average_over_votes, has_design, vote_rotations

IDENTITY = torch.eye(3)


@pytest.mark.parametrize("vote_set", ["designed", "random"])
def test_they_are_rotations(vote_set: Any) -> None:
    for turns in vote_rotations(4, 0, samples=5, vote_set=vote_set):
        assert turns.shape == (5, 3, 3)
        assert turns.dtype == torch.float32
        torch.testing.assert_close(turns @ turns.mT, IDENTITY.expand(5, 3, 3))
        torch.testing.assert_close(torch.linalg.det(turns), torch.ones(5))


@pytest.mark.parametrize("samples", [1, 4])
def test_more_votes_keep_those_of_fewer(samples: int) -> None:
    few, many = (vote_rotations(votes, 7, samples=samples, vote_set="random") for votes in (3, 6))
    assert all(torch.equal(a, b) for a, b in zip(few, many[:3], strict=True))
    distinct = {tuple(turns.flatten().tolist()) for turns in many}
    assert len(distinct) == 6
    other = vote_rotations(3, 8, samples=samples, vote_set="random")
    assert torch.equal(other[0], few[0])
    assert not any(torch.equal(a, b) for a, b in zip(few[1:], other[1:], strict=True))


def test_the_first_is_the_sample_as_it_is() -> None:
    first, second = vote_rotations(2, 0, samples=3, vote_set="random")
    assert torch.equal(first, IDENTITY.expand(3, 3, 3))
    assert torch.equal(vote_rotations(1, 0, samples=3)[0], IDENTITY.expand(3, 3, 3))
    turned = vote_rotations(2, 0, samples=3, unrotated_first=False, vote_set="random")
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
        assert not has_design("none")
        assert torch.equal(turns, IDENTITY.expand(1, 3, 3))


@pytest.mark.parametrize("samples", [1, 3])
def test_a_design_is_turned_as_a_whole(samples: int) -> None:
    turns = torch.stack(vote_rotations(8, 3, samples=samples)).double()
    design = designed_rotations(8)
    for sample in range(samples):
        own = turns[:, sample] @ turns[0, sample].T
        torch.testing.assert_close(own, design, atol=1e-6, rtol=0)
    # The turn is random: it depends on the seed, and differs between samples.
    assert not torch.allclose(turns[0, 0], IDENTITY.double(), atol=0.01)
    other = torch.stack(vote_rotations(8, 4, samples=samples)).double()
    assert not torch.allclose(turns, other, atol=0.01)
    if samples > 1:
        assert not torch.allclose(turns[:, 0], turns[:, 1], atol=0.01)
    again = torch.stack(vote_rotations(8, 3, samples=samples)).double()
    assert torch.equal(turns, again)


def test_one_vote_is_that_of_earlier_versions() -> None:
    for rotation in ("z", "so3"):
        designed, random = (
            vote_rotations(
                1, 5, samples=4, rotation=rotation, unrotated_first=False, vote_set=vote_set
            )
            for vote_set in ("designed", "random")
        )
        assert torch.equal(designed[0], random[0])


def test_many_votes_are_several_designs() -> None:
    turns = torch.stack(vote_rotations(37, 0)).double()[:, 0]
    assert len(turns) == 37
    for first, count in ((0, 16), (16, 16), (32, 5)):
        own = turns[first : first + count] @ turns[first].T
        torch.testing.assert_close(own, designed_rotations(count), atol=1e-6, rtol=0)
    # Each has a turn of its own.
    assert not torch.allclose(turns[0], turns[16], atol=0.01)


@pytest.mark.parametrize("votes", [2, 3, 4, 5, 8])
def test_votes_about_an_axis_are_evenly_spaced(votes: int) -> None:
    turns = torch.stack(
        vote_rotations(votes, 0, samples=2, rotation="z", up_axis="y", unrotated_first=False)
    )
    angles = torch.atan2(turns[:, :, 0, 2], turns[:, :, 0, 0])
    # A half turn about an axis maps the grid onto itself.
    spaced = torch.remainder(angles, torch.pi).sort(dim=0).values.diff(dim=0)
    torch.testing.assert_close(spaced, torch.full_like(spaced, torch.pi / votes))
    # Functions without this symmetry are averaged, too.
    bound = 1 / (votes * math.cos(math.pi / (2 * votes)))
    assert float(torch.exp(1j * angles[:, 0]).mean().abs()) < 1.001 * bound
    assert not torch.allclose(angles[:, 0], angles[:, 1])


@pytest.mark.parametrize("rotation", ["euler", "none"])
def test_other_protocols_stay_independent(rotation: Any) -> None:
    designed, random = (
        vote_rotations(3, 0, rotation=rotation, unrotated_first=False, vote_set=vote_set)
        for vote_set in ("designed", "random")
    )
    assert all(torch.equal(a, b) for a, b in zip(designed, random, strict=True))


def test_an_unknown_set() -> None:
    wrong: Any = "designd"
    with pytest.raises(ConfigError, match="designed"):
        vote_rotations(2, 0, vote_set=wrong)


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
