"""Load a trained model of densities of states from a run directory or a file of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from ase import Atoms
from ase.data import chemical_symbols
from torch import Tensor

from csgnn_dgl._foreign import excerpt, quoted
from csgnn_dgl._progress import working
from csgnn_dgl.errors import CheckpointError, ConfigError, StructureError
from csgnn_dgl.mapping.neighbors import Neighbors, find_neighbors
from csgnn_dgl.mapping.tiles import tiles
from csgnn_dgl.models import AtomModel, DOSModel, Hypers
from csgnn_dgl.models.atoms.surroundings import (
    LARGEST_REACH,
    fingerprint_length,
    surroundings_fingerprint,
)
from csgnn_dgl.physics import EnergyGrid
from csgnn_dgl.tasks.calibration import ExpectedError
from csgnn_dgl.tasks.trained import Trained, load_network
from csgnn_dgl.tasks.weights import Header

__all__ = ["KIND", "TrainedDOS", "dos_network", "load_dos_model"]

KIND = "dos"

Floats = npt.NDArray[np.float64]
# Number of atoms whose fingerprints are computed at once.
_FINGERPRINTS = 128
# Number of atoms whose neighbours are found at once: some 100 MB in a dense solid.
_TILE = 2048


@dataclass(frozen=True)
class TrainedDOS(Trained[DOSModel]):
    """A trained model of densities of states; see :class:`~csgnn_dgl.tasks.trained.Trained`."""

    @property
    def grid(self) -> EnergyGrid:
        """Energies of the curves."""
        return EnergyGrid(**self.header.data["grid"])

    @property
    def quantity(self) -> str:
        """``"electronic"`` or ``"phonon"``."""
        return str(self.header.data["quantity"])

    @property
    def dos_unit(self) -> str:
        """Unit of the curves."""
        return str(self.header.data["dos_unit"])

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers that it was trained on."""
        return self.model.model.elements

    @property
    def cutoff(self) -> float:
        """Radius within which neighbours matter [Å]."""
        return self.model.model.cutoff

    @property
    def features(self) -> int:
        """Length of the descriptor of an atom."""
        return self.model.model.features

    @property
    def electrons_per_element(self) -> dict[int, float] | None:
        """Electrons per atom of each element, if known."""
        counts = self.header.data.get("electrons_per_element")
        return None if counts is None else {int(k): float(v) for k, v in counts.items()}

    @cached_property
    def errors(self) -> dict[int, dict[str, ExpectedError]]:
        """The errors to expect, by number of votes and quantity; empty if they are unknown.

        Raises
        ------
        CheckpointError
            The calibration in the file is damaged.
        """
        try:
            return {
                int(votes): {
                    str(name): ExpectedError.from_parts(
                        plain, self._local_errors(f"error.{int(votes)}.{name}")
                    )
                    for name, plain in entries.items()
                }
                for votes, entries in self.header.calibration.get("votes", {}).items()
            }
        except (ValueError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"the calibration in {self.path} is damaged: {error}; restore it or train again"
            ) from error

    def _local_errors(self, name: str) -> Floats:
        if name not in self.arrays or self.domain is None:
            raise ValueError(f"{name} is missing")
        values = self.arrays[name].double().numpy()
        if values.shape != (len(self.domain.places),):
            raise ValueError(f"{name} has the shape {values.shape}")
        return values

    def predict(self, structures: Sequence[Atoms], *, chunk: int | None = None) -> Floats:
        """Predict curves of structures, shape ``(n, E)`` [``dos_unit``].

        The network computes at most ``chunk`` atoms at a time, so that its memory does not grow
        with the size of a structure. By default the model chooses.
        """
        return np.array([curves.mean(axis=0) for curves in self.per_atom(structures, chunk=chunk)])

    def per_atom(self, structures: Sequence[Atoms], *, chunk: int | None = None) -> list[Floats]:
        """Predict each atom's curve, one array ``(N, E)`` per structure [``dos_unit``]."""
        return list(self._by_structure(structures, chunk, self.model.per_atom))

    def describe(
        self,
        structures: Sequence[Atoms],
        *,
        centres: Sequence[npt.NDArray[np.int64] | None] | None = None,
        chunk: int | None = None,
    ) -> list[Floats]:
        """Compute descriptors of atoms, one array ``(N, features)`` per structure.

        Parameters
        ----------
        structures
            Structures.
        centres
            For each structure the atoms to describe; None for all.
        chunk
            Number of atoms that the network computes at once; by default the model chooses.
        """
        return list(self._by_structure(structures, chunk, self.model.describe, centres))

    def fingerprints(
        self,
        structures: Sequence[Atoms],
        *,
        centres: Sequence[npt.NDArray[np.int64] | None] | None = None,
    ) -> list[Floats]:
        """Compute fingerprints of surroundings, one array ``(N, F)`` per structure.

        They do not depend on the weights; see
        :func:`~csgnn_dgl.models.atoms.surroundings.surroundings_fingerprint`.
        """
        reach = min(self.cutoff, LARGEST_REACH)
        call = self._fingerprint_of
        return list(self._by_structure(structures, _FINGERPRINTS, call, centres, reach=reach))

    def describe_and_fingerprint(
        self, structures: Sequence[Atoms], *, chunk: int | None = None
    ) -> tuple[list[Floats], list[Floats]]:
        """:meth:`describe` and :meth:`fingerprints` of all atoms; neighbours are found once."""
        found = list(
            self._both(structures, chunk, self.model.describe, beside=self._fingerprint_of)
        )
        return [rows for rows, _ in found], [own for _, own in found]

    def _fingerprint_of(self, part: Neighbors) -> Tensor:
        return surroundings_fingerprint(part, min(self.cutoff, LARGEST_REACH))

    def _by_structure(
        self,
        structures: Sequence[Atoms],
        chunk: int | None,
        call: Callable[[Neighbors], Tensor],
        centres: Sequence[npt.NDArray[np.int64] | None] | None = None,
        *,
        reach: float | None = None,
    ) -> Iterator[Floats]:
        """Call a function on pieces of structures, and yield its rows for each structure.

        With ``reach``, the function is the network's no more: neighbours up to this distance are
        enough, and stay in double precision.
        """
        for rows, _ in self._both(structures, chunk, call, centres, reach=reach):
            yield rows

    def _both(
        self,
        structures: Sequence[Atoms],
        chunk: int | None,
        call: Callable[[Neighbors], Tensor],
        centres: Sequence[npt.NDArray[np.int64] | None] | None = None,
        *,
        reach: float | None = None,
        beside: Callable[[Neighbors], Tensor] | None = None,
    ) -> Iterator[tuple[Floats, Floats]]:
        """As :meth:`_by_structure`, with the rows of a second function of the same neighbours.

        The second function gets them in double precision. Without one, its rows are empty.
        """
        chunk = self.model.model.atoms_at_once if chunk is None else chunk
        if chunk < 1:
            raise ConfigError(f"chunk is {chunk}, but it must be at least 1")
        weight = next(self.model.parameters())
        wanted = [None] * len(structures) if centres is None else list(centres)
        cutoff = self.cutoff if reach is None else reach
        dtype = weight.dtype if reach is None else None
        device = weight.device if reach is None else torch.device("cpu")

        def rows(found: Neighbors, whole: bool = False) -> tuple[Floats, Floats]:
            parts = [found] if whole else found.chunks(chunk)
            with torch.no_grad():
                mine = torch.cat([call(part.to(device, dtype)).cpu() for part in parts])
                own = [] if beside is None else list(map(beside, found.chunks(_FINGERPRINTS)))
            other = torch.cat(own).numpy() if own else np.zeros((len(mine), 0))
            return mine.double().numpy(), other

        local = reach is not None or self.model.model.local
        # The neighbours of a few hundred atoms are small, and found together.
        for group in _batches(structures, max(chunk, _FINGERPRINTS) if local else chunk):
            first, own = structures[group[0]], [wanted[i] for i in group]
            if not local:
                # Atoms see each other, so all atoms of a structure are needed at once.
                with numbered(group):
                    found = find_neighbors([structures[i] for i in group], cutoff)
                pieces = (_by_structures(part, found, len(group)) for part in rows(found, True))
                for values, others, atoms in zip(*pieces, own, strict=True):
                    yield (values, others) if atoms is None else (values[atoms], others[atoms])
            elif len(first) > _TILE and own[0] is None:
                parts, origins = [], []
                with working("atoms", len(first), unit="atom") as done, numbered(group):
                    for tile in tiles(first, cutoff, _TILE):
                        found = find_neighbors([tile.atoms], cutoff, centres=[tile.centres])
                        parts.append(rows(found))
                        origins.append(tile.origin)
                        done(len(tile.centres))
                order = np.argsort(np.concatenate(origins))
                mine, other = (np.concatenate(part)[order] for part in zip(*parts, strict=True))
                yield mine, other
            else:
                with numbered(group):
                    found = find_neighbors([structures[i] for i in group], cutoff, centres=own)
                pieces = (_by_structures(part, found, len(group)) for part in rows(found))
                yield from zip(*pieces, strict=True)


@contextmanager
def numbered(indices: Sequence[int]) -> Iterator[None]:
    """Errors of some of the structures name them by their indices among all.

    Examples
    --------
    >>> with numbered([7, 9]):
    ...     raise StructureError(1, "it has no atoms")
    Traceback (most recent call last):
        ...
    csgnn_dgl.errors.StructureError: structure 9 (empty): it has no atoms
    """
    try:
        yield
    except StructureError as error:
        raise StructureError(indices[error.index], error.problem, error.formula) from error


def _by_structures(rows: Floats, found: Neighbors, count: int) -> list[Floats]:
    sizes = torch.bincount(found.structures, minlength=count).tolist()
    return np.split(rows, np.cumsum(sizes)[:-1])


def _batches(structures: Sequence[Atoms], chunk: int) -> Iterator[list[int]]:
    """Group indices of structures that are computed together: small structures share a chunk."""
    group: list[int] = []
    atoms = 0
    for index, structure in enumerate(structures):
        if group and atoms + len(structure) > chunk:
            yield group
            group, atoms = [], 0
        group.append(index)
        atoms += len(structure)
    if group:
        yield group


def dos_network(
    model: type[AtomModel], hypers: Hypers, elements: Sequence[int], head: Mapping[str, Any]
) -> DOSModel:
    """Make the untrained network from a model and the sizes of its head."""
    return DOSModel(model(hypers, tuple(elements)), **head)


def load_dos_model(
    path: str | Path, device: torch.device | str = "cpu", *, model: Any = None
) -> TrainedDOS:
    """Load the model of a run directory, of a ``.safetensors`` file, or a shipped model by name.

    Parameters
    ----------
    path
        Run directory, file of weights, or name of a shipped model.
    device
        Device to compute on.
    model
        The model of atoms, if it is one of your own: ``module:Class``, or the class.

    Raises
    ------
    CheckpointError
        There are no weights; or they are damaged, of a later schema or of another kind; or their
        model is not installed.

    Examples
    --------
    .. code-block:: python

        trained = load_dos_model(Path("runs/dos-001"))
        curves = trained.predict([atoms])  # (1, E)
    """

    def build(found: type[AtomModel], hypers: Hypers, header: Header) -> DOSModel:
        _check_data(header.data)
        network = dos_network(found, hypers, header.model["elements"], header.head)
        size = EnergyGrid(**header.data["grid"]).size
        if size != network.head.bins:
            raise ValueError(
                f"it names a grid of {size} energies, but its head has {network.head.bins}"
            )
        return network

    length = fingerprint_length()
    trained = TrainedDOS(
        *load_network(path, KIND, "atoms", build, fingerprint=length, device=device, model=model)
    )
    _ = trained.errors  # a damaged calibration is found before any work
    return trained


def _check_data(data: Mapping[str, Any]) -> None:
    """Refuse entries of the header that are of another type than predictions need."""
    for name in ("quantity", "dos_unit"):
        if not isinstance(data[name], str):
            raise ValueError(f"its {name} is {quoted(data[name])}, which is no text")
    if (counts := data.get("electrons_per_element")) is not None:
        for element, count in counts.items():
            if not 0 < int(element) < len(chemical_symbols) or not 0 < float(count) < np.inf:
                raise ValueError(
                    f"element {excerpt(element)} has {excerpt(count)} electrons per atom"
                )
