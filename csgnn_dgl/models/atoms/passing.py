"""Message passing between atoms: an atom's descriptor sees those of its neighbours."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from csgnn_dgl._dgl import dgl
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.mapping.neighbors import Neighbors

__all__ = ["AtomPass", "atom_graph"]

_GAUSSIANS = 16


def atom_graph(neighbors: Neighbors, reach: float) -> tuple[Any, Tensor]:
    """Make the graph of the atoms of a batch, with an edge from each neighbour to its atom.

    Parameters
    ----------
    neighbors
        Neighbours of whole structures.
    reach
        Largest distance of a neighbour [Å].

    Returns
    -------
    tuple
        The heterograph, with nodes ``atom`` and edges ``near``, and the length of each edge [Å]. A
        neighbour has one edge for each of its periodic images.

    Raises
    ------
    DataError
        The batch holds only some atoms of its structures, or no indices of neighbours.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from csgnn_dgl.mapping.neighbors import find_neighbors
    >>> graph, lengths = atom_graph(find_neighbors([bulk("C", "diamond", 3.57)], 5.0), 1.6)
    >>> graph.canonical_etypes, graph.num_nodes("atom"), len(lengths)
    ([('atom', 'near', 'atom')], 2, 8)
    """
    others = neighbors.require_indices()
    r = neighbors.displacements
    # The norm has no gradient at zero.
    lengths = (r.square().sum(dim=1) + torch.finfo(r.dtype).tiny).sqrt()
    near = torch.argwhere(lengths < reach).flatten()
    edges = (others.index_select(0, near), neighbors.centres.index_select(0, near))
    graph = dgl.heterograph({("atom", "near", "atom"): edges}, {"atom": neighbors.n_atoms})
    return graph, lengths.index_select(0, near)


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
    graph with ``A`` atoms and ``P`` edges, feat ``(A, F)``, lengths ``(P,)`` → ``(A, F)``.

    Raises
    ------
    ConfigError
        The reach is not positive.

    Examples
    --------
    >>> graph = dgl.heterograph({("atom", "near", "atom"): ([0, 1], [1, 0])})
    >>> AtomPass(8, 3.0)(graph, torch.rand(2, 8), torch.full((2,), 1.4)).shape
    torch.Size([2, 8])
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

    def forward(self, graph: Any, feat: Tensor, lengths: Tensor) -> Tensor:
        """Features of all atoms after the round."""
        step = self.reach / _GAUSSIANS
        expanded = torch.exp(-((lengths[:, None] - self.middles) ** 2) / (2 * step**2))
        fade = (1 + torch.cos(math.pi * lengths / self.reach)) / 2
        weight, sent = self.filter(expanded * fade[:, None]), self.before(feat)
        # DGL has no kernels for half precisions on every device.
        dtype = torch.promote_types(sent.dtype, torch.float32)
        with graph.local_scope():
            graph.nodes["atom"].data["sent"] = sent.to(dtype)
            graph.edges["near"].data["weight"] = weight.to(dtype)
            message = dgl.function.u_mul_e("sent", "weight", "message")
            graph.update_all(message, dgl.function.sum("message", "received"), etype="near")
            received = graph.nodes["atom"].data["received"]
        change: Tensor = F.relu(self.after(received.to(feat.dtype)))
        return feat + change

    def extra_repr(self) -> str:
        return f"reach={self.reach}"
