"""A trained model of densities of states, from its run directory or its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from ase import Atoms
from torch import Tensor

from csgnn_dgl.errors import CheckpointError, ConfigError
from csgnn_dgl.mapping.neighbors import Neighbors, find_neighbors
from csgnn_dgl.mapping.tiles import tiles
from csgnn_dgl.models import DOSConfig, DOSModel
from csgnn_dgl.physics import EnergyGrid
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.weights import Header, load_into, load_weights

__all__ = ["KIND", "TrainedDOS", "load_dos_model"]

KIND = "dos"

Floats = npt.NDArray[np.float64]
# Atoms that go through the network at once: some 100 MB at level 3.
_CHUNK = 64
# Atoms whose neighbours are searched at once: some 100 MB in a dense solid.
_BRICK = 2048


@dataclass(frozen=True)
class TrainedDOS:
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

    model: DOSModel
    header: Header
    path: Path

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
        return self.model.config.atoms.elements

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
        return list(self._by_structure(structures, chunk, self.model.atoms, centres))

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
        cutoff = self.model.config.atoms.cutoff

        def rows(found: Neighbors) -> Floats:
            with torch.no_grad():
                parts = [
                    call(part.to(weight.device, weight.dtype)).cpu() for part in found.chunks(chunk)
                ]
            return torch.cat(parts).double().numpy()

        for group in _batches(structures, chunk):
            first = structures[group[0]]
            if len(first) > _BRICK and wanted[group[0]] is None:
                pieces, origins = [], []
                for tile in tiles(first, cutoff, _BRICK):
                    pieces.append(
                        rows(find_neighbors([tile.atoms], cutoff, centres=[tile.centres]))
                    )
                    origins.append(tile.origin)
                yield np.concatenate(pieces)[np.argsort(np.concatenate(origins))]
                continue
            found = find_neighbors(
                [structures[i] for i in group], cutoff, centres=[wanted[i] for i in group]
            )
            counts = torch.bincount(found.structures, minlength=len(group)).tolist()
            yield from np.split(rows(found), np.cumsum(counts)[:-1])


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


def load_dos_model(path: Path, device: torch.device | str = "cpu") -> TrainedDOS:
    """The model of a run directory, or of a ``.safetensors`` file.

    Raises
    ------
    CheckpointError
        Nothing there, damaged, of another schema, or of another kind of model.

    Examples
    --------
    .. code-block:: python

        trained = load_dos_model(Path("runs/dos-001"))
        curves = trained.predict([atoms])  # (1, E)
    """
    file = path if path.is_file() else RunDirectory.open(path).model
    header, state = load_weights(file, KIND)
    try:
        model = DOSModel(DOSConfig.from_dict(dict(header.model)))
        trained = TrainedDOS(model.eval().to(device), header, file)
        size = trained.grid.size
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the header of {file} describes no model of densities of states: {error}"
        ) from error
    if size != model.config.bins:
        raise CheckpointError(
            f"{file} names a grid of {size} energies, but its model has {model.config.bins}"
        )
    load_into(model, state, file)
    return trained
