"""Vertices near a direction on spheres of different levels, and the numbers of their sites."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from csgnn_dgl.grid import Icosphere, Sites
from csgnn_dgl.grid.icosphere import Floats
from csgnn_dgl.mapping.faces import FaceSearch
from csgnn_dgl.mapping.nearest import NearestVertices
from csgnn_dgl.mapping.tables import Tables

__all__ = ["SphereLevels", "own_bandwidths"]


class SphereLevels:
    """Finds the vertices near a direction on a sphere of a grid whose spheres have own levels.

    The face of a coarser level that contains a direction is the ancestor of its face at the finest
    level: face ``f`` is split into faces ``4f … 4f + 3``. So one search is enough for all spheres.

    Parameters
    ----------
    levels
        Level of every sphere, innermost first.
    nearest
        Find the three nearest vertices instead of the corners of the face.

    Examples
    --------
    >>> spheres = SphereLevels((0, 1))
    >>> direction = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.4, 0.4]])
    >>> vertices, _ = spheres.find(FaceSearch(1), direction, torch.tensor([0, 1]))
    >>> vertices.t().tolist(), spheres.nodes(vertices, torch.tensor([0, 1])).t().tolist()
    ([[0, 4, 6], [30, 14, 13]], [[0, 8, 12], [42, 26, 25]])
    """

    def __init__(self, levels: tuple[int, ...], *, nearest: bool = False) -> None:
        self.levels, finest = levels, max(levels)
        self.num_nodes = Sites.of(levels).num_nodes
        self._distinct = sorted(set(levels))
        spheres = [Icosphere.get(level) for level in self._distinct]
        # Faces of all levels in one table, the coarsest level first.
        starts = np.cumsum([0, *(len(sphere.faces) for sphere in spheres)])
        which = np.searchsorted(self._distinct, levels)
        self._tables = Tables(
            corners=np.ascontiguousarray(np.concatenate([s.faces for s in spheres]).T),
            vertices=np.ascontiguousarray(spheres[-1].vertices.T),
            which=which,
            start=starts[which],
            # Each level has four times the faces of the one before, which is two bits.
            shift=2 * (finest - np.array(levels)),
            sites=Sites.of(levels).index.reshape(-1).copy(),
            innermost=Sites.of(levels).index[: 10 * 4 ** levels[0] + 2, 0].copy(),
            share=_shares(levels),
        )
        self._nearest: dict[int, NearestVertices] = {}
        if nearest:
            self._nearest = {k: NearestVertices(FaceSearch(k)) for k in self._distinct}

    def innermost(self, device: torch.device) -> Tensor:
        """Sites of all vertices of the innermost sphere."""
        return self._tables.get("innermost", device, torch.int64)

    def even(self, sums: Tensor) -> Tensor:
        """Sums over points at all sites, as if all spheres had as many vertices as the finest.

        A point has three vertices on any sphere, so a vertex of a coarse sphere has more points.
        Without this, a convolution would see steps between spheres where the cloud has none.

        Parameters
        ----------
        sums
            Shape ``(sites, ...)``.
        """
        share = self._tables.get("share", sums.device, sums.dtype)
        return sums * share.view(-1, *[1] * (sums.dim() - 1))

    def find(
        self, search: FaceSearch, directions: Tensor, spheres: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Three vertices near each direction, and their positions.

        Parameters
        ----------
        search
            The search at the finest level.
        directions
            Unit vectors, shape ``(3, M)``.
        spheres
            Sphere for each direction, shape ``(M,)``; or several, ``(M, Q)``.

        Returns
        -------
        tuple of Tensor
            Vertices ``(3, M)`` and positions ``(3, 3, M)`` (component, vertex, direction); with the
            further dimension ``Q`` if ``spheres`` has it.
        """
        face = search.find_columns(directions)
        shift, start = self._of("shift", spheres), self._of("start", spheres)
        own = face.view(-1, *[1] * (spheres.dim() - 1)) >> shift
        if self._nearest:
            vertices = self._nearest_of(directions, face, spheres)
        else:
            corners = self._tables.get("corners", face.device, torch.int64)
            vertices = corners.index_select(1, (own + start).reshape(-1)).view(3, *spheres.shape)
        table = self._tables.get("vertices", directions.device, directions.dtype)
        positions = table.index_select(1, vertices.reshape(-1)).view(3, *vertices.shape)
        return vertices, positions

    def nodes(self, vertices: Tensor, spheres: Tensor) -> Tensor:
        """Sites of ``vertices`` on ``spheres``, whose shapes are broadcast."""
        number = vertices * len(self.levels) + spheres
        sites = self._tables.get("sites", vertices.device, torch.int64)
        return sites.index_select(0, number.reshape(-1)).view(number.shape)

    def _of(self, name: str, spheres: Tensor) -> Tensor:
        return self._tables.get(name, spheres.device, torch.int64)[spheres]

    def _nearest_of(self, directions: Tensor, face: Tensor, spheres: Tensor) -> Tensor:
        """The nearest vertices at the level of each sphere."""
        which, found = self._of("which", spheres), None
        # All levels for all directions, because sizes that depend on values cannot be traced.
        for slot, level in enumerate(self._distinct):
            own = self._nearest[level].find_columns(
                directions, face >> 2 * (self._distinct[-1] - level)
            )
            own = own.view(3, -1, *[1] * (spheres.dim() - 1))
            found = own if found is None else torch.where(which == slot, own, found)
        assert found is not None
        return found.expand(3, *spheres.shape)


def _shares(levels: tuple[int, ...]) -> Floats:
    """Vertices of each site's sphere, as a share of those of the finest one."""
    counts = [Icosphere.get(level).num_vertices for level in levels]
    index = Sites.of(levels).index
    share = np.empty(Sites.of(levels).num_nodes)
    for sphere, count in enumerate(counts):
        share[index[:count, sphere]] = count / max(counts)
    return share


def own_bandwidths(
    levels: tuple[int, ...], n_shells: int, of_level: Callable[[int], Floats]
) -> Floats:
    """Bandwidths of the points of each shell on the sphere around it, and on the one within it.

    Parameters
    ----------
    levels
        Level of every spatial sphere, innermost first.
    n_shells
        Number of shells, the same for each spatial sphere.
    of_level
        Gives the bandwidths of all shells for spheres of one level.

    Returns
    -------
    Array of shape ``(2, n_shells)``.

    Examples
    --------
    >>> own_bandwidths((0, 1), 4, lambda level: np.full(4, float(level)))
    array([[0., 0., 1., 1.],
           [0., 0., 0., 1.]])
    """
    distinct = sorted(set(levels))
    table = np.stack([of_level(level) for level in distinct])
    which = np.searchsorted(distinct, levels)
    shell = np.arange(n_shells)
    shells_per_sphere = n_shells // len(levels)
    pairs = (shell, np.maximum(shell - 1, 0))
    return np.stack([table[which[of // shells_per_sphere], shell] for of in pairs])
