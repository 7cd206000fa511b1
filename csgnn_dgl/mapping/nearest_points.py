"""The nearest points of a cloud."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["in_a_tree", "nearest", "rows_in_a_tree"]


def nearest(queries: Tensor, points: Tensor, count: int) -> Tensor:
    """Find the nearest points of every query, the nearest first.

    Parameters
    ----------
    queries
        Shape ``(B, M, C)``: positions, or feature vectors.
    points
        Shape ``(B, N, C)``.
    count
        Number of points to find, ``k``, at most ``N``.

    Returns
    -------
    Tensor
        Indices of points, shape ``(B, M, k)``, int64.

    Examples
    --------
    >>> line = torch.arange(4.0)[None, :, None]
    >>> nearest(line[:, :1], line, 3).tolist()
    [[[0, 1, 2]]]
    """
    with torch.no_grad():
        if in_a_tree(queries, points):
            pairs = zip(queries, points, strict=True)
            return torch.stack([rows_in_a_tree(asked, cloud, count) for asked, cloud in pairs])
        # In three dimensions differences are as fast as a matrix product, and exact near zero. Half
        # precisions would confuse neighbours.
        exact = queries.shape[-1] <= 3
        single = torch.promote_types(queries.dtype, torch.float32)
        queries, points = queries.to(single), points.to(single)
        if exact:
            mode = "donot_use_mm_for_euclid_dist"
            distances = torch.cdist(queries, points, compute_mode=mode)
        else:
            # Squares, without that of the query, which does not change the order.
            square = points.square().sum(dim=-1)[:, None]
            distances = torch.baddbmm(square, queries, points.mT, alpha=-2)
        return distances.topk(count, dim=2, largest=False, sorted=True).indices


def in_a_tree(queries: Tensor, points: Tensor) -> bool:
    """Whether a kd-tree may search: for positions on a CPU, unless a tracer looks on."""
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
    on_cpu = queries.device.type == points.device.type == "cpu"
    if traced or not on_cpu or points.shape[-1] > 3 or not type(queries) is type(points) is Tensor:
        return False
    try:
        queries[:0].detach().double().numpy(), points[:0].detach().double().numpy()
    except RuntimeError:  # Inside of torch.func's transforms tensors have no numbers of their own.
        return False
    return True


def rows_in_a_tree(queries: Tensor, points: Tensor, count: int, radius: float = math.inf) -> Tensor:
    """Find the nearest points of every query in one cloud by a kd-tree, the nearest first.

    Parameters
    ----------
    queries, points
        Positions, shapes ``(M, 3)`` and ``(N, 3)``.
    count
        Number of points to find, ``k``.
    radius
        Greatest distance of a neighbour.

    Returns
    -------
    Tensor
        Indices of points, shape ``(M, k)``, int64; ``N`` where there are fewer within the radius.

    Examples
    --------
    >>> rows_in_a_tree(torch.tensor([[0.0]]), torch.tensor([[2.0], [1.0]]), 2, radius=1).tolist()
    [[1, 2]]
    """
    from scipy.spatial import cKDTree

    tree = cKDTree(points.detach().double().numpy())
    # A list of ranks keeps the last dimension for a single neighbour. The bound is exclusive.
    bound = math.nextafter(radius, math.inf)
    ranks = range(1, count + 1)
    _, rows = tree.query(queries.detach().double().numpy(), k=ranks, distance_upper_bound=bound)
    return torch.from_numpy(rows).long()
