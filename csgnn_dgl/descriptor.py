"""Descriptors of atoms and of structures as calls: structures in, NumPy out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch
from ase import Atoms
from ase.data import atomic_numbers

from csgnn_dgl._foreign import quoted
from csgnn_dgl._pairs import element_problem, formula_of
from csgnn_dgl._warn import warn_caller
from csgnn_dgl.datasets.atoms.given import AtomsLike, as_atoms, each_structure, is_one_structure
from csgnn_dgl.dos import predict_dos
from csgnn_dgl.errors import ConfigError, DataError, StructureError, suggest
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.dos.averages import average_descriptors, describe_and_score
from csgnn_dgl.tasks.dos.domain import AtomScores, score_atoms
from csgnn_dgl.tasks.dos.outside import OutOfDomainWarning, outside_note, warn_outside
from csgnn_dgl.tasks.dos.pooling import Pool, check_pool, pool_descriptors, pooled_names
from csgnn_dgl.tasks.dos.prediction import DOSPrediction
from csgnn_dgl.tasks.dos.trained import load_dos_model, numbered
from csgnn_dgl.tasks.dos.unseen import UnseenElements, UnseenElementWarning, unknown_elements
from csgnn_dgl.tasks.use_config import VoteSet
from csgnn_dgl.tasks.votes import check_votes, vote_rotations

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
        The device, the dtype or the set of votes does not exist, there is no vote, or the votes are
        no whole number.

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
        check_votes(votes)
        vote_rotations(**self._votes)  # checks the rest
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

    def get_feature_names(self) -> list[str]:
        """Names of the features of an atom, as in files."""
        return pooled_names(self.get_number_of_features())

    @overload
    def create(self, system: Atoms | str, centers: Sequence[int] | None = None) -> Array: ...
    @overload
    def create(
        self, system: Iterable[AtomsLike], centers: Sequence[Sequence[int] | None] | None = None
    ) -> list[Array]: ...
    def create(self, system: AtomsLike, centers: Any = None) -> Array | list[Array]:
        """Compute descriptors of atoms.

        Parameters
        ----------
        system
            One structure, or a list or iterator of structures: ASE ``Atoms``, pymatgen
            ``Structure`` or ``Molecule``, or the path of a file that holds one structure.
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
            or an atom of no known element or of one that the model cannot describe; or centers do
            not exist; or a file cannot be read, or holds several structures.
        """
        one = is_one_structure(system)
        wanted = None if centers is None else [centers] if one else list(centers)
        results = [found for _, found in self._described(system, wanted)]
        return results[0] if one else results

    @overload
    def create_pooled(
        self, system: Atoms | str, pool: Pool = ..., *, elements: Sequence[int | str] = ...
    ) -> Array: ...
    @overload
    def create_pooled(
        self, system: Iterable[AtomsLike], pool: Pool = ..., *, elements: Sequence[int | str] = ...
    ) -> Array: ...
    def create_pooled(
        self, system: AtomsLike, pool: Pool = "mean", *, elements: Sequence[int | str] = ()
    ) -> Array:
        """Compute descriptors of whole structures from those of their atoms.

        Of many structures, only the pooled rows are kept in memory.

        Parameters
        ----------
        system
            As for :meth:`create`.
        pool
            ``"mean"`` or ``"sum"`` over atoms, or ``"per-element"``: the means over the atoms of
            each element, one after another, and zeros for an element that a structure lacks. See
            :func:`~csgnn_dgl.tasks.dos.pooling.pool_descriptors`.
        elements
            For ``"per-element"``, symbols or atomic numbers in the order of the parts. By default
            those that the model was trained on.

        Returns
        -------
        numpy.ndarray
            Shape ``(features,)``; of many structures ``(n, features)``.

        Raises
        ------
        ConfigError
            ``pool`` or an element is unknown, a structure has an element that is not among
            ``elements``, or elements are given for another pool.
        DataError
            As :meth:`create`.

        Examples
        --------
        .. code-block:: python

            rows = AtomDescriptor("phonon-dos").create_pooled(["a.cif", "b.cif"], "mean")
        """
        check_pool(pool)
        if elements and pool != "per-element":
            raise ConfigError(f"elements are given, which mean nothing for the pool {pool!r}")
        parts = [_number(element) for element in elements] or self.elements
        rows = [
            pool_descriptors(found, atoms.numbers, pool, parts)
            for atoms, found in self._described(system, None)
        ]
        if is_one_structure(system):
            return rows[0]
        length = self.get_number_of_features() * (len(parts) if pool == "per-element" else 1)
        return np.array(rows, dtype=self.dtype).reshape(len(rows), length)

    @overload
    def scores(self, system: Atoms | str) -> AtomScores | None: ...
    @overload
    def scores(self, system: Iterable[AtomsLike]) -> list[AtomScores | None]: ...
    def scores(self, system: Any) -> Any:
        """Score how far structures and their atoms lie from what the model was trained on.

        Parameters
        ----------
        system
            As for :meth:`create`.

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
        if is_one_structure(system):
            return score_atoms(self._trained, [as_atoms(system)])[0]
        return [score_atoms(self._trained, [atoms])[0] for atoms in each_structure(system)]

    def _described(
        self, system: AtomsLike, centers: list[Any] | None
    ) -> Iterator[tuple[Atoms, Array]]:
        """Yield structures with the descriptors of their atoms; then warn of those outside."""
        one = is_one_structure(system)
        outside: list[str] = []
        waiting: list[Atoms] = []
        done = atoms = 0
        last = object()
        for structure in chain([as_atoms(system)] if one else each_structure(system), [last]):
            if isinstance(structure, Atoms):
                waiting.append(structure)
                atoms += len(structure)
            if atoms >= _GATHERED or structure is last:
                with numbered(range(done, done + len(waiting))):
                    found = self._create(waiting, centers, done, outside)
                yield from zip(waiting, found, strict=True)
                done += len(waiting)
                waiting, atoms = [], 0
        if centers is not None and len(centers) != done:
            raise DataError(
                f"there are {len(centers)} lists of centers for {done} structures; give one for "
                f"each"
            )
        warn_outside(outside)

    def _create(
        self,
        structures: Sequence[Atoms],
        centers: list[Any] | None,
        first: int,
        outside: list[str],
    ) -> list[Array]:
        for number, atoms in enumerate(structures):
            if problem := element_problem(atoms):
                raise StructureError(number, problem, formula_of(atoms))
            problem = unknown_elements(self._trained.model.model, atoms, self.weights)
            # A model that was trained on one element treats all others as that element, with a
            # warning.
            if problem and len(self.elements) > 1:
                raise StructureError(number, problem, atoms.get_chemical_formula())
            for note in self._unseen.notes(atoms):
                warn_caller(note, UnseenElementWarning)
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
        # Where no atom is wanted, the first is described in vain: structures are then checked as
        # all others are, and an empty batch has no shape.
        first_atom = np.zeros(1, dtype=np.int64)
        centres = [np.unique(rows) if len(rows) else first_atom for rows in chosen]
        found = self._describe(structures, centres=centres)
        return [
            values[np.searchsorted(described, rows)].astype(self.dtype)
            for values, described, rows in zip(found, centres, chosen, strict=True)
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


def _number(element: int | str) -> int:
    """The atomic number of a symbol or number."""
    number = atomic_numbers.get(element) if isinstance(element, str) else element
    if not isinstance(number, (int, np.integer)) or not 0 < number < len(atomic_numbers):
        raise ConfigError(f"there is no element {quoted(element)}; give a symbol or a number")
    return int(number)
