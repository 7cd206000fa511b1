"""Find the three vertices of an icosphere that are nearest to a direction."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from csgnn_dgl.grid import Icosphere
from csgnn_dgl.mapping.faces import FaceSearch
from csgnn_dgl.mapping.tables import Tables

__all__ = ["NearestVertices"]


class NearestVertices:
    """Finds the three vertices of a level ``L`` icosphere that are nearest to each direction.

    For some directions these are not the corners of the face that contains them: for 9.5 % of all
    directions at level 4. The authors' released code of "Concentric Spherical GNN for 3D
    Representation Learning" finds them with a search tree.

    The nearest vertex is a corner of the direction's face, and the other two are among its five or
    six neighbours (tested for every face). So the search takes ``O(L)`` work per direction, as
    that for faces, on any device. Of vertices that are equally near, always the same are returned.

    Parameters
    ----------
    faces
        The search for faces at level ``L``.

    Shapes
    ------
    directions ``(M, 3)`` → vertices ``(M, 3)``, the nearest first.

    Examples
    --------
    >>> search = NearestVertices(FaceSearch(level=3))
    >>> vertices = torch.tensor(Icosphere.get(3).vertices)
    >>> found = search.find_vertices(vertices[[5, 600]])
    >>> found[:, 0].tolist()
    [5, 600]
    """

    def __init__(self, faces: FaceSearch) -> None:
        self.faces = faces
        sphere = Icosphere.get(faces.level)
        start, neighbors = sphere.neighbors()
        degree = np.diff(start)
        place = np.arange(degree.max())
        absent = place >= degree[:, None]
        ring = neighbors[np.where(absent, start[:-1, None], start[:-1, None] + place)]
        positions = sphere.vertices[ring]
        # No direction is near the antipode of its nearest vertex.
        positions[absent] = -sphere.vertices[absent.nonzero()[0]]
        self._tables = Tables(
            vertices=np.ascontiguousarray(sphere.vertices.T),
            ring=np.ascontiguousarray(ring.T),
            # For each neighbour its three components; one column per vertex.
            positions=np.ascontiguousarray(positions.reshape(sphere.num_vertices, -1).T),
        )

    def find_vertices(self, directions: Tensor) -> Tensor:
        """Find the three nearest vertices.

        Parameters
        ----------
        directions
            Shape ``(M, 3)``, any length.

        Returns
        -------
        Tensor
            Shape ``(M, 3)``, int64.

        Raises
        ------
        DataError
            ``directions`` is not a floating-point tensor of shape ``(M, 3)``.
        """
        face = self.faces.find_faces(directions)
        wide = torch.promote_types(directions.dtype, torch.float32)
        columns = directions.detach().to(wide).t().contiguous()
        length = columns.square().sum(dim=0).sqrt()
        return self.find_columns(columns / torch.where(length > 0, length, 1), face).t()

    def find_columns(self, directions: Tensor, face: Tensor) -> Tensor:
        """:meth:`find_vertices` for unit vectors ``(3, M)`` within ``face``; ``(3, M)``."""
        device, dtype = directions.device, directions.dtype
        corners = self.faces.corner_positions(face, dtype)
        # Squared distances keep digits that cosines of small angles lose.
        distance = (corners - directions[:, None]).square().sum(dim=0)
        corner = distance.min(dim=0, keepdim=True).indices
        first = self.faces.corner_ids(face).gather(0, corner)
        ring = self._tables.get("ring", device, torch.int64).index_select(1, first[0])
        around = self._tables.get("positions", device, dtype).index_select(1, first[0])
        around = around.view(len(ring), 3, -1)
        distance = (around - directions).square().sum(dim=1)
        second = distance.min(dim=0, keepdim=True).indices
        distance = distance.scatter(0, second, torch.inf)
        third = distance.min(dim=0, keepdim=True).indices
        return torch.cat([first, ring.gather(0, torch.cat([second, third]))])

    def positions(self, vertices: Tensor, dtype: torch.dtype) -> Tensor:
        """Unit vectors to ``vertices``, shape ``(3, M)``; ``(3, 3, M)``: component, vertex, …."""
        table = self._tables.get("vertices", vertices.device, dtype)
        return table.index_select(1, vertices.reshape(-1)).view(3, *vertices.shape)
