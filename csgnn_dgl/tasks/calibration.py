"""How large errors are to be expected, from the errors on held-out data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression, minimize_scalar

from csgnn_dgl.tasks.domain import FEWEST_HELD_OUT, conformal_quantile

__all__ = [
    "LEVELS",
    "ExpectedError",
    "calibrated_probabilities",
    "expected_calibration_error",
    "fit_expected_error",
    "fit_temperature",
]

Floats = npt.NDArray[np.float64]

#: Shares of predictions that the stored intervals cover.
LEVELS = (0.5, 0.68, 0.8, 0.9, 0.95)
_FOLDS = 5
# A place counts by itself only when several held-out samples lie there.
_PRIOR = 3.0
# No expectation falls below this share of the mean error.
_SMALLEST = 0.1


@dataclass(frozen=True, eq=False)
class ExpectedError:
    """The error to expect of a quantity, and intervals that cover known shares of the errors.

    The expected error is the mean error of held-out samples near the same places of the domain,
    times a factor that never falls as the score rises.

    Parameters
    ----------
    local
        Mean error near each place of the domain, shape ``(K,)``.
    knots
        Scores and factors between which the factor is interpolated, shape ``(m, 2)``.
    quantiles
        For each of :data:`LEVELS` the number of expected errors that an interval extends to each
        side.
    samples
        Number of held-out samples.
    coverage
        Share of held-out samples that the intervals covered when they were made without them, for
        each level.
    """

    local: Floats
    knots: Floats
    quantiles: Mapping[float, float]
    samples: int
    coverage: Mapping[float, float]

    def expected(self, scores: Floats, shares: Floats) -> Floats:
        """Expected errors.

        Parameters
        ----------
        scores
            Scores of the samples, shape ``(n,)``.
        shares
            For every sample the share of its parts that lie nearest to each place, ``(n, K)``.
        """
        factor = np.interp(scores, self.knots[:, 0], self.knots[:, 1])
        found: Floats = (shares @ self.local) * factor
        return found

    def plain(self) -> dict[str, Any]:
        """Everything but ``local``, as plain values."""
        return {
            "knots": [[round(float(x), 6) for x in knot] for knot in self.knots],
            "quantiles": {f"{level:g}": value for level, value in self.quantiles.items()},
            "samples": self.samples,
            "coverage": {f"{level:g}": value for level, value in self.coverage.items()},
        }

    @classmethod
    def from_parts(cls, plain: Mapping[str, Any], local: Floats) -> ExpectedError:
        """The opposite of :meth:`plain`.

        Raises
        ------
        ValueError
            An entry is missing, of another type, or not finite.
        """
        try:
            knots = np.asarray(plain["knots"], dtype=np.float64)
            levels = [
                {float(level): float(value) for level, value in plain[name].items()}
                for name in ("quantiles", "coverage")
            ]
            samples = int(plain["samples"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"an entry of the calibration is missing or of another type ({error!r})"
            ) from None
        values = [*levels[0].values(), *levels[1].values()]
        sound = knots.ndim == 2 and knots.shape[1:] == (2,) and len(knots) > 0
        if not sound or not np.isfinite(knots).all() or not np.isfinite(local).all():
            raise ValueError("the calibration holds knots or errors that are not finite numbers")
        if set(levels[0]) != set(LEVELS) or not np.isfinite(values).all():
            raise ValueError(f"the calibration has the levels {sorted(levels[0])}, not {LEVELS}")
        return cls(local, knots, levels[0], samples, levels[1])


def fit_expected_error(
    errors: Floats, scores: Floats, shares: Floats, *, seed: int = 0
) -> ExpectedError | None:
    """Learn the error to expect from held-out samples.

    The intervals come from errors divided by what was expected for them without them (in five
    folds), by split conformal prediction.

    Parameters
    ----------
    errors
        Absolute errors, shape ``(n,)``; NaN where they are unknown.
    scores, shares
        See :meth:`ExpectedError.expected`.
    seed
        Random seed for the folds.

    Returns
    -------
    ExpectedError or None
        None if there are too few errors.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scores = rng.random(500)
    >>> found = fit_expected_error(scores * abs(rng.normal(size=500)), scores, np.ones((500, 1)))
    >>> low, high = found.expected(np.array([0.1, 0.9]), np.ones((2, 1)))
    >>> bool(high > 3 * low)
    True
    """
    known = np.isfinite(errors) & np.isfinite(scores)
    errors, scores, shares = np.abs(errors[known]), scores[known], shares[known]
    if len(errors) < FEWEST_HELD_OUT:
        return None
    rng = np.random.default_rng(seed)
    found = _fitted(errors, scores, shares, rng)
    hits: dict[float, list[npt.NDArray[np.bool_]]] = {level: [] for level in LEVELS}
    for kept, left_out in _folds(len(errors), rng):
        own = _fitted(errors[kept], scores[kept], shares[kept], rng)
        expected = own.expected(scores[left_out], shares[left_out])
        for level in LEVELS:
            hits[level].append(errors[left_out] <= own.quantiles[level] * expected + 1e-12)
    coverage = {level: round(float(np.concatenate(hit).mean()), 4) for level, hit in hits.items()}
    return ExpectedError(found.local, found.knots, found.quantiles, len(errors), coverage)


def _folds(
    count: int, rng: np.random.Generator
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    order = rng.permutation(count)
    for part in np.array_split(order, _FOLDS):
        yield np.setdiff1d(order, part), part


def _fitted(
    errors: Floats, scores: Floats, shares: Floats, rng: np.random.Generator
) -> ExpectedError:
    ratios = np.empty(len(errors))
    for kept, left_out in _folds(len(errors), rng):
        local, knots = _expectation(errors[kept], scores[kept], shares[kept])
        own = ExpectedError(local, knots, {}, 0, {})
        ratios[left_out] = errors[left_out] / own.expected(scores[left_out], shares[left_out])
    # Few errors say nothing about high levels; then the largest ratio stands for all that follow.
    largest = float(ratios.max())
    quantiles = {level: min(conformal_quantile(ratios, level), largest) for level in LEVELS}
    local, knots = _expectation(errors, scores, shares)
    return ExpectedError(local, knots, quantiles, len(errors), {})


def _expectation(errors: Floats, scores: Floats, shares: Floats) -> tuple[Floats, Floats]:
    """Mean errors by place, and the factor by score."""
    mean = max(float(errors.mean()), 1e-12)
    local = (_PRIOR * mean + shares.T @ errors) / (_PRIOR + shares.sum(axis=0))
    local = np.maximum(local, _SMALLEST * mean)
    order = np.argsort(scores, kind="stable")
    factors = isotonic_regression((errors / (shares @ local))[order])
    # Each block of equal values is one knot, in the middle of its scores.
    starts = factors.blocks
    centres = np.add.reduceat(scores[order], starts[:-1]) / np.diff(starts)
    values = np.maximum(factors.x[starts[:-1]], _SMALLEST)
    return local, np.stack([centres, values], axis=1)


def expected_calibration_error(
    probabilities: Floats, labels: npt.NDArray[np.int64], bins: int = 15
) -> float:
    """Mean difference between the highest probability and the share of right answers.

    Guo et al., "On Calibration of Modern Neural Networks", 2017, equation 3, with bins of equal
    width.

    Parameters
    ----------
    probabilities
        Shape ``(n, classes)``.
    labels
        True classes, shape ``(n,)``.
    bins
        Number of bins.

    Examples
    --------
    >>> sure = np.array([[0.75, 0.25]] * 4)
    >>> expected_calibration_error(sure, np.array([0, 0, 0, 1]))
    0.0
    >>> expected_calibration_error(sure, np.array([1, 1, 1, 1]))
    0.75
    """
    highest = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.minimum((highest * bins).astype(int), bins - 1)
    gaps = np.bincount(place, highest, bins) - np.bincount(place, right, bins)
    return float(np.abs(gaps).sum() / len(labels))


def calibrated_probabilities(probabilities: Floats, temperature: float) -> Floats:
    """Probabilities with their logarithms divided by a temperature, so the order stays the same.

    Examples
    --------
    >>> calibrated_probabilities(np.array([[0.9, 0.1]]), 2.0).round(2)
    array([[0.75, 0.25]])
    """
    logs = np.log(np.maximum(probabilities, 1e-300)) / temperature
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    found: Floats = weights / weights.sum(axis=1, keepdims=True)
    return found


def fit_temperature(
    probabilities: Floats, labels: npt.NDArray[np.int64], *, seed: int = 0
) -> dict[str, float] | None:
    """Find the temperature with which held-out classes are most probable.

    As in Platt's method, targets are slightly below 1, so that a network that is right about every
    held-out sample does not become infinitely sure.

    Parameters
    ----------
    probabilities
        Shape ``(n, classes)``.
    labels
        True classes, shape ``(n,)``.
    seed
        Random seed for the folds.

    Returns
    -------
    dict or None
        ``temperature``; ``samples``; ``ece_before`` and ``ece_after``, the expected calibration
        errors without and with it (with temperatures from four fifths of the samples, on the
        others). None if there are too few samples.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(2, size=1000)
    >>> wrong = rng.random(1000) < 0.25
    >>> said = np.where(wrong, 1 - labels, labels)[:, None] == np.arange(2)
    >>> found = fit_temperature(np.where(said, 0.99, 0.01), labels)
    >>> found["ece_before"] > 0.2, found["ece_after"] < 0.05
    (True, True)
    """
    if len(labels) < FEWEST_HELD_OUT:
        return None
    after = np.empty_like(probabilities)
    for kept, left_out in _folds(len(labels), np.random.default_rng(seed)):
        own = _temperature(probabilities[kept], labels[kept])
        after[left_out] = calibrated_probabilities(probabilities[left_out], own)
    return {
        "temperature": _temperature(probabilities, labels),
        "samples": len(labels),
        "ece_before": expected_calibration_error(probabilities, labels),
        "ece_after": expected_calibration_error(after, labels),
    }


def _temperature(probabilities: Floats, labels: npt.NDArray[np.int64]) -> float:
    classes = probabilities.shape[1]
    if classes < 2:
        return 1.0
    count = len(labels)
    target = np.full_like(probabilities, 1 / ((count + 2) * (classes - 1)))
    target[np.arange(count), labels] = (count + 1) / (count + 2)

    def loss(log_temperature: float) -> float:
        found = calibrated_probabilities(probabilities, math.exp(log_temperature))
        return -float((target * np.log(np.maximum(found, 1e-300))).sum())

    chosen: Callable[..., Any] = minimize_scalar
    return float(math.exp(chosen(loss, bounds=(-3.0, 3.0), method="bounded").x))
