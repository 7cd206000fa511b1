"""Curves and descriptors of structures, averaged over orientations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from ase import Atoms
from torch import Tensor

from csgnn_dgl._progress import working
from csgnn_dgl.tasks.dos.domain import AtomScores, score_atoms, scores_of
from csgnn_dgl.tasks.dos.trained import TrainedDOS
from csgnn_dgl.tasks.use_config import VoteSet
from csgnn_dgl.tasks.votes import average_over_votes, vote_rotations

__all__ = ["average_curves", "average_descriptors", "describe_and_score"]

Floats = npt.NDArray[np.float64]
# Number of structures that are rotated and predicted together.
_GROUP = 16


def average_curves(
    trained: TrainedDOS,
    structures: Sequence[Atoms],
    *,
    votes: int = 1,
    seed: int = 0,
    vote_set: VoteSet = "designed",
) -> list[Floats]:
    """Predict each atom's curve, averaged over orientations; one is the structure as given.

    The orientations are the same for all structures, so a structure's curve does not depend on the
    other structures.

    Parameters
    ----------
    trained
        The model.
    structures
        Structures.
    votes, seed, vote_set
        Number of orientations, the random seed for them, and the kind of their set; see
        :func:`~csgnn_dgl.tasks.votes.vote_rotations`.

    Returns
    -------
    list of numpy.ndarray
        One array ``(N, E)`` per structure [the unit of the curves].
    """
    rotations = vote_rotations(votes, seed, vote_set=vote_set)
    return _average(lambda group, _: trained.per_atom(group), structures, rotations)


def average_descriptors(
    trained: TrainedDOS,
    structures: Sequence[Atoms],
    *,
    centres: Sequence[npt.NDArray[np.int64]] | None = None,
    votes: int = 1,
    seed: int = 0,
    vote_set: VoteSet = "designed",
) -> list[Floats]:
    """Compute descriptors of atoms, averaged over orientations.

    Parameters
    ----------
    trained, structures
        The model, and structures.
    centres
        For each structure the atoms to describe; all by default.
    votes, seed, vote_set
        See :func:`average_curves`.

    Returns
    -------
    list of numpy.ndarray
        One array ``(N, features)`` per structure.
    """
    if votes == 1:
        return trained.describe(structures, centres=centres)

    def describe(group: Sequence[Atoms], chosen: slice) -> list[Floats]:
        return trained.describe(group, centres=None if centres is None else centres[chosen])

    return _average(describe, structures, vote_rotations(votes, seed, vote_set=vote_set))


def describe_and_score(
    trained: TrainedDOS,
    structures: Sequence[Atoms],
    *,
    votes: int = 1,
    seed: int = 0,
    vote_set: VoteSet = "designed",
) -> tuple[list[Floats], list[AtomScores | None]]:
    """:func:`average_descriptors` and the scores of :func:`~.domain.score_atoms`.

    With one vote, neighbours are found once for both.
    """
    if votes > 1 or trained.domain is None:
        found = average_descriptors(trained, structures, votes=votes, seed=seed, vote_set=vote_set)
        return found, score_atoms(trained, structures)
    found, fingerprints = trained.describe_and_fingerprint(structures)
    return found, scores_of(trained.domain, fingerprints)


def _average(
    compute: Callable[[Sequence[Atoms], slice], list[Floats]],
    structures: Sequence[Atoms],
    rotations: list[Tensor],
) -> list[Floats]:
    """Average what is computed of some structures, and their place among all, over rotations."""
    votes = len(rotations)
    with working("structures", votes * len(structures), unit="structure") as done:

        def answer(rotation: Tensor) -> list[Floats]:
            matrix = rotation[0].double().numpy().T
            found = []
            for start in range(0, len(structures), _GROUP):
                group = structures[start : start + _GROUP]
                chosen = slice(start, start + len(group))
                found += compute([_rotated(atoms, matrix) for atoms in group], chosen)
                done(len(group))
            return found

        return average_over_votes(answer, rotations)


def _rotated(atoms: Atoms, matrix: Floats) -> Atoms:
    positions, cell = atoms.positions @ matrix, atoms.cell.array @ matrix
    return Atoms(atoms.numbers, positions, cell=cell, pbc=atoms.pbc)
