"""Export a model of densities of states as a program that needs only torch."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.mapping.neighbors import Neighbors
from csgnn_dgl.models import DOSModel
from csgnn_dgl.tasks.dos.trained import load_dos_model
from csgnn_dgl.tasks.export import write_program

__all__ = ["export"]


class _Atoms(nn.Module):
    def __init__(self, network: DOSModel) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, displacements: Tensor, centres: Tensor, numbers: Tensor, centre_numbers: Tensor
    ) -> tuple[Tensor, Tensor]:
        # The model treats every atom by itself, so all may belong to one structure.
        one = torch.zeros_like(centre_numbers)
        neighbors = Neighbors(displacements, centres, numbers, centre_numbers, one, 1)
        descriptors = self.network.describe(neighbors)
        return descriptors, self.network.head(descriptors)


def export(weights: str | Path, path: Path, *, model: Any = None) -> None:
    """Write a model of densities of states as a ``.pt2`` file.

    The program takes the result of :func:`~csgnn_dgl.mapping.neighbors.find_neighbors` as plain
    tensors: displacements to neighbours ``(P, 3)`` [Å], float32; the index of each neighbour's
    central atom ``(P,)``, int64; the atomic numbers of the neighbours ``(P,)`` and of the central
    atoms ``(A,)``, int64. It returns the descriptors ``(A, features)`` and each atom's curve
    ``(A, bins)``. The curve of a structure is the mean over its atoms. The header holds the
    energies and the cutoff.

    Parameters
    ----------
    weights
        Run directory, or file of weights.
    path
        File to write.
    model
        The model, if it is one of your own.

    Raises
    ------
    CheckpointError
        There is no model, or it cannot be used.
    ConfigError
        The model passes messages between atoms. The program knows only the positions and numbers
        of neighbours.
    """
    trained = load_dos_model(weights, model=model)
    if not trained.model.model.local:
        raise ConfigError(
            f"{weights} passes messages between atoms, but an exported program treats each atom by "
            f"itself: this model cannot be exported"
        )
    module = _Atoms(copy.deepcopy(trained.model).float())
    element = trained.elements[0]
    generator = torch.Generator().manual_seed(0)
    displacements = torch.randn(30, 3, generator=generator) + 1
    inputs = (
        displacements,
        torch.arange(30) % 3,
        torch.full((30,), element),
        torch.full((3,), element),
    )
    pairs, atoms = Dim("neighbours"), Dim("atoms")
    dynamic = {
        "displacements": {0: pairs},
        "centres": {0: pairs},
        "numbers": {0: pairs},
        "centre_numbers": {0: atoms},
    }
    write_program(module, inputs, dynamic, trained.header, path)
