"""Random rotations: distributions with a control, axes, seeds."""

from __future__ import annotations

import math

import pytest
import torch

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.mapping import axis_rotations, random_rotations, rotate_clouds

AXES = {"x": 0, "y": 1, "z": 2}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(n: int, protocol: str, up_axis: str = "z", seed: int = 0) -> torch.Tensor:
    return random_rotations(n, protocol, up_axis, seeded(seed), torch.float64)  # type: ignore[arg-type]


def angles(rotations: torch.Tensor) -> torch.Tensor:
    cosine = (rotations.diagonal(dim1=1, dim2=2).sum(dim=1) - 1) / 2
    return cosine.clamp(-1, 1).acos()


@pytest.mark.parametrize("protocol", ["none", "z", "so3", "euler"])
@pytest.mark.parametrize("up_axis", AXES)
def test_are_rotations(protocol: str, up_axis: str) -> None:
    rotations = draw(50, protocol, up_axis)
    identity = torch.eye(3, dtype=torch.float64).expand(50, 3, 3)
    torch.testing.assert_close(rotations @ rotations.transpose(1, 2), identity)
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(50, dtype=torch.float64))
    assert (rotations == identity).all() == (protocol == "none")


def test_haar_mean_angle() -> None:
    # The angle of a uniform rotation has density (1 - cos θ)/π: mean π/2 + 2/π, about 126.5°.
    # Its standard deviation is 0.65, that of the mean of 40,000 then 0.0032.
    mean = float(angles(draw(40_000, "so3")).mean())
    assert abs(mean - (math.pi / 2 + 2 / math.pi)) < 0.015


def test_haar_angle_distribution_and_the_euler_control() -> None:
    # The mean cannot tell the two apart (126.1° for Euler angles); the distribution can.
    observed = torch.arange(1, 40_001, dtype=torch.float64) / 40_000
    for protocol, uniform in (("so3", True), ("euler", False)):
        angle = angles(draw(40_000, protocol)).sort().values
        expected = (angle - angle.sin()) / math.pi
        # Kolmogorov-Smirnov: a uniform sample passes this once in a thousand seeds.
        assert (float((expected - observed).abs().max()) < 1.95 / 200) == uniform


def test_haar_directions_and_the_euler_control() -> None:
    # Any axis goes to a uniform point of the sphere: each coordinate has variance 1/3.
    for protocol, uniform in (("so3", True), ("euler", False)):
        rotations = draw(40_000, protocol)
        deviation = (rotations.square().mean(dim=0) - 1 / 3).abs().max()
        assert (float(deviation) < 0.01) == uniform


@pytest.mark.parametrize("up_axis", AXES)
def test_z_keeps_the_up_axis(up_axis: str) -> None:
    axis = AXES[up_axis]
    rotations = draw(1000, "z", up_axis)
    up = torch.eye(3, dtype=torch.float64)[axis]
    assert (rotations @ up == up).all()
    # And turns about it evenly: no direction across is preferred.
    across = rotations[:, :, (axis + 1) % 3]
    assert across.mean(dim=0).norm() < 0.12
    # Right-handed: the same angle brings the first axis across towards the second.
    other = torch.linalg.cross(up.expand_as(across), across)
    torch.testing.assert_close(rotations[:, :, (axis + 2) % 3], other)


def test_seed_decides() -> None:
    assert torch.equal(draw(5, "so3", seed=0), draw(5, "so3", seed=0))
    assert not torch.equal(draw(5, "so3", seed=0), draw(5, "so3", seed=1))


def test_same_rotations_in_every_precision() -> None:
    single = random_rotations(5, "so3", "z", seeded(), torch.float32)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), draw(5, "so3"), rtol=0, atol=1e-7)


def test_global_generator_is_not_used() -> None:
    before = torch.get_rng_state()
    draw(5, "so3")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("protocol", "up_axis"), [("SO(3)", "z"), ("so4", "z"), ("z", "up")])
def test_unknown_names(protocol: str, up_axis: str) -> None:
    with pytest.raises(ConfigError, match="unknown"):
        draw(1, protocol, up_axis)


def test_rotate_clouds_is_the_matrix_product() -> None:
    points = torch.randn(4, 10, 3, generator=seeded(), dtype=torch.float64)
    rotations = draw(4, "so3")
    want = torch.stack([cloud @ turn.T for cloud, turn in zip(points, rotations, strict=True)])
    torch.testing.assert_close(rotate_clouds(points, rotations), want)


def test_rotate_clouds_in_autocast_costs_no_digits() -> None:
    points, rotations = torch.randn(2, 10, 3, generator=seeded()), draw(2, "so3").float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        turned = rotate_clouds(points, rotations)
    assert torch.equal(turned, rotate_clouds(points, rotations))


@pytest.mark.parametrize("shape", [(10, 3), (3, 10, 3), (2, 10, 2)])
def test_rotate_clouds_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="rotations"):
        rotate_clouds(torch.zeros(shape), torch.eye(3).expand(2, 3, 3))


def test_normals_are_rotated_and_other_columns_are_not() -> None:
    turns = random_rotations(2, "so3", "z", torch.Generator().manual_seed(0))
    points, normals, other = torch.randn(3, 2, 5, 3).unbind()
    wide = torch.cat([points, normals, other], dim=-1)
    found = rotate_clouds(wide, turns, normals=True)
    for start, part in ((0, points), (3, normals)):
        assert torch.equal(found[..., start : start + 3], rotate_clouds(part, turns))
    assert torch.equal(found[..., 6:], other)
    assert torch.equal(rotate_clouds(wide, turns)[..., 3:], wide[..., 3:])
    with pytest.raises(DataError, match=r"\(B, N, 6\)"):
        rotate_clouds(points, turns, normals=True)


@pytest.mark.parametrize("degrees", [0, 15, 90, 180])
def test_rotations_about_axes(degrees: float) -> None:
    axes = torch.randn(20, 3, generator=seeded())
    rotations = axis_rotations(axes, degrees)
    assert rotations.dtype == torch.float64
    torch.testing.assert_close(rotations @ rotations.mT, torch.eye(3).double().expand(20, 3, 3))
    torch.testing.assert_close(
        angles(rotations).rad2deg(), torch.full((20,), float(degrees)).double(), atol=1e-5, rtol=0
    )
    columns = axes.double()[:, :, None]
    torch.testing.assert_close(rotations @ columns, columns)  # the axis stays


@pytest.mark.parametrize("axes", [torch.zeros(2, 3), torch.full((1, 3), math.nan), torch.ones(3)])
def test_axes_without_direction(axes: torch.Tensor) -> None:
    with pytest.raises(DataError, match=r"no direction|\(n, 3\)"):
        axis_rotations(axes, 30)
