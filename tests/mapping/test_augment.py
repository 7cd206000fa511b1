"""Augmentation: each part alone, their order, limits and seeds."""

from __future__ import annotations

import pytest
import torch

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.mapping import Augmentation

OFF = {"scale": (1.0, 1.0), "rotation": "none", "translation": 0.0, "jitter": 0.0}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def only(**settings: object) -> Augmentation:
    return Augmentation(**{**OFF, **settings})  # type: ignore[arg-type]


def clouds(n_clouds: int = 8, n: int = 200) -> torch.Tensor:
    return torch.randn(n_clouds, n, 3, generator=seeded(9), dtype=torch.float64)


def test_all_off_changes_nothing() -> None:
    points = clouds()
    assert torch.equal(only()(points, seeded()), points)


def test_normals_stay_perpendicular_to_the_surface() -> None:
    """Scales change directions in a surface in another way than its normals."""
    points = clouds(5, 30)
    along = torch.linalg.cross(points, torch.ones_like(points), dim=-1)
    normals = torch.nn.functional.normalize(points, dim=-1)
    augment = only(scale=(0.5, 1.5), rotation="so3")
    wide = torch.cat([points, 2 * normals, torch.full_like(points[..., :1], 7)], dim=-1)
    found = augment(wide, seeded(), normals=True)
    # Scale and rotation are linear, so vectors in the surface are changed like points.
    moved = augment(along, seeded())
    assert (found[..., 3:6] * moved).sum(-1).abs().max() < 1e-12
    torch.testing.assert_close(found[..., 3:6].norm(dim=-1), torch.ones(5, 30).double())
    assert torch.equal(found[..., :3], augment(points, seeded()))
    assert torch.equal(found[..., 6], wide[..., 6])
    # Control: as any other attribute, they would stay where they are.
    assert torch.equal(augment(wide, seeded())[..., 3:], wide[..., 3:])


def test_a_normal_of_no_length_stays_one() -> None:
    wide = torch.cat([clouds(1, 4), torch.zeros(1, 4, 3).double()], dim=-1)
    assert not Augmentation(rotation="so3")(wide, seeded(), normals=True)[..., 3:].any()


def test_normals_need_columns() -> None:
    with pytest.raises(DataError, match=r"\(B, N, 6\)"):
        only()(clouds(), seeded(), normals=True)


def test_scale_by_cloud_and_axis() -> None:
    points = clouds(500, 3)
    factor = only(scale=(0.8, 1.2))(points, seeded()) / points
    torch.testing.assert_close(factor, factor[:, :1].expand_as(factor))
    factor = factor[:, 0]
    assert 0.8 <= factor.min() < 0.81
    assert 1.19 < factor.max() <= 1.2
    assert factor.std(dim=1).min() > 0, "the axes are scaled independently"
    assert torch.corrcoef(factor.T).triu(1).abs().max() < 0.15


def test_translation_by_cloud() -> None:
    points = clouds(500, 3)
    shift = only(translation=0.1)(points, seeded()) - points
    torch.testing.assert_close(shift, shift[:, :1].expand_as(shift), rtol=0, atol=1e-14)
    assert -0.1 <= shift.min() < -0.095
    assert 0.095 < shift.max() <= 0.1
    assert shift.mean().abs() < 0.01


def test_jitter_by_coordinate_and_clipped() -> None:
    points = clouds(20, 500)
    noise = only(jitter=0.01, jitter_clip=0.025)(points, seeded()) - points
    assert noise.abs().max() == pytest.approx(0.025, rel=1e-6)
    # Clipped at 2.5 standard deviations, 1.2 % of the coordinates sit on the limit.
    share = float((noise.abs() > 0.02499).double().mean())
    assert 0.010 < share < 0.015
    assert float(noise.std()) == pytest.approx(0.01, rel=0.03)
    assert noise.unique().numel() > 0.9 * noise.numel()


@pytest.mark.parametrize(("up_axis", "axis"), [("x", 0), ("y", 1), ("z", 2)])
def test_z_rotation_keeps_the_up_axis(up_axis: str, axis: int) -> None:
    points = clouds()
    turned = only(rotation="z", up_axis=up_axis)(points, seeded())
    assert torch.equal(turned[..., axis], points[..., axis])
    others = [i for i in range(3) if i != axis]
    assert ((turned - points)[..., others].abs() > 0).all()
    torch.testing.assert_close(turned.norm(dim=-1), points.norm(dim=-1))


def test_so3_turns_each_cloud_as_a_whole() -> None:
    points = clouds()
    turned = only(rotation="so3")(points, seeded())
    torch.testing.assert_close(torch.cdist(turned, turned), torch.cdist(points, points))
    assert ((turned - points).abs().amax(dim=(1, 2)) > 0.1).all()
    same = only(rotation="so3")(points[:1].expand(2, -1, -1), seeded())
    assert not torch.allclose(same[0], same[1]), "each cloud has its own rotation"


def test_order_is_scale_rotation_translation() -> None:
    """The points (0, e1, e2, e3) tell the affine map x → R S x + t."""
    corners = torch.cat([torch.zeros(1, 3), torch.eye(3)]).double().expand(200, 4, 3)
    moved = Augmentation(rotation="so3", jitter=0.0)(corners, seeded())
    shift = moved[:, 0]
    matrix = (moved[:, 1:] - shift[:, None]).transpose(1, 2)
    # Scaled first: the columns of R S stay orthogonal, and are as long as the factors.
    gram = matrix.transpose(1, 2) @ matrix
    off_diagonal = gram - torch.diag_embed(gram.diagonal(dim1=1, dim2=2))
    assert off_diagonal.abs().max() < 1e-12
    lengths = gram.diagonal(dim1=1, dim2=2).sqrt()
    assert lengths.min() >= 0.8 - 1e-12
    assert lengths.max() <= 1.2 + 1e-12
    # Rotated before, the rows would be orthogonal instead.
    other = matrix @ matrix.transpose(1, 2)
    assert (other - torch.diag_embed(other.diagonal(dim1=1, dim2=2))).abs().max() > 0.05
    # Translated last: neither factor nor rotation touches the limits.
    assert shift.abs().max() <= 0.1


def test_jitter_is_not_scaled() -> None:
    points = torch.zeros(50, 50, 3, dtype=torch.float64)
    noise = only(scale=(3.0, 3.0), jitter=0.01)(points, seeded())
    assert noise.abs().max() <= 0.05
    assert float(noise.std()) == pytest.approx(0.01, rel=0.05)


def test_seed_decides() -> None:
    points, augment = clouds(), Augmentation(rotation="so3")
    first = augment(points, seeded(0))
    assert torch.equal(augment(points, seeded(0)), first)
    assert not torch.equal(augment(points, seeded(1)), first)
    generator = seeded(0)
    assert torch.equal(augment(points, generator), first)
    assert not torch.equal(augment(points, generator), first), "each call goes on drawing"


def test_global_generator_is_not_used() -> None:
    before = torch.get_rng_state()
    Augmentation(rotation="so3")(clouds(), seeded())
    assert torch.equal(torch.get_rng_state(), before)


def test_points_stay_as_they_are() -> None:
    points = clouds()
    before = points.clone()
    Augmentation(rotation="so3")(points, seeded())
    assert torch.equal(points, before)


def test_same_numbers_in_every_precision() -> None:
    augment, points = Augmentation(rotation="so3"), clouds().float()
    single = augment(points, seeded())
    assert single.dtype == torch.float32
    double = augment(points.double(), seeded())
    torch.testing.assert_close(single.double(), double, rtol=0, atol=2e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_same_numbers_on_every_device() -> None:
    augment, points = Augmentation(rotation="so3"), clouds()
    moved = augment(points.cuda(), seeded())
    assert moved.is_cuda
    torch.testing.assert_close(moved.cpu(), augment(points, seeded()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rotation": "zz"}, "rotation protocol 'zz'"),
        ({"up_axis": "up"}, "up axis 'up'"),
        ({"scale": (1.2, 0.8)}, "scale"),
        ({"scale": (0.0, 1.0)}, "scale"),
        ({"scale": (0.5, float("nan"))}, "scale"),
        ({"translation": -0.1}, "translation"),
        ({"jitter": float("nan")}, "jitter"),
        ({"jitter_clip": -1.0}, "jitter_clip"),
    ],
)
def test_bad_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Augmentation(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "points", [torch.zeros(5, 3), torch.zeros(2, 5, 2), torch.zeros(2, 5, 3).long()]
)
def test_bad_points(points: torch.Tensor) -> None:
    with pytest.raises(DataError, match="points have shape"):
        Augmentation()(points, seeded())
