"""Convolution along co-radial vertices (Eq. 3 of the paper)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.nn.bypass import bypassable
from csgnn_dgl.nn.structure import EdgeType, chain, destination_features, source_features
from csgnn_dgl.ops import radial_conv_by_offset, radial_conv_in_blocks, radial_conv_regular

__all__ = ["RadialConv"]


@bypassable
class RadialConv(nn.Module):
    r"""One-dimensional convolution between spheres, zero padded at both ends.

    .. math:: y_{v,r} = b + \sum_{k=0}^{K-1} W_k\, x_{v,\, r + k - \lfloor K/2 \rfloor}

    This is Equation 3 of "Concentric Spherical GNN for 3D Representation Learning". On a regular
    grid it is one dense convolution. On any other graph it follows the edges by their ``offset``; a
    missing sphere counts as padding and ends the chain. If several edges with the same offset lead
    to a node, their sources are added, each times the edge data ``weight`` if there are any. So on
    spheres of different levels, a vertex without a co-radial partner gets the mean of its two
    parents.

    Parameters
    ----------
    in_feats, out_feats
        Channels ``C`` and ``F``.
    kernel_size
        ``K``, odd.
    bias
        Add ``b``.
    etype
        Edge type of the chain, by name or as a triple ``(source type, name, destination type)``.
        Edge data ``offset`` (sphere of the source minus sphere of the destination) or node data
        ``sphere`` determines the direction. Edge data ``weight``, if there are any, multiply the
        features of the source. They are constants: there are no gradients for them.

    Shapes
    ------
    feat ``(num_nodes, ..., C)`` → ``(num_nodes, ..., F)``; usually ``(V·R, B, C)``. On a block of
    ``dgl.to_block``, from the sources to the destinations, with kernels of size 1 or 3.

    Raises
    ------
    ConfigError
        The kernel size is even or not positive.
    DataError
        The graph lacks the edge type; edges have no direction, or one that contradicts the nodes'
        ``sphere``; nodes are joined to themselves or twice to another; weights of edges
        require a gradient; or sizes differ.

    Examples
    --------
    >>> from csgnn_dgl.grid import ConcentricGrid
    >>> grid = ConcentricGrid(level=0, n_spheres=4)
    >>> RadialConv(3, 5)(grid.graph(), torch.ones(48, 2, 3)).shape
    torch.Size([48, 2, 5])
    """

    def __init__(
        self,
        in_feats: int,
        out_feats: int,
        *,
        kernel_size: int = 3,
        bias: bool = True,
        etype: EdgeType = "radial",
    ) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ConfigError(f"kernel_size is {kernel_size}, but it must be odd and at least 1")
        self.in_feats, self.out_feats = in_feats, out_feats
        self.kernel_size, self.etype = kernel_size, etype
        self.weight = nn.Parameter(torch.empty(out_feats, in_feats, kernel_size))
        self.bias = nn.Parameter(torch.empty(out_feats)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise as :class:`torch.nn.Conv1d` does."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_feats * self.kernel_size)
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, graph: Any, feat: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """Convolve ``feat`` along the chains of ``graph``, which is only read."""
        return self._convolve(graph, feat, self.weight, self.bias)

    def _convolve(
        self,
        graph: Any,
        feat: Tensor | tuple[Tensor, Tensor],
        weight: Tensor,
        bias: Tensor | None,
    ) -> Tensor:
        """The convolution with any weight ``(F, C, K)`` and bias ``(F,)``."""
        sources = source_features(feat)
        if sources.shape[-1] != self.in_feats:
            raise DataError(
                f"features have {sources.shape[-1]} channels, but the layer is for {self.in_feats}"
            )
        radial = chain(graph, self.etype)
        num_nodes = radial.steps[1].num_columns
        if sources.shape[0] != num_nodes:
            raise DataError(
                f"features are for {sources.shape[0]} nodes, but the graph has {num_nodes}"
            )
        if radial.n_spheres is not None:
            flat = sources.reshape(num_nodes, -1, self.in_feats)
            out = radial_conv_regular(flat, weight, bias, radial.n_spheres)
            return out.view(*sources.shape[:-1], self.out_feats)
        own = destination_features(graph, self.etype, feat)
        if radial.blocks is not None and own is sources:
            flat = sources.reshape(num_nodes, -1, self.in_feats)
            crossings = radial.known_crossings.get(self.kernel_size // 2)
            if crossings is None:
                crossings = radial.crossings(self.kernel_size // 2)
            out = radial_conv_in_blocks(flat, weight, bias, radial.blocks, crossings)
            return out.view(*sources.shape[:-1], self.out_feats)
        by_offset = radial.within(self.kernel_size // 2)
        return radial_conv_by_offset(sources, weight, bias, by_offset, own=own)

    def extra_repr(self) -> str:
        return f"{self.in_feats}, {self.out_feats}, kernel_size={self.kernel_size}"
