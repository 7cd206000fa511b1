"""One-dimensional convolution along co-radial vertices."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from csgnn_dgl.ops.csr import CSR
from csgnn_dgl.ops.neighbor_sum import neighbor_sum
from csgnn_dgl.ops.node_linear import node_linear

__all__ = ["radial_conv_by_offset", "radial_conv_regular"]


def radial_conv_regular(
    feat: Tensor, weight: Tensor, bias: Tensor | None, n_spheres: int
) -> Tensor:
    r"""Radial convolution where node ``v·R + r`` is vertex ``v`` on sphere ``r``, zero padded.

    .. math:: y_{v,r} = b + \sum_{k} W_k\, x_{v,\,r + k - \lfloor K/2 \rfloor}

    The node-major memory, read as ``(V, C, R, B)`` with channels last, is what oneDNN and cuDNN
    want for a ``K×1`` convolution, so nothing is permuted.

    Parameters
    ----------
    feat
        Shape ``(V·R, B, C)``.
    weight
        Shape ``(F, C, K)``, ``K`` odd.
    bias
        Shape ``(F,)``, or none.
    n_spheres
        ``R``.

    Returns
    -------
    Tensor
        Shape ``(V·R, B, F)``.
    """
    num_nodes, batch, channels = feat.shape
    reach = min(weight.shape[2] // 2, n_spheres - 1)
    middle = weight.shape[2] // 2
    # Taps that could only ever meet the padding are not computed.
    taps = weight[:, :, middle - reach : middle + reach + 1]
    if reach == 0 or batch == 0:
        return node_linear(feat, taps[:, :, reach], bias)
    image = feat.reshape(num_nodes // n_spheres, n_spheres, batch, channels).permute(0, 3, 1, 2)
    kernel = taps.unsqueeze(-1).contiguous(memory_format=torch.channels_last)
    out = F.conv2d(image, kernel, bias, padding=(reach, 0))
    return out.permute(0, 2, 3, 1).reshape(num_nodes, batch, -1)


def radial_conv_by_offset(
    feat: Tensor, weight: Tensor, bias: Tensor | None, by_offset: Mapping[int, CSR]
) -> Tensor:
    """Radial convolution on any graph: per tap a neighbour sum, then a matrix product.

    Parameters
    ----------
    feat
        Shape ``(num_nodes, ..., C)``.
    weight
        Shape ``(F, C, K)``, ``K`` odd.
    bias
        Shape ``(F,)``, or none.
    by_offset
        For each offset other than 0 within the kernel, who feeds whom from that far out.
        Offsets that are absent count as padding.

    Returns
    -------
    Tensor
        Shape ``(num_nodes, ..., F)``.
    """
    middle = weight.shape[2] // 2
    out = node_linear(feat, weight[:, :, middle], bias)
    for offset, csr in by_offset.items():
        if csr.indices.numel():
            out = out + node_linear(neighbor_sum(csr, feat), weight[:, :, middle + offset])
    return out
