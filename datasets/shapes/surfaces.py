"""Surfaces of triangles: made by revolution, extrusion and sweeping, and sampled by area."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "Surface",
    "arc",
    "extruded",
    "grid_faces",
    "regular",
    "revolved",
    "sampled",
    "swept",
    "triangle_areas",
    "upright_vectors",
]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Surface:
    """A surface of triangles: vertices ``(n, 3)`` and faces ``(m, 3)``."""

    vertices: Floats
    faces: npt.NDArray[np.int64]


def grid_faces(
    rows: int, columns: int, wrap_rows: bool, wrap_columns: bool
) -> npt.NDArray[np.int64]:
    """Make two triangles for each cell of a grid of ``rows · columns`` vertices."""
    i, j = np.meshgrid(
        np.arange(rows - (not wrap_rows)), np.arange(columns - (not wrap_columns)), indexing="ij"
    )
    a = i * columns + j
    b = (i + 1) % rows * columns + j
    c = (i + 1) % rows * columns + (j + 1) % columns
    d = i * columns + (j + 1) % columns
    return np.concatenate([np.stack(t, axis=-1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])


def revolved(profile: Floats, *, closed: bool, sides: int = 32) -> Surface:
    """Surface of revolution about z of a profile of ``(distance from the axis, height)``."""
    angle = 2 * np.pi * np.arange(sides) / sides
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    radius, height = profile[:, 0], profile[:, 1]
    flat = radius[:, None, None] * ring
    tall = np.broadcast_to(height[:, None, None], (len(profile), sides, 1))
    vertices = np.concatenate([flat, tall], axis=-1).reshape(-1, 3)
    return Surface(vertices, grid_faces(len(profile), sides, closed, True))


def extruded(outline: Floats, height: float) -> Surface:
    """Prism over an outline ``(k, 2)``, every point of which is visible from the origin."""
    k = len(outline)
    levels = [np.column_stack([outline, np.full(k, z)]) for z in (0.0, height)]
    centres = np.array([[0, 0, 0], [0, 0, height]], dtype=float)
    ring, after = np.arange(k), (np.arange(k) + 1) % k
    caps = [
        np.stack([np.full(k, 2 * k + top), ring + top * k, after + top * k], axis=-1)
        for top in (0, 1)
    ]
    faces = np.concatenate([grid_faces(2, k, False, True), *caps])
    return Surface(np.concatenate([*levels, centres]), faces)


def swept(curve: Floats, radius: float | Floats, *, closed: bool, sides: int = 12) -> Surface:
    """Tube around a curve ``(k, 3)``, with one radius, or one for each point ``(k,)``."""
    if closed:
        tangent = np.roll(curve, -1, axis=0) - np.roll(curve, 1, axis=0)
    else:
        tangent = np.gradient(curve, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    # Any direction to which no curve is parallel gives a frame.
    across = np.cross(tangent, [0.1, 0.2, 1.0])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    along = np.cross(tangent, across)
    angle = 2 * np.pi * np.arange(sides) / sides
    circle = np.cos(angle)[:, None] * across[:, None] + np.sin(angle)[:, None] * along[:, None]
    vertices = (curve[:, None] + np.reshape(radius, (-1, 1, 1)) * circle).reshape(-1, 3)
    faces = grid_faces(len(curve), sides, closed, True)
    if closed:
        return Surface(vertices, faces)
    ring, n = np.arange(sides), len(vertices)
    ends = [(ring, n), (ring + n - sides, n + 1)]
    caps = [np.column_stack([r, np.roll(r, -1), np.full(sides, centre)]) for r, centre in ends]
    return Surface(np.concatenate([vertices, curve[[0, -1]]]), np.concatenate([faces, *caps]))


def arc(radius: float, start: float, stop: float, steps: int = 24) -> Floats:
    """Points ``(distance from the axis, height)`` on a circle about the origin."""
    angle = np.linspace(start, stop, steps)
    return radius * np.stack([np.sin(angle), np.cos(angle)], axis=-1)


def regular(corners: int, radius: float | Floats = 1.0) -> Floats:
    angle = 2 * np.pi * np.arange(corners) / corners
    return np.reshape(radius, (-1, 1)) * np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def upright_vectors(corners: Floats) -> Floats:
    """Vectors perpendicular to triangles ``(m, 3, 3)``, twice as long as their areas."""
    return np.asarray(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))


def triangle_areas(corners: Floats) -> Floats:
    """Areas of triangles ``(m, 3, 3)``."""
    return np.asarray(np.linalg.norm(upright_vectors(corners), axis=1) / 2)


def sampled(
    surface: Surface, count: int, rng: np.random.Generator
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Points ``(count, 3)``, and the face of each."""
    cumulative = np.cumsum(triangle_areas(surface.vertices[surface.faces]))
    place = rng.random(count) * cumulative[-1]
    face = np.minimum(np.searchsorted(cumulative, place, side="right"), len(cumulative) - 1)
    a, b, c = surface.vertices[surface.faces[face]].transpose(1, 0, 2)
    root, share = np.sqrt(rng.random((count, 1))), rng.random((count, 1))
    return np.asarray((1 - root) * a + root * (1 - share) * b + root * share * c), face
