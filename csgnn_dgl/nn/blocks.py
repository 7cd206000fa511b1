"""A convolution with its batch norm, ReLU and residual."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from csgnn_dgl.nn.intra_conv import IntraConv
from csgnn_dgl.nn.radial_conv import RadialConv

__all__ = ["IntraBlock", "RadialBlock"]


def _normalise(norm: nn.BatchNorm1d, feat: Tensor) -> Tensor:
    """Batch norm over all sites and samples, then ReLU."""
    rows = norm(feat.reshape(-1, feat.shape[-1]))
    # In place: batch norm's backward pass does not look at its output.
    return F.relu(rows, inplace=True).view(feat.shape)


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
        out = _normalise(self.norm, self.conv(graph, feat))
        return out + feat if self.residual else out


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
        return _normalise(self.norm, self.conv(graph, feat))
