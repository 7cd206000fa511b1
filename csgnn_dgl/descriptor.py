"""Descriptors and densities of states of atoms as calls: ASE in, NumPy out."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch
from ase import Atoms

from csgnn_dgl.errors import ConfigError, DataError, StructureError, suggest
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.dos.domain import AtomScores, score_atoms
from csgnn_dgl.tasks.dos.outside import outside_note
from csgnn_dgl.tasks.dos.prediction import (
    DOSPrediction,
    average_descriptors,
    describe_and_score,
    predict_structures,
)
from csgnn_dgl.tasks.dos.trained import load_dos_model
from csgnn_dgl.tasks.dos.unseen import UnseenElements, unknown_elements
from csgnn_dgl.tasks.use_config import VoteSet
from csgnn_dgl.tasks.votes import vote_rotations

__all__ = [
    "AtomDescriptor",
    "AtomScores",
    "DOSPrediction",
    "OutOfDomainWarning",
    "UnseenElementWarning",
    "predict_dos",
]

Array = npt.NDArray[Any]
_DTYPES = {"float32": torch.float32, "float64": torch.float64}
# Number of atoms to collect from an iterator before they are described.
_GATHERED = 512


class UnseenElementWarning(UserWarning):
    """Warns about an element that a model was not trained on."""


class OutOfDomainWarning(UserWarning):
    """Warns about a structure unlike those that a model was trained on."""


class AtomDescriptor:
    """A learned descriptor of every atom, from its surroundings on concentric spheres.

    The descriptor is the output of the encoder of a trained density-of-states model (Sec. 4.2 of
    "Concentric Spherical GNN for 3D Representation Learning"). Shipped models describe any element,
    with one warning for each element that they were not trained on, and one for each structure
    outside their domain. Structures of any size are described in bounded memory.

    Parameters
    ----------
    weights
        A shipped model by name (``csgnn-dgl models``), a run directory, or a ``.safetensors`` file.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, …
    dtype
        ``"float32"`` or ``"float64"``, for the computation and the result.
    model
        The model of the weights, if it is one of your own: ``module:Class``, or the class.
    check_domain
        Whether :meth:`create` scores structures and warns about those outside the domain. With the
        shipped models this takes a quarter of the time of the descriptors.
    votes, vote_set, seed
        Orientations to average descriptors over, the kind of their set, and its random seed. With
        one vote, structures are taken as given.

    Raises
    ------
    CheckpointError
        There are no such weights, or they belong to another kind of model.
    ConfigError
        The device, the dtype or the set of votes does not exist, or there is no vote.

    Examples
    --------
    .. code-block:: python

        descriptor = AtomDescriptor("phonon-dos")
        features = descriptor.create(ase.io.read("salt.cif"))  # (N, features)
    """

    def __init__(
        self,
        weights: str | Path = "phonon-dos",
        *,
        device: str = "auto",
        dtype: str | npt.DTypeLike = "float32",
        model: Any = None,
        check_domain: bool = True,
        votes: int = 1,
        vote_set: VoteSet = "designed",
        seed: int = 0,
    ) -> None:
        try:
            name = np.dtype(dtype).name
        except TypeError:
            name = str(dtype)
        if name not in _DTYPES:
            raise ConfigError(f"unknown dtype {name!r}: {suggest(name, _DTYPES)}")
        self.weights = str(weights)
        self.dtype = np.dtype(name)
        self._trained = load_dos_model(weights, choose_device(device), model=model)
        self._trained.model.to(_DTYPES[name])
        self._check_domain = check_domain
        self._votes: dict[str, Any] = {"votes": votes, "vote_set": vote_set, "seed": seed}
        vote_rotations(**self._votes)  # checks them
        self._unseen = UnseenElements(self._trained.elements, self.weights)

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers that the model was trained on."""
        return self._trained.elements

    @property
    def cutoff(self) -> float:
        """Radius of the surroundings [Å]."""
        return self._trained.cutoff

    def get_number_of_features(self) -> int:
        """Length of the descriptor of an atom."""
        return self._trained.features

    @overload
    def create(self, system: Atoms, centers: Sequence[int] | None = None) -> Array: ...
    @overload
    def create(
        self, system: Iterable[Atoms], centers: Sequence[Sequence[int] | None] | None = None
    ) -> list[Array]: ...
    def create(self, system: Atoms | Iterable[Atoms], centers: Any = None) -> Array | list[Array]:
        """Compute descriptors of atoms.

        Parameters
        ----------
        system
            One structure, or a list or iterator of structures.
        centers
            Indices of the atoms to describe, in the order of the rows: for one structure a list,
            for many a list of lists. All atoms by default.

        Returns
        -------
        numpy.ndarray or list of numpy.ndarray
            Shape ``(N, features)``; for many structures one array each.

        Raises
        ------
        DataError
            A structure has two atoms at one place, positions that are not finite, a singular cell,
            or an element that the model cannot describe; or centers do not exist.
        """
        outside: list[str] = []
        if isinstance(system, Atoms):
            found = self._create([system], [centers], 0, outside)[0]
            _warn_outside(outside)
            return found
        wanted = None if centers is None else list(centers)
        results: list[Array] = []
        waiting: list[Atoms] = []
        atoms = 0
        for structure in system:
            if not isinstance(structure, Atoms):
                raise DataError(
                    f"structure {len(results) + len(waiting)} is a {type(structure).__name__}, not "
                    f"ASE Atoms; read files with ase.io.read or read_structures"
                )
            waiting.append(structure)
            atoms += len(structure)
            if atoms >= _GATHERED:
                results += self._create(waiting, wanted, len(results), outside)
                waiting, atoms = [], 0
        results += self._create(waiting, wanted, len(results), outside)
        if wanted is not None and len(wanted) != len(results):
            raise DataError(
                f"there are {len(wanted)} lists of centers for {len(results)} structures; give one "
                f"for each"
            )
        _warn_outside(outside)
        return results

    @overload
    def scores(self, system: Atoms) -> AtomScores | None: ...
    @overload
    def scores(self, system: Iterable[Atoms]) -> list[AtomScores | None]: ...
    def scores(self, system: Any) -> Any:
        """Score how far structures and their atoms lie from what the model was trained on.

        Parameters
        ----------
        system
            One structure, or a list or iterator of structures.

        Returns
        -------
        AtomScores or list of AtomScores
            Scores of the structure and of its atoms; above 1 is outside. None if the file of
            weights does not tell what its model was trained on.

        Raises
        ------
        DataError
            A structure has no neighbourhoods; see :meth:`create`.

        Examples
        --------
        .. code-block:: python

            found = AtomDescriptor("carbon-tb").scores(ase.build.bulk("C", "diamond", 3.57))
            found.structure, found.atoms, found.outside
        """
        if isinstance(system, Atoms):
            return score_atoms(self._trained, [system])[0]
        return [score_atoms(self._trained, [structure])[0] for structure in system]

    def _create(
        self,
        structures: Sequence[Atoms],
        centers: list[Any] | None,
        first: int,
        outside: list[str],
    ) -> list[Array]:
        for number, atoms in enumerate(structures):
            problem = unknown_elements(self._trained.model.model, atoms, self.weights)
            # A model that was trained on one element treats all others as that element, with a
            # warning.
            if problem and len(self.elements) > 1:
                raise StructureError(first + number, problem, atoms.get_chemical_formula())
            for note in self._unseen.notes(atoms):
                warnings.warn(note, UnseenElementWarning, stacklevel=3)
        own = None if centers is None else centers[first : first + len(structures)]
        if own is None or all(entry is None for entry in own):
            if self._check_domain:
                values, scored = describe_and_score(self._trained, structures, **self._votes)
                self._note_outside(structures, scored, first, outside)
            else:
                values = self._describe(structures)
            return [found.astype(self.dtype) for found in values]
        if len(own) < len(structures):
            raise DataError(
                f"there are {len(centers or [])} lists of centers, but more structures; give one "
                f"for each"
            )
        pairs = zip(own, structures, strict=True)
        chosen = [_indices(entry, atoms, first + i) for i, (entry, atoms) in enumerate(pairs)]
        if self._check_domain:
            scored = score_atoms(self._trained, structures)
            self._note_outside(structures, scored, first, outside)
        found = self._describe(structures, centres=[np.unique(rows) for rows in chosen])
        return [
            values[np.searchsorted(np.unique(rows), rows)].astype(self.dtype)
            for values, rows in zip(found, chosen, strict=True)
        ]

    def _note_outside(
        self,
        structures: Sequence[Atoms],
        scored: Sequence[AtomScores | None],
        first: int,
        outside: list[str],
    ) -> None:
        for number, scores in enumerate(scored):
            if beyond := outside_note(scores, self.weights, predicts=False):
                formula = structures[number].get_chemical_formula()
                outside.append(f"structure {first + number} ({formula}): {beyond}")

    def _describe(self, structures: Sequence[Atoms], **options: Any) -> list[Array]:
        return average_descriptors(self._trained, structures, **options, **self._votes)


def _warn_outside(notes: Sequence[str]) -> None:
    """Give one warning for all structures outside the domain."""
    if notes:
        more = f" ({len(notes) - 1} more structures are outside, too)" if notes[1:] else ""
        warnings.warn(notes[0] + more, OutOfDomainWarning, stacklevel=3)


def _indices(centers: Any, atoms: Atoms, structure: int) -> npt.NDArray[np.int64]:
    if centers is None:
        return np.arange(len(atoms))
    values = np.asarray(centers)
    if values.ndim != 1 or (values.size and not np.issubdtype(values.dtype, np.integer)):
        raise DataError(
            f"centers of structure {structure} have shape {values.shape} and type {values.dtype}: "
            f"give indices of atoms; points in space cannot be described"
        )
    wrong = values[(values < 0) | (values >= len(atoms))] if values.size else values
    if len(wrong):
        raise DataError(
            f"structure {structure} has atoms 0 to {len(atoms) - 1}, but center {wrong[0]} is given"
        )
    return values.astype(np.int64)


@overload
def predict_dos(
    atoms: Atoms,
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
    atoms: Iterable[Atoms],
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
    atoms: Atoms | Iterable[Atoms],
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
        One structure, or a list or iterator of structures.
    weights
        As for :class:`AtomDescriptor`.
    electrons
        Electrons per atom; by default from the training data, or else from the structure's
        ``info``.
    votes, vote_set, seed
        Orientations to average over, the kind of their set, and its random seed
        (:func:`~csgnn_dgl.tasks.votes.vote_rotations`). With one vote, structures are taken as
        given.
    device, model
        As for :class:`AtomDescriptor`.

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
        A structure cannot be used, or the energy window holds fewer states than electrons.

    Examples
    --------
    .. code-block:: python

        found = predict_dos(ase.build.bulk("C", "diamond", 3.57))
        found.dos, found.unit, found.fermi_level, found.band_energy
    """
    trained = load_dos_model(weights, choose_device(device), model=model)
    one = isinstance(atoms, Atoms)
    structures = [atoms] if isinstance(atoms, Atoms) else list(atoms)
    unseen = UnseenElements(trained.elements, str(weights))
    found = predict_structures(
        trained, structures, electrons=electrons, votes=votes, seed=seed, vote_set=vote_set
    )
    for structure in structures:
        for note in unseen.notes(structure):
            warnings.warn(note, UnseenElementWarning, stacklevel=2)
    _warn_outside(
        [
            f"structure {index} ({prediction.formula}): {beyond}"
            for index, prediction in enumerate(found)
            if (beyond := outside_note(prediction.scores, str(weights), predicts=True))
        ]
    )
    return found[0] if one else found
