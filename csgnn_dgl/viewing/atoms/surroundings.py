"""The surroundings of atoms, and their sites on the concentric spheres, for a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from ase import Atoms
from torch import nn

from csgnn_dgl.grid import Icosphere
from csgnn_dgl.mapping import AtomMapping
from csgnn_dgl.mapping.neighbors import find_neighbors
from csgnn_dgl.viewing.page import pack

__all__ = ["Surroundings", "find_atom_mapping", "find_surroundings", "shell_radii"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
# Atoms whose site features are computed at once.
_CHUNK = 16
# Largest number of a vector's component, as it is stored.
_STEPS = 32767


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Neighbours of some atoms, and the sites that they fill.

    Parameters
    ----------
    counts
        Number of neighbours of each atom, shape ``(n,)``.
    vectors
        From each atom to its neighbours, shape ``(P, 3)`` [Å].
    numbers
        Atomic numbers of the neighbours, shape ``(P,)``.
    filled
        Number of sites of each atom that are not zero, shape ``(n,)``.
    vertices, shells
        Vertex and shell of these sites, shape ``(S,)``. Shell ``r·C + k`` is channel ``k`` of
        sphere ``r``.
    weights
        Sums of the weights of the neighbours there, shape ``(S,)``.
    """

    counts: Ints
    vectors: Floats
    numbers: Ints
    filled: Ints
    vertices: Ints
    shells: Ints
    weights: Floats

    def packed(self, reach: float, elements: Sequence[int]) -> dict[str, Any]:
        """Values for a page; vectors are rounded to 1/32767 of ``reach``, weights to 1/255.

        ``elements`` are the atomic numbers that the page indexes.
        """
        highest = float(self.weights.max(initial=0)) or 1.0
        return {
            "counts": pack(self.counts.astype(np.int32)),
            "vectors": pack(np.rint(self.vectors / reach * _STEPS).astype(np.int16)),
            "elements": pack(np.searchsorted(elements, self.numbers).astype(np.uint8)),
            "filled": pack(self.filled.astype(np.int32)),
            "vertices": pack(self.vertices.astype(np.uint16)),
            "shells": pack(self.shells.astype(np.uint16)),
            "weights": pack(np.rint(255 * self.weights / highest).astype(np.uint8)),
            "highest": highest,
            "step": reach / _STEPS,
        }


def find_atom_mapping(network: nn.Module) -> AtomMapping | None:
    """The mapping onto concentric spheres within a network; None if it has none, or several."""
    found = [module for module in network.modules() if isinstance(module, AtomMapping)]
    return found[0] if len(found) == 1 else None


def shell_radii(mapping: AtomMapping) -> Floats:
    """Middle of each of the ``R·C`` shells of a mapping [Å].

    Examples
    --------
    >>> shell_radii(AtomMapping(1, 1, 4, r_min=1.0, cutoff=5.0)).tolist()
    [1.5, 2.5, 3.5, 4.5]
    """
    count = mapping.n_spheres * mapping.channels
    width = (mapping.cutoff - mapping.r_min) / count
    return np.asarray(mapping.r_min + width * (np.arange(count) + 0.5))


def find_surroundings(
    atoms: Atoms, mapping: AtomMapping, centres: Ints, reach: float
) -> Surroundings:
    """Find the neighbours of some atoms within ``reach`` [Å], and what a mapping makes of them.

    Elements are left out of the weights: a network multiplies them by embeddings that it has
    learned.

    Raises
    ------
    StructureError
        The structure has no neighbourhoods.
    """
    found = find_neighbors([atoms], reach, centres=[centres])
    counts = torch.bincount(found.centres, minlength=found.n_atoms)
    vertices, shells, weights, filled = [], [], [], []
    for part in found.chunks(_CHUNK):
        sites = mapping(part.displacements, part.centres, part.n_atoms)  # (V·R, A, C)
        used = sites.permute(1, 0, 2).nonzero()  # (S, 3): atom, site, channel
        atom, site, channel = used.unbind(1)
        filled.append(torch.bincount(atom, minlength=part.n_atoms))
        vertices.append(site // mapping.n_spheres)
        shells.append(site % mapping.n_spheres * mapping.channels + channel)
        weights.append(sites[site, atom, channel])
    return Surroundings(
        counts.numpy(),
        found.displacements.numpy(),
        found.numbers.numpy(),
        torch.cat(filled).numpy(),
        torch.cat(vertices).numpy(),
        torch.cat(shells).numpy(),
        torch.cat(weights).double().numpy(),
    )


def sphere_vertices(mapping: AtomMapping) -> Floats:
    """Directions of the vertices of a mapping's spheres, shape ``(V, 3)``."""
    return Icosphere.get(mapping.level).vertices
