"""Warnings about structures and atoms outside a model's training data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from csgnn_dgl._warn import warn_caller
from csgnn_dgl.tasks.dos.domain import AtomScores
from csgnn_dgl.tasks.shipped import limits_of

__all__ = ["OutOfDomainWarning", "closing_notes", "outside_note", "warn_outside"]


class OutOfDomainWarning(UserWarning):
    """Warns about a structure unlike those that a model was trained on."""


def outside_note(scores: AtomScores | None, name: str, *, predicts: bool) -> str | None:
    """Describe a structure outside the domain; None for one inside, or if that is unknown.

    Parameters
    ----------
    scores
        Scores of the structure.
    name
        Name of the model.
    predicts
        Whether a curve was predicted, rather than descriptors computed.

    Examples
    --------
    >>> import numpy as np
    >>> scores = AtomScores(np.array([0.5, 4.0]), 3.2, np.ones(1))
    >>> outside_note(scores, "tiny", predicts=False)[:66]
    'outside what tiny was trained on: score 3.20 (above 1: outside), 1'
    """
    if scores is None or not scores.outside:
        return None
    what = "do not rely on these descriptors"
    if predicts:
        what = "the prediction is an extrapolation, and how wrong it is is unknown"
    why = f"{scores.atoms_outside} of {len(scores.atoms)} atoms outside"
    if scores.too_regular:
        why = "its atoms are more regular than those in training, as if it were relaxed at 0 K"
    return (
        f"outside what {name} was trained on: score {scores.structure:.2f} (above 1: outside), "
        f"{why}; {what}"
    )


def warn_outside(notes: Sequence[str]) -> None:
    """Give one warning for all structures outside the domain.

    Parameters
    ----------
    notes
        A note for each of them, with its name; see :func:`outside_note`.
    """
    if notes:
        more = f" ({len(notes) - 1} more structures are outside, too)" if notes[1:] else ""
        warn_caller(notes[0] + more, OutOfDomainWarning)


def closing_notes(path: Path, name: str, scores: list[AtomScores | None]) -> list[str]:
    """Lines to print after all structures: the limits of a model that is not at home in some.

    Parameters
    ----------
    path
        File of its weights.
    name
        Its name.
    scores
        Scores of all structures.
    """
    if not scores:
        return []
    if all(score is None for score in scores):
        return [
            f"warning: {path} does not say what its model was trained on, so there are no "
            f"out-of-domain scores and no uncertainties; csgnn_dgl.tasks.calibrate adds them"
        ]
    if not any(score is not None and score.outside for score in scores):
        return []
    return [f"limit of {name}: {limit}" for limit in limits_of(path)]
