"""Normalising and subsampling clouds."""

from __future__ import annotations

import pytest
import torch

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.mapping import ball_centers, normalize_clouds, random_rotations, subsample


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clouds(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, 3, generator=seeded(), dtype=torch.float64)


def test_largest_distance_is_one() -> None:
    points = clouds(5, 40) * torch.tensor([1e-3, 0.5, 1, 20, 1e4]).view(5, 1, 1)
    scaled = normalize_clouds(points)
    one = torch.ones(5, dtype=torch.float64)
    torch.testing.assert_close(scaled.norm(dim=-1).amax(dim=1), one)
    want = points / points.norm(dim=-1).amax(dim=1)[:, None, None]
    torch.testing.assert_close(scaled, want)


def test_nothing_is_centred() -> None:
    points = clouds(1, 10) + 5
    scaled = normalize_clouds(points)
    assert scaled.min() > 0


def test_cloud_at_the_origin_stays() -> None:
    points = clouds(2, 5)
    points[1] = 0
    scaled = normalize_clouds(points.requires_grad_())
    assert (scaled[1] == 0).all()
    scaled.sum().backward()
    assert points.grad is not None
    assert points.grad.isfinite().all()


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_extreme_sizes(size: float) -> None:
    points = clouds(2, 5).float()
    torch.testing.assert_close(normalize_clouds(points * size), normalize_clouds(points))


def test_flat_form_equals_padded_form() -> None:
    points = clouds(3, 20)
    points[1] = 0
    batch = torch.arange(3).repeat_interleave(20)
    order = torch.randperm(60, generator=seeded())
    flat = points.view(-1, 3)[order]
    want = normalize_clouds(points).view(-1, 3)[order]
    torch.testing.assert_close(normalize_clouds(flat, batch[order]), want)
    torch.testing.assert_close(normalize_clouds(flat, batch[order], 4), want)


def test_one_cloud_without_batch_dimension() -> None:
    points = clouds(10)
    assert torch.equal(normalize_clouds(points), normalize_clouds(points[None])[0])


def test_normalize_gradcheck() -> None:
    points = clouds(2, 4).requires_grad_()
    assert torch.autograd.gradcheck(normalize_clouds, (points,))


@pytest.mark.parametrize(
    "points", [torch.zeros(3), torch.zeros(2, 5, 2), torch.zeros(2, 0, 3), torch.zeros(2, 3).long()]
)
def test_normalize_bad_points(points: torch.Tensor) -> None:
    with pytest.raises(DataError):
        normalize_clouds(points)


def test_subset_without_replacement() -> None:
    pool = torch.arange(4 * 50).view(4, 50, 1).expand(-1, -1, 3).double()
    chosen = subsample(pool, 30, seeded())
    assert chosen.shape == (4, 30, 3)
    for cloud, candidates in zip(chosen, pool, strict=True):
        assert cloud[:, 0].unique().numel() == 30, "no point twice"
        assert torch.isin(cloud[:, 0], candidates[:, 0]).all()
        assert (cloud == cloud[:, :1]).all(), "coordinates stay together"
    rows = chosen[:, :, 0] - 50 * torch.arange(4).view(4, 1)
    assert not torch.equal(rows[0].sort().values, rows[1].sort().values)


def test_subset_is_uniform() -> None:
    pool = torch.arange(10.0).view(1, 10, 1).expand(20_000, 10, 3)
    chosen = subsample(pool, 3, seeded())[:, :, 0]
    share = torch.bincount(chosen.long().view(-1), minlength=10) / 20_000
    assert (share - 0.3).abs().max() < 0.02
    # Any place too, so that the first few of the subset are a random subset again.
    first = torch.bincount(chosen[:, 0].long(), minlength=10) / 20_000
    assert (first - 0.1).abs().max() < 0.015


def test_subset_seed_decides() -> None:
    pool = clouds(2, 50)
    assert torch.equal(subsample(pool, 10, seeded(0)), subsample(pool, 10, seeded(0)))
    assert not torch.equal(subsample(pool, 10, seeded(0)), subsample(pool, 10, seeded(1)))


def test_whole_pool_is_left_alone() -> None:
    pool, generator = clouds(2, 50), seeded()
    before = generator.get_state()
    assert torch.equal(subsample(pool, 50, generator), pool)
    assert torch.equal(generator.get_state(), before)


def test_subset_is_differentiable() -> None:
    pool = clouds(2, 5).requires_grad_()
    subsample(pool, 3, seeded()).sum().backward()
    assert pool.grad is not None
    assert pool.grad.sum() == 2 * 3 * 3


@pytest.mark.parametrize(
    ("shape", "n", "error"),
    [((2, 5, 3), 6, DataError), ((5, 3), 2, DataError), ((2, 5, 3), 0, ConfigError)],
)
def test_subset_bad_requests(shape: tuple[int, ...], n: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        subsample(torch.zeros(shape), n, seeded())


def test_attributes_follow_their_points() -> None:
    points = torch.randn(2, 20, 3)
    wide = torch.cat([points, torch.arange(40.0).view(2, 20, 1)], dim=-1)
    scaled = normalize_clouds(wide)
    assert torch.equal(scaled[..., :3], normalize_clouds(points))
    assert torch.equal(scaled[..., 3], wide[..., 3])
    chosen = subsample(wide, 7, torch.Generator().manual_seed(0))
    for cloud, kept in zip(wide, chosen, strict=True):
        assert all((cloud == row).all(dim=1).any() for row in kept)


def test_ball_about_known_spheres() -> None:
    # Points on whole spheres, and some within, lie in no smaller ball.
    directions = clouds(4, 3000)
    directions = directions / directions.norm(dim=-1, keepdim=True)
    center = torch.tensor([[1.0, 2, 3], [0, 0, 0], [-5, 0, 1], [1e3, 0, 0]]).double()[:, None]
    points = center + 2 * torch.cat([directions, 0.5 * directions[:, :500] + 0.2], dim=1)
    found = ball_centers(points)
    assert found.shape == (4, 1, 3)
    assert float((found - center).norm(dim=-1).max()) < 0.005 * 2


def test_ball_is_hardly_larger_than_the_smallest() -> None:
    # Boxes: the smallest ball goes through the corners. Most points are near one end.
    low, high = torch.tensor([0.0, 0, 0]), torch.tensor([4.0, 2, 1])
    corners = torch.cartesian_prod(
        *[torch.tensor([float(a), float(b)]) for a, b in zip(low, high, strict=True)]
    )
    many = torch.rand(300, 3, generator=seeded()) * torch.tensor([0.5, 2, 1])
    points = torch.cat([corners, many])[None].double()
    smallest = float((high - low).double().norm()) / 2
    radius = float((points - ball_centers(points)).norm(dim=-1).max())
    assert smallest - 1e-9 <= radius <= 1.001 * smallest
    # Control: the mean is far from it.
    assert float((points - points.mean(dim=1)).norm(dim=-1).max()) > 1.2 * smallest


def test_ball_turns_with_symmetric_clouds() -> None:
    # Many points of these are equally far, so that rounding chooses among them.
    cube = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0]).double()] * 3)
    pyramid = torch.cat([cube[:4] + 0.3, torch.tensor([[9.0, 0.3, 0.3]])])
    for cloud in (cube, pyramid):
        turned = cloud @ random_rotations(
            20, "so3", "z", seeded(), torch.float64, torch.device("cpu")
        )
        back = torch.linalg.lstsq(cloud, turned.transpose(0, 1).flatten(1)).solution
        expected = ball_centers(cloud[None])[0] @ back.view(3, 20, 3).transpose(0, 1)
        torch.testing.assert_close(ball_centers(turned), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("spread", [1.0, 0.01])
def test_ball_of_single_precision_turns_with_the_cloud(spread: float) -> None:
    # With the small spread, three points are far from a cluster.
    points = torch.cat([spread * clouds(200, 100), clouds(200, 3)], dim=1).float()
    turns = random_rotations(200, "so3", "z", seeded(), torch.float32, torch.device("cpu"))
    turned = ball_centers(points @ turns.mT) @ turns
    torch.testing.assert_close(turned, ball_centers(points), rtol=0, atol=1e-5)
    torch.testing.assert_close(ball_centers(points.double()).float(), turned, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_ball_of_extreme_sizes(size: float) -> None:
    points = clouds(2, 30).float()
    torch.testing.assert_close(ball_centers(points * size) / size, ball_centers(points))


def test_ball_of_one_point_and_its_gradient() -> None:
    points = (clouds(2, 1) + 3).requires_grad_()
    found = ball_centers(points)
    assert torch.equal(found, points)
    found.sum().backward()
    assert points.grad is not None
    assert torch.equal(points.grad, torch.ones_like(points))
    assert torch.autograd.gradcheck(ball_centers, clouds(2, 9).requires_grad_())


@pytest.mark.parametrize(
    "points", [torch.ones(3, 3), torch.ones(1, 0, 3), torch.ones(1, 4, 3).int()]
)
def test_ball_needs_clouds(points: torch.Tensor) -> None:
    with pytest.raises(DataError):
        ball_centers(points)


def test_half_precision_around_does_not_change_the_ball() -> None:
    points = clouds(2, 50).float()
    with torch.autocast("cpu", torch.bfloat16):
        found = ball_centers(points)
    assert torch.equal(found, ball_centers(points))
    half = points.bfloat16()
    assert ball_centers(half).dtype == torch.bfloat16
    torch.testing.assert_close(ball_centers(half), ball_centers(half.float()).bfloat16())
