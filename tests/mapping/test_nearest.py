"""The three nearest vertices: against all distances, and why few candidates suffice."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from csgnn_dgl.errors import DataError
from csgnn_dgl.grid import Icosphere
from csgnn_dgl.mapping import FaceSearch, NearestVertices


def directions(n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, generator=generator, dtype=torch.float64)


def by_all_distances(level: int, found: torch.Tensor) -> np.ndarray:
    unit = (found / found.norm(dim=1, keepdim=True)).numpy()
    vertices = Icosphere.get(level).vertices
    squared = ((unit[:, None] - vertices) ** 2).sum(axis=2)
    return np.argsort(squared, axis=1)[:, :3]


@pytest.mark.parametrize("level", [0, 1, 2, 3, 4])
def test_equals_the_smallest_of_all_distances(level: int) -> None:
    asked = directions(2000)
    found = NearestVertices(FaceSearch(level)).find_vertices(asked)
    np.testing.assert_array_equal(found.numpy(), by_all_distances(level, asked))


@pytest.mark.parametrize("level", [0, 1, 2, 3, 4])
def test_candidates_suffice_everywhere(level: int) -> None:
    """The three nearest vertices are always among the candidates; the corners of parts suffice.

    Which of two vertices is nearer to ``p`` is the sign of a linear function of ``p``, so a vertex
    is nearer in all of a convex part if it is nearer at its corners.
    """
    sphere = Icosphere.get(level)
    start, neighbors = sphere.neighbors()
    ring = [set(neighbors[a:b]) for a, b in itertools.pairwise(start)]
    # One face of each of the 60 rotations' orbits is enough: those in the first of 20 large faces.
    for face in sphere.faces[: 4**level]:
        corners = sphere.vertices[face]
        middle = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        middle /= np.linalg.norm(middle)
        near = set(face)
        for _ in range(2):
            near |= set().union(*(ring[v] for v in near))
        some = np.array(sorted(near))
        for k in range(3):
            a, b, c = (corners[(k + i) % 3] for i in range(3))
            part = np.stack([a, a + b, middle, a + c])
            cosines = sphere.vertices[some] @ part.T
            nearer = (cosines[:, None] >= cosines[None] - 1e-13).all(axis=2)
            np.fill_diagonal(nearer, False)
            ahead = nearer.sum(axis=0)
            assert set(some[ahead < 1]) <= {face[k]}
            assert set(some[ahead < 3]) <= ring[face[k]] | {face[k]}


def test_share_of_directions_with_other_vertices_than_the_face() -> None:
    faces = FaceSearch(4)
    asked = directions(100_000)
    corners = faces.vertices_of(faces.find_faces(asked)).sort(dim=1).values
    nearest = NearestVertices(faces).find_vertices(asked).sort(dim=1).values
    share = float((corners != nearest).any(dim=1).double().mean())
    assert share == pytest.approx(0.095, abs=0.003)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_vertices_themselves(dtype: torch.dtype) -> None:
    for level in (0, 1, 3):
        sphere = Icosphere.get(level)
        vertices = torch.tensor(sphere.vertices, dtype=dtype)
        found = NearestVertices(FaceSearch(level)).find_vertices(7 * vertices)
        assert torch.equal(found[:, 0], torch.arange(len(vertices)))
        assert all(len(set(row)) == 3 for row in found.tolist())


def test_zero_has_valid_vertices() -> None:
    (found,) = NearestVertices(FaceSearch(2)).find_vertices(torch.zeros(1, 3)).tolist()
    assert len(set(found)) == 3
    assert 0 <= min(found) <= max(found) < 162


def test_other_shapes() -> None:
    with pytest.raises(DataError, match=r"shape \(3, 2\)"):
        NearestVertices(FaceSearch(1)).find_vertices(torch.zeros(3, 2))
