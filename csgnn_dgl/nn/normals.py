"""Directions of the nodes of a graph from the centre of its spheres."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from csgnn_dgl.errors import DataError
from csgnn_dgl.grid import Icosphere

__all__ = ["node_normals"]

# Single precision has errors of 6e-8 in coordinates up to 1.
_SAME = 1e-6


def node_normals(position: Tensor | None, vertex: Tensor | None = None) -> Tensor:
    """Unit vectors from the centre to all nodes, in double precision.

    Grids store positions in single precision, and the number of each node's vertex. With the
    vertices' exact directions, gradients commute exactly with the rotations of the icosahedron.

    Parameters
    ----------
    position
        Positions relative to the centre, shape ``(N, 3)``.
    vertex
        Number of each node's vertex on an icosphere, shape ``(N,)``; ignored where positions are
        those of other vertices.

    Returns
    -------
    Tensor
        Float64, shape ``(N, 3)``.

    Raises
    ------
    DataError
        There are no positions, they are not finite vectors of three numbers, or one is the centre.

    Examples
    --------
    >>> node_normals(torch.tensor([[0.0, 0.0, 0.5]])).tolist()
    [[0.0, 0.0, 1.0]]
    """
    if position is None:
        raise DataError(
            "gradients along spheres need the node data 'position', which the graph does not have; "
            "graphs of ConcentricGrid have it"
        )
    if position.dim() != 2 or position.shape[1] != 3 or not position.is_floating_point():
        raise DataError(
            f"the node data 'position' have shape {tuple(position.shape)} and type "
            f"{position.dtype}, but floating-point numbers of shape (N, 3) are needed"
        )
    position = position.detach().to("cpu", torch.float64)
    length = position.norm(dim=1)
    if wrong := torch.nonzero(~((length > 0) & length.isfinite())).flatten().tolist():
        raise DataError(
            f"the node data 'position' of node {wrong[0]} are {position[wrong[0]].tolist()}, which "
            f"have no direction from the centre"
        )
    normals = F.normalize(position, dim=1)
    if vertex is None or vertex.shape != length.shape or not len(vertex):
        return normals
    vertex = vertex.to("cpu", torch.int64)
    level, least, most = 0, int(vertex.min()), int(vertex.max())
    while 10 * 4**level + 2 <= most:
        level += 1
    # A sphere of this level has as many vertices as the graph, or not many more.
    if least < 0 or 4**level > 4 * len(vertex):
        return normals
    # The vertices of coarser levels come first, so a vertex has the same direction on all levels.
    exact = torch.from_numpy(Icosphere.get(level).vertices.copy())[vertex]
    return exact if bool(((exact - normals).abs() < _SAME).all()) else normals
