"""KPConv: convolutions with weights at points in space."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from csgnn_dgl.config import Preset, option
from csgnn_dgl.models.contract import ShapeModel
from csgnn_dgl.models.hypers import Hypers
from csgnn_dgl.models.shapes.parts import in_a_tree, rows_in_a_tree

__all__ = ["KPConv", "KPConvHypers"]

_STAGES = 5
_SLOPE = 0.1
# In units of a stage's cell: radius of a neighbourhood, reach of a kernel point, and distance of
# kernel points from the centre.
_RADIUS, _REACH = 2.5, 1.2
_PLACE = 1.5 * _REACH


class KPConvHypers(Hypers):
    """Options of :class:`KPConv`; the defaults are the paper's, but for the cell."""

    presets = {  # noqa: RUF012 (the base declares it a class variable, so pydantic ignores it)
        "quick": Preset(
            "a quarter of the width, a coarser first cell and few epochs: minutes on two cores",
            {
                "width": 16,
                "cell": 0.1,
                "neighbors": 24,
                "hidden": [256],
                "learning_rate": 2e-3,
            },
        ),
        "paper": Preset(
            "the paper's network and training, with a cell for 1,024 points",
            {
                "hidden": [1024],
                "optimizer": "sgd",
                "learning_rate": 1e-2,
                "momentum": 0.98,
                "gradient_clip": 100.0,
                "schedule": "step",
                "step_epochs": 1,
                "step_factor": 0.1**0.01,
                "epochs": 250,
            },
        ),
    }

    width: int = option(64, "Channels of the first stage; they double four times.", "Network", ge=4)
    cell: float = option(
        0.06, "Edge of the first stage's cells; it doubles at each stage.", "Network", gt=0
    )
    neighbors: int = option(40, "Neighbours of a point, at most.", "Network", ge=1)


class _Cloud(NamedTuple):
    """Points of all clouds in one row, cloud after cloud.

    Parameters
    ----------
    points
        Positions, shape ``(M, 3)``.
    owners
        Cloud of each point, ascending, shape ``(M,)``.
    clouds
        Number of clouds.
    """

    points: Tensor
    owners: Tensor
    clouds: int

    def counts(self) -> Tensor:
        """Points of each cloud."""
        return torch.bincount(self.owners, minlength=self.clouds)

    def padded(self) -> tuple[Tensor, Tensor, Tensor]:
        """Positions ``(B, most, 3)``; which are real, ``(B, most)``; first row of each cloud."""
        counts = self.counts()
        starts = counts.cumsum(0) - counts
        most = int(counts.max())
        place = torch.arange(most, device=counts.device)
        real = place < counts[:, None]
        rows = (starts[:, None] + place).clamp(max=len(self.points) - 1)
        return self.points[rows], real, starts

    def coarser(self, cell: float) -> _Cloud:
        """The mean of the points in each cell of a grid along the axes."""
        with torch.no_grad():
            place = torch.floor(self.points / cell).long()
            place = torch.cat([self.owners[:, None], place - place.amin(dim=0)], dim=1)
            sizes = place.amax(dim=0) + 1
            key = place[:, 0]
            for axis in range(1, 4):
                key = key * sizes[axis] + place[:, axis]
            kept, row = key.unique(return_inverse=True)  # sorted, so cloud after cloud
            owners = kept // (sizes[1] * sizes[2] * sizes[3])
        sums = self.points.new_zeros(len(kept), 3).index_add(0, row, self.points)
        counts = torch.bincount(row, minlength=len(kept))
        return _Cloud(sums / counts[:, None], owners, self.clouds)


def _neighbors(queries: _Cloud, supports: _Cloud, radius: float, most: int) -> Tensor:
    """Rows of supports within a radius of each query, ``(M, K)``; absent ones are past the end."""
    with torch.no_grad():
        if in_a_tree(queries.points, supports.points):
            return _neighbors_in_a_tree(queries, supports, radius, most)
        asked, real, _ = queries.padded()
        points, exists, starts = supports.padded()
        distance = torch.cdist(asked, points, compute_mode="donot_use_mm_for_euclid_dist")
        distance = distance.masked_fill(~exists[:, None], torch.inf)
        count = min(most, points.shape[1])
        near, place = distance.topk(count, dim=2, largest=False)
        absent = len(supports.points)
        rows = torch.where(near <= radius, place + starts[:, None, None], absent)
        # A fixed width, so that a cloud's features do not depend on the size of others.
        return F.pad(rows[real], (0, most - count), value=absent)


def _neighbors_in_a_tree(queries: _Cloud, supports: _Cloud, radius: float, most: int) -> Tensor:
    asked = queries.points.split(queries.counts().tolist())
    clouds = supports.points.split(supports.counts().tolist())
    found, start = [], 0
    for own, points in zip(asked, clouds, strict=True):
        place = rows_in_a_tree(own, points, min(most, len(points)), radius)
        rows = torch.full((len(own), most), len(supports.points))
        rows[:, : place.shape[1]] = torch.where(place < len(points), place + start, rows[0, 0])
        found.append(rows)
        start += len(points)
    return torch.cat(found)


def _with_shadow(feat: Tensor) -> Tensor:
    """Append a row of zeros, to which absent neighbours point."""
    return torch.cat([feat, feat.new_zeros(1, feat.shape[1])])


class _Unary(nn.Module):
    def __init__(self, in_feats: int, out_feats: int, *, active: bool = True) -> None:
        super().__init__()
        self.linear = nn.Linear(in_feats, out_feats, bias=False)
        self.norm = nn.BatchNorm1d(out_feats)
        self.activation = nn.LeakyReLU(_SLOPE) if active else nn.Identity()

    def forward(self, feat: Tensor) -> Tensor:
        out: Tensor = self.activation(self.norm(self.linear(feat)))
        return out


class _KernelConv(nn.Module):
    r""":math:`\sum_k W_k \sum_i \max(0, 1 - |y_i - \tilde x_k| / σ) f_i` over neighbours i.

    Kernel points: the centre, and the corners of a cube and an octahedron around it.
    """

    kernel: Tensor

    def __init__(self, in_feats: int, out_feats: int, cell: float) -> None:
        super().__init__()
        self.reach = _REACH * cell
        cube = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3))) / math.sqrt(3)
        octahedron = torch.cat([torch.eye(3), -torch.eye(3)])
        kernel = _PLACE * cell * torch.cat([torch.zeros(1, 3), octahedron, cube])
        self.register_buffer("kernel", kernel, persistent=False)
        self.linear = nn.Linear(len(kernel) * in_feats, out_feats, bias=False)

    def influence(self, queries: Tensor, supports: Tensor, rows: Tensor) -> Tensor:
        """Influence ``(M, K, 15)`` of each kernel point on the neighbours ``(M, K)`` of queries."""
        # An absent neighbour is far from every kernel point.
        away = torch.full_like(supports[:1], 1e6)
        offsets = torch.cat([supports, away])[rows] - queries[:, None]
        # Axis by axis, which is much faster than a sum over three neighbouring numbers.
        gaps = [offsets[..., axis, None] - self.kernel[:, axis] for axis in range(3)]
        square = gaps[0].square().addcmul(gaps[1], gaps[1]).addcmul(gaps[2], gaps[2])
        # The slope of a distance at 0 is taken as 0.
        zero = square == 0
        near = square.masked_fill(zero, 1).sqrt().masked_fill(zero, 0)
        return (1 - near / self.reach).clamp(min=0)

    def forward(self, influence: Tensor, feat: Tensor, rows: Tensor) -> Tensor:
        found = influence.to(feat.dtype).mT @ _with_shadow(feat)[rows]
        out: Tensor = self.linear(found.flatten(1))
        return out


class _Bottleneck(nn.Module):
    """A residual block around a kernel convolution of a quarter of the width."""

    def __init__(self, in_feats: int, out_feats: int, cell: float) -> None:
        super().__init__()
        inner = out_feats // 4
        self.reduce = _Unary(in_feats, inner)
        self.conv = _KernelConv(inner, inner, cell)
        self.norm = nn.BatchNorm1d(inner)
        self.inner_activation = nn.LeakyReLU(_SLOPE)
        self.expand = _Unary(inner, out_feats, active=False)
        self.shortcut = (
            _Unary(in_feats, out_feats, active=False) if in_feats != out_feats else nn.Identity()
        )
        self.activation = nn.LeakyReLU(_SLOPE)

    def forward(self, influence: Tensor, feat: Tensor, rows: Tensor, *, strided: bool) -> Tensor:
        inner = self.conv(influence, self.reduce(feat), rows)
        inner = self.expand(self.inner_activation(self.norm(inner)))
        beside = feat
        if strided:
            # An absent neighbour counts as 0 in the maximum, as in the authors' code.
            beside = _with_shadow(feat)[rows].amax(dim=1)
        out: Tensor = self.activation(inner + self.shortcut(beside))
        return out


class KPConv(ShapeModel):
    """The rigid network of Thomas et al., "KPConv", ICCV 2019 (arXiv:1904.08889), without its head.

    Each convolution has weights at 15 points around the centre, and a neighbour takes part in those
    that are near it. Stages of residual blocks work on the means of the points in cells of a grid,
    whose edge doubles from stage to stage. The mean over the last stage's points is taken. The
    network is not rotation-invariant. The authors optimise the places of the kernel points; here
    they are the centre and the corners of an octahedron and a cube.

    Parameters
    ----------
    hypers
        The model's options.

    Shapes
    ------
    points ``(B, N, 3)`` → ``(B, features)``.

    Examples
    --------
    >>> model = KPConv(KPConvHypers(width=8, cell=0.2)).eval()
    >>> model(torch.rand(2, 20, 3)).shape
    torch.Size([2, 128])
    """

    Hypers = KPConvHypers

    def __init__(self, hypers: KPConvHypers) -> None:
        super().__init__(hypers)
        width = hypers.width
        self.lift = _KernelConv(1, width // 2, hypers.cell)
        self.lift_norm = nn.BatchNorm1d(width // 2)
        self.lift_activation = nn.LeakyReLU(_SLOPE)
        self.blocks = nn.ModuleList()
        before = width // 2
        for stage in range(_STAGES):
            after, cell = width * 2**stage, hypers.cell * 2**stage
            # The first stage has one block, others two; all but the last go on to the next stage.
            count = 1 + (stage > 0) + (stage < _STAGES - 1)
            blocks = nn.ModuleList()
            for _ in range(count):
                blocks.append(_Bottleneck(before, after, cell))
                before = after
            self.blocks.append(blocks)
        self.features = before

    def forward(self, points: Tensor) -> Tensor:
        """Features of clouds ``(B, N, 3)``."""
        clouds, number, _ = points.shape
        owners = torch.arange(clouds, device=points.device).repeat_interleave(number)
        here = _Cloud(points.reshape(-1, 3), owners, clouds)
        most, feat = self.hypers.neighbors, here.points.new_ones(clouds * number, 1)
        for stage, blocks in enumerate(self.blocks):
            assert isinstance(blocks, nn.ModuleList)
            cell = self.hypers.cell * 2**stage
            rows = _neighbors(here, here, _RADIUS * cell, most)
            # The convolutions of a stage have the same kernel points.
            first: Any = blocks[0]
            influence = first.conv.influence(here.points, here.points, rows)
            if stage == 0:
                lifted = self.lift(influence, feat, rows)
                feat = self.lift_activation(self.lift_norm(lifted))
            last = stage == _STAGES - 1
            for index, block in enumerate(blocks):
                if index == len(blocks) - 1 and not last:
                    coarse = here.coarser(2 * cell)
                    rows = _neighbors(coarse, here, _RADIUS * cell, most)
                    between = first.conv.influence(coarse.points, here.points, rows)
                    feat = block(between, feat, rows, strided=True)
                    here = coarse
                else:
                    feat = block(influence, feat, rows, strided=False)
        sums = feat.new_zeros(clouds, feat.shape[1]).index_add(0, here.owners, feat)
        return sums / here.counts()[:, None]

    @classmethod
    def training_memory(cls, hypers: KPConvHypers, batch_size: int, points: int) -> int | None:
        """Lower estimate of the count of numbers kept for the backward pass."""
        return batch_size * points * min(hypers.neighbors, points) * (15 + hypers.width // 4)
