"""SPHNet: convolutions with spherical harmonics, of which only the power is kept."""

from __future__ import annotations

import math

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from csgnn_dgl.config import Preset, option
from csgnn_dgl.models.contract import ShapeModel
from csgnn_dgl.models.hypers import Hypers
from csgnn_dgl.models.shapes.parts import (
    Dense,
    farthest_points,
    gather,
    nearest,
    polar,
    require_points,
)

__all__ = ["SPHNet", "SPHNetHypers", "kd_order", "spherical_harmonics"]

_DEGREES = 4  # l = 0 … 3
# Points that one of the next layer replaces: two splits of the tree.
_POOLED = 4


class SPHNetHypers(Hypers):
    """Options of :class:`SPHNet`; the defaults are the paper's."""

    presets = {  # noqa: RUF012 (the base declares it a class variable, so pydantic ignores it)
        "quick": Preset(
            "a quarter of the width, kernels twice as wide: a first result in minutes on two cores",
            {
                "widths": [16, 64, 256],
                "patch": 32,
                # A kernel of 0.1 sees little more than the noise of 1,024 jittered points.
                "radius": 0.2,
                "hidden": [256, 128],
                "learning_rate": 2e-3,
            },
        ),
        "paper": Preset(
            "the paper's network, and its training as far as it is published",
            {
                "hidden": [512, 256],
                "dropout": 0.5,
                "learning_rate": 1e-3,
                "schedule": "constant",
                "epochs": 150,
            },
        ),
    }

    widths: list[PositiveInt] = option([64, 256, 1024], "Channels of each layer.", "Network")
    patch: int = option(64, "Nearest points in a patch, at most.", "Network", ge=1)
    radius: float = option(
        0.1, "Radius of the first layer's kernel; it doubles in each layer.", "Network", gt=0
    )
    radial: int = option(2, "Gaussian shells of a kernel.", "Network", ge=2)


def spherical_harmonics(directions: Tensor) -> Tensor:
    """Real spherical harmonics of degrees 0 to 3.

    Parameters
    ----------
    directions
        Unit vectors, shape ``(..., 3)``. For the zero vector all but the first are 0.

    Returns
    -------
    Tensor
        Shape ``(..., 16)``, orthonormal on the sphere, in the order of (l, m).

    Examples
    --------
    >>> values = spherical_harmonics(torch.tensor([0.0, 0.0, 1.0]))
    >>> (4 * math.pi * values.square()[1:4]).round().tolist()  # a degree has the power 2 l + 1
    [0.0, 3.0, 0.0]
    """
    x, y, z = directions.unbind(dim=-1)
    xx, yy, zz = x * x, y * y, z * z
    rr = xx + yy + zz
    values = [
        torch.ones_like(x),
        *(math.sqrt(3) * y, math.sqrt(3) * z, math.sqrt(3) * x),
        math.sqrt(15) * x * y,
        math.sqrt(15) * y * z,
        math.sqrt(5 / 4) * (3 * zz - rr),
        math.sqrt(15) * x * z,
        math.sqrt(15 / 4) * (xx - yy),
        math.sqrt(35 / 8) * y * (3 * xx - yy),
        math.sqrt(105) * x * y * z,
        math.sqrt(21 / 8) * y * (5 * zz - rr),
        math.sqrt(7 / 4) * z * (5 * zz - 3 * rr),
        math.sqrt(21 / 8) * x * (5 * zz - rr),
        math.sqrt(105 / 4) * z * (xx - yy),
        math.sqrt(35 / 8) * x * (xx - 3 * yy),
    ]
    return torch.stack(values, dim=-1) / math.sqrt(4 * math.pi)


def kd_order(points: Tensor) -> Tensor:
    """Order the points of every cloud as the leaves of a balanced kd-tree.

    Each block is halved at the median of the axis along which it is longest. So any ``2^k``
    consecutive points, counted from the start, are a part of the tree.

    Parameters
    ----------
    points
        Shape ``(B, N, 3)``; ``N`` is a power of two.

    Returns
    -------
    Tensor
        Indices of points, shape ``(B, N)``, int64.

    Examples
    --------
    >>> line = torch.tensor([[[3.0, 0, 0], [1, 0, 0], [0, 0, 0], [2, 0, 0]]])
    >>> kd_order(line).tolist()
    [[2, 1, 3, 0]]
    """
    with torch.no_grad():
        clouds, number, _ = points.shape
        order = torch.arange(number, device=points.device).expand(clouds, -1)
        size = number
        while size > 1:
            blocks = gather(points, order).view(clouds, number // size, size, 3)
            low, high = blocks.aminmax(dim=2)
            axis = (high - low).argmax(dim=-1)[:, :, None, None].expand(-1, -1, size, 1)
            inside = blocks.gather(3, axis).squeeze(-1).argsort(dim=2, stable=True)
            order = order.reshape(clouds, -1, size).gather(2, inside).flatten(1)
            size //= 2
        return order


class _HarmonicConv(nn.Module):
    """Powers of the features around each point by channel, shell and degree, in a dense layer."""

    def __init__(
        self, in_feats: int, out_feats: int, radius: float, radial: int, patch: int
    ) -> None:
        super().__init__()
        self.radius, self.radial, self.patch = radius, radial, patch
        self.dense = Dense(in_feats * radial * _DEGREES, out_feats)

    def kernel(self, offsets: Tensor) -> Tensor:
        """Values ``(B, M, K, 16 · radial)`` at offsets ``(B, M, K, 3)``; zero beyond the radius.

        They are to be divided by the sum over the neighbours of the first component.
        """
        distance, direction = polar(offsets)
        width = self.radius / (self.radial - 1)
        shells = width * torch.arange(self.radial, dtype=offsets.dtype, device=offsets.device)
        radial = torch.exp(-((distance - shells) ** 2) / (2 * (width / 2) ** 2))
        radial = torch.where(distance <= self.radius, radial, 0)
        harmonics = spherical_harmonics(direction)
        return (radial[..., :, None] * harmonics[..., None, :]).flatten(-2)

    def forward(self, points: Tensor, feat: Tensor) -> Tensor:
        indices = nearest(points, points, min(self.patch, points.shape[1]))
        kernel = self.kernel(gather(points, indices) - points[:, :, None])
        # The centre is in its own patch, so the sum of the first component is not 0.
        total = kernel[..., :1].sum(dim=2, keepdim=True).to(feat.dtype)
        found = gather(feat, indices).transpose(2, 3)
        moments = found @ kernel.to(feat.dtype) / total  # (B, M, C, 16 n)
        parts = moments.unflatten(-1, (self.radial, -1)).split((1, 3, 5, 7), dim=-1)
        tiny = torch.finfo(moments.dtype).eps ** 2
        powers = [(part.square().sum(dim=-1) + tiny).sqrt() for part in parts]
        out: Tensor = self.dense(torch.stack(powers, dim=-1).flatten(2))
        return out


class SPHNet(ShapeModel):
    """The classifier of Poulenard et al., "Effective Rotation-Invariant Point CNN", 3DV 2019.

    arXiv:1906.11555, here without its head. Kernels are Gaussian shells times spherical harmonics;
    only the power of each degree of the filtered signal is kept, which no rotation changes. Between
    layers, the four points in a part of a kd-tree are replaced by their mean, and their features by
    the maximum. Axes of the tree are those of space, so that layers are exactly rotation-invariant,
    and the network is not. If the number of points is no power of two, points far from each other
    are counted twice, up to the next power.

    Parameters
    ----------
    hypers
        The model's options.

    Shapes
    ------
    points ``(B, N, 3)`` → ``(B, features)``.

    Raises
    ------
    DataError
        Clouds have too few points for the pooling.

    Examples
    --------
    >>> SPHNet(SPHNetHypers(widths=[4, 8], patch=8)).eval()(torch.rand(2, 20, 3)).shape
    torch.Size([2, 8])
    """

    Hypers = SPHNetHypers
    export_any_size = False

    def __init__(self, hypers: SPHNetHypers) -> None:
        super().__init__(hypers)
        widths = (1, *hypers.widths)
        self.convs = nn.ModuleList(
            _HarmonicConv(
                widths[i], widths[i + 1], hypers.radius * 2**i, hypers.radial, hypers.patch
            )
            for i in range(len(hypers.widths))
        )
        self.features = widths[-1]

    def forward(self, points: Tensor) -> Tensor:
        """Features of clouds ``(B, N, 3)``."""
        pools = len(self.convs) - 1
        require_points(points, _POOLED**pools, "SPHNet", f"it pools them {pools} times by four")
        missing = (1 << (points.shape[1] - 1).bit_length()) - points.shape[1]
        if missing:
            twice = gather(points, farthest_points(points, missing))
            points = torch.cat([points, twice], dim=1)
        points = gather(points, kd_order(points))
        feat = torch.ones_like(points[:, :, :1])
        for index, conv in enumerate(self.convs):
            if index:
                points = points.unflatten(1, (-1, _POOLED)).mean(dim=2)
                feat = feat.unflatten(1, (-1, _POOLED)).amax(dim=2)
            feat = conv(points, feat)
        return feat.amax(dim=1)
