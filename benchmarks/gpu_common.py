"""What the checks and the timings of ``gpu.py`` share: sizes, inputs, kernels, the network."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.models import Classifier, ShapeCSGNN, ShapeCSGNNHypers
from csgnn_dgl.nn.structure import relation
from csgnn_dgl.ops import (
    can_norm_relu,
    global_max,
    neighbor_sum,
    neighborhood_max,
    node_linear,
    norm_relu,
    radial_conv_regular,
)

Kernel = Callable[[Tensor], Tensor]
CHANNELS = 64
# Kernels that have a version in Triton.
IN_TRITON = ("neighbor_sum", "neighborhood_max", "norm_relu")


@dataclass(frozen=True)
class Setting:
    """Device and sizes."""

    device: torch.device
    quick: bool
    grid: ConcentricGrid
    batch: int
    points: int

    @classmethod
    def of(cls, device: str, quick: bool) -> Setting:
        level, spheres, batch, points = (2, 4, 2, 128) if quick else (4, 16, 32, 1024)
        return cls(torch.device(device), quick, ConcentricGrid(level, spheres), batch, points)

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def ways(self) -> list[bool]:
        """Without and with Triton, where there is a choice."""
        return [False, True] if self.cuda else [False]

    def synchronise(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()

    def hypers(self, **options: Any) -> ShapeCSGNNHypers:
        """The paper's classifier; ``options`` change it."""
        grid = {"level": self.grid.level, "n_spheres": self.grid.n_spheres, "channels": 8}
        return ShapeCSGNNHypers(**{**grid, **options})


@contextlib.contextmanager
def triton(wanted: bool) -> Iterator[None]:
    """Switch Triton's kernels on or off."""
    before = os.environ.get("CSGNN_TRITON")
    os.environ["CSGNN_TRITON"] = "1" if wanted else "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ["CSGNN_TRITON"]
        else:
            os.environ["CSGNN_TRITON"] = before


@contextlib.contextmanager
def tf32(wanted: bool) -> Iterator[None]:
    """Let convolutions and matrix products of float32 run in TF32, or not."""
    places = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [place.allow_tf32 for place in places]
    for place in places:
        place.allow_tf32 = wanted
    try:
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.allow_tf32 = value


def kernels(setting: Setting, dtype: torch.dtype, device: torch.device) -> dict[str, Kernel]:
    """Every kernel as a function of features ``(V·R, B, 64)``."""
    grid = setting.grid
    intra = relation(grid.graph(), "intra").with_self_loops
    pool = relation(grid.coarsening(grid.level), "pool")
    generator = torch.Generator().manual_seed(1)
    linear = torch.randn(CHANNELS, CHANNELS, generator=generator).to(device, dtype)
    taps = torch.randn(CHANNELS, CHANNELS, 3, generator=generator).to(device, dtype)
    norm = nn.BatchNorm1d(CHANNELS)
    for parameter in (norm.weight, norm.bias):
        nn.init.normal_(parameter, generator=generator)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    norm = norm.to(device, wide)

    def normed(x: Tensor) -> Tensor:
        if can_norm_relu(norm, x):
            return norm_relu(norm, x, own=x)
        out: Tensor = norm(x.reshape(-1, CHANNELS)).relu_().view(x.shape)
        return out + x

    return {
        "neighbor_sum": lambda x: neighbor_sum(intra, x),
        "neighborhood_max": lambda x: neighborhood_max(pool, x),
        "norm_relu": normed,
        "radial_conv": lambda x: radial_conv_regular(x, taps, None, grid.n_spheres),
        "node_linear": lambda x: node_linear(x, linear),
        "global_max": global_max,
    }


def inputs(setting: Setting, batch: int) -> tuple[Tensor, Tensor]:
    """Clouds and labels."""
    generator = torch.Generator().manual_seed(2)
    points = torch.rand(batch, setting.points, 3, generator=generator) - 0.5
    return points.to(setting.device), (torch.arange(batch) % 40).to(setting.device)


def classifier(
    setting: Setting, dropout: float = 0.0, **options: Any
) -> tuple[Classifier, ShapeCSGNN]:
    """Make the network, with the options of its model, and return it with its model."""
    torch.manual_seed(0)
    model = ShapeCSGNN(setting.hypers(**options))
    model.mapping.validate = False  # the check waits for the device
    return Classifier(model, 40, dropout=dropout).to(setting.device), model
