"""What a trained model knows: how far samples lie from its training data, on a calibrated scale."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist
from torch import Tensor

__all__ = ["FEWEST_HELD_OUT", "Domain", "conformal_quantile", "fit_domain"]

Floats = npt.NDArray[np.float64]

#: With fewer held-out samples there is no limit. The largest of 19 is below the 95th percentile.
FEWEST_HELD_OUT = 20
# Share of held-out samples and groups below the limit.
_LEVEL = 0.95
# Places that stand for the training data, and samples that they are found with.
_PLACES, _SAMPLES = 256, 6_000
# Smallest spread of a feature that counts. Thermal motion changes a fingerprint by more.
_FLOOR = 0.02
# Lower limits below this are rounding errors.
_NEGLIGIBLE = 1e-3
# Score of groups that could not be more regular.
_MOST_REGULAR = 3.0
_TENSORS = ("mean", "whitening", "places")


@dataclass(frozen=True, eq=False)
class Domain:
    """The region of the training data in a space of invariant fingerprints.

    A sample's distance is that to the nearest of some places which stand for the training data. It
    is measured in standard deviations of samples around their place, along every direction by
    itself. Divided by the limit it is the *score*: a sample above 1 lies farther out than all but a
    known share of the held-out samples.

    Parameters
    ----------
    mean
        Mean fingerprint, shape ``(F,)``.
    whitening
        Maps fingerprints to coordinates in which samples spread equally, shape ``(F, D)``.
    places
        Places of the training data in these coordinates, shape ``(K, D)``.
    limits
        Distances with the score 1. For single samples ``"sample"``; for samples in groups, such as
        atoms in structures, also ``"mean"``, ``"largest"`` and ``"group"``, and where all groups
        exceed them ``"least_mean"`` and ``"least_spread"``.
    facts
        How it was made, as plain values: numbers of samples, share of held-out ones above 1.
    """

    mean: Floats
    whitening: Floats
    places: Floats
    limits: Mapping[str, float]
    facts: Mapping[str, Any]

    def distances(self, fingerprints: Floats) -> Floats:
        """Distance of every sample from the training data: ``(n, F)`` → ``(n,)``."""
        found, _ = self.nearest(fingerprints)
        return found

    def nearest(self, fingerprints: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Distance of every sample, and the index of its nearest place."""
        if not len(fingerprints):
            return np.zeros(0), np.zeros(0, dtype=np.int64)
        found = cdist((fingerprints - self.mean) @ self.whitening, self.places)
        index = found.argmin(axis=1)
        return found[np.arange(len(found)), index], index

    def scores(self, fingerprints: Floats) -> Floats:
        """Score of every sample, shape ``(n,)``; above 1 it lies outside."""
        return self.distances(fingerprints) / self.limits["sample"]

    def group_score(self, scores: Floats) -> tuple[float, bool]:
        """Score of a group, such as a structure, from the scores of its samples.

        It compares the mean and the largest score with those of held-out groups. So one odd atom
        among many is noticed, and so are many slightly odd ones. It also notices groups whose
        samples are too good to be true: a relaxed crystal among snapshots at finite temperature has
        lower scores, or scores that are more alike, than any of these.

        Returns
        -------
        tuple
            The score, and whether it is that of a group which is too regular.
        """
        limits = self.limits
        odd = max(scores.mean() / limits["mean"], scores.max() / limits["largest"])
        regular = max(
            # Bounded, since identical samples have no spread at all.
            limits.get(name, 0.0) / max(float(value), limits.get(name, 1.0) / _MOST_REGULAR)
            for name, value in _regularity(scores).items()
        )
        return float(max(odd, regular)) / limits["group"], bool(regular > odd)

    def tensors(self) -> dict[str, Tensor]:
        """The arrays in single precision, by name."""
        arrays = {name: getattr(self, name) for name in _TENSORS}
        return {name: torch.from_numpy(a.astype(np.float32)) for name, a in arrays.items()}

    def plain(self) -> dict[str, Any]:
        """Everything else, as plain values."""
        return {"limits": dict(self.limits), "facts": dict(self.facts)}

    def require(self, length: int, *, grouped: bool) -> Domain:
        """Check that the domain belongs to fingerprints of this length, and return it.

        Raises
        ------
        ValueError
            It does not, or lacks the limits of groups.
        """
        if len(self.mean) != length:
            raise ValueError(
                f"the domain is of fingerprints of length {len(self.mean)}, not {length}"
            )
        if grouped and not {"mean", "largest", "group"} <= self.limits.keys():
            raise ValueError(f"the domain has only the limits {sorted(self.limits)}")
        return self

    @classmethod
    def from_parts(cls, plain: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Domain:
        """Make a domain from :meth:`plain` and :meth:`tensors`.

        Raises
        ------
        ValueError
            Parts are missing, or do not fit together.
        """
        try:
            arrays = {name: tensors[name].double().numpy() for name in _TENSORS}
            limits = {str(key): float(value) for key, value in dict(plain["limits"]).items()}
            facts = dict(plain["facts"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"a part of the domain is missing or of another type ({error!r})"
            ) from None
        mean, whitening, places = (arrays[name] for name in _TENSORS)
        fits = (
            mean.ndim == 1
            and whitening.ndim == places.ndim == 2
            and len(mean) == len(whitening)
            and whitening.shape[1] == places.shape[1]
            and len(places) > 0
        )
        if not fits or not all(np.isfinite(a).all() for a in arrays.values()):
            raise ValueError("the arrays of the domain do not fit together, or are not finite")
        if "sample" not in limits or not all(0 < v < math.inf for v in limits.values()):
            raise ValueError(f"the limits of the domain are {limits}, but must be positive")
        return cls(mean, whitening, places, limits, facts)


def conformal_quantile(values: npt.ArrayLike, level: float) -> float:
    r"""The bound that a new value exceeds with a probability of at most ``1 − level``.

    It is the :math:`\lceil (n+1) \cdot level \rceil`-th smallest of the ``n`` values (split
    conformal prediction; Lei et al., J. Am. Stat. Assoc. 113, 1094, 2018), and infinite if that
    exceeds ``n``. The guarantee holds if new and old values are exchangeable.

    Examples
    --------
    >>> conformal_quantile(range(1, 100), 0.9), conformal_quantile([1.0, 2.0], 0.9)
    (90.0, inf)
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    # Rounded first: 0.9 · 100 is not exactly 90 in floating-point numbers.
    rank = math.ceil(round((len(ordered) + 1) * level, 9))
    return float(ordered[rank - 1]) if rank <= len(ordered) else math.inf


def _regularity(scores: Floats) -> dict[str, float]:
    """What is small in groups that are more regular than others."""
    return {"least_mean": float(scores.mean()), "least_spread": float(scores.std())}


def _lower_limit(values: Floats) -> float:
    """The opposite of a limit: few values are smaller; 0 if there are too few to say so."""
    bound = -conformal_quantile(-values, (1 + _LEVEL) / 2)
    return max(bound, 0.0)


def _limit(values: Floats) -> tuple[float, float]:
    """A limit on held-out values, and the largest expected share of new values above it."""
    bound = conformal_quantile(values, _LEVEL)
    return max(bound, 1e-9), round(1 - _LEVEL, 9)


def fit_domain(
    training: Sequence[Floats],
    held_out: Sequence[Floats],
    *,
    grouped: bool,
    labels: npt.NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Domain | None:
    """Find the region of the training data, and calibrate its limits on held-out data.

    Parameters
    ----------
    training, held_out
        For each group (a structure, or a shape by itself) the fingerprints of its samples, each of
        shape ``(m, F)``.
    grouped
        Whether groups have a score of their own.
    labels
        Class of each training group, if there are classes.
    seed
        Random seed for the choice of samples and for the clustering.

    Returns
    -------
    Domain or None
        None if there are too few held-out groups for a limit, or no two different samples.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> clouds = [rng.normal(size=(1, 3)) for _ in range(700)]
    >>> domain = fit_domain(clouds[:500], clouds[500:], grouped=False)
    >>> domain.scores(np.array([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]])) > 1
    array([False,  True])
    """
    if len(held_out) < FEWEST_HELD_OUT or len(training) < FEWEST_HELD_OUT:
        return None
    rng = np.random.default_rng(seed)
    samples = np.concatenate(training)
    if labels is not None:
        labels = np.repeat(labels, [len(group) for group in training])
    if len(samples) > _SAMPLES:
        chosen = np.sort(rng.choice(len(samples), _SAMPLES, replace=False))
        samples = samples[chosen]
        labels = None if labels is None else labels[chosen]
    if not np.isfinite(samples).all():
        return None
    mean = samples.mean(axis=0)
    centred = samples - mean
    if not centred.any():
        return None
    whitening = _whitening(centred, np.zeros(len(centred), dtype=np.int64))
    if labels is None:
        # The spread around a place differs from that of all data: thermal motion, for instance,
        # moves an atom less than its environment differs from others.
        _, labels = _clusters(centred @ whitening, rng)
    whitening = _whitening(centred, labels)
    places, _ = _clusters(centred @ whitening, rng)
    # In single precision, as it is stored: so a domain scores alike before and after saving.
    mean, whitening, places = (
        a.astype(np.float32).astype(np.float64) for a in (mean, whitening, places)
    )
    raw = Domain(mean, whitening, places, {"sample": 1.0}, {})
    found = [raw.distances(group) for group in held_out]
    limits, shares = {}, {}
    limits["sample"], shares["sample"] = _limit(np.concatenate(found))
    if grouped:
        scores = [distances / limits["sample"] for distances in found]
        limits["mean"], _ = _limit(np.array([s.mean() for s in scores]))
        limits["largest"], _ = _limit(np.array([s.max() for s in scores]))
        limits |= _lower_limits(scores, [raw.distances(g) / limits["sample"] for g in training])
        parts = Domain(mean, whitening, places, {**limits, "group": 1.0}, {})
        own = np.array([parts.group_score(s)[0] for s in scores])
        limits["group"], shares["group"] = _limit(own)
    facts = {
        "training_samples": len(samples),
        "held_out_samples": sum(map(len, held_out)),
        "held_out_groups": len(held_out),
        "places": len(places),
        "share_above": shares,
    }
    return Domain(mean, whitening, places, limits, facts)


def _lower_limits(held_out: Sequence[Floats], training: Sequence[Floats]) -> dict[str, float]:
    """Lower limits of what is small in regular groups."""
    found = {}
    for name in ("least_mean", "least_spread"):
        values = [
            np.array([_regularity(scores)[name] for scores in groups])
            for groups in (held_out, training)
        ]
        # Where some groups of the training are as regular as can be, such as relaxed crystals of
        # one kind of site, regularity tells nothing, however few they are.
        if min(float(v.min()) for v in values) <= _NEGLIGIBLE:
            continue
        # Training data are rarely too regular, even where every sample is a place.
        found[name] = min(map(_lower_limit, values))
        if found[name] <= _NEGLIGIBLE:
            del found[name]
    return found


def _clusters(points: Floats, rng: np.random.Generator) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Places that stand for points: the points themselves if they are few, else k-means."""
    different = np.unique(points, axis=0)
    if len(different) <= _PLACES:
        return different, cdist(points, different).argmin(axis=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="One of the clusters is empty")
        places, labels = kmeans2(points, _PLACES, minit="++", iter=10, seed=rng)
    return places, labels.astype(np.int64)


def _whitening(centred: Floats, labels: npt.NDArray[np.int64]) -> Floats:
    """Directions of the spread around the means of clusters, divided by that spread."""
    spread = np.maximum(centred.std(axis=0), _FLOOR)
    scaled = centred / spread
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=labels[order][:1] - 1))
    sizes = np.diff([*starts, len(order)])
    sums = np.add.reduceat(scaled[order], starts)
    within = scaled[order] - np.repeat(sums / sizes[:, None], sizes, axis=0)
    free = max(len(centred) - len(sizes), 1)
    count = centred.shape[1]
    # With few samples the covariance is uncertain, so it is drawn towards that of all data without
    # correlations, which is 1 after scaling.
    doubt = count / (count + free)
    covariance = (1 - doubt) * within.T @ within / free + doubt * np.eye(count)
    values, directions = np.linalg.eigh(covariance)
    # The spread in the least variable directions is not known to a part in a hundred.
    values = np.maximum(values, 1e-2 * values.max())
    whitening: Floats = directions / np.sqrt(values) / spread[:, None]
    return whitening
