"""Gradients of features along a surface: weighted sums over neighbours."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from csgnn_dgl.ops.csr import CSR
from csgnn_dgl.ops.lasting import lasting
from csgnn_dgl.ops.neighbor_sum import neighbor_sum

__all__ = ["slope_lengths", "tangential_gradient", "tangential_relation"]

# Shorter projections (of unit vectors) are rounding errors: such neighbours have no direction.
_SHORTEST = 1e-9
# A slope is divided by its length, but by no less than this.
_SMALLEST = 1e-12


def _frames(normals: Tensor) -> Tensor:
    """Two orthonormal vectors at right angles to each of the unit vectors, ``(V, 2, 3)``.

    Any will do, because only the length of a gradient is used.
    """
    axis = F.one_hot(normals.abs().argmin(dim=1), 3).to(normals)
    first = F.normalize(torch.linalg.cross(normals, axis), dim=1)
    return torch.stack([first, torch.linalg.cross(normals, first)], dim=1)


@lasting
def tangential_relation(csr: CSR, normals: Tensor) -> CSR:
    """Weights of a gradient along a surface, as a sparse matrix.

    Parameters
    ----------
    csr
        From each node's neighbours to the node. Destinations are the first sources.
    normals
        Unit normal of the surface at every source, float64, shape ``(num_columns, 3)``. With blocks
        of nodes, one normal per block. The tangential direction to a neighbour is the difference of
        the normals without its part along the node's own normal, normalised.

    Returns
    -------
    CSR
        From sources to twice the destinations: rows ``i`` and ``num_rows + i`` hold the weights of
        the gradient's two components at destination ``i``, in double precision.

    Examples
    --------
    >>> ring = CSR.from_edges(torch.tensor([1, 0]), torch.tensor([0, 1]), 2, 2)
    >>> found = tangential_relation(ring, torch.eye(3, dtype=torch.float64)[:2])
    >>> tangential_gradient(found, torch.tensor([[1.0], [5.0]])).norm(dim=0).tolist()
    [[4.0], [4.0]]
    """
    rows, columns = csr.rows, csr.indices
    own = normals[rows]
    towards = normals[columns] - own
    towards = towards - (towards * own).sum(dim=1, keepdim=True) * own
    length = towards.norm(dim=1, keepdim=True)
    towards = torch.where(length > _SHORTEST, towards / length.clamp(min=_SHORTEST), 0)
    # Components in the destination's frame, (2, E).
    along = torch.einsum("eki,ei->ke", _frames(normals[: csr.num_rows])[rows], towards)
    total = torch.zeros(2, csr.num_rows, dtype=along.dtype).index_add(1, rows, along)
    nodes = torch.arange(csr.num_rows)
    half = torch.cat([nodes, rows])
    return CSR.from_edges(
        torch.cat([nodes, columns]).repeat(2),
        torch.cat([half, half + csr.num_rows]),
        2 * csr.num_rows,
        csr.num_columns,
        csr.block,
        weights=torch.cat([-total, along], dim=1).flatten(),
    )


def tangential_gradient(relation: CSR, feat: Tensor) -> Tensor:
    r"""Differences to the neighbours of every node, along the directions to them.

    .. math:: g_i = \sum_{j \in N(i)} (x_j - x_i)\, t_{ij}

    ``t_ij`` is the unit vector in the tangential plane of node ``i`` towards ``j``. For six
    neighbours and linear features, ``g`` is three times the increase per neighbour.

    Parameters
    ----------
    relation
        From :func:`tangential_relation`.
    feat
        Shape ``(num_sources, ...)``. Half precision is computed in float32, because the terms
        nearly cancel.

    Returns
    -------
    Tensor
        The two components in some frame of the tangential plane, shape
        ``(2, num_destinations, ...)``.
    """
    out = neighbor_sum(relation, feat.to(torch.promote_types(feat.dtype, torch.float32)))
    return out.view(2, relation.num_destinations // 2, *feat.shape[1:])


class _Lengths(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, slopes: Tensor) -> Tensor:
        first, second = slopes[0], slopes[1]
        lengths = (first * first).addcmul_(second, second).sqrt_()
        ctx.save_for_backward(slopes, lengths)
        return lengths

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        slopes, lengths = ctx.saved_tensors
        return slopes * (grads[0] / lengths.clamp(min=_SMALLEST))


def slope_lengths(slopes: Tensor) -> Tensor:
    """Lengths of gradients, with a gradient of zero where they are zero.

    On a CPU, PyTorch's norm over the first of several dimensions takes forty times as long.

    Parameters
    ----------
    slopes
        From :func:`tangential_gradient`, shape ``(2, ...)``.

    Returns
    -------
    Tensor
        Shape ``(...)``.

    Examples
    --------
    >>> slope_lengths(torch.tensor([[3.0, 0.0], [4.0, 0.0]])).tolist()
    [5.0, 0.0]
    """
    out: Tensor = _Lengths.apply(slopes)
    return out
