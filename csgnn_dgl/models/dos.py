"""Densities of states of atomic structures: a model of atoms with a head (Fig. 7)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.mapping.neighbors import Neighbors
from csgnn_dgl.models.contract import AtomModel, check_features, check_made
from csgnn_dgl.models.fitted_head import FittedHead
from csgnn_dgl.models.heads import CurveHead, CurveHeads
from csgnn_dgl.models.share_head import ShareHead
from csgnn_dgl.nn.site_norm import Norm

__all__ = ["DOSModel", "structure_mean"]


class DOSModel(nn.Module):
    """The density of states of a structure as the mean of its atoms' curves.

    With :class:`~csgnn_dgl.models.AtomCSGNN`, the defaults, one element and 310 bins, it is the
    network of Figure 7 of "Concentric Spherical GNN for 3D Representation Learning", with 1,061,998
    parameters. Structures are not padded to equal numbers of atoms, so batch norm sees only real
    atoms.

    Parameters
    ----------
    model
        The model of atoms.
    bins
        Number of energies of a curve.
    hidden, dropout, norm
        See :class:`~csgnn_dgl.models.CurveHead`.
    apart
        Predict the shape of a curve and its integral apart
        (:class:`~csgnn_dgl.models.share_head.ShareHead`).
    fitted
        The last layer sees the descriptor, too, and is to be fitted in closed form
        (:class:`~csgnn_dgl.models.fitted_head.FittedHead`). Not together with ``apart``.

    Shapes
    ------
    :class:`~csgnn_dgl.mapping.neighbors.Neighbors` → ``(n_structures, bins)`` [states per unit of
    energy and atom].

    Raises
    ------
    ConfigError
        The model breaks the contract, or a size of the head is not allowed.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from csgnn_dgl.mapping.neighbors import find_neighbors
    >>> from csgnn_dgl.models import AtomCSGNN, AtomCSGNNHypers
    >>> model = DOSModel(AtomCSGNN(AtomCSGNNHypers(level=1, channels=8), (6,)), bins=20).eval()
    >>> found = find_neighbors([bulk("C", "diamond", 3.57)], model.model.cutoff)
    >>> model(found.to("cpu", torch.float32)).shape
    torch.Size([1, 20])
    """

    def __init__(
        self,
        model: AtomModel,
        bins: int,
        *,
        hidden: Sequence[int] = (512, 512),
        dropout: float = 0.0,
        norm: Norm = "batch",
        apart: bool = False,
        fitted: bool = False,
    ) -> None:
        super().__init__()
        if apart and fitted:
            raise ConfigError("a head cannot be both apart and fitted; leave out one of them")
        check_made(model, type(model).__name__)
        self.model = model
        kind = ShareHead if apart else FittedHead if fitted else CurveHead
        parts = model.head_features
        heads = [kind(n, bins, hidden=hidden, dropout=dropout, norm=norm) for n in parts]
        self.head: CurveHead | ShareHead | FittedHead | CurveHeads
        self.head = heads[0] if len(parts) == 1 else CurveHeads(heads, parts)

    def describe(self, neighbors: Neighbors) -> Tensor:
        """Descriptors of all atoms, shape ``(A, features)``."""
        found = self.model(neighbors)
        dtype = next(self.head.parameters()).dtype
        return check_features(found, neighbors.n_atoms, self.model.features, self.model, dtype)

    def per_atom(self, neighbors: Neighbors) -> Tensor:
        """Each atom's own curve, shape ``(A, bins)``: a projected density of states."""
        curves: Tensor = self.head(self.describe(neighbors))
        return curves

    def per_head(self, neighbors: Neighbors) -> Tensor:
        """Each atom's own curve by each head of the model, shape ``(heads, A, bins)``."""
        descriptors = self.describe(neighbors)
        if isinstance(self.head, CurveHeads):
            return self.head.each(descriptors)
        curves: Tensor = self.head(descriptors)
        return curves[None]

    def forward(self, neighbors: Neighbors) -> Tensor:
        """Curves of all structures of a batch."""
        return structure_mean(self.per_atom(neighbors), neighbors)


def structure_mean(values: Tensor, neighbors: Neighbors) -> Tensor:
    """Mean over the atoms of each structure: ``(A, …)`` → ``(n_structures, …)``."""
    out = values.new_zeros(neighbors.n_structures, *values.shape[1:])
    out = out.index_add(0, neighbors.structures, values)
    counts = torch.bincount(neighbors.structures, minlength=neighbors.n_structures)
    return out / counts.clamp(min=1).to(values.dtype).view(-1, *[1] * (values.dim() - 1))
