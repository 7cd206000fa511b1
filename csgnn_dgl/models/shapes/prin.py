"""PRIN: convolutions on the sphere and on the group of rotations."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from csgnn_dgl.config import Preset, option
from csgnn_dgl.models.contract import ShapeModel
from csgnn_dgl.models.hypers import Hypers
from csgnn_dgl.models.shapes.so3_fourier import SO3Fourier, wigner_functions

__all__ = ["PRIN", "PRINHypers"]

# Places of a kernel: angles around and away from the pole, and in-plane turns.
_ON_SPHERE = (8, 5, 1)
_ON_GROUP = (6, 3, 6)


class PRINHypers(Hypers):
    """Options of :class:`PRIN`; the defaults are the paper's."""

    presets = {  # noqa: RUF012 (the base declares it a class variable, so pydantic ignores it)
        "quick": Preset(
            "bandwidth 6, fewer channels and few epochs: a first result in minutes on two cores",
            {
                "bandwidth": 6,
                "widths": [16, 16, 96],
                "hidden": [256, 128],
                "learning_rate": 2e-3,
            },
        ),
        "compact": Preset(
            "bandwidth 16 instead of 32, for training on a CPU",
            {"bandwidth": 16, "widths": [40, 40, 64]},
        ),
        "paper": Preset(
            "the paper's network, and its training as far as it is published",
            {
                "hidden": [512, 256],
                "learning_rate": 1e-3,
                "schedule": "constant",
                "epochs": 100,
            },
        ),
    }

    bandwidth: int = option(
        32, "Bandwidth b: 2b longitudes, latitudes and radial shells.", "Network", ge=2, le=64
    )
    widths: tuple[int, int, int] = option(
        (40, 40, 256), "Channels of the convolutions: one on the sphere, two on SO(3).", "Network"
    )
    window: float = option(
        2.0, "Half-width of a voxel's window, in steps of the grid.", "Network", gt=0
    )
    kernel_angle: float = option(
        math.pi / 8, "Largest angle of a kernel from the pole.", "Network", gt=0, le=math.pi
    )


def _kernel_places(counts: tuple[int, int, int], largest: float) -> Tensor:
    """Euler angles of a kernel's values near the identity, shape ``(K, 3)``."""
    around, away, turns = counts
    angles = [
        (2 * math.pi * a / around, largest * (b + 1) / away, 2 * math.pi * (t / turns - a / around))
        for a, b, t in itertools.product(range(around), range(away), range(turns))
    ]
    return torch.tensor(angles, dtype=torch.float64)


class _SphereConv(nn.Module):
    """From coefficients on the sphere to coefficients on SO(3)."""

    basis: Tensor

    def __init__(self, bandwidth: int, in_feats: int, out_feats: int, largest: float) -> None:
        super().__init__()
        places = _kernel_places(_ON_SPHERE, largest)
        middle = wigner_functions(bandwidth, places)[..., bandwidth - 1]
        self.register_buffer("basis", _real(middle), persistent=False)
        scale = (in_feats * len(places)) ** -0.5
        self.weight = nn.Parameter(scale * torch.randn(len(places), in_feats, out_feats))

    def forward(self, coefficients: Tensor) -> Tensor:
        """``(B, l, m, C)`` → ``(B, l, m, n, C')``."""
        kernel = _combine("klnr,kco->lncor", self.basis, self.weight)
        return torch.einsum("blmc,lnco->blmno", coefficients, kernel)


class _GroupConv(nn.Module):
    """From coefficients on SO(3) to coefficients on SO(3)."""

    basis: Tensor

    def __init__(self, bandwidth: int, in_feats: int, out_feats: int, largest: float) -> None:
        super().__init__()
        self.bandwidth = bandwidth
        places = _kernel_places(_ON_GROUP, largest)
        functions = wigner_functions(bandwidth, places)
        self.register_buffer("basis", _real(functions), persistent=False)
        scale = (in_feats * len(places)) ** -0.5
        self.weight = nn.Parameter(scale * torch.randn(len(places), in_feats, out_feats))

    def forward(self, coefficients: Tensor) -> Tensor:
        """``(B, l, m, n, C)`` → ``(B, l, m, n, C')``."""
        found = []
        for degree in range(self.bandwidth):
            # Orders beyond the degree are 0.
            inside = slice(self.bandwidth - 1 - degree, self.bandwidth + degree)
            basis = self.basis[:, degree, inside, inside]
            kernel = _combine("kpnr,kco->pncor", basis, self.weight)
            own = coefficients[:, degree, inside, inside]
            out = torch.einsum("bmpc,pnco->bmno", own, kernel)
            rest = self.bandwidth - 1 - degree
            parts = [F.pad(part, (0, 0, rest, rest, rest, rest)) for part in (out.real, out.imag)]
            found.append(torch.complex(*parts))
        return torch.stack(found, dim=1)


def _real(values: Tensor) -> Tensor:
    """Real and imaginary parts in a last dimension, in memory of their own."""
    return torch.view_as_real(values).clone(memory_format=torch.contiguous_format)


def _combine(equation: str, basis: Tensor, weight: Tensor) -> Tensor:
    """The complex coefficients of a kernel from its real values at places."""
    return torch.view_as_complex(
        torch.einsum(equation, basis.to(weight.dtype), weight).contiguous()
    )


class PRIN(ShapeModel):
    """The classifier of You et al., "Pointwise Rotation-Invariant Network", AAAI 2020.

    arXiv:1811.09361, here without its head. Points are collected on a grid of longitude, latitude
    and radius: the value of a voxel is the mean over the points in a window around it of a hat
    function of the radius, and the window widens towards the poles, as points get denser there.
    Radial shells are the channels of a convolution on the sphere, after which two convolutions on
    the group of rotations follow, with batch norm and ReLU on a grid of rotations after each. The
    last features are interpolated at the points, with the radius in place of the in-plane angle,
    as in the authors' code; the maximum over the points is taken.

    Parameters
    ----------
    hypers
        The model's options.

    Shapes
    ------
    points ``(B, N, 3)`` within the unit ball → ``(B, features)``.

    Examples
    --------
    >>> model = PRIN(PRINHypers(bandwidth=3, widths=(2, 2, 4))).eval()
    >>> model(torch.rand(2, 20, 3) / 2).shape
    torch.Size([2, 4])
    """

    Hypers = PRINHypers

    def __init__(self, hypers: PRINHypers) -> None:
        super().__init__(hypers)
        b, largest, widths = hypers.bandwidth, hypers.kernel_angle, hypers.widths
        self.fourier = SO3Fourier(b)
        self.sphere_conv = _SphereConv(b, 2 * b, widths[0], largest)
        self.group_convs = nn.ModuleList(
            _GroupConv(b, before, after, largest) for before, after in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths)
        self.activations = nn.ModuleList(nn.ReLU() for _ in widths)
        self.features = widths[-1]

    def _polar(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Longitude in [0, 2π), polar angle and radius of points, each of shape ``(B, N)``."""
        x, y, z = points.unbind(dim=-1)
        tiny = torch.finfo(points.dtype).eps ** 2
        across = (x.square() + y.square() + tiny).sqrt()
        radius = (across.square() + z.square()).sqrt()
        # Where x and y are 0 the longitude is arbitrary, and has no gradient.
        pole = across < 2 * tiny**0.5
        longitude = torch.atan2(torch.where(pole, 0, y), torch.where(pole, 1, x))
        return longitude % (2 * math.pi), torch.atan2(across, z), radius

    def voxels(self, points: Tensor) -> Tensor:
        """Values ``(B, β, α, h)`` of the voxels of clouds ``(B, N, 3)``."""
        b, window = self.hypers.bandwidth, self.hypers.window
        longitude, polar, radius = self._polar(points)
        steps = torch.arange(2 * b, dtype=points.dtype, device=points.device)
        alpha, beta = math.pi * steps / b, math.pi * (2 * steps + 1) / (4 * b)
        with torch.no_grad():
            gap = (longitude[:, None, :] - alpha[:, None]).abs()
            gap = torch.minimum(gap, 2 * math.pi - gap)  # (B, α, N)
            width = (window * math.pi / (2 * b) / beta.sin()).clamp(max=math.pi)
            near = (polar[:, None, :] - beta[:, None]).abs() < window * math.pi / (2 * b)
            inside = near[:, :, None] & (gap[:, None] < width[:, None, None])
            inside = inside.to(points.dtype).flatten(1, 2)  # (B, β·α, N)
        shells = (steps + 0.5) / (2 * b)
        hat = 1 - (radius[:, :, None] - shells).abs() * (2 * b) / window
        sums = inside @ hat.clamp(min=0)
        counts = inside @ (hat > 0).to(points.dtype)
        return (sums / counts.clamp(min=1)).unflatten(1, (2 * b, 2 * b))

    def _active(self, values: Tensor, index: int) -> Tensor:
        rows = self.norms[index](values.flatten(0, -2))
        out: Tensor = self.activations[index](rows).unflatten(0, values.shape[:-1])
        return out

    def forward(self, points: Tensor) -> Tensor:
        """Features of clouds ``(B, N, 3)``."""
        # Transforms need at least single precision.
        with torch.autocast(points.device.type, enabled=False):
            points = points.to(torch.promote_types(points.dtype, torch.float32))
            coefficients = self.sphere_conv(self.fourier.from_sphere(self.voxels(points)))
            values = self._active(self.fourier.to_grid(coefficients), 0)
            for index, conv in enumerate(self.group_convs, start=1):
                coefficients = conv(self.fourier.from_grid(values))
                values = self._active(self.fourier.to_grid(coefficients), index)
            return self._at_points(values, points).amax(dim=1)

    def _at_points(self, values: Tensor, points: Tensor) -> Tensor:
        """Interpolate values ``(B, β, α, h, C)`` at points, ``(B, N, C)``."""
        b = self.hypers.bandwidth
        longitude, polar, radius = self._polar(points)
        # Longitudes close in a circle, so the first is there again at the end.
        grid = torch.cat([values, values[:, :, :1]], dim=2).movedim(-1, 1)  # (B, C, β, α, h)
        places = torch.stack(
            [
                2 * (radius * 2 * b - 0.5) / (2 * b - 1) - 1,
                longitude / math.pi - 1,
                2 * (polar * 2 * b / math.pi - 0.5) / (2 * b - 1) - 1,
            ],
            dim=-1,
        )
        found = F.grid_sample(
            grid, places[:, :, None, None], padding_mode="border", align_corners=True
        )
        return found[..., 0, 0].transpose(1, 2)

    @classmethod
    def training_memory(cls, hypers: PRINHypers, batch_size: int, points: int) -> int | None:
        """Lower estimate of the count of numbers kept for the backward pass."""
        return 3 * batch_size * (2 * hypers.bandwidth) ** 3 * sum(hypers.widths)
