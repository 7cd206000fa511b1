"""One-dimensional convolution along co-radial vertices."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from csgnn_dgl.ops.backend import onednn_for
from csgnn_dgl.ops.csr import CSR
from csgnn_dgl.ops.neighbor_sum import neighbor_sum
from csgnn_dgl.ops.node_linear import node_linear

__all__ = ["radial_conv_by_offset", "radial_conv_regular"]


# Older versions of PyTorch do not distinguish export and compilation.
_exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)

# With a batch of this size, lines of B numbers are long enough.
_LONG_BATCH = 32


def _as_lines(feat: Tensor, n_spheres: int) -> bool:
    """Whether a dilated convolution along lines of ``R·B`` numbers is faster."""
    if _exporting():
        return False  # the exported program must work for batches of any size
    # PyTorch's own convolution, which runs the other types, is slow with dilation.
    if not onednn_for(feat, torch.float32, torch.bfloat16):
        return False
    return n_spheres > 3 and feat.shape[1] < _LONG_BATCH


def radial_conv_regular(
    feat: Tensor, weight: Tensor, bias: Tensor | None, n_spheres: int
) -> Tensor:
    r"""Radial convolution where node ``v·R + r`` is vertex ``v`` on sphere ``r``, zero padded.

    .. math:: y_{v,r} = b + \sum_{k} W_k\, x_{v,\,r + k - \lfloor K/2 \rfloor}

    cuDNN reads the node-major memory as ``(V, C, R, B)`` with channels last, for a ``K×1``
    convolution. oneDNN is faster if it reads the same memory as lines ``(V, C, 1, R·B)``, for a
    ``1×K`` convolution that steps over the batch: its registers hold stretches of a line, and a
    line of ``B`` numbers is too short for them. Neither needs a permutation.

    Parameters
    ----------
    feat
        Shape ``(V·R, B, C)``.
    weight
        Shape ``(F, C, K)``, ``K`` odd.
    bias
        Shape ``(F,)``, or None.
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
    # Leave out taps that would only be applied to the padding.
    taps = weight[:, :, middle - reach : middle + reach + 1]
    if reach == 0 or batch == 0:
        return node_linear(feat, taps[:, :, reach], bias)
    vertices = num_nodes // n_spheres
    if _as_lines(feat, n_spheres):
        size, kernel, padding = (1, n_spheres * batch), taps.unsqueeze(2), (0, reach * batch)
        dilation = (1, batch)
    else:
        size, kernel, padding = (n_spheres, batch), taps.unsqueeze(3), (reach, 0)
        dilation = (1, 1)
    image = feat.reshape(vertices, *size, channels).permute(0, 3, 1, 2)
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    out = F.conv2d(image, kernel, bias, padding=padding, dilation=dilation)
    return out.permute(0, 2, 3, 1).reshape(num_nodes, batch, -1)


def radial_conv_by_offset(
    feat: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    by_offset: Mapping[int, CSR],
    *,
    own: Tensor | None = None,
) -> Tensor:
    """Radial convolution on any graph: for each tap, a neighbour sum and a matrix product.

    Parameters
    ----------
    feat
        Source features, shape ``(num_sources, ..., C)``.
    weight
        Shape ``(F, C, K)``, ``K`` odd.
    bias
        Shape ``(F,)``, or None.
    by_offset
        Relation from sources to destinations for each offset within the kernel, except 0. Missing
        offsets count as padding.
    own
        Features of the destinations, for the middle tap, shape ``(num_destinations, ..., C)``;
        those of the sources by default.

    Returns
    -------
    Tensor
        Shape ``(num_destinations, ..., F)``.
    """
    middle = weight.shape[2] // 2
    out = node_linear(feat if own is None else own, weight[:, :, middle], bias)
    for offset, csr in by_offset.items():
        if csr.indices.numel():
            out = out + node_linear(neighbor_sum(csr, feat), weight[:, :, middle + offset])
    return out
