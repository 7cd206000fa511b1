"""Polygons are divided into triangles that cover them, and nothing else."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest

from csgnn_dgl.datasets.shapes.polygons import Polygons, triangulate
from csgnn_dgl.errors import DataError


def area(vertices: np.ndarray, triangles: np.ndarray) -> float:
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def fan(corners: np.ndarray) -> np.ndarray:
    return np.array([[corners[0], b, c] for b, c in pairwise(corners[1:])])


# A dart, an L, and a star; their areas by the shoelace formula.
DART = np.array([[0, 0], [4, 0], [4, 4], [2, 1], [0, 4]], dtype=float)
CORNER = np.array([[0, 0], [3, 0], [3, 1], [1, 1], [1, 3], [0, 3]], dtype=float)
ANGLES = np.linspace(0, 2 * np.pi, 14, endpoint=False)
STAR = (1 + np.arange(14) % 2)[:, None] * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)


def shoelace(flat: np.ndarray) -> float:
    x, y = flat.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


@pytest.mark.parametrize("flat", [DART, CORNER, STAR], ids=["dart", "corner", "star"])
@pytest.mark.parametrize("start", range(5))
@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("turn", [1, -1])
def test_concave_polygons_keep_their_area(
    flat: np.ndarray, start: int, axis: int, turn: int
) -> None:
    vertices = np.insert(flat, axis, 0.5, axis=1)
    corners = np.roll(np.arange(len(flat)), start)[::turn]
    triangles = triangulate(vertices, Polygons(np.array([len(flat)]), corners), "here")
    assert area(vertices, triangles) == pytest.approx(shoelace(flat))
    assert len(triangles) == len(flat) - 2


def test_a_plain_fan_would_not() -> None:
    vertices = np.insert(DART, 2, 0.0, axis=1)
    areas = {round(area(vertices, fan(np.roll(np.arange(5), start))), 6) for start in range(5)}
    assert max(areas) > shoelace(DART)


def test_faces_keep_their_order() -> None:
    vertices = np.vstack([np.insert(DART, 2, 0.0, axis=1), [[0, 0, 5], [1, 0, 5], [0, 1, 5]]])
    corners = np.array([5, 6, 7, *np.roll(np.arange(5), 3), 0, 1, 5, 1, 2, 6, 7])
    triangles = triangulate(vertices, Polygons(np.array([3, 5, 3, 4]), corners), "here")
    assert triangles[0].tolist() == [5, 6, 7]
    assert set(triangles[1:4].ravel()) == set(range(5))
    assert triangles[4:].tolist() == [[0, 1, 5], [1, 2, 6], [1, 6, 7]]


def test_faces_that_are_none() -> None:
    vertices = np.eye(3)
    for sizes, corners, message in (
        ([3, 2], [0, 1, 2, 0, 1], "face 2 has 2 corners"),
        ([3], [0, 1, 3], "refers to vertex 3, but there are vertices 0 … 2"),
        ([3], [0, 1, -1], "refers to vertex -1"),
    ):
        with pytest.raises(DataError, match=message):
            triangulate(vertices, Polygons.of(sizes, corners), "here")


def test_a_polygon_with_many_corners_is_cut_quickly() -> None:
    angles = np.linspace(0, 2 * np.pi, 10_000, endpoint=False)
    radius = 1 + 0.5 * (np.arange(len(angles)) % 2)
    vertices = np.stack([radius * np.cos(angles), radius * np.sin(angles), 0 * angles], axis=1)
    start = time.perf_counter()
    triangulate(vertices, Polygons(np.array([len(angles)]), np.arange(len(angles))), "here")
    assert time.perf_counter() - start < 10
