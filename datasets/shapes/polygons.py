"""Polygons of meshes: checks, and division into triangles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csgnn_dgl.errors import DataError

__all__ = ["Polygons", "triangulate"]


@dataclass(frozen=True, eq=False)
class Polygons:
    """Faces with any number of corners, as a file lists them.

    Parameters
    ----------
    sizes
        Number of corners of each face, shape ``(m,)``, int64.
    corners
        Vertex indices of all faces in a row, from 0, int64.
    first
        Number of the first vertex in the file, for messages.
    """

    sizes: np.ndarray
    corners: np.ndarray
    first: int = 0

    @classmethod
    def of(cls, sizes: list[int], corners: list[int], first: int = 0) -> Polygons:
        """Make polygons of lists. An index beyond 64 bits becomes the largest, which no mesh has.

        Examples
        --------
        >>> Polygons.of([3], [0, 1, 10**19]).corners.tolist()
        [0, 1, 9223372036854775807]
        """
        limit = np.iinfo(np.int64).max
        clipped = [max(-limit, min(corner, limit)) for corner in corners]
        return cls(np.array(sizes, dtype=np.int64), np.array(clipped, dtype=np.int64), first)


def triangulate(vertices: np.ndarray, faces: Polygons, where: str) -> np.ndarray:
    """Divide faces into triangles.

    Convex polygons become fans around their first corner. In a fan around a corner of a concave
    polygon, triangles may lie outside of it and overlap, so ears are cut off these polygons. The
    outline of a polygon that is not flat may cross itself; it becomes a fan.

    Parameters
    ----------
    vertices
        Shape ``(n, 3)``.
    faces
        The faces.
    where
        Origin of the mesh, for messages.

    Returns
    -------
    numpy.ndarray
        Vertex indices, shape ``(triangles, 3)``, int64, in the order of the faces.

    Raises
    ------
    DataError
        A face has fewer than three corners, or refers to a vertex that does not exist.

    Examples
    --------
    >>> square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=float)
    >>> triangulate(square, Polygons(np.array([4]), np.arange(4)), "a square").tolist()
    [[0, 1, 2], [0, 2, 3]]
    """
    sizes, corners = faces.sizes, faces.corners
    if len(sizes) == 0:
        return np.zeros((0, 3), dtype=np.int64)
    if sizes.min() < 3:
        index = int((sizes < 3).argmax())
        raise DataError(
            f"{where}: face {index + 1} has {sizes[index]} corners, but a face needs at least "
            f"three; repair the mesh"
        )
    low, high = int(corners.min()), int(corners.max())
    if low < 0 or high >= len(vertices):
        bad, first = high if low >= 0 else low, faces.first
        raise DataError(
            f"{where}: a face refers to vertex {bad + first}, but there are vertices "
            f"{first} … {len(vertices) - 1 + first}; repair the mesh"
        )
    if sizes.max() == 3:
        return corners.reshape(-1, 3)
    counts = sizes - 2
    face = np.repeat(np.arange(len(sizes)), counts)
    start = np.repeat(np.cumsum(sizes) - sizes, counts)
    step = np.arange(len(face)) - np.repeat(np.cumsum(counts) - counts, counts)
    triangles = np.stack([corners[start], corners[start + step + 1], corners[start + step + 2]], 1)
    concave = _concave(vertices, triangles, face, counts)
    if len(concave) == 0:
        return triangles
    ends, fan_ends = np.cumsum(sizes), np.cumsum(counts)
    cut = [
        _cut_ears(
            vertices,
            corners[ends[place] - sizes[place] : ends[place]],
            triangles[fan_ends[place] - counts[place] : fan_ends[place]],
        )
        for place in concave
    ]
    kept = ~np.isin(face, concave)
    order = np.concatenate([face[kept], np.repeat(concave, [len(ears) for ears in cut])])
    return np.concatenate([triangles[kept], *cut])[np.argsort(order, kind="stable")]


def _concave(
    vertices: np.ndarray, triangles: np.ndarray, face: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Faces whose fan has triangles on both sides of the polygon's mean normal."""
    with np.errstate(all="ignore"):  # NaN and overflow are reported where surfaces are sampled
        a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
        normal = np.cross(b - a, c - a)
        mean = np.add.reduceat(normal, np.cumsum(counts) - counts)[face]
        # Rounding must not make a flat corner concave.
        against = (normal * mean).sum(axis=1) < -1e-9 * (mean * mean).sum(axis=1)
    return np.unique(face[against & (counts[face] > 1)])


def _cut_ears(vertices: np.ndarray, polygon: np.ndarray, fan: np.ndarray) -> np.ndarray:
    """Triangles ``(t, 3)`` of a polygon; its fan if its outline crosses itself."""
    import mapbox_earcut  # needed for concave polygons only

    points = vertices[polygon]
    centred = points - points.mean(axis=0)
    # The plane in which the polygon is widest.
    plane = np.linalg.svd(centred, full_matrices=False)[2][:2]
    flat = np.ascontiguousarray(centred @ plane.T)
    ears = mapbox_earcut.triangulate_float64(flat, np.array([len(polygon)], dtype=np.uint32))
    triangles = np.asarray(ears, dtype=np.int64).reshape(-1, 3)
    x, y = flat.T
    area = abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))
    a, b, c = (flat[triangles[:, corner]] for corner in range(3))
    (u, v), (p, q) = (b - a).T, (c - a).T
    covered = np.abs(u * q - v * p).sum()
    return polygon[triangles] if abs(covered - area) <= 1e-6 * area else fan
