"""Descent through the face hierarchy against a search over all faces."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from csgnn_dgl.errors import DataError
from csgnn_dgl.grid import Icosphere
from csgnn_dgl.mapping import FaceSearch


def directions(n: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(
        dtype
    )


def margins(level: int, points: np.ndarray) -> np.ndarray:
    """Signed volume on the worst side of each face: positive inside; (M, faces)."""
    corners = Icosphere.get(level).vertices[Icosphere.get(level).faces]
    volumes = [
        points @ np.cross(corners[:, a], corners[:, b]).T for a, b in ((0, 1), (1, 2), (2, 0))
    ]
    return np.min(volumes, axis=0)


@pytest.mark.parametrize("level", range(5))
def test_equals_search_over_all_faces(level: int) -> None:
    points = directions(2000)
    want = margins(level, points.numpy()).argmax(axis=1)
    assert np.array_equal(FaceSearch(level).find_faces(points).numpy(), want)


@pytest.mark.parametrize("level", [0, 1, 3])
def test_finds_every_face_from_its_centre(level: int) -> None:
    sphere = Icosphere.get(level)
    centres = torch.from_numpy(sphere.vertices[sphere.faces].sum(axis=1))
    search = FaceSearch(level)
    assert search.find_faces(centres).tolist() == list(range(20 * 4**level))
    assert torch.equal(search.vertices_of(search.find_faces(centres)), torch.tensor(sphere.faces))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_boundary_directions_get_a_touching_face(dtype: torch.dtype) -> None:
    """Vertices, edge midpoints and axes lie in several faces; any of them will do."""
    sphere = Icosphere.get(3)
    points = np.concatenate(
        [sphere.vertices, sphere.vertices[sphere.edges].sum(axis=1), np.eye(3), -np.eye(3)]
    )
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    found = FaceSearch(3).find_faces(torch.from_numpy(points).to(dtype)).numpy()
    margin = margins(3, points)[np.arange(len(points)), found]
    assert margin.min() > -1e-6


def test_length_does_not_matter() -> None:
    search, points = FaceSearch(3), directions(500)
    assert torch.equal(search.find_faces(1e-3 * points), search.find_faces(7 * points))
    assert not torch.equal(search.find_faces(-points), search.find_faces(points))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_lower_precision_finds_the_face_of_the_same_numbers(dtype: torch.dtype) -> None:
    points = directions(2000, dtype)
    found = FaceSearch(4).find_faces(points)
    margin = margins(4, points.double().numpy())[np.arange(2000), found.numpy()]
    assert margin.min() > -1e-6


def test_zero_vector_gets_a_valid_face() -> None:
    found = FaceSearch(2).find_faces(torch.zeros(1, 3))
    assert 0 <= int(found) < 320


def test_no_directions() -> None:
    search = FaceSearch(2)
    found = search.find_faces(torch.zeros(0, 3))
    assert found.shape == (0,)
    assert search.vertices_of(found).shape == (0, 3)


@pytest.mark.parametrize(
    "bad", [torch.zeros(3), torch.zeros(4, 2), torch.zeros(2, 5, 3), torch.zeros(4, 3).long()]
)
def test_bad_directions(bad: torch.Tensor) -> None:
    with pytest.raises(DataError, match="directions"):
        FaceSearch(1).find_faces(bad)
