"""Errors to expect, and probabilities that mean what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from csgnn_dgl.tasks.calibration import (
    LEVELS,
    ExpectedError,
    calibrated_probabilities,
    expected_calibration_error,
    fit_expected_error,
    fit_temperature,
)


def drawn(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors that grow with the score, and are five times as large at the second place."""
    scores, second = rng.random(count), rng.integers(2, size=count)
    size = (0.2 + scores) * np.where(second, 5.0, 1.0)
    return abs(rng.normal(size=count)) * size, scores, np.eye(2)[second]


def fitted(count: int = 400) -> ExpectedError:
    found = fit_expected_error(*drawn(np.random.default_rng(0), count))
    assert found is not None
    return found


def test_intervals_cover_new_errors() -> None:
    found = fitted()
    errors, scores, shares = drawn(np.random.default_rng(1), 4000)
    expected = found.expected(scores, shares)
    for level in LEVELS:
        assert (errors <= found.quantiles[level] * expected).mean() == pytest.approx(
            level, abs=0.05
        )
        assert found.coverage[level] == pytest.approx(level, abs=0.05)
    # They are as wide as errors are large: by place, and by score.
    for place in np.eye(2):
        own = (shares == place).all(axis=1)
        hit = errors[own] <= found.quantiles[0.9] * expected[own]
        assert hit.mean() == pytest.approx(0.9, abs=0.06)
    far = scores > 0.8
    hit = errors[far] <= found.quantiles[0.9] * expected[far]
    assert hit.mean() == pytest.approx(0.9, abs=0.07)


def test_the_factor_never_falls_with_the_score() -> None:
    factors = fitted().knots
    assert (np.diff(factors[:, 0]) > 0).all()
    assert (np.diff(factors[:, 1]) >= 0).all()


def test_few_errors_are_not_guessed_from() -> None:
    errors, scores, shares = drawn(np.random.default_rng(0), 19)
    assert fit_expected_error(errors, scores, shares) is None
    errors, scores, shares = drawn(np.random.default_rng(0), 40)
    errors[:25] = np.nan
    assert fit_expected_error(errors, scores, shares) is None
    errors, scores, shares = drawn(np.random.default_rng(0), 20)
    found = fit_expected_error(errors, scores, shares)
    assert found is not None
    assert all(np.isfinite(list(found.quantiles.values())))


def test_errors_that_are_all_zero() -> None:
    found = fit_expected_error(np.zeros(50), np.linspace(0, 1, 50), np.ones((50, 1)))
    assert found is not None
    assert found.expected(np.array([0.5]), np.ones((1, 1)))[0] < 1e-9


def test_stored_values_give_the_same_intervals() -> None:
    found = fitted()
    again = ExpectedError.from_parts(found.plain(), found.local)
    asked = np.array([0.1, 0.9]), np.eye(2)
    np.testing.assert_allclose(again.expected(*asked), found.expected(*asked), rtol=1e-4)
    assert again.quantiles == found.quantiles


@pytest.mark.parametrize(
    "damage",
    [
        {"knots": []},
        {"knots": [[0, float("nan")]]},
        {"knots": "many"},
        {"quantiles": {"0.68": 1.0}},
        {"quantiles": 5},
        {"coverage": None},
        {"samples": "all"},
    ],
    ids=str,
)
def test_damaged_values_are_refused(damage: dict[str, Any]) -> None:
    found = fitted()
    with pytest.raises(ValueError, match="calibration"):
        ExpectedError.from_parts({**found.plain(), **damage}, found.local)


def overconfident(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with their logarithms tripled, and classes drawn from the true ones."""
    true = rng.dirichlet(np.ones(4), size=count)
    labels = np.array([rng.choice(4, p=p) for p in true])
    return calibrated_probabilities(true, 1 / 3), labels


def test_temperatures_are_found() -> None:
    found = fit_temperature(*overconfident(np.random.default_rng(0), 1500))
    assert found is not None
    assert found["temperature"] == pytest.approx(3, rel=0.2)
    assert found["ece_after"] < 0.05 < found["ece_before"]
    new, labels = overconfident(np.random.default_rng(1), 1500)
    assert expected_calibration_error(new, labels) > 0.1
    calm = calibrated_probabilities(new, found["temperature"])
    assert expected_calibration_error(calm, labels) < 0.05
    np.testing.assert_array_equal(calm.argmax(axis=1), new.argmax(axis=1))
    np.testing.assert_allclose(calm.sum(axis=1), 1)


def test_a_network_that_is_always_right_does_not_become_infinitely_sure() -> None:
    labels = np.arange(60) % 3
    probabilities = np.where(labels[:, None] == np.arange(3), 0.8, 0.1)
    found = fit_temperature(probabilities, labels)
    assert found is not None
    assert 0.1 < found["temperature"] < 1
    calm = calibrated_probabilities(probabilities, found["temperature"])
    assert calm.max() < 0.999


def test_few_shapes_and_one_class() -> None:
    assert fit_temperature(np.full((19, 2), 0.5), np.zeros(19, dtype=np.int64)) is None
    one = fit_temperature(np.ones((30, 1)), np.zeros(30, dtype=np.int64))
    assert one is not None
    assert one["temperature"] == 1


def test_zero_probabilities_stay_numbers() -> None:
    found = calibrated_probabilities(np.array([[1.0, 0.0]]), 2.0)
    assert np.isfinite(found).all()
    assert found[0, 0] == pytest.approx(1)
