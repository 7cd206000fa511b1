"""Learn from held-out structures what a model knows, and how wrong it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from csgnn_dgl.datasets.atoms.dos import DOSRecord
from csgnn_dgl.errors import DataError
from csgnn_dgl.physics import EnergyGrid, Levels, find_levels
from csgnn_dgl.tasks.calibration import fit_expected_error
from csgnn_dgl.tasks.domain import fit_domain
from csgnn_dgl.tasks.dos.averages import average_curves
from csgnn_dgl.tasks.dos.baseline import MeanCurves
from csgnn_dgl.tasks.dos.domain import QUANTITIES, scores_of
from csgnn_dgl.tasks.dos.trained import TrainedDOS
from csgnn_dgl.tasks.learned import Learned, sampled

__all__ = ["absolute_errors", "learn_atoms"]

Floats = npt.NDArray[np.float64]

# Numbers of votes that errors are learned for.
_VOTES = (1, 4)
# Most held-out structures, training structures, and atoms of all training structures.
_HELD_OUT, _TRAINING, _ATOMS = 500, 2000, 12_000


def absolute_errors(
    records: Sequence[DOSRecord], predicted: Floats, grid: EnergyGrid
) -> dict[str, Floats]:
    """Absolute errors of predicted curves by quantity, each of shape ``(n,)``; NaN if unknown.

    The Fermi level and the gap of a structure are unknown where the energies end within its gap.
    """
    found = {name: np.full(len(records), np.nan) for name in QUANTITIES}
    for index, (record, curve) in enumerate(zip(records, predicted, strict=True)):
        found["dos"][index] = np.nanmean(np.abs(curve - record.dos))
        if record.electrons is None or np.isnan(record.dos).any():
            continue
        own = _levels(curve, grid, record.electrons)
        reference = _levels(record.dos, grid, record.electrons)
        if own is not None and reference is not None:
            for name in QUANTITIES[1:]:
                found[name][index] = abs(getattr(own, name) - reference.known(name))
    return found


def _levels(curve: Floats, grid: EnergyGrid, electrons: float) -> Levels | None:
    try:
        return find_levels(curve, grid, electrons)
    except DataError:
        return None


def learn_atoms(
    trained: TrainedDOS, training: Sequence[DOSRecord], held_out: Sequence[DOSRecord], seed: int
) -> Learned:
    """Learn a model's domain, the errors to expect, and the mean curves of its training data.

    Parameters
    ----------
    trained
        The model.
    training
        Structures that it was trained on.
    held_out
        Structures that it was not trained on.
    seed
        Random seed for the choice of structures and atoms.
    """
    baseline = MeanCurves.of(training).to_plain()
    training, held_out = (
        sampled(records, most, seed)
        for records, most in ((training, _TRAINING), (held_out, _HELD_OUT))
    )
    rng = np.random.default_rng(seed)
    each = max(4, math.ceil(_ATOMS / max(len(training), 1)))
    centres = [
        np.sort(rng.choice(len(record.atoms), min(each, len(record.atoms)), replace=False))
        for record in training
    ]
    fingerprints = trained.fingerprints([record.atoms for record in training], centres=centres)
    own = trained.fingerprints([record.atoms for record in held_out])
    domain = fit_domain(fingerprints, own, grouped=True, seed=seed)
    if domain is None:
        return Learned(baseline=baseline)
    scores = [score for score in scores_of(domain, own) if score is not None]
    structure = np.array([score.structure for score in scores])
    shares = np.array([score.shares for score in scores])
    calibration: dict[str, Any] = {}
    local = {}
    for votes in _VOTES[:1] if trained.model.model.invariant else _VOTES:
        curves = average_curves(trained, [record.atoms for record in held_out], votes=votes)
        predicted = np.array([curve.mean(axis=0) for curve in curves])
        errors = absolute_errors(held_out, predicted, trained.grid)
        entries = {}
        for name, values in errors.items():
            expected = fit_expected_error(values, structure, shares, seed=seed)
            if expected is not None:
                entries[name] = expected.plain()
                local[f"error.{votes}.{name}"] = torch.from_numpy(expected.local.astype(np.float32))
        if entries:
            calibration[str(votes)] = entries
    return Learned(domain, {"votes": calibration} if calibration else {}, local, baseline)
