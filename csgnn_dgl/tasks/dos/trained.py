"""A trained model of densities of states, from its run directory or its file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from ase import Atoms
from torch import Tensor

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.mapping.neighbors import Neighbors, find_neighbors
from csgnn_dgl.mapping.tiles import tiles
from csgnn_dgl.models import AtomModel, DOSModel, Hypers
from csgnn_dgl.physics import EnergyGrid
from csgnn_dgl.tasks.trained import Trained, load_network
from csgnn_dgl.tasks.weights import Header

__all__ = ["KIND", "TrainedDOS", "dos_network", "load_dos_model"]

KIND = "dos"

Floats = npt.NDArray[np.float64]
# Atoms that go through the network at once: some 100 MB at level 3.
_CHUNK = 64
# Atoms whose neighbours are searched at once: some 100 MB in a dense solid.
_TILE = 2048


@dataclass(frozen=True)
class TrainedDOS(Trained[DOSModel]):
    """A model of densities of states with what must be known to use it.

    Parameters
    ----------
    model
        In evaluation mode.
    header
        Grid, unit, elements, data, sizes.
    path
        The file of the weights.
    """

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
        """Electrons that an atom of each element brings, if known."""
        counts = self.header.data.get("electrons_per_element")
        return None if counts is None else {int(k): float(v) for k, v in counts.items()}

    def predict(self, structures: Sequence[Atoms], *, chunk: int = _CHUNK) -> Floats:
        """Curves of structures, shape ``(n, E)`` [``dos_unit``].

        Memory does not grow with the size of a structure: at most ``chunk`` atoms are in the
        network at a time.
        """
        return np.array([curves.mean(axis=0) for curves in self.per_atom(structures, chunk=chunk)])

    def per_atom(self, structures: Sequence[Atoms], *, chunk: int = _CHUNK) -> list[Floats]:
        """Each atom's contribution, one array ``(N, E)`` per structure [``dos_unit``]."""
        return list(self._by_structure(structures, chunk, self.model.per_atom))

    def describe(
        self,
        structures: Sequence[Atoms],
        *,
        centres: Sequence[npt.NDArray[np.int64] | None] | None = None,
        chunk: int = _CHUNK,
    ) -> list[Floats]:
        """Descriptors, one array ``(N, features)`` per structure.

        Parameters
        ----------
        structures
            Structures.
        centres
            For each structure the atoms to describe; None for all.
        chunk
            Atoms in the network at a time.
        """
        return list(self._by_structure(structures, chunk, self.model.describe, centres))

    def _by_structure(
        self,
        structures: Sequence[Atoms],
        chunk: int,
        call: Callable[[Neighbors], Tensor],
        centres: Sequence[npt.NDArray[np.int64] | None] | None = None,
    ) -> Iterator[Floats]:
        if chunk < 1:
            raise ConfigError(f"chunks of {chunk} atoms hold nothing")
        weight = next(self.model.parameters())
        wanted = [None] * len(structures) if centres is None else list(centres)
        cutoff = self.cutoff

        def rows(parts: Iterable[Neighbors]) -> Floats:
            with torch.no_grad():
                found = [call(part.to(weight.device, weight.dtype)).cpu() for part in parts]
            return torch.cat(found).double().numpy()

        for group in _batches(structures, chunk):
            first, own = structures[group[0]], [wanted[i] for i in group]
            if not self.model.model.local:
                # Atoms see each other: structures stay whole, and all of their atoms are needed.
                found = find_neighbors([structures[i] for i in group], cutoff)
                pieces = _by_structures(rows([found]), found, len(group))
                for values, atoms in zip(pieces, own, strict=True):
                    yield values if atoms is None else values[atoms]
            elif len(first) > _TILE and own[0] is None:
                parts, origins = [], []
                for tile in tiles(first, cutoff, _TILE):
                    found = find_neighbors([tile.atoms], cutoff, centres=[tile.centres])
                    parts.append(rows(found.chunks(chunk)))
                    origins.append(tile.origin)
                yield np.concatenate(parts)[np.argsort(np.concatenate(origins))]
            else:
                found = find_neighbors([structures[i] for i in group], cutoff, centres=own)
                yield from _by_structures(rows(found.chunks(chunk)), found, len(group))


def _by_structures(rows: Floats, found: Neighbors, count: int) -> list[Floats]:
    sizes = torch.bincount(found.structures, minlength=count).tolist()
    return np.split(rows, np.cumsum(sizes)[:-1])


def _batches(structures: Sequence[Atoms], chunk: int) -> Iterator[list[int]]:
    """Numbers of structures that are looked at together: small ones share a chunk."""
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
    """The untrained network of a model and the sizes of its head."""
    return DOSModel(model(hypers, tuple(elements)), **head)


def load_dos_model(
    path: str | Path, device: torch.device | str = "cpu", *, model: Any = None
) -> TrainedDOS:
    """The model of a run directory, of a ``.safetensors`` file, or a shipped one by name.

    Parameters
    ----------
    path
        Which weights.
    device
        Where to compute.
    model
        The model of atoms, if it is one of your own: ``module:Class``, or the class.

    Raises
    ------
    CheckpointError
        Nothing there, damaged, of a later schema, of another kind, or of a model that is not at
        hand.

    Examples
    --------
    .. code-block:: python

        trained = load_dos_model(Path("runs/dos-001"))
        curves = trained.predict([atoms])  # (1, E)
    """

    def build(found: type[AtomModel], hypers: Hypers, header: Header) -> DOSModel:
        network = dos_network(found, hypers, header.model["elements"], header.head)
        size = EnergyGrid(**header.data["grid"]).size
        if size != network.head.bins:
            raise ValueError(
                f"it names a grid of {size} energies, but its model has {network.head.bins}"
            )
        return network

    return TrainedDOS(*load_network(path, KIND, "atoms", build, device=device, model=model))
