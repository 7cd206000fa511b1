"""A convolution with its batch norm, ReLU and residual."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from csgnn_dgl.nn.affine import folded, of_batch_norm
from csgnn_dgl.nn.intra_conv import IntraConv
from csgnn_dgl.nn.radial_conv import RadialConv
from csgnn_dgl.nn.structure import chain
from csgnn_dgl.ops import radial_conv_regular

__all__ = ["IntraBlock", "RadialBlock", "radial_stack"]

# Of the widest features of a piece, at least; and how many pieces there are at most, as many small
# convolutions take longer than few large ones.
_PIECE_BYTES, _PIECES = 2**20, 8


def _activated(
    conv: IntraConv | RadialConv, norm: nn.BatchNorm1d, graph: Any, feat: Tensor
) -> Tensor:
    """Convolution, batch norm over all sites and samples, ReLU."""
    then = of_batch_norm(norm)
    if then is not None:
        return F.relu(conv(graph, feat, then=then), inplace=True)
    out = conv(graph, feat)
    rows = norm(out.reshape(-1, out.shape[-1]))
    # In place: batch norm's backward pass does not look at its output.
    return F.relu(rows, inplace=True).view(out.shape)


class IntraBlock(nn.Module):
    """:class:`IntraConv`, batch norm over all sites and samples, ReLU, residual.

    Parameters
    ----------
    in_feats, out_feats
        Channels ``C`` and ``F``.
    self_loop
        See :class:`IntraConv`.
    residual
        Add the input wherever ``C == F``.

    Shapes
    ------
    feat ``(num_nodes, B, C)`` → ``(num_nodes, B, F)``.
    """

    def __init__(
        self, in_feats: int, out_feats: int, *, self_loop: bool = True, residual: bool = True
    ) -> None:
        super().__init__()
        self.conv = IntraConv(in_feats, out_feats, self_loop=self_loop)
        self.norm = nn.BatchNorm1d(out_feats)
        self.residual = residual and in_feats == out_feats

    def forward(self, graph: Any, feat: Tensor) -> Tensor:
        """Apply the block to ``feat`` on ``graph``."""
        out = _activated(self.conv, self.norm, graph, feat)
        if not self.residual:
            return out
        # ReLU's backward pass does look at its output.
        return out + feat if out.requires_grad else out.add_(feat)


class RadialBlock(nn.Module):
    """:class:`RadialConv`, batch norm over all sites and samples, ReLU; no residual.

    Parameters
    ----------
    in_feats, out_feats
        Channels ``C`` and ``F``.
    kernel_size
        ``K``, odd.

    Shapes
    ------
    feat ``(num_nodes, B, C)`` → ``(num_nodes, B, F)``.
    """

    def __init__(self, in_feats: int, out_feats: int, *, kernel_size: int = 3) -> None:
        super().__init__()
        self.conv = RadialConv(in_feats, out_feats, kernel_size=kernel_size)
        self.norm = nn.BatchNorm1d(out_feats)

    def forward(self, graph: Any, feat: Tensor) -> Tensor:
        """Apply the block to ``feat`` on ``graph``."""
        return _activated(self.conv, self.norm, graph, feat)


def radial_stack(blocks: Sequence[RadialBlock], graph: Any, feat: Tensor) -> Tensor:
    """Several radial blocks one after the other.

    Vertices do not see each other here. So without gradients, in evaluation on a CPU, all blocks
    are applied to some vertices, then to the next ones: nothing but the result is as large as
    ``feat``, and what lies between stays in the cache.

    Parameters
    ----------
    blocks
        The blocks.
    graph, feat
        As for one block.

    Returns
    -------
    Tensor
        Shape ``(num_nodes, B, F)``.
    """
    affine = [of_batch_norm(block.norm) for block in blocks]
    spheres = chain(graph, blocks[0].conv.etype).n_spheres if blocks else None
    if spheres is None or None in affine or not _in_pieces(feat):
        for block in blocks:
            feat = block(graph, feat)
        return feat
    weights = []
    for block, then in zip(blocks, affine, strict=True):
        weight, bias = folded(block.conv.weight, block.conv.bias, then)
        # In the order in which the convolution wants it: once, not for every piece.
        weights.append((weight.transpose(1, 2).contiguous().transpose(1, 2), bias))
    nodes, batch = feat.shape[:2]
    widest = max(len(weight) for weight, _ in weights)
    vertex_bytes = spheres * batch * widest * feat.element_size()
    vertices = max(_PIECE_BYTES // (vertex_bytes or 1), -(-nodes // (spheres * _PIECES)), 1)
    step = spheres * vertices
    out = feat.new_empty(nodes, batch, len(weights[-1][0]))
    for start in range(0, nodes, step):
        piece = feat[start : start + step]
        for weight, bias in weights[:-1]:
            piece = F.relu(radial_conv_regular(piece, weight, bias, spheres), inplace=True)
        piece = radial_conv_regular(piece, *weights[-1], spheres)
        torch.clamp_min(piece, 0, out=out[start : start + step])
    return out


def _in_pieces(feat: Tensor) -> bool:
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
        return False
    return feat.device.type == "cpu" and not torch.is_grad_enabled()
