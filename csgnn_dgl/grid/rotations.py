"""The 60 rotations of the icosahedron, as matrices and as permutations of vertices."""

from __future__ import annotations

from functools import cache

import numpy as np

from csgnn_dgl.grid.icosphere import Floats, Icosphere, Ints

__all__ = ["icosahedral_rotations", "vertex_permutations"]


@cache
def icosahedral_rotations() -> Floats:
    """The rotations that map the icosahedron onto itself, the identity first.

    Returns
    -------
    Array of shape ``(60, 3, 3)``, float64, read-only; ``rotations[g] @ x`` rotates ``x``.

    Examples
    --------
    >>> icosahedral_rotations().shape
    (60, 3, 3)
    """
    sphere = Icosphere.get(0)
    first = sphere.vertices[sphere.faces[0]].T
    # A rotation is determined by the image of the first face: 20 faces, each in 3 orientations.
    images = np.concatenate([np.roll(sphere.faces, shift, axis=1) for shift in range(3)])
    rotations = np.swapaxes(sphere.vertices[images], 1, 2) @ np.linalg.inv(first)
    # The nearest orthogonal matrix removes the rounding error of the inverse.
    left, _, right = np.linalg.svd(rotations)
    rotations = left @ right
    order = np.argsort(-np.trace(rotations, axis1=1, axis2=2), kind="stable")
    rotations = rotations[order]
    rotations[0] = np.eye(3)
    rotations.setflags(write=False)
    return rotations


@cache
def vertex_permutations(level: int) -> Ints:
    """Index of the vertex to which each rotation moves each vertex.

    The permutations are exact. The image of a midpoint is the midpoint of the images, so only the
    twelve vertices of the icosahedron are matched by distance.

    Returns
    -------
    Array of shape ``(60, V)``, int64, read-only: ``vertices[perm[g, v]]`` is
    ``rotations[g] @ vertices[v]``.

    Examples
    --------
    >>> vertex_permutations(1).shape
    (60, 42)
    """
    sphere = Icosphere.get(level)
    if level == 0:
        rotated = icosahedral_rotations() @ sphere.vertices.T
        permutations = np.argmax(np.einsum("vi,giw->gwv", sphere.vertices, rotated), axis=2)
    else:
        coarse = vertex_permutations(level - 1)
        count = coarse.shape[1]
        ends = np.sort(coarse[:, sphere.parents], axis=2)
        keys = sphere.parents[:, 0] * count + sphere.parents[:, 1]
        images = np.searchsorted(keys, ends[:, :, 0] * count + ends[:, :, 1]) + count
        permutations = np.concatenate([coarse, images], axis=1)
    permutations = permutations.astype(np.int64)
    permutations.setflags(write=False)
    return permutations
