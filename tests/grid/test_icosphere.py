"""The icosahedral sphere: counts, geometry, nested numbering, errors."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from csgnn_dgl.errors import ConfigError, ResourceError
from csgnn_dgl.grid import Icosphere

LEVELS = range(5)
levels = pytest.mark.parametrize("level", LEVELS)


@levels
def test_counts(level: int) -> None:
    sphere = Icosphere.get(level)
    assert sphere.level == level
    assert sphere.num_vertices == 10 * 4**level + 2
    assert sphere.vertices.shape == (10 * 4**level + 2, 3)
    assert sphere.edges.shape == (30 * 4**level, 2)
    assert sphere.faces.shape == (20 * 4**level, 3)
    # Euler's formula, for good measure.
    assert len(sphere.vertices) - len(sphere.edges) + len(sphere.faces) == 2


@levels
def test_types(level: int) -> None:
    sphere = Icosphere.get(level)
    assert sphere.vertices.dtype == np.float64
    for name in ("faces", "edges", "parents"):
        assert getattr(sphere, name).dtype == np.int64


@levels
def test_vertices_are_distinct_unit_vectors(level: int) -> None:
    vertices = Icosphere.get(level).vertices
    np.testing.assert_allclose(np.linalg.norm(vertices, axis=1), 1, rtol=0, atol=1e-15)
    cosine = vertices @ vertices.T
    np.fill_diagonal(cosine, -1)
    assert cosine.max() < np.cos(0.5 * 1.1 / 2**level)


@levels
def test_vertices_come_in_opposite_pairs(level: int) -> None:
    vertices = Icosphere.get(level).vertices
    nearest = (vertices @ -vertices.T).argmax(axis=1)
    np.testing.assert_allclose(vertices[nearest], -vertices, rtol=0, atol=1e-14)


@levels
def test_degrees(level: int) -> None:
    sphere = Icosphere.get(level)
    degrees = np.bincount(sphere.edges.ravel(), minlength=sphere.num_vertices)
    assert (degrees[:12] == 5).all()
    assert (degrees[12:] == 6).all()


@levels
def test_edges_are_those_of_the_faces(level: int) -> None:
    sphere = Icosphere.get(level)
    corners = np.concatenate([sphere.faces[:, [i, (i + 1) % 3]] for i in range(3)])
    # Every edge belongs to two faces, which run along it in opposite directions.
    assert len(np.unique(corners, axis=0)) == len(corners) == 2 * len(sphere.edges)
    assert np.array_equal(np.unique(np.sort(corners, axis=1), axis=0), sphere.edges)
    assert (sphere.edges[:, 0] < sphere.edges[:, 1]).all()


@levels
def test_faces_look_outwards(level: int) -> None:
    sphere = Icosphere.get(level)
    a, b, c = (sphere.vertices[sphere.faces[:, i]] for i in range(3))
    volume = np.einsum("fi,fi->f", a, np.cross(b, c))
    assert (volume > 0).all()
    # All faces together surround the origin once: their solid angles make up the sphere.
    denominator = 1 + sum(np.einsum("fi,fi->f", u, v) for u, v in ((a, b), (b, c), (c, a)))
    assert 2 * np.arctan2(volume, denominator).sum() == pytest.approx(4 * np.pi, rel=1e-12)


@levels
def test_edges_are_of_similar_length(level: int) -> None:
    sphere = Icosphere.get(level)
    u, v = sphere.vertices[sphere.edges[:, 0]], sphere.vertices[sphere.edges[:, 1]]
    length = np.linalg.norm(u - v, axis=1)
    assert length.max() / length.min() < 1.2


@pytest.mark.parametrize("level", LEVELS[1:])
def test_numbering_is_nested(level: int) -> None:
    coarse, fine = Icosphere.get(level - 1), Icosphere.get(level)
    assert np.array_equal(fine.vertices[: coarse.num_vertices], coarse.vertices)
    assert fine.parents.shape == (fine.num_vertices - coarse.num_vertices, 2)
    # One new vertex per coarse edge, at its middle, in the order of the edges.
    assert np.array_equal(fine.parents, coarse.edges)
    middle = coarse.vertices[fine.parents].mean(axis=1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    np.testing.assert_allclose(fine.vertices[coarse.num_vertices :], middle, rtol=0, atol=1e-15)


def test_the_icosahedron_has_no_parents() -> None:
    assert Icosphere.get(0).parents.shape == (0, 2)


@pytest.mark.parametrize("level", LEVELS[1:])
def test_children_of_a_face(level: int) -> None:
    coarse, fine = Icosphere.get(level - 1), Icosphere.get(level)
    middle_of = {
        tuple(ends): coarse.num_vertices + i for i, ends in enumerate(fine.parents.tolist())
    }
    for face, corners in enumerate(coarse.faces.tolist()):
        children = fine.faces[4 * face : 4 * face + 4]
        middles = [
            middle_of[tuple(sorted((corners[(i + 1) % 3], corners[(i + 2) % 3])))] for i in range(3)
        ]
        for i in range(3):
            # Child i keeps corner i, in its place, and lies between the middles beside it.
            assert children[i, i] == corners[i]
            assert children[i, (i + 1) % 3] == middles[(i + 2) % 3]
            assert children[i, (i + 2) % 3] == middles[(i + 1) % 3]
        assert children[3].tolist() == middles


@levels
def test_neighbors(level: int) -> None:
    sphere = Icosphere.get(level)
    indptr, indices = sphere.neighbors()
    assert indptr.shape == (sphere.num_vertices + 1,)
    assert indices.shape == (60 * 4**level,)
    assert indptr.dtype == indices.dtype == np.int64
    rows = np.split(indices, indptr[1:-1])
    adjacent: list[set[int]] = [set() for _ in range(sphere.num_vertices)]
    for u, v in sphere.edges.tolist():
        adjacent[u].add(v)
        adjacent[v].add(u)
    assert [row.tolist() for row in rows] == [sorted(found) for found in adjacent]


def test_arrays_are_read_only() -> None:
    sphere = Icosphere.get(2)
    for name in ("vertices", "faces", "edges", "parents"):
        array = getattr(sphere, name)
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(AttributeError):
        sphere.level = 3  # type: ignore[misc]


def test_neighbors_are_the_caller_s_own() -> None:
    sphere = Icosphere.get(1)
    sphere.neighbors()[1][:] = 0
    assert sphere.neighbors()[1].max() == 41


@levels
def test_built_once(level: int) -> None:
    assert Icosphere.get(level) is Icosphere.get(level)
    assert Icosphere.get(np.int64(level)) is Icosphere.get(level)  # type: ignore[arg-type]


def test_building_is_deterministic() -> None:
    from csgnn_dgl.grid import icosphere

    first = copy.deepcopy(Icosphere.get(3))
    icosphere._build.cache_clear()
    try:
        again = Icosphere.get(3)
        for name in ("vertices", "faces", "edges", "parents"):
            assert np.array_equal(getattr(first, name), getattr(again, name))
    finally:
        icosphere._build.cache_clear()


@pytest.mark.parametrize("level", [-1, 1.5, 2.0, "2", None, True, np.float64(1)])
def test_level_must_be_a_whole_number(level: Any) -> None:
    with pytest.raises(ConfigError, match="must be a whole number, 0 or greater") as caught:
        Icosphere.get(level)
    assert repr(level) in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("level", [12, 20, np.int64(30)])
def test_level_beyond_all_memory(level: int) -> None:
    with pytest.raises(ResourceError, match=f"level {level} has .* GiB; .* at most 11"):
        Icosphere.get(level)
