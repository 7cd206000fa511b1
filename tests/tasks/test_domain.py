"""The region of the training data, and what its scores say."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from csgnn_dgl.tasks.domain import FEWEST_HELD_OUT, Domain, conformal_quantile, fit_domain
from csgnn_dgl.tasks.learned import Learned, save_learned
from csgnn_dgl.tasks.weights import Header, join_state, load_weights, save_weights, split_state


def clusters(rng: np.random.Generator, count: int) -> np.ndarray:
    """Points around three places, spread widely along x and little along z."""
    places = np.array([[0.0, 0, 0], [8, 0, 0], [0, 8, 0]])
    spread = np.array([1.0, 0.3, 0.1])
    return places[rng.integers(3, size=count)] + spread * rng.normal(size=(count, 3))


def several(rng: np.random.Generator, groups: int) -> list[np.ndarray]:
    return [clusters(rng, 10) for _ in range(groups)]


def fitted(grouped: bool = True, **changes: Any) -> Domain:
    rng = np.random.default_rng(0)
    groups = [clusters(rng, 10 if grouped else 1) for _ in range(200)]
    found = fit_domain(several(rng, 200), groups, grouped=grouped, **changes)
    assert found is not None
    return found


def test_one_in_twenty_new_samples_is_above_the_limit() -> None:
    rng = np.random.default_rng(5)
    single = fitted(grouped=False).scores(clusters(rng, 4000))
    assert 0.02 < (single > 1).mean() < 0.1
    domain = fitted()
    groups = np.array([domain.group_score(domain.scores(clusters(rng, 10)))[0] for _ in range(500)])
    assert 0.01 < (groups > 1).mean() < 0.12


def test_distances_follow_the_spread_of_the_data() -> None:
    domain = fitted(grouped=False)
    along, across, between = domain.scores(np.array([[2.0, 0, 0], [0, 0, 2.0], [4.0, 4, 0]]))
    assert across > 1 > along
    assert between > 1


def test_one_odd_sample_among_many_makes_a_group_odd_and_so_do_many_slightly_odd() -> None:
    domain = fitted()
    usual = clusters(np.random.default_rng(1), 10)
    usual[0] = [0, 0, 3]
    score, too_regular = domain.group_score(domain.scores(usual))
    assert score > 1
    assert not too_regular
    shifted = clusters(np.random.default_rng(1), 10)
    shifted[:, 2] += 0.2
    level = domain.scores(shifted)
    assert np.median(level) < 1
    score, too_regular = domain.group_score(level)
    assert score > 1
    assert not too_regular


def test_a_group_that_is_too_regular_is_odd_unless_training_groups_are_as_regular() -> None:
    domain = fitted()
    alike = domain.scores(np.array([[0.4, 0.1, 0.05]] * 10))
    assert (alike < 1).all()
    score, too_regular = domain.group_score(alike)
    assert score > 1
    assert too_regular
    rng = np.random.default_rng(0)
    groups = [np.repeat(clusters(rng, 1), 10, axis=0) for _ in range(400)]
    crystals = fit_domain(groups[:200], groups[200:], grouped=True)
    assert crystals is not None
    assert not {"least_spread", "least_mean"} & crystals.limits.keys()
    assert crystals.group_score(crystals.scores(groups[0])) == (pytest.approx(0, abs=0.3), False)


@pytest.mark.parametrize(
    ("training", "held_out"),
    [(200, FEWEST_HELD_OUT - 1), (FEWEST_HELD_OUT - 1, 100), (0, 0)],
)
def test_too_few_samples_are_not_guessed_from(training: int, held_out: int) -> None:
    rng = np.random.default_rng(0)
    groups = [clusters(rng, 3) for _ in range(held_out)]
    assert fit_domain(several(rng, training), groups, grouped=True) is None


def test_equal_or_infinite_samples_have_no_domain() -> None:
    groups = [np.zeros((2, 3))] * 30
    assert fit_domain([np.zeros((1, 3))] * 50, groups, grouped=True) is None
    assert fit_domain([np.full((1, 3), np.inf)] * 50, groups, grouped=True) is None


def test_it_is_the_same_every_time_and_after_saving(tmp_path: Path) -> None:
    first, second = fitted(), fitted()
    asked = clusters(np.random.default_rng(3), 50)
    np.testing.assert_array_equal(first.scores(asked), second.scores(asked))
    path = tmp_path / "model.safetensors"
    network = {"model.weight": torch.arange(3.0)}
    save_weights(path, network, Header("dos", {"name": "csgnn"}))
    save_learned(path, "dos", Learned(first, {"votes": {}}, {"more": torch.ones(2)}, {"cone": 2}))
    header, everything = load_weights(path, "dos")
    assert header.data["baseline"] == {"cone": 2}
    kept, arrays = split_state(everything)
    assert list(kept) == ["model.weight"]
    assert torch.equal(kept["model.weight"], network["model.weight"])
    assert torch.equal(arrays["more"], torch.ones(2))
    loaded = Domain.from_parts(header.domain, arrays)
    np.testing.assert_array_equal(loaded.scores(asked), first.scores(asked))
    assert loaded.facts == first.facts
    # What is learned later replaces it, and nothing may be left.
    save_learned(path, "dos", Learned())
    header, everything = load_weights(path, "dos")
    assert (header.domain, header.calibration, header.data) == ({}, {}, {})
    assert list(everything) == ["model.weight"]
    # The same content is the same file, byte for byte.
    save_weights(tmp_path / "again.safetensors", network, header)
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_tensors_are_separated_by_name() -> None:
    network = {"model.a": torch.ones(1)}
    joined = join_state(network, {"mean": torch.zeros(2)})
    assert sorted(joined) == ["domain.mean", "model.a"]
    assert safetensors.torch.load(safetensors.torch.save(joined)).keys() == joined.keys()


@pytest.mark.parametrize(
    "damage",
    [
        {"mean": torch.zeros(4)},
        {"mean": torch.full((3,), math.nan)},
        {"whitening": torch.zeros(3)},
        {"places": torch.zeros(0, 3)},
        {"places": None},
        {"limits": {"sample": 0.0}},
        {"limits": {"sample": math.inf}},
        {"limits": {}},
        {"limits": 5},
        {"limits": {"sample": "far"}},
        {"facts": None},
    ],
    ids=str,
)
def test_damaged_parts_are_refused(damage: dict[str, Any]) -> None:
    domain = fitted()
    plain, tensors = domain.plain(), domain.tensors()
    Domain.from_parts(plain, tensors)  # control
    for name, value in damage.items():
        place: dict[str, Any] = tensors if name in tensors else plain
        place[name] = value
    with pytest.raises(ValueError, match="domain"):
        Domain.from_parts(plain, tensors)


def test_a_domain_of_other_fingerprints_is_refused() -> None:
    with pytest.raises(ValueError, match="length 3, not 7"):
        fitted().require(7, grouped=True)
    with pytest.raises(ValueError, match="only the limits"):
        fitted(grouped=False).require(3, grouped=True)
    fitted(grouped=False).require(3, grouped=False)


def test_quantiles_hold_for_new_values() -> None:
    rng = np.random.default_rng(0)
    hits = [rng.random() <= conformal_quantile(rng.random(19), 0.9) for _ in range(4000)]
    assert abs(np.mean(hits) - 0.9) < 0.02
    assert conformal_quantile([], 0.5) == math.inf


def test_regularity_tells_nothing_where_training_groups_are_regular() -> None:
    rng = np.random.default_rng(0)
    groups = [rng.normal(size=(8, 3)) for _ in range(300)]
    snapshots = fit_domain(groups[:200], groups[200:], grouped=True)
    assert snapshots is not None
    assert "least_spread" in snapshots.limits
    # One in a hundred has equal samples.
    regular = [np.repeat(g[:1], 8, axis=0) if i % 100 == 0 else g for i, g in enumerate(groups)]
    crystals = fit_domain(regular[:200], regular[200:], grouped=True)
    assert crystals is not None
    assert "least_spread" not in crystals.limits
