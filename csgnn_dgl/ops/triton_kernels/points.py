"""Features of points on the grid in one kernel: face, weights, and their sum at the sites."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from csgnn_dgl.ops.triton_kernels.launch import on_device_of

__all__ = ["point_features"]


@triton.jit
def _features_kernel(
    points,
    cloud,
    centres,
    normals,
    corners,
    corner_ids,
    gamma,
    share,
    out,
    num_points,
    per_cloud,
    num_faces,
    num_vertices,
    n_spheres,
    n_clouds,
    channels,
    LEVEL: tl.constexpr,
    HAS_CLOUD: tl.constexpr,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    point = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    real = point < num_points
    x = tl.load(points + 3 * point, mask=real, other=1.0)
    y = tl.load(points + 3 * point + 1, mask=real, other=0.0)
    z = tl.load(points + 3 * point + 2, mask=real, other=0.0)
    if HAS_CLOUD:
        sample = tl.load(cloud + point, mask=real, other=0)
    else:
        sample = (point // per_cloud).to(tl.int64)
    # An index out of range is an error that is only checked on request; it must not be written to.
    known = real & (sample >= 0) & (sample < n_clouds)
    squared = x * x + y * y + z * z
    # The square of the rounding error of float32.
    at_centre = squared <= 1.4210854715202004e-14
    away = tl.sqrt_rn(tl.where(at_centre, 1.0, squared))
    x = tl.div_rn(x, away)
    y = tl.div_rn(y, away)
    z = tl.div_rn(z, away)

    # The nearest face of the icosahedron, then one of four children at each level.
    nearest = tl.full((BLOCK,), float("-inf"), dtype=tl.float32)
    face = tl.zeros((BLOCK,), dtype=tl.int32)
    for number in tl.static_range(20):
        nearness = tl.load(centres + 3 * number) * x
        nearness += tl.load(centres + 3 * number + 1) * y
        nearness += tl.load(centres + 3 * number + 2) * z
        face = tl.where(nearness > nearest, number, face)
        nearest = tl.maximum(nearest, nearness)
    table = normals
    for fine in tl.static_range(LEVEL):
        child = tl.full((BLOCK,), 3, dtype=tl.int32)
        for backwards in tl.static_range(3):
            place = table + (2 - backwards) * (20 * 4**fine) + face
            side = tl.load(place) * x
            side += tl.load(place + 3 * (20 * 4**fine)) * y
            side += tl.load(place + 6 * (20 * 4**fine)) * z
            child = tl.where(side > 0, 2 - backwards, child)
        face = 4 * face + child
        table += 9 * (20 * 4**fine)

    channel = tl.arange(0, CHANNELS)
    # Keep the index within the table for any distance, including NaN.
    shell = tl.maximum(tl.minimum(away * n_spheres, n_spheres - 1.0), 0.0).to(tl.int32)
    decay = -tl.load(gamma + shell)[:, None]
    radius = (shell[:, None] * channels + channel[None, :] + 1).to(tl.float32)
    radius = radius / (n_spheres * channels)
    falloff = decay * (away[:, None] - radius) * (away[:, None] - radius)
    slope = decay * away[:, None] * radius
    wanted = (channel < channels)[None, :]
    counted = (known & (at_centre == 0))[:, None] & wanted
    for k in tl.static_range(3):
        place = corners + k * num_faces + face
        dx = x - tl.load(place)
        dy = y - tl.load(place + 3 * num_faces)
        dz = z - tl.load(place + 6 * num_faces)
        chord = dx * dx + dy * dy + dz * dz
        weight = tl.exp(falloff + slope * chord[:, None])
        vertex = tl.load(corner_ids + k * num_faces + face)
        site = (vertex * n_spheres + shell) * n_clouds + sample
        where = out + site[:, None] * channels + channel[None, :]
        tl.atomic_add(where, weight, mask=counted, sem="relaxed")

    # A point at the origin has no direction: all vertices share it. There is hardly ever one.
    lost = known & at_centre
    if tl.sum(lost.to(tl.int32), 0) > 0:
        part = tl.load(share + channel, mask=channel < channels, other=0.0)
        part = tl.broadcast_to(part[None, :], (BLOCK, CHANNELS))
        for each in range(num_vertices):
            first = sample + (tl.zeros_like(sample) + each) * (n_spheres * n_clouds)
            place_of = out + first[:, None] * channels + channel[None, :]
            tl.atomic_add(place_of, part, mask=lost[:, None] & wanted, sem="relaxed")


def point_features(
    out: Tensor,
    points: Tensor,
    cloud: Tensor | None,
    *,
    centres: Tensor,
    normals: Tensor,
    corners: Tensor,
    corner_ids: Tensor,
    gamma: Tensor,
    share: Tensor,
) -> None:
    """Add the weights of points at the sites around them to ``out``, in no fixed order.

    The weights are those of :class:`~csgnn_dgl.mapping.PointMapping` with ``radial="shell"``.

    Parameters
    ----------
    out
        Shape ``(V, R, B, C)``, float32, contiguous; it is written to.
    points
        Shape ``(M, 3)``, float32.
    cloud
        Cloud index of each point, int64, shape ``(M,)``; None if all clouds have ``M / B`` points,
        one cloud after the other.
    centres
        Centres of the icosahedron's faces, shape ``(20, 3)``.
    normals
        Normals that separate the children of each face, of all levels, coarsest first: for each
        level (component, corner, face).
    corners, corner_ids
        Corners of the finest faces (component, corner, face), and their vertices (corner, face).
    gamma
        Bandwidth of each shell, shape ``(R,)``.
    share
        Weight of a point at the origin at each vertex of the first shell, shape ``(C,)``.
    """
    num_vertices, n_spheres, n_clouds, channels = out.shape
    num_faces = corner_ids.shape[-1]
    level = ((num_faces // 20).bit_length() - 1) // 2
    wide = triton.next_power_of_2(channels)
    block = max(16, 512 // wide)
    count = points.shape[0]
    if count:
        with on_device_of(points):
            _features_kernel[(triton.cdiv(count, block),)](
                points.contiguous(),
                corner_ids if cloud is None else cloud.contiguous(),
                centres,
                normals,
                corners,
                corner_ids,
                gamma,
                share,
                out,
                count,
                count // n_clouds,
                num_faces,
                num_vertices,
                n_spheres,
                n_clouds,
                channels,
                LEVEL=level,
                HAS_CLOUD=cloud is not None,
                CHANNELS=wide,
                BLOCK=block,
            )
