"""The 60 rotations of the icosahedron, and what they do to the vertices of every level."""

from __future__ import annotations

import numpy as np
import pytest

from csgnn_dgl.grid import Icosphere, icosahedral_rotations, vertex_permutations

levels = pytest.mark.parametrize("level", range(5))


def random_rotation(seed: int) -> np.ndarray:
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    return q * np.linalg.det(q)


def product_table() -> np.ndarray:
    """Index of ``rotations[g] @ rotations[h]``; fails unless it is one of the 60."""
    rotations = icosahedral_rotations()
    products = rotations[:, None] @ rotations[None]
    distance = np.abs(products[:, :, None] - rotations).max(axis=(3, 4))
    assert distance.min(axis=2).max() < 1e-14
    return distance.argmin(axis=2)


def test_proper_rotations() -> None:
    rotations = icosahedral_rotations()
    assert rotations.shape == (60, 3, 3)
    assert rotations.dtype == np.float64
    identity = np.broadcast_to(np.eye(3), (60, 3, 3))
    np.testing.assert_allclose(
        rotations @ np.swapaxes(rotations, 1, 2), identity, rtol=0, atol=1e-14
    )
    np.testing.assert_allclose(np.linalg.det(rotations), 1, rtol=0, atol=1e-14)


def test_distinct() -> None:
    rotations = icosahedral_rotations()
    distance = np.abs(rotations[:, None] - rotations).max(axis=(2, 3))
    np.fill_diagonal(distance, 9)
    assert distance.min() > 0.1


def test_identity_comes_first() -> None:
    assert np.array_equal(icosahedral_rotations()[0], np.eye(3))


def test_angles() -> None:
    # 1 identity, 12 by 72°, 20 by 120°, 12 by 144°, 15 by 180°.
    cosine = (np.trace(icosahedral_rotations(), axis1=1, axis2=2) - 1) / 2
    angles = np.rad2deg(np.arccos(np.clip(cosine, -1, 1))).round(4)
    found, counts = np.unique(angles, return_counts=True)
    assert found.tolist() == [0, 72, 120, 144, 180]
    assert counts.tolist() == [1, 12, 20, 12, 15]


def test_group() -> None:
    table = product_table()
    everything = np.arange(60)
    assert (np.sort(table, axis=0) == everything[:, None]).all()
    assert (np.sort(table, axis=1) == everything).all()
    assert np.array_equal(table[0], everything)
    assert ((table == 0).sum(axis=1) == 1).all()


@levels
def test_permutations_are_exact(level: int) -> None:
    vertices = Icosphere.get(level).vertices
    permutations = vertex_permutations(level)
    assert permutations.shape == (60, len(vertices))
    assert permutations.dtype == np.int64
    for rotation, permutation in zip(icosahedral_rotations(), permutations, strict=True):
        assert np.array_equal(np.sort(permutation), np.arange(len(vertices)))
        rotated = vertices @ rotation.T
        np.testing.assert_allclose(vertices[permutation], rotated, rtol=0, atol=1e-12)


@levels
def test_other_rotations_are_no_permutations(level: int) -> None:
    # Control: away from the group, some vertex always ends between vertices.
    vertices = Icosphere.get(level).vertices
    for seed in range(5):
        nearest = (vertices @ random_rotation(seed).T @ vertices.T).max(axis=1)
        assert np.arccos(np.clip(nearest, -1, 1)).max() > 0.1 / 2**level


def test_wrong_permutation_is_noticed() -> None:
    # Control: the permutation of one rotation does not fit another one.
    vertices, permutations = Icosphere.get(1).vertices, vertex_permutations(1)
    rotated = vertices @ icosahedral_rotations()[7].T
    errors = np.abs(vertices[permutations] - rotated).max(axis=(1, 2))
    assert errors[7] < 1e-12
    assert (np.delete(errors, 7) > 0.1).all()


@pytest.mark.parametrize("level", range(3))
def test_permutations_multiply_like_rotations(level: int) -> None:
    permutations = vertex_permutations(level)
    table = product_table()
    for g in range(60):
        assert np.array_equal(permutations[table[g]], permutations[g][permutations])


@levels
def test_identity_moves_nothing(level: int) -> None:
    permutation = vertex_permutations(level)[0]
    assert np.array_equal(permutation, np.arange(len(permutation)))


@pytest.mark.parametrize("level", range(1, 5))
def test_permutations_are_nested(level: int) -> None:
    coarse = vertex_permutations(level - 1)
    assert np.array_equal(vertex_permutations(level)[:, : coarse.shape[1]], coarse)


@pytest.mark.parametrize("level", range(4))
def test_edges_and_faces_are_kept(level: int) -> None:
    sphere = Icosphere.get(level)
    edges = np.unique(sphere.edges, axis=0)
    faces = np.unique(np.sort(sphere.faces, axis=1), axis=0)
    for permutation in vertex_permutations(level):
        assert np.array_equal(np.unique(np.sort(permutation[edges], axis=1), axis=0), edges)
        assert np.array_equal(np.unique(np.sort(permutation[faces], axis=1), axis=0), faces)


def test_results_are_shared_and_read_only() -> None:
    assert icosahedral_rotations() is icosahedral_rotations()
    assert vertex_permutations(2) is vertex_permutations(2)
    for array in (icosahedral_rotations(), vertex_permutations(0), vertex_permutations(2)):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
