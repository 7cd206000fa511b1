"""The icosahedral sphere, with refined faces and nested numbering."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from csgnn_dgl.errors import ConfigError, ResourceError

__all__ = ["Icosphere"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# A sphere of a higher level would take tens of GiB.
_MAX_LEVEL = 11


@dataclass(frozen=True, eq=False)
class Icosphere:
    """The unit sphere, triangulated by refining an icosahedron ``level`` times.

    A refinement splits each face in four at the midpoints of its edges and projects them to the
    sphere. The numbering is nested: the vertices of level ``L - 1`` are the first ones of level
    ``L``, and face ``f`` is split into faces ``4f … 4f+3``, of which ``4f + i`` keeps corner ``i``
    and ``4f + 3`` is the middle one.

    Make one with :meth:`get`, which builds each level once. All arrays are read-only.

    Attributes
    ----------
    level
        The level ``L``.
    vertices
        Unit vectors, float64, shape ``(V, 3)``, ``V = 10·4^L + 2``.
    faces
        Vertices of each face, counter-clockwise from outside, int64, shape ``(20·4^L, 3)``.
    edges
        Each edge once, ``u < v``, sorted, int64, shape ``(30·4^L, 2)``.
    parents
        Ends of the edge of which each new vertex of this level is the midpoint, int64, shape
        ``(V - V_{L-1}, 2)``; empty at level 0.

    Examples
    --------
    >>> sphere = Icosphere.get(2)
    >>> sphere.num_vertices, sphere.faces.shape, sphere.edges.shape
    (162, (320, 3), (480, 2))
    """

    level: int
    vertices: Floats
    faces: Ints
    edges: Ints
    parents: Ints

    @staticmethod
    def get(level: int) -> Icosphere:
        """Get the sphere of ``level``, built at the first call.

        Raises
        ------
        ConfigError
            The level is negative or not a whole number.
        ResourceError
            The level is too high to fit in memory.
        """
        if isinstance(level, bool) or not isinstance(level, (int, np.integer)) or level < 0:
            raise ConfigError(f"level is {level!r}, but it must be a whole number, 0 or greater")
        if level > _MAX_LEVEL:
            gib = 4.0**level * 20 * 3 * 8 * 3 / 2**30
            raise ResourceError(
                f"an icosphere of level {level} has {10 * 4 ** int(level) + 2:,} vertices and "
                f"takes about {gib:,.0f} GiB; use a level of at most {_MAX_LEVEL}"
            )
        return _build(int(level))

    @property
    def num_vertices(self) -> int:
        """Number of vertices, ``V``."""
        return len(self.vertices)

    def neighbors(self) -> tuple[Ints, Ints]:
        """Adjacent vertices as CSR: ``indptr (V + 1,)`` and sorted ``indices (60·4^L,)``."""
        src = np.concatenate([self.edges[:, 0], self.edges[:, 1]])
        dst = np.concatenate([self.edges[:, 1], self.edges[:, 0]])
        order = np.lexsort((dst, src))
        counts = np.bincount(src, minlength=self.num_vertices)
        return np.concatenate([[0], np.cumsum(counts)]), dst[order]


def _icosahedron() -> tuple[Floats, Ints]:
    """Make the twelve vertices and twenty faces."""
    golden = (1 + 5**0.5) / 2
    signs = [(a, b * golden) for a in (1, -1) for b in (1, -1)]
    vertices = np.array(
        [(0, a, b) for a, b in signs]
        + [(a, b, 0) for a, b in signs]
        + [(b, 0, a) for a, b in signs],
        dtype=np.float64,
    )
    vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
    adjacent = np.isclose(vertices @ vertices.T, 5**-0.5)
    triples = np.argwhere(adjacent[:, :, None] & adjacent[None, :, :] & adjacent[:, None, :])
    faces = triples[(triples[:, 0] < triples[:, 1]) & (triples[:, 1] < triples[:, 2])]
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    clockwise = np.einsum("ni,ni->n", np.cross(b - a, c - a), a) < 0
    faces[clockwise] = faces[clockwise][:, [0, 2, 1]]
    return vertices, faces.astype(np.int64)


def _edges_of(faces: Ints, num_vertices: int) -> tuple[Ints, Ints]:
    """Find the unique edges, and for each face the edge opposite to each of its corners."""
    ends = np.concatenate([faces[:, [1, 2]], faces[:, [2, 0]], faces[:, [0, 1]]])
    low, high = ends.min(axis=1), ends.max(axis=1)
    keys, opposite = np.unique(low * num_vertices + high, return_inverse=True)
    edges = np.stack([keys // num_vertices, keys % num_vertices], axis=1)
    return edges, opposite.reshape(3, -1).T


@cache
def _build(level: int) -> Icosphere:
    if level == 0:
        vertices, faces = _icosahedron()
        parents = np.empty((0, 2), dtype=np.int64)
    else:
        coarse = _build(level - 1)
        parents, opposite = _edges_of(coarse.faces, coarse.num_vertices)
        middle = coarse.vertices[parents].sum(axis=1)
        middle /= np.linalg.norm(middle, axis=1, keepdims=True)
        vertices = np.concatenate([coarse.vertices, middle])
        a, b, c = coarse.faces.T
        bc, ca, ab = (opposite + coarse.num_vertices).T
        children = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (bc, ca, ab)]
        faces = np.stack([np.stack(child, axis=1) for child in children], axis=1).reshape(-1, 3)
    edges, _ = _edges_of(faces, len(vertices))
    for array in (vertices, faces, edges, parents):
        array.setflags(write=False)
    return Icosphere(level, vertices, faces, edges, parents)
