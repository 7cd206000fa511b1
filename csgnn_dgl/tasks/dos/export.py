"""A model of densities of states as a program for torch alone."""

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
        # Structures do not matter here: every atom is by itself.
        one = torch.zeros_like(centre_numbers)
        neighbors = Neighbors(displacements, centres, numbers, centre_numbers, one, 1)
        descriptors = self.network.describe(neighbors)
        return descriptors, self.network.head(descriptors)


def export(weights: str | Path, path: Path, *, model: Any = None) -> None:
    """Write a model of densities of states as a ``.pt2`` file.

    The program takes what :func:`~csgnn_dgl.mapping.neighbors.find_neighbors` finds, as plain
    tensors: displacements ``(P, 3)`` [Å], float32, to neighbours; the atom ``(P,)`` that each
    belongs to; the neighbours' atomic numbers ``(P,)`` and the atoms' own ``(A,)``, int64. It
    gives the descriptors ``(A, features)`` and each atom's curve ``(A, bins)``; a structure's
    curve is the mean of its atoms'. The header holds the energies and the cutoff.

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
        No usable model there.
    ConfigError
        A model that passes messages between atoms: the program knows neighbours by their places
        alone.
    """
    trained = load_dos_model(weights, model=model)
    if not trained.model.model.local:
        raise ConfigError(
            f"{weights} passes messages between atoms, and a program for torch alone sees each "
            f"atom by itself: it cannot be exported"
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
