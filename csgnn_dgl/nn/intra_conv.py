"""Convolution over the neighbours within a sphere (Eq. 2 of the paper), and richer filters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.nn.bypass import bypassable
from csgnn_dgl.nn.structure import (
    EdgeType,
    destination_features,
    relation,
    source_features,
    tangents,
)
from csgnn_dgl.ops import (
    linear_sum,
    neighbor_sum,
    node_linear,
    slope_lengths,
    tangential_gradient,
)

__all__ = ["IntraConv"]

_ORDERS = (0, 1, 2)

# Neighbours of all vertices of an icosphere but twelve.
_RING = 6


@bypassable
class IntraConv(nn.Module):
    r"""Graph convolution within spheres: sums over neighbours, weight matrices, and a bias.

    With ``filter_order=0``, a vertex and its neighbours have one weight:

    .. math:: y_i = b + \Big(x_i + \sum_{j \in N(i)} x_j\Big) Z

    This is Equation 2 of "Concentric Spherical GNN for 3D Representation Learning", without degree
    normalisation. The self loop :math:`x_i` is an addition of the released code, and optional. Such
    a filter can only blur. With a higher order, it is a polynomial of the neighbour sum
    :math:`A`, so that the vertex, its ring, and the ring of the ring have weights of their own:

    .. math:: y = b + x W_0 + (A x) W_1 + \tfrac{1}{6} (A^2 x) W_2

    A sixth, for the six neighbours of a vertex, keeps the last term as large as the others. With
    ``gradients``, each vertex also sees how strongly features change around it, along unit vectors
    :math:`t_{ij}` in the tangential plane towards each neighbour. The length does not depend on
    the frame, so the layer still commutes with the rotations of the icosahedron:

    .. math:: y_i \mathrel{+}= \Big\|\sum_{j \in N(i)} t_{ij}\, (x_j - x_i)\, U\Big\|\, V

    Parameters
    ----------
    in_feats, out_feats
        Channels ``C`` and ``F``.
    self_loop
        Treat each vertex as its own neighbour. Only for ``filter_order=0``: with a higher order a
        vertex always has a weight of its own.
    bias
        Add ``b``.
    etype
        Edge type to sum over, by name or as a triple ``(source type, name, destination type)``;
        the anonymous edges of ``dgl.graph`` need no name.
    filter_order
        Highest power of the neighbour sum that has a weight of its own: 0, 1 or 2.
    gradients
        Add the lengths of tangential gradients, mixed from ``min(C, F)`` combinations of channels.
        Needs the node data ``position``.

    Shapes
    ------
    feat ``(num_nodes, ..., C)`` → ``(num_nodes, ..., F)``; usually ``(V·R, B, C)``. On a block of
    ``dgl.to_block``, from the sources to the destinations, except with ``filter_order=2``.

    Raises
    ------
    ConfigError
        The order is unknown, or ``self_loop`` is switched off with an order above 0.
    DataError
        The graph lacks the edge type; the number of nodes or channels is wrong; or nodes with the
        data ``sphere`` are joined twice, across spheres, or to themselves (with ``self_loop``).
        With gradients, the graph lacks positions.

    Examples
    --------
    >>> from csgnn_dgl.grid import ConcentricGrid
    >>> grid = ConcentricGrid(level=1, n_spheres=2)
    >>> IntraConv(3, 5, filter_order=2)(grid.graph(), torch.ones(84, 1, 3)).shape
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
        filter_order: int = 0,
        gradients: bool = False,
    ) -> None:
        super().__init__()
        if filter_order not in _ORDERS or isinstance(filter_order, bool):
            raise ConfigError(f"filter_order is {filter_order!r}, but it must be one of {_ORDERS}")
        if filter_order and not self_loop:
            raise ConfigError(
                f"self_loop is off, but with filter_order {filter_order} a vertex has a weight of "
                f"its own. Leave self_loop on, or set filter_order to 0"
            )
        self.in_feats, self.out_feats = in_feats, out_feats
        self.self_loop, self.etype = self_loop, etype
        self.filter_order, self.gradients = filter_order, gradients
        powers = (filter_order + 1,) if filter_order else ()
        self.weight = nn.Parameter(torch.empty(*powers, in_feats, out_feats))
        self.bias = nn.Parameter(torch.empty(out_feats)) if bias else None
        if gradients:
            mixed = min(in_feats, out_feats)
            self.gradient_mix = nn.Parameter(torch.empty(in_feats, mixed))
            self.gradient_weight = nn.Parameter(torch.empty(mixed, out_feats))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot-uniform weights, zero bias."""
        weights = list(self.weight) if self.filter_order else [self.weight]
        if self.gradients:
            weights += [self.gradient_mix, self.gradient_weight]
        for weight in weights:
            nn.init.xavier_uniform_(weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, graph: Any, feat: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """Convolve ``feat`` over ``graph``, which is only read."""
        return self._convolve(graph, feat, self._joint_weight(), self.bias)

    def _joint_weight(self) -> Tensor:
        """The weights of all terms that are added up, side by side, ``(F, …)``."""
        rows = self.weight.flatten(0, -2)
        if self.gradients:
            rows = torch.cat([rows, self.gradient_weight])
        return rows.t()

    def _convolve(
        self,
        graph: Any,
        feat: Tensor | tuple[Tensor, Tensor],
        weight: Tensor,
        bias: Tensor | None,
    ) -> Tensor:
        """The convolution with any joint weight and bias ``(F,)``."""
        sources = source_features(feat)
        if sources.shape[-1] != self.in_feats:
            raise DataError(
                f"features have {sources.shape[-1]} channels, but the layer is for {self.in_feats}"
            )
        # Sums and matrix products commute, so sums are done on the narrower features.
        sum_first = self.in_feats <= self.out_feats
        if self.filter_order == 0 and not self.gradients:
            csr = relation(graph, self.etype, self_loops=self.self_loop)
            if sum_first:
                return node_linear(neighbor_sum(csr, sources), weight, bias)
            out = neighbor_sum(csr, node_linear(sources, weight))
            return out if bias is None else out + bias
        widths = [self.in_feats] * (self.filter_order + 1)
        widths += [weight.shape[1] - sum(widths)] * self.gradients
        weights = list(weight.split(widths, dim=1))
        beside = [(self._lengths(graph, sources), weights.pop())] if self.gradients else []
        if self.filter_order == 2:
            weights[2] = weights[2] / _RING
        if sum_first:
            powers = self._powers(graph, feat)
            return linear_sum([*zip(powers, weights, strict=True), *beside], bias)
        return self._products_first(graph, feat, weights, beside, bias)

    def _powers(self, graph: Any, feat: Tensor | tuple[Tensor, Tensor]) -> list[Tensor]:
        """Features to which each weight is applied."""
        sources = source_features(feat)
        if self.filter_order == 0:
            csr = relation(graph, self.etype, self_loops=self.self_loop)
            return [neighbor_sum(csr, sources)]
        csr = relation(graph, self.etype)
        powers = [self._own(graph, feat), neighbor_sum(csr, sources)]
        if self.filter_order == 2:
            powers.append(neighbor_sum(csr, powers[1]))
        return powers

    def _products_first(
        self,
        graph: Any,
        feat: Tensor | tuple[Tensor, Tensor],
        weights: list[Tensor],
        beside: list[tuple[Tensor, Tensor]],
        bias: Tensor | None,
    ) -> Tensor:
        """The same, with sums over the results of the products (Horner's scheme)."""
        sources = source_features(feat)
        csr = relation(graph, self.etype, self_loops=self.self_loop and self.filter_order == 0)
        ring = node_linear(sources, weights[min(self.filter_order, 1)])
        if self.filter_order == 0:
            return neighbor_sum(csr, ring) + linear_sum(beside, bias)
        own = self._own(graph, feat)
        if self.filter_order == 2:
            ring = ring + neighbor_sum(csr, node_linear(sources, weights[2]))
        return neighbor_sum(csr, ring) + linear_sum([(own, weights[0]), *beside], bias)

    def _own(self, graph: Any, feat: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """Features of the destinations themselves."""
        own = destination_features(graph, self.etype, feat)
        if own.shape[-1] != self.in_feats:
            raise DataError(
                f"features of destinations have {own.shape[-1]} channels, but the layer is for "
                f"{self.in_feats}"
            )
        if self.filter_order == 2 and len(own) != len(source_features(feat)):
            raise DataError(
                f"the ring of the ring (filter_order 2) needs features of all nodes in between, "
                f"but there are {len(source_features(feat))} sources and {len(own)} destinations; "
                f"use two layers of order 1 on such a graph"
            )
        return own

    def _lengths(self, graph: Any, feat: Tensor) -> Tensor:
        """Lengths of the tangential gradients of mixed channels."""
        mixed = node_linear(feat, self.gradient_mix.t())
        slopes = tangential_gradient(tangents(graph, self.etype), mixed)
        return slope_lengths(slopes).to(mixed.dtype)

    def extra_repr(self) -> str:
        richer = f", filter_order={self.filter_order}" if self.filter_order else ""
        richer += ", gradients=True" if self.gradients else ""
        return f"{self.in_feats}, {self.out_feats}, self_loop={self.self_loop}{richer}"
