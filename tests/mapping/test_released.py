"""The mapping of the authors' released code, written out one point at a time."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.grid import Icosphere, icosahedral_rotations, vertex_permutations
from csgnn_dgl.mapping import PointMapping, normalize_clouds, rotate_clouds, shell_bandwidths
from csgnn_dgl.testing.fake_device import fake_cuda

RELEASED: dict[str, Any] = {"neighbourhood": "nearest"}


def clouds(n_clouds: int, n: int, seed: int = 0) -> torch.Tensor:
    """Normalised clouds: the farthest point is on the last sphere."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(n_clouds, n, 3, generator=generator, dtype=torch.float64)
    length = torch.rand(n_clouds, n, 1, generator=generator, dtype=torch.float64)
    return normalize_clouds(points / points.norm(dim=-1, keepdim=True) * length)


def released(points: np.ndarray, level: int, n_spheres: int, channels: int) -> np.ndarray:
    """Features of one cloud, shape (V·R, C)."""
    sphere = Icosphere.get(level)
    first = sphere.vertices[sphere.faces[0]]
    features = np.zeros((sphere.num_vertices, n_spheres, channels))
    for point in points:
        distance = np.sqrt((point**2).sum())
        shell = int(distance * n_spheres)
        if shell == n_spheres:
            shell -= 1
        # Bandwidth: the greatest distance between the first face's vertices on both spheres; the
        # inner ones of the first shell are all the origin.
        ends = [r * v for r in ((shell + 1) / n_spheres, shell / n_spheres) for v in first]
        greatest = max(np.sqrt(((a - b) ** 2).sum()) for a, b in itertools.combinations(ends, 2))
        gamma = -np.log(0.01) / greatest**2
        angles = np.arccos(np.clip(sphere.vertices @ (point / distance), -1, 1))
        for vertex in np.argsort(angles)[:3]:
            for k in range(channels):
                radius = (shell * channels + k + 1) / (n_spheres * channels)
                away = point - radius * sphere.vertices[vertex]
                features[vertex, shell, k] += np.exp(-gamma * (away**2).sum())
    return features.reshape(-1, channels)


@pytest.mark.parametrize(
    ("level", "n_spheres", "channels"), [(0, 1, 1), (0, 3, 2), (1, 4, 1), (2, 5, 3), (4, 20, 8)]
)
def test_equals_the_released_mapping(level: int, n_spheres: int, channels: int) -> None:
    points = clouds(2, 300)
    found = PointMapping(level, n_spheres, channels, **RELEASED)(points)
    single = PointMapping(level, n_spheres, channels, **RELEASED)(points.float())
    for b in range(2):
        expected = released(points[b].numpy(), level, n_spheres, channels)
        assert expected.max() > 0.1
        np.testing.assert_allclose(found[:, b].numpy(), expected, rtol=0, atol=1e-12)
        rounded = released(points[b].float().double().numpy(), level, n_spheres, channels)
        error = np.linalg.norm(single[:, b].numpy() - rounded)
        assert error < 1e-6 * np.linalg.norm(rounded)


def test_both_parts_are_needed() -> None:
    """Controls: with the corners of the face, or the bandwidths of the largest one, it differs."""
    points = clouds(1, 300)
    expected = released(points[0].numpy(), 4, 20, 8)
    changes: list[dict[str, Any]] = [
        {"bandwidth_face": "first"},
        {"neighbourhood": "nearest", "bandwidth_face": "largest"},
    ]
    for options in changes:
        found = PointMapping(4, 20, 8, **options)(points)[:, 0].numpy()
        assert np.abs(found - expected).max() > 1e-3


def test_bandwidth_faces() -> None:
    assert PointMapping(2, 3, 2).bandwidth_face == "largest"
    assert PointMapping(2, 3, 2, neighbourhood="nearest").bandwidth_face == "first"
    for level in (0, 1):
        # Up to level 1, the longest edge belongs to the first face.
        np.testing.assert_allclose(
            shell_bandwidths(level, 5, face="first"), shell_bandwidths(level, 5), rtol=1e-12
        )
    ratio = shell_bandwidths(4, 16, face="first") / shell_bandwidths(4, 16)
    assert ratio.max() == pytest.approx(1.0201, abs=1e-4)
    with pytest.raises(ConfigError, match=r"unknown face for bandwidths 'frist': .*'first'"):
        shell_bandwidths(2, 3, face="frist")  # type: ignore[arg-type]


def test_commutes_with_the_icosahedral_rotations() -> None:
    mapping = PointMapping(3, 4, 2, **RELEASED)
    points = clouds(2, 300)
    features = mapping(points).view(-1, 4, 2, 2)
    rotations = torch.tensor(icosahedral_rotations())
    for rotation, permutation in zip(rotations, vertex_permutations(3), strict=True):
        turned = mapping(rotate_clouds(points, rotation.expand(2, 3, 3))).view(-1, 4, 2, 2)
        assert float((turned[torch.tensor(permutation)] - features).abs().max()) < 1e-10
    # Control: another rotation's features are not those of any permutation.
    assert float((turned.sort(dim=0).values - features.sort(dim=0).values).abs().max()) < 1e-10
    angle = torch.tensor(0.3, dtype=torch.float64)
    about_z = torch.eye(3, dtype=torch.float64)
    about_z[:2, :2] = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)
    other = mapping(rotate_clouds(points, about_z.expand(2, 3, 3))).view(-1, 4, 2, 2)
    assert float((other.sort(dim=0).values - features.sort(dim=0).values).abs().max()) > 1e-2


@pytest.mark.parametrize("radial", ["shell", "bracket"])
def test_gradcheck(radial: Any) -> None:
    mapping = PointMapping(2, 2, 2, radial=radial, **RELEASED)
    # Not on the last sphere, where the neighbourhood "bracket" changes.
    points = (0.97 * clouds(2, 6, seed=3)).requires_grad_()
    assert torch.autograd.gradcheck(mapping, points)


def test_other_types_and_sizes() -> None:
    mapping = PointMapping(3, 4, 2, **RELEASED)
    points = clouds(3, 50)
    together = mapping(points)
    batch = torch.arange(3).repeat_interleave(50)
    order = torch.randperm(150, generator=torch.Generator().manual_seed(0))
    mixed = mapping(points.view(-1, 3)[order], batch[order], 3)
    torch.testing.assert_close(mixed, together, rtol=1e-12, atol=1e-12)
    half = mapping(points.to(torch.bfloat16))
    assert half.dtype == torch.bfloat16
    # Points at the origin count for all vertices, as with faces.
    centre = mapping(torch.zeros(1, 5, 3))
    assert float(centre.std(dim=0).max()) > 0
    assert torch.equal(centre.view(-1, 4, 1, 2)[0], centre.view(-1, 4, 1, 2)[77])


def test_it_follows_the_device() -> None:
    with fake_cuda():
        found = PointMapping(2, 3, 2, **RELEASED)(torch.rand(2, 9, 3, device="cuda"))
        assert found.is_cuda
        assert found.shape == (162 * 3, 2, 2)


def test_unknown_neighbourhood() -> None:
    with pytest.raises(ConfigError, match=r"unknown neighbourhood 'nearst': .*'nearest'"):
        PointMapping(2, 3, 2, neighbourhood="nearst")  # type: ignore[arg-type]
    assert "neighbourhood='nearest'" in repr(PointMapping(1, 2, 1, **RELEASED))
