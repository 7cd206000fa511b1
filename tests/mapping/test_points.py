"""The mapping against a slow and obvious reference, its symmetries, and its corner cases."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.grid import Icosphere, icosahedral_rotations, vertex_permutations
from csgnn_dgl.mapping import PointMapping, normalize_clouds, random_rotations, rotate_clouds
from csgnn_dgl.testing.fake_device import fake_cuda

RADIAL = ("shell", "bracket")
BANDWIDTH = ("squared", "paper")


def clouds(
    n_clouds: int, n: int, seed: int = 0, dtype: torch.dtype = torch.float64
) -> torch.Tensor:
    """Points in general position, all over the unit ball and some beyond."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(n_clouds, n, 3, generator=generator, dtype=torch.float64)
    length = 1.1 * torch.rand(n_clouds, n, 1, generator=generator, dtype=torch.float64)
    return (points / points.norm(dim=-1, keepdim=True) * length).to(dtype)


# ---- reference ------------------------------------------------------------------------------


def containing_face(sphere: Icosphere, point: np.ndarray) -> int:
    """The face which the ray from the origin through the point leaves the sphere by."""
    inside = [
        min(np.linalg.det([point, v[a], v[b]]) for a, b in ((0, 1), (1, 2), (2, 0)))
        for v in sphere.vertices[sphere.faces]
    ]
    return int(np.argmax(inside))


def largest_distance(level: int, inner: float, outer: float) -> float:
    """Over all faces, between any two of the face's vertices on the two spheres."""
    sphere = Icosphere.get(level)
    best = 0.0
    for face in sphere.faces:
        sites = [r * sphere.vertices[v] for r in (inner, outer) for v in face]
        for a, b in itertools.combinations(sites, 2):
            best = max(best, float(np.linalg.norm(a - b)))
    return best


def reference(
    points: np.ndarray, level: int, n_spheres: int, channels: int, radial: str, bandwidth: str
) -> np.ndarray:
    """Section A.6, one point at a time; (V·R, C)."""
    sphere = Icosphere.get(level)
    n_fine = n_spheres * channels
    n_shells = n_spheres if radial == "shell" else n_fine
    gammas = []
    for i in range(1, n_shells + 1):
        d_max = largest_distance(level, (i - 1) / n_shells, i / n_shells)
        scale = d_max**2 if bandwidth == "squared" else d_max / 2
        gammas.append(-np.log(0.01) / scale)
    fine = np.zeros((sphere.num_vertices, n_fine))
    for point in points:
        distance = float(np.linalg.norm(point))
        if radial == "shell":
            shell = min(int(np.floor(distance * n_spheres)), n_spheres - 1)
            spheres = list(range(shell * channels, (shell + 1) * channels))
        else:
            shell = min(int(np.floor(distance * n_fine)), n_fine - 1)
            inside_last = distance <= 1
            spheres = [shell - 1, shell] if shell > 0 and inside_last else [shell]
        for vertex in sphere.faces[containing_face(sphere, point)]:
            for j in spheres:
                site = (j + 1) / n_fine * sphere.vertices[vertex]
                fine[vertex, j] += np.exp(-gammas[shell] * np.sum((site - point) ** 2))
    features = np.zeros((sphere.num_vertices * n_spheres, channels))
    for vertex in range(sphere.num_vertices):
        for r in range(n_spheres):
            for k in range(channels):
                features[vertex * n_spheres + r, k] = fine[vertex, r * channels + k]
    return features


@pytest.mark.parametrize("radial", RADIAL)
@pytest.mark.parametrize("bandwidth", BANDWIDTH)
@pytest.mark.parametrize(
    ("level", "n_spheres", "channels"), [(0, 1, 1), (0, 3, 2), (1, 4, 1), (1, 1, 4), (2, 5, 3)]
)
def test_equals_the_reference(
    level: int, n_spheres: int, channels: int, radial: str, bandwidth: str
) -> None:
    points = clouds(2, 40)
    got = PointMapping(level, n_spheres, channels, radial=radial, bandwidth=bandwidth)(points)
    for b in range(2):
        want = reference(points[b].numpy(), level, n_spheres, channels, radial, bandwidth)
        assert want.max() > 0.01
        np.testing.assert_allclose(got[:, b].numpy(), want, rtol=1e-10, atol=1e-13)


def test_choices_differ() -> None:
    """The comparison above would mean little if every mode gave the same numbers."""
    points = clouds(1, 40)
    results = [
        PointMapping(1, 4, 2, radial=radial, bandwidth=bandwidth)(points)
        for radial in RADIAL
        for bandwidth in BANDWIDTH
    ]
    for a, b in itertools.combinations(results, 2):
        assert (a - b).abs().max() > 1e-3


# ---- symmetries -----------------------------------------------------------------------------


def relative_error(got: torch.Tensor, want: torch.Tensor) -> float:
    return float((got - want).abs().max() / want.abs().max())


def permuted_sites(features: torch.Tensor, permutation: np.ndarray, n_spheres: int) -> torch.Tensor:
    """What the features become when vertex v takes the place of vertex permutation[v]."""
    by_vertex = features.view(-1, n_spheres, *features.shape[1:])
    moved = torch.empty_like(by_vertex)
    moved[torch.tensor(permutation)] = by_vertex
    return moved.reshape(features.shape)


@pytest.mark.parametrize("radial", RADIAL)
@pytest.mark.parametrize("normalize", [False, True])
def test_commutes_with_the_icosahedral_rotations(radial: str, normalize: bool) -> None:
    mapping = PointMapping(3, 4, 2, radial=radial)
    points = clouds(2, 500)
    if normalize:
        # The farthest point is then on the last sphere, inside or outside as rounding has it.
        points = normalize_clouds(points)
    points = torch.cat([points, torch.zeros(2, 3, 3, dtype=points.dtype)], dim=1)
    features = mapping(points)
    rotations = torch.tensor(icosahedral_rotations())
    for rotation, permutation in zip(rotations, vertex_permutations(3), strict=True):
        turned = mapping(rotate_clouds(points, rotation.expand(2, 3, 3)))
        assert relative_error(turned, permuted_sites(features, permutation, 4)) < 1e-10


def test_does_not_commute_with_other_rotations() -> None:
    mapping = PointMapping(3, 4, 2)
    points = clouds(2, 500)
    angle = torch.tensor(0.5, dtype=torch.float64)
    rotation = torch.eye(3, dtype=torch.float64)
    rotation[0, 0] = rotation[1, 1] = angle.cos()
    rotation[1, 0], rotation[0, 1] = angle.sin(), -angle.sin()
    turned = mapping(rotate_clouds(points, rotation.expand(2, 3, 3)))
    errors = [
        relative_error(turned, permuted_sites(mapping(points), permutation, 4))
        for permutation in vertex_permutations(3)
    ]
    assert min(errors) > 0.1


def test_icosahedral_check_notices_a_wrong_permutation() -> None:
    mapping = PointMapping(2, 3, 2)
    points = clouds(1, 200)
    turned = mapping(rotate_clouds(points, torch.tensor(icosahedral_rotations()[7:8])))
    wrong = permuted_sites(mapping(points), vertex_permutations(2)[8], 3)
    assert relative_error(turned, wrong) > 0.1


def test_general_rotations_keep_the_total_nearly() -> None:
    """The equivariance is approximate for rotations which do not fix the grid."""
    mapping, points = PointMapping(3, 4, 2), normalize_clouds(clouds(1, 500))
    turn = random_rotations(1, "so3", "z", torch.Generator().manual_seed(0), torch.float64)
    total, turned = mapping(points).sum(), mapping(rotate_clouds(points, turn)).sum()
    assert abs(float(turned / total) - 1) < 0.02


def test_order_of_points_does_not_matter() -> None:
    mapping, points = PointMapping(2, 4, 2), clouds(2, 100)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(mapping(points[:, order]), mapping(points), rtol=1e-12, atol=1e-14)
    assert relative_error(mapping(points[:, :99]), mapping(points)) > 1e-3


@pytest.mark.parametrize("radial", RADIAL)
def test_flat_form_equals_padded_form(radial: str) -> None:
    mapping, points = PointMapping(2, 3, 2, radial=radial), clouds(3, 50)
    points[1, 7] = 0
    batch = torch.arange(3).repeat_interleave(50)
    order = torch.randperm(150, generator=torch.Generator().manual_seed(1))
    got = mapping(points.view(-1, 3)[order], batch=batch[order], batch_size=3)
    torch.testing.assert_close(got, mapping(points), rtol=1e-12, atol=1e-14)


def test_clouds_of_differing_size() -> None:
    mapping, points = PointMapping(2, 3, 2), clouds(1, 60)[0]
    batch = torch.tensor([0] * 10 + [1] * 49 + [2])
    got = mapping(points, batch=batch)
    for index, part in enumerate((points[:10], points[10:59], points[59:])):
        torch.testing.assert_close(got[:, index], mapping(part[None])[:, 0])


# ---- corner cases ---------------------------------------------------------------------------


@pytest.mark.parametrize("radial", RADIAL)
def test_point_at_the_origin(radial: str) -> None:
    mapping = PointMapping(1, 3, 2, radial=radial)
    features = mapping(torch.zeros(1, 1, 3, dtype=torch.float64)).view(42, 3, 2)
    assert (features[:, 1:] == 0).all()
    assert (features == features[:1]).all()
    # In total as much as any other point at this distance from the sites.
    shells = 3 if radial == "shell" else 6
    gamma = -np.log(0.01) / largest_distance(1, 0, 1 / shells) ** 2
    want = 3 * np.exp(-gamma * (np.array([1, 2]) / 6) ** 2)
    if radial == "bracket":
        want[1] = 0
    np.testing.assert_allclose(features[:, 0].sum(dim=0).numpy(), want, rtol=1e-12)
    # It is also the limit of the total as a point moves to the origin.
    near = mapping(torch.full((1, 1, 3), 1e-9, dtype=torch.float64)).view(42, 3, 2)
    np.testing.assert_allclose(near[:, 0].sum(dim=0).numpy(), want, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_noise_at_the_origin_has_no_direction(dtype: torch.dtype) -> None:
    mapping = PointMapping(1, 3, 2)
    noise = torch.full((1, 1, 3), torch.finfo(dtype).eps / 2, dtype=dtype)
    assert torch.equal(mapping(noise), mapping(torch.zeros_like(noise)))
    assert not torch.equal(mapping(8 * noise), mapping(torch.zeros_like(noise)))


@pytest.mark.parametrize("radial", RADIAL)
def test_duplicates_add_up(radial: str) -> None:
    mapping, points = PointMapping(2, 3, 2, radial=radial), clouds(1, 20)
    points[0, 4] = 0
    twice = torch.cat([points, points], dim=1)
    torch.testing.assert_close(mapping(twice), 2 * mapping(points))


@pytest.mark.parametrize("radial", RADIAL)
def test_one_point_cloud(radial: str) -> None:
    point = torch.tensor([[[0.1, 0.5, 0.6]]], dtype=torch.float64)
    features = PointMapping(2, 4, 2, radial=radial)(point)
    assert features.isfinite().all()
    touched = (features != 0).sum(dim=0)[0]
    assert touched.tolist() == [3, 3]


def test_point_beyond_the_last_sphere_counts_to_it() -> None:
    point = torch.tensor([[[0.3, 0.9, 1.1]]], dtype=torch.float64)
    shell = PointMapping(1, 4, 2)(point).view(42, 4, 2)
    assert (shell[:, :3] == 0).all()
    assert ((shell[:, 3] > 0).sum(dim=0) == 3).all()
    bracket = PointMapping(1, 4, 2, radial="bracket")(point).view(42, 4, 2)
    assert (bracket[:, 3, 1] > 0).sum() == 3
    assert (bracket != 0).sum() == 3


@pytest.mark.parametrize("radial", RADIAL)
def test_points_on_vertices_and_axes_are_finite(radial: str) -> None:
    vertices = torch.tensor(Icosphere.get(2).vertices)
    points = torch.cat([vertices, vertices / 2, torch.eye(3, dtype=torch.float64)])[None]
    features = PointMapping(2, 4, 1, radial=radial)(points)
    assert features.isfinite().all()
    # Each vertex of the last sphere has a point right on it.
    assert (features.view(162, 4)[:, 3] >= 1 - 1e-12).all()


def test_threshold_one_counts_points() -> None:
    features = PointMapping(1, 1, 1, threshold=1.0)(clouds(1, 50))
    assert features.sum() == 150


BAD_POINTS = {
    "nan": (lambda p: p[1, 3].fill_(float("nan")), "point 3 of cloud 1 is not finite"),
    "infinity": (lambda p: p[0, 4, 2].fill_(float("inf")), "point 4 of cloud 0 is not finite"),
    "minus infinity": (lambda p: p[1, 0, 0].fill_(-float("inf")), "point 0 of cloud 1"),
}


@pytest.mark.parametrize("name", BAD_POINTS)
@pytest.mark.parametrize("form", ["padded", "flat"])
def test_bad_values(name: str, form: str) -> None:
    spoil, message = BAD_POINTS[name]
    mapping, points = PointMapping(1, 2, 1), clouds(2, 5)
    spoil(points)
    arguments: tuple[torch.Tensor, ...] = (points,)
    if form == "flat":
        arguments = (points.view(-1, 3), torch.arange(2).repeat_interleave(5))
    with pytest.raises(DataError, match=message):
        mapping(*arguments)
    # Unasked for, the check does not run, and nothing worse than a NaN happens.
    features = PointMapping(1, 2, 1, validate=False)(points)
    assert features.shape == (84, 2, 1)
    assert features[:, 1 if "cloud 0" in message else 0].isfinite().all()


@pytest.mark.parametrize(
    ("dtype", "far", "sound"),
    [
        (torch.float32, 1e19, 9e18),
        (torch.float64, 1e155, 1e150),
        (torch.float16, float("inf"), 6e4),
        (torch.bfloat16, 1e19, 1e18),
    ],
)
def test_squares_that_would_overflow(dtype: torch.dtype, far: float, sound: float) -> None:
    mapping, points = PointMapping(1, 2, 1), clouds(2, 5).to(dtype)
    points[1, 3, 1] = sound
    assert mapping(points).isfinite().all()
    points[1, 3, 1] = far
    with pytest.raises(DataError, match=r"point 3 of cloud 1 is (not finite|too far from the or)"):
        mapping(points)


BAD_INPUT = {
    "no points": ((torch.zeros(2, 0, 3),), "a cloud is empty"),
    "no clouds": ((torch.zeros(0, 5, 3),), "no cloud"),
    "two coordinates": ((torch.zeros(2, 5, 2),), r"\(2, 5, 2\)"),
    "one cloud without batch": ((torch.zeros(5, 3),), "give batch too"),
    "integers": ((torch.zeros(2, 5, 3, dtype=torch.int64),), "int64"),
    "padded with batch": ((torch.zeros(2, 5, 3), torch.zeros(2).long()), r"\(M, 3\)"),
    "short batch": ((torch.zeros(5, 3), torch.zeros(4).long(), 1), r"\(4,\)"),
    "float batch": ((torch.zeros(5, 3), torch.zeros(5), 1), "float32"),
    "no points in all": ((torch.zeros(0, 3), torch.zeros(0).long(), 1), "no points at all"),
    "index too large": ((torch.zeros(5, 3), torch.arange(5), 4), "from 0 to 4"),
    "negative index": ((torch.zeros(5, 3), torch.arange(5) - 1, 4), "from -1 to 3"),
    "cloud without points": ((torch.zeros(2, 3), torch.tensor([0, 2]), 3), "cloud 1 has no points"),
    "last cloud without points": ((torch.zeros(2, 3), torch.tensor([0, 1]), 3), "cloud 2"),
    "no cloud in batch": ((torch.zeros(2, 3), torch.tensor([0, 1]), 0), "at least 1"),
    "batch size of another": ((torch.zeros(2, 5, 3), None, 3), "batch_size is 3"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input(name: str) -> None:
    arguments, message = BAD_INPUT[name]
    with pytest.raises(DataError, match=message):
        PointMapping(1, 2, 1)(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_spheres": 0}, "n_spheres is 0"),
        ({"n_spheres": 2.0}, r"n_spheres is 2\.0, but it must be a whole number"),
        ({"n_spheres": True}, "n_spheres is True, but it must be a whole number"),
        ({"channels": "2"}, "channels is '2', but it must be a whole number"),
        ({"level": 2.0}, r"level is 2\.0, but it must be a whole number"),
        ({"channels": -1}, "channels is -1"),
        ({"radial": "shells"}, "shell"),
        ({"bandwidth": "square"}, "squared"),
        ({"threshold": 0.0}, "threshold"),
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
    ],
)
def test_bad_settings(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PointMapping(**{"level": 1, "n_spheres": 2, "channels": 1, **arguments})  # type: ignore[arg-type]


def test_training_on_a_gpu_does_not_wait_for_the_check() -> None:
    mapping = PointMapping(level=1, n_spheres=2, channels=2)
    points = torch.rand(2, 9, 3) / 2
    points[1, 3] = torch.nan
    with fake_cuda() as device:
        moved = points.to(device)
        found = mapping.train()(moved).cpu()
        with pytest.raises(DataError, match="point 3 of cloud 1"):
            mapping.eval()(moved)
    # The NaN stays within its cloud.
    assert found[:, 0].isfinite().all()
    assert found[:, 1].isnan().any()
    # Control: on a CPU the check costs nothing that is noticed.
    with pytest.raises(DataError, match="point 3 of cloud 1"):
        mapping.train()(points)
