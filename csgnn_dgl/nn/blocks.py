"""A convolution with its batch norm, ReLU and residual."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from csgnn_dgl.nn.bypass import bypassable, untouched
from csgnn_dgl.nn.fuse import fuse_batch_norm, is_fixed
from csgnn_dgl.nn.intra_conv import IntraConv
from csgnn_dgl.nn.radial_conv import RadialConv
from csgnn_dgl.nn.site_norm import Norm, channel_norm
from csgnn_dgl.nn.structure import chain, destination_features, source_features
from csgnn_dgl.ops import can_norm_relu, norm_relu, radial_conv_regular

__all__ = ["IntraBlock", "RadialBlock", "radial_stack"]

# Smallest size of the widest features of a piece, and largest number of pieces. Many small
# convolutions would take longer than few large ones.
_PIECE_BYTES, _PIECES = 2**20, 8


def _activated(
    conv: IntraConv | RadialConv,
    norm: Any,
    graph: Any,
    feat: Tensor | tuple[Tensor, Tensor],
    own: Tensor | None = None,
) -> Tensor:
    """Apply convolution, norm over all sites and samples, and ReLU; add ``own``."""
    plain_norm = untouched(norm, nn.BatchNorm1d)
    if plain_norm and untouched(conv, IntraConv, RadialConv):
        weight = conv._joint_weight() if isinstance(conv, IntraConv) else conv.weight
        if can_norm_relu(norm, source_features(feat)):
            out = conv._convolve(graph, feat, weight, None)
            fits = own is not None and own.dtype == out.dtype
            out = norm_relu(norm, out, own if fits else None, conv.bias)
            return out if own is None or fits else out + own
        if is_fixed(norm):
            out = conv._convolve(graph, feat, *fuse_batch_norm(weight, conv.bias, norm))
            return _added(F.relu(out, inplace=True), own)
    out = conv(graph, feat)
    rows = norm(out.reshape(-1, out.shape[-1]))
    # In place only if no hook has seen these rows. Batch norm's gradient does not need them.
    return _added(F.relu(rows, inplace=plain_norm).reshape(out.shape), own)


def _added(out: Tensor, own: Tensor | None) -> Tensor:
    if own is None:
        return out
    # Not in place if ReLU's gradient needs its output, or if the sum has another type.
    if out.requires_grad or out.dtype != own.dtype:
        return out + own
    return out.add_(own)


@bypassable
class IntraBlock(nn.Module):
    """A block of :class:`IntraConv`, batch norm over all sites and samples, ReLU, and residual.

    Parameters
    ----------
    in_feats, out_feats
        Channels ``C`` and ``F``.
    self_loop, filter_order, gradients
        See :class:`IntraConv`.
    residual
        Add the input if ``C == F``.
    norm
        See :func:`~csgnn_dgl.nn.site_norm.channel_norm`.

    Shapes
    ------
    feat ``(num_nodes, B, C)`` → ``(num_nodes, B, F)``.
    """

    def __init__(
        self,
        in_feats: int,
        out_feats: int,
        *,
        self_loop: bool = True,
        residual: bool = True,
        filter_order: int = 0,
        gradients: bool = False,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        self.conv = IntraConv(
            in_feats,
            out_feats,
            self_loop=self_loop,
            filter_order=filter_order,
            gradients=gradients,
        )
        self.norm: Any = channel_norm(norm, out_feats)
        self.residual = residual and in_feats == out_feats

    def forward(self, graph: Any, feat: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """Apply the block to ``feat`` on ``graph``."""
        if not self.residual:
            return _activated(self.conv, self.norm, graph, feat)
        if isinstance(self.conv, IntraConv):
            own = destination_features(graph, self.conv.etype, feat)
            return _activated(self.conv, self.norm, graph, feat, own)
        # A layer of the user's own, which may have fewer destinations than sources.
        out = _activated(self.conv, self.norm, graph, feat)
        return _added(out, source_features(feat)[: len(out)])


@bypassable
class RadialBlock(nn.Module):
    """A block of :class:`RadialConv`, batch norm over all sites and samples, and ReLU.

    Parameters
    ----------
    in_feats, out_feats
        Channels ``C`` and ``F``.
    kernel_size
        ``K``, odd.
    norm
        See :func:`~csgnn_dgl.nn.site_norm.channel_norm`.

    Shapes
    ------
    feat ``(num_nodes, B, C)`` → ``(num_nodes, B, F)``.
    """

    def __init__(
        self, in_feats: int, out_feats: int, *, kernel_size: int = 3, norm: Norm = "batch"
    ) -> None:
        super().__init__()
        self.conv = RadialConv(in_feats, out_feats, kernel_size=kernel_size)
        self.norm: Any = channel_norm(norm, out_feats)

    def forward(self, graph: Any, feat: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """Apply the block to ``feat`` on ``graph``."""
        return _activated(self.conv, self.norm, graph, feat)


def radial_stack(blocks: Sequence[nn.Module], graph: Any, feat: Tensor) -> Tensor:
    """Apply several radial blocks one after the other.

    In these blocks vertices do not depend on each other. So in evaluation on a CPU without
    gradients, all blocks are applied to some vertices at a time. Then only the result is as large
    as ``feat``, and intermediate features stay in the cache. If a block or a part of one has hooks
    or was replaced (see :mod:`csgnn_dgl.nn.bypass`), each block is called with all vertices.

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
    if _pays_in_pieces(feat) and (bypassed := _bypassed(blocks)):
        radial = chain(graph, bypassed[0].conv.etype)
        fits = feat.shape[0] == radial.steps[1].num_columns
        if radial.n_spheres is not None and fits and feat.shape[-1] == bypassed[0].conv.in_feats:
            return _in_pieces(bypassed, radial.n_spheres, feat)
    for block in blocks:
        feat = block(graph, feat)
    return feat


def _bypassed(blocks: Sequence[nn.Module]) -> list[RadialBlock]:
    """The blocks if they may all be bypassed, otherwise an empty list."""
    found = []
    for block in blocks:
        # untouched() requires exactly a RadialBlock; isinstance() is for the type checker.
        if not (untouched(block, RadialBlock) and isinstance(block, RadialBlock)):
            return []
        if not (untouched(block.conv, RadialConv) and untouched(block.norm, nn.BatchNorm1d)):
            return []
        found.append(block)
        if not is_fixed(block.norm) or block.conv.etype != found[0].conv.etype:
            return []
    return found


def _pays_in_pieces(feat: Tensor) -> bool:
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
        return False
    return feat.device.type == "cpu" and not torch.is_grad_enabled()


def _in_pieces(blocks: Sequence[RadialBlock], spheres: int, feat: Tensor) -> Tensor:
    weights = []
    for block in blocks:
        weight, bias = fuse_batch_norm(block.conv.weight, block.conv.bias, block.norm)
        # Put the weight into the memory order of the convolution once, not for every piece.
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
