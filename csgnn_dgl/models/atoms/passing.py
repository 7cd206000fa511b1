"""Message passing between atoms: an atom's descriptor sees those of its neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.mapping.neighbors import Neighbors

__all__ = ["AtomEdges", "AtomPass"]

_GAUSSIANS = 16


@dataclass(frozen=True, eq=False)
class AtomEdges:
    """Edges between the atoms of a batch, from each neighbour to its atom.

    A neighbour has one edge for each of its periodic images.

    Parameters
    ----------
    senders, receivers
        Atoms at both ends, shapes ``(P,)``.
    lengths
        Length of each edge, shape ``(P,)`` [Å].
    n_atoms
        Number of atoms, ``A``.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from csgnn_dgl.mapping.neighbors import find_neighbors
    >>> found = find_neighbors([bulk("C", "diamond", 3.57)], 5.0)
    >>> graph = AtomEdges.of(found, 1.6).graph()
    >>> graph.canonical_etypes, graph.num_nodes("atom"), graph.num_edges("near")
    ([('atom', 'near', 'atom')], 2, 8)
    """

    senders: Tensor
    receivers: Tensor
    lengths: Tensor
    n_atoms: int

    @classmethod
    def of(cls, neighbors: Neighbors, reach: float) -> AtomEdges:
        """The edges shorter than ``reach`` [Å].

        Raises
        ------
        DataError
            The batch holds only some atoms of its structures, or no indices of neighbours.
        """
        others = neighbors.require_indices()
        r = neighbors.displacements
        # The norm has no gradient at zero.
        lengths = (r.square().sum(dim=1) + torch.finfo(r.dtype).tiny).sqrt()
        near = torch.argwhere(lengths < reach).flatten()
        senders, receivers, kept = (
            t.index_select(0, near) for t in (others, neighbors.centres, lengths)
        )
        return cls(senders, receivers, kept, neighbors.n_atoms)

    def graph(self) -> Any:
        """The edges as a heterograph of DGL, with nodes ``atom`` and edges ``near``."""
        from csgnn_dgl._dgl import dgl

        edges = (self.senders.cpu(), self.receivers.cpu())
        return dgl.heterograph({("atom", "near", "atom"): edges}, {"atom": self.n_atoms})


class AtomPass(nn.Module):
    r"""One round of messages between atoms.

    .. math:: y_i = x_i + \mathrm{ReLU}\Bigl(W_2 \sum_j (W_1 x_j) \circ (F\, e(r_{ij}))\Bigr)

    :math:`e` are Gaussians of the distance, times a factor that falls to zero at ``reach``, so the
    result is continuous. Distances are invariant, and so is the result if the features are.

    Parameters
    ----------
    features
        Length of the features ``F`` of an atom.
    reach
        Distance at which messages end [Å].
    width
        Length of a message.

    Shapes
    ------
    edges of ``A`` atoms, feat ``(A, F)`` → ``(A, F)``.

    Raises
    ------
    ConfigError
        The reach is not positive.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from csgnn_dgl.mapping.neighbors import find_neighbors
    >>> found = find_neighbors([molecule("C6H6")], 5.0).to("cpu", torch.float32)
    >>> AtomPass(8, 3.0)(AtomEdges.of(found, 3.0), torch.rand(12, 8)).shape
    torch.Size([12, 8])
    """

    middles: Tensor

    def __init__(self, features: int, reach: float, *, width: int = 64) -> None:
        super().__init__()
        if not 0 < reach < math.inf:
            raise ConfigError(f"messages reach {reach} Å, but the distance must be positive")
        self.reach = reach
        self.register_buffer("middles", torch.linspace(0, reach, _GAUSSIANS + 1)[1:], False)
        self.filter = nn.Linear(_GAUSSIANS, width, bias=False)
        self.before = nn.Linear(features, width)
        self.after = nn.Linear(width, features)

    def forward(self, edges: AtomEdges, feat: Tensor) -> Tensor:
        """Features of all atoms after the round."""
        weight = self.weights(edges.lengths)
        messages = self.before(feat).index_select(0, edges.senders) * weight
        received = messages.new_zeros(edges.n_atoms, messages.shape[1])
        received = received.index_add(0, edges.receivers, messages)
        change: Tensor = F.relu(self.after(received.to(feat.dtype)))
        return feat + change

    def weights(self, lengths: Tensor) -> Tensor:
        """Factors of messages along edges of these lengths, ``(P,)`` → ``(P, width)``."""
        step = self.reach / _GAUSSIANS
        expanded = torch.exp(-((lengths[:, None] - self.middles) ** 2) / (2 * step**2))
        fade = (1 + torch.cos(math.pi * (lengths / self.reach).clamp(max=1))) / 2
        factors: Tensor = self.filter(expanded * fade[:, None])
        return factors

    def extra_repr(self) -> str:
        return f"reach={self.reach}"
