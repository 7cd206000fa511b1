"""Convolution over the neighbours within a sphere (Eq. 2 of the paper)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from csgnn_dgl.errors import DataError
from csgnn_dgl.nn.bypass import bypassable
from csgnn_dgl.nn.structure import EdgeType, relation, source_features
from csgnn_dgl.ops import neighbor_sum, node_linear

__all__ = ["IntraConv"]


@bypassable
class IntraConv(nn.Module):
    r"""Graph convolution within spheres: a plain neighbour sum, one weight matrix, and a bias.

    .. math:: y_i = b + \Big(x_i + \sum_{j \in N(i)} x_j\Big) Z

    This is Equation 2 of "Concentric Spherical GNN for 3D Representation Learning", without degree
    normalisation. The self loop :math:`x_i` is an addition of the released code, and optional.

    Parameters
    ----------
    in_feats, out_feats
        Channels ``C`` and ``F``.
    self_loop
        Treat each vertex as its own neighbour.
    bias
        Add ``b``.
    etype
        Edge type to sum over, by name or as a triple ``(source type, name, destination type)``;
        the anonymous edges of ``dgl.graph`` need no name.

    Shapes
    ------
    feat ``(num_nodes, ..., C)`` → ``(num_nodes, ..., F)``; usually ``(V·R, B, C)``. On a block of
    ``dgl.to_block``, from the sources to the destinations.

    Raises
    ------
    DataError
        The graph lacks the edge type; the number of nodes or channels is wrong; or nodes with the
        data ``sphere`` are joined twice, across spheres, or to themselves (with ``self_loop``).

    Examples
    --------
    >>> from csgnn_dgl.grid import ConcentricGrid
    >>> grid = ConcentricGrid(level=1, n_spheres=2)
    >>> IntraConv(3, 5)(grid.graph(), torch.ones(84, 1, 3)).shape
    torch.Size([84, 1, 5])
    """

    def __init__(
        self,
        in_feats: int,
        out_feats: int,
        *,
        self_loop: bool = True,
        bias: bool = True,
        etype: EdgeType = "intra",
    ) -> None:
        super().__init__()
        self.in_feats, self.out_feats = in_feats, out_feats
        self.self_loop, self.etype = self_loop, etype
        self.weight = nn.Parameter(torch.empty(in_feats, out_feats))
        self.bias = nn.Parameter(torch.empty(out_feats)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot-uniform weights, zero bias."""
        nn.init.xavier_uniform_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, graph: Any, feat: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """Convolve ``feat`` over ``graph``, which is only read."""
        return self._convolve(graph, feat, self.weight.t(), self.bias)

    def _convolve(
        self,
        graph: Any,
        feat: Tensor | tuple[Tensor, Tensor],
        weight: Tensor,
        bias: Tensor | None,
    ) -> Tensor:
        """The convolution with any weight ``(F, C)`` and bias ``(F,)``."""
        feat = source_features(feat)
        if feat.shape[-1] != self.in_feats:
            raise DataError(
                f"features have {feat.shape[-1]} channels, but the layer is for {self.in_feats}"
            )
        csr = relation(graph, self.etype, self_loops=self.self_loop)
        # The sum and the matrix product commute, so the sum is done on the narrower features.
        if self.in_feats <= self.out_feats:
            return node_linear(neighbor_sum(csr, feat), weight, bias)
        out = neighbor_sum(csr, node_linear(feat, weight))
        return out if bias is None else out + bias

    def extra_repr(self) -> str:
        return f"{self.in_feats}, {self.out_feats}, self_loop={self.self_loop}"
