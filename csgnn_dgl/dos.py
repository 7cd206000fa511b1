"""Densities of states of structures as a call: structures in, NumPy out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, overload

from ase import Atoms

from csgnn_dgl._warn import warn_caller
from csgnn_dgl.datasets.atoms.given import AtomsLike, as_atoms, each_structure, is_one_structure
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.dos.outside import outside_note, warn_outside
from csgnn_dgl.tasks.dos.prediction import DOSPrediction, predict_structures
from csgnn_dgl.tasks.dos.trained import load_dos_model
from csgnn_dgl.tasks.dos.unseen import UnseenElements, UnseenElementWarning
from csgnn_dgl.tasks.use_config import VoteSet

__all__ = ["predict_dos"]


@overload
def predict_dos(
    atoms: Atoms | str,
    weights: str | Path = ...,
    *,
    electrons: float | None = ...,
    votes: int = ...,
    vote_set: VoteSet = ...,
    seed: int = ...,
    device: str = ...,
    model: Any = ...,
) -> DOSPrediction: ...
@overload
def predict_dos(
    atoms: Iterable[AtomsLike],
    weights: str | Path = ...,
    *,
    electrons: float | None = ...,
    votes: int = ...,
    vote_set: VoteSet = ...,
    seed: int = ...,
    device: str = ...,
    model: Any = ...,
) -> list[DOSPrediction]: ...
def predict_dos(
    atoms: AtomsLike,
    weights: str | Path = "carbon-tb",
    *,
    electrons: float | None = None,
    votes: int = 1,
    vote_set: VoteSet = "designed",
    seed: int = 0,
    device: str = "auto",
    model: Any = None,
) -> DOSPrediction | list[DOSPrediction]:
    """Predict the density of states of one structure or of many.

    Parameters
    ----------
    atoms
        One structure, or a list or iterator of structures: ASE ``Atoms``, pymatgen ``Structure`` or
        ``Molecule``, or the path of a file that holds one structure.
    weights
        As for :class:`~csgnn_dgl.descriptor.AtomDescriptor`.
    electrons
        Electrons per atom; by default from the training data, or else from the structure's
        ``info``.
    votes, vote_set, seed
        Orientations to average over, the kind of their set, and its random seed
        (:func:`~csgnn_dgl.tasks.votes.vote_rotations`). With one vote, structures are taken as
        given.
    device, model
        As for :class:`~csgnn_dgl.descriptor.AtomDescriptor`.

    Returns
    -------
    DOSPrediction or list of DOSPrediction
        Curve, energies, units, Fermi level, band energy, gap, and each atom's own curve; scores
        and uncertainties.

    Raises
    ------
    CheckpointError
        There are no such weights, or they belong to another kind of model.
    DataError
        A structure or its file cannot be used, or the energy window holds fewer states than
        electrons.

    Examples
    --------
    .. code-block:: python

        found = predict_dos(ase.build.bulk("C", "diamond", 3.57))
        found.dos, found.unit, found.fermi_level, found.band_energy
    """
    trained = load_dos_model(weights, choose_device(device), model=model)
    one = is_one_structure(atoms)
    structures = [as_atoms(atoms)] if one else list(each_structure(atoms))
    unseen = UnseenElements(trained.elements, str(weights))
    found = predict_structures(
        trained, structures, electrons=electrons, votes=votes, seed=seed, vote_set=vote_set
    )
    for structure in structures:
        for note in unseen.notes(structure):
            warn_caller(note, UnseenElementWarning)
    warn_outside(
        [
            f"structure {index} ({prediction.formula}): {beyond}"
            for index, prediction in enumerate(found)
            if (beyond := outside_note(prediction.scores, str(weights), predicts=True))
        ]
    )
    return found[0] if one else found
