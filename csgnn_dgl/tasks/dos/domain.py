"""How far atoms and structures lie from a model's training data, and how wrong it may be there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl.tasks.calibration import ExpectedError
from csgnn_dgl.tasks.domain import Domain
from csgnn_dgl.tasks.dos.trained import TrainedDOS

__all__ = [
    "QUANTITIES",
    "AtomScores",
    "Uncertainty",
    "atom_column",
    "expected_errors",
    "score_atoms",
    "scores_of",
    "structure_value",
    "uncertainties",
]

Floats = npt.NDArray[np.float64]

#: What has an uncertainty, and in which unit: that of the curve, or of energies.
QUANTITIES = ("dos", "fermi_level", "band_energy", "gap")

# Atoms that are compared with the training data together.
_TOGETHER = 1024


@dataclass(frozen=True, eq=False)
class AtomScores:
    """Out-of-domain scores of one structure. Above 1 is outside.

    Parameters
    ----------
    atoms
        Score of every atom, shape ``(N,)``.
    structure
        Score of the structure.
    shares
        Share of the atoms nearest to each place of the domain, shape ``(K,)``.
    too_regular
        Whether the structure's score is high because its atoms are more regular than those in
        training: a relaxed structure, and a model of snapshots at finite temperature.
    """

    atoms: Floats
    structure: float
    shares: Floats
    too_regular: bool = False

    @property
    def outside(self) -> bool:
        """Whether the structure lies outside the training data."""
        return self.structure > 1

    @property
    def text(self) -> str:
        """The structure's score and what it means, for users."""
        meaning = "above 1: outside" if self.outside else "up to 1: inside"
        return f"out-of-domain score {self.structure:.2f} ({meaning})"

    @property
    def atoms_outside(self) -> int:
        """Number of atoms outside."""
        return int((self.atoms > 1).sum())


def atom_column(scores: AtomScores | None, count: int) -> Floats:
    """The scores of ``count`` atoms, NaN where they are unknown."""
    return np.full(count, np.nan) if scores is None else scores.atoms


def structure_value(scores: AtomScores | None) -> float:
    """The score of a structure, NaN where it is unknown."""
    return math.nan if scores is None else scores.structure


@dataclass(frozen=True)
class Uncertainty:
    """Half the width of intervals around a predicted number.

    Parameters
    ----------
    half_widths
        For each share of predictions the distance from the reference that this share stays below.
    """

    half_widths: Mapping[float, float]

    def __getitem__(self, level: float) -> float:
        return self.half_widths[level]


def score_atoms(trained: TrainedDOS, structures: Sequence[Atoms]) -> list[AtomScores | None]:
    """Score structures and their atoms; None for each if the model's file has no domain.

    Raises
    ------
    DataError
        A structure has no neighbourhoods.
    """
    if trained.domain is None:
        return [None] * len(structures)
    return scores_of(trained.domain, trained.fingerprints(structures))


def scores_of(domain: Domain, fingerprints: Sequence[Floats]) -> list[AtomScores | None]:
    """Scores of structures from their fingerprints."""
    found: list[AtomScores | None] = []
    for distances, place in _nearest(domain, fingerprints):
        atoms = distances / domain.limits["sample"]
        shares = np.bincount(place, minlength=len(domain.places)) / len(place)
        score, too_regular = domain.group_score(atoms)
        found.append(AtomScores(atoms, score, shares, too_regular))
    return found


def _nearest(
    domain: Domain, fingerprints: Sequence[Floats]
) -> Iterator[tuple[Floats, npt.NDArray[np.int64]]]:
    """Distances and places of each structure's atoms; small structures are compared together."""
    group: list[Floats] = []
    atoms = 0
    for index, own in enumerate(fingerprints):
        group.append(own)
        atoms += len(own)
        if atoms >= _TOGETHER or index == len(fingerprints) - 1:
            cuts = np.cumsum([len(part) for part in group])[:-1]
            found = domain.nearest(np.concatenate(group))
            yield from zip(*(np.split(part, cuts) for part in found), strict=True)
            group, atoms = [], 0


def uncertainties(
    trained: TrainedDOS, scores: AtomScores | None, votes: int
) -> dict[str, Uncertainty]:
    """Uncertainties of a structure's prediction, by quantity.

    They are empty where nothing is known: without a calibration, and outside the domain.
    """
    if scores is None or scores.outside:
        return {}
    found = {}
    for quantity, expected in expected_errors(trained, votes).items():
        size = float(expected.expected(np.array([scores.structure]), scores.shares[None])[0])
        widths = {level: factor * size for level, factor in expected.quantiles.items()}
        found[quantity] = Uncertainty(widths)
    return found


def expected_errors(trained: TrainedDOS, votes: int) -> dict[str, ExpectedError]:
    """The errors to expect of each quantity with some number of votes.

    Those of the largest number of votes that is known and not larger are returned, since more votes
    only make errors smaller.
    """
    fitting = [number for number in trained.errors if number <= votes]
    return trained.errors[max(fitting)] if fitting else {}
