"""RI-GCN, reconstructed: descriptors in local frames, and a graph over them."""

from __future__ import annotations

import torch
from pydantic import PositiveInt, model_validator
from torch import Tensor, nn
from typing_extensions import Self

from csgnn_dgl.config import Preset, option
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.models.contract import ShapeModel
from csgnn_dgl.models.hypers import Hypers
from csgnn_dgl.models.shapes.parts import (
    PUBLISHED_STEPS,
    Dense,
    check_layers,
    farthest_points,
    gather,
    nearest,
    require_points,
)

__all__ = ["RIGCN", "RIGCNHypers", "local_frames"]


class RIGCNHypers(Hypers):
    """Options of :class:`RIGCN`; the defaults have the paper's number of parameters."""

    presets = {  # noqa: RUF012 (the base declares it a class variable, so pydantic ignores it)
        "quick": Preset(
            "a quarter of the width, half of the points and few epochs: minutes on two cores",
            {
                "sampled": [128, 64, 32],
                "neighbors": [24, 12, 12],
                "widths": [64, 128, 256],
                "hidden": [256, 128],
                "learning_rate": 2e-3,
            },
        ),
        "paper": Preset(
            "a network of the paper's size, and its training as far as it is published",
            {
                "hidden": [512, 256],
                "dropout": 0.5,
                **PUBLISHED_STEPS,
            },
        ),
    }

    sampled: list[PositiveInt] = option(
        [256, 128, 64], "Centres of each level of descriptors.", "Network"
    )
    neighbors: list[PositiveInt] = option(
        [32, 16, 16], "Neighbours of each centre, for each level.", "Network"
    )
    widths: list[PositiveInt] = option(
        [256, 512, 1024], "Length of the descriptors of each level.", "Network"
    )
    dilation: int = option(
        2,
        "Largest dilation d: in training, neighbours are k random ones of the k·d nearest, with "
        "another d in each step.",
        "Network",
        ge=1,
    )

    @model_validator(mode="after")
    def _levels_fit(self) -> Self:
        check_layers(self.sampled, self.neighbors, widths=self.widths)
        if min(self.neighbors) < 3:
            raise ConfigError(f"neighbors is {self.neighbors}, but a frame needs at least 3")
        return self


def local_frames(offsets: Tensor) -> Tensor:
    """Right-handed axes of every neighbourhood, which rotate with it.

    The first two axes are the principal axes with the least and the middle spread, pointing to the
    side of the neighbours' mean. The third is their cross product. No gradient flows through them.

    Parameters
    ----------
    offsets
        Neighbours relative to the centre, shape ``(..., K, 3)``.

    Returns
    -------
    Tensor
        Axes as columns, shape ``(..., 3, 3)``.

    Examples
    --------
    >>> frames = local_frames(torch.randn(2, 9, 3))
    >>> torch.linalg.det(frames).round().tolist()
    [1.0, 1.0]
    """
    with torch.no_grad(), torch.autocast(offsets.device.type, enabled=False):
        single = offsets.to(torch.promote_types(offsets.dtype, torch.float32))
        spread = single.mT @ single
        axes = torch.linalg.eigh(spread).eigenvectors[..., :2]
        side = single.mean(dim=-2, keepdim=True) @ axes
        axes = torch.where(side < 0, -axes, axes)
        third = torch.linalg.cross(axes[..., 0], axes[..., 1])
        return torch.cat([axes, third[..., None]], dim=-1).to(offsets.dtype)


def typical_ranks(count: int, largest: int) -> list[int]:
    """Ranks of neighbours in evaluation: evenly spaced among those that training draws.

    In training, ``count`` of the ``count·d`` nearest neighbours are drawn, with ``d`` from 1 to
    ``largest``. Batch norm has seen their distances, so others would be strange to it.

    Examples
    --------
    >>> typical_ranks(8, 1), typical_ranks(8, 2)
    ([0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 3, 4, 5, 7, 9, 13])
    """
    dilations = range(1, largest + 1)
    ranks, share, rank = [], 0.0, 0
    for place in range(count):
        # The share of draws up to a rank; it grows by at most 1 / count with each rank.
        while True:
            step = sum(1 / d for d in dilations if rank < count * d) / (count * largest)
            rank += 1
            share += step
            if share * count > place + 0.5 - 1e-9:
                break
        ranks.append(rank - 1)
    return ranks


class _Descriptor(nn.Module):
    """Descriptors of centres from what is around them, in the frame of each."""

    def __init__(self, in_feats: int, out_feats: int) -> None:
        super().__init__()
        self.perceptron = nn.Sequential(
            Dense(in_feats, out_feats // 2), Dense(out_feats // 2, out_feats)
        )

    def forward(self, found: Tensor) -> Tensor:
        out: Tensor = self.perceptron(found).amax(dim=2)
        return out


class _GraphConv(nn.Module):
    """Dense layer on the mean over the nearest descriptors, the own among them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = Dense(width, width)

    def forward(self, feat: Tensor, count: int) -> Tensor:
        indices = nearest(feat, feat, min(count, feat.shape[1]))
        out: Tensor = self.dense(gather(feat, indices).mean(dim=2))
        return out


class RIGCN(ShapeModel):
    """The classifier of Kim, Park and Han, "Rotation-Invariant Local-to-Global Representation".

    NeurIPS 2020 (arXiv:2010.03318), here without its head. Reconstructed from the paper, which has
    no public code: widths are chosen to give its number of parameters. Each level keeps points far
    from each other as centres, and gives each a frame of principal axes. A centre's descriptor is
    the maximum over its neighbours of a perceptron on their places in its frame; from the second
    level on also on their descriptors, and on their frames in its frame. Two convolutions on the
    graph of nearest descriptors follow, with half of the centres kept in between. The maximum and
    the mean over the last centres are the features. The network is exactly rotation-invariant.

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
        Clouds have too few points for the first level.

    Examples
    --------
    >>> sizes = {"sampled": [16, 8], "neighbors": [6, 4], "widths": [8, 16]}
    >>> RIGCN(RIGCNHypers(**sizes)).eval()(torch.rand(2, 20, 3)).shape
    torch.Size([2, 32])
    """

    Hypers = RIGCNHypers

    def __init__(self, hypers: RIGCNHypers) -> None:
        super().__init__(hypers)
        first, *others = hypers.widths
        self.first = _Descriptor(3, first)
        self.levels = nn.ModuleList(
            _Descriptor(before + 3 + 9, after)
            for before, after in zip(hypers.widths, others, strict=False)
        )
        width = hypers.widths[-1]
        self.graph_convs = nn.ModuleList((_GraphConv(width), _GraphConv(width)))
        self.features = 2 * width

    def _around(self, queries: Tensor, points: Tensor, count: int) -> Tensor:
        """Indices of neighbours ``(B, M, count)``; dilated, and at random in training."""
        largest = min(self.hypers.dilation, points.shape[1] // count)
        if not self.training or largest < 2:
            ranks = typical_ranks(count, largest)
            found = nearest(queries, points, ranks[-1] + 1)
            return found[:, :, torch.tensor(ranks, device=found.device)]
        found = nearest(queries, points, count * largest)
        # Each centre has a dilation of its own, so that all batches have the same statistics.
        dilation = torch.randint(1, largest + 1, found.shape[:2], device=found.device)
        beyond = torch.arange(found.shape[2], device=found.device) >= count * dilation[..., None]
        order = torch.rand(found.shape, device=found.device).masked_fill(beyond, torch.inf)
        return found.gather(2, order.argsort(dim=2)[:, :, :count])

    def forward(self, points: Tensor) -> Tensor:
        """Features of clouds ``(B, N, 3)``."""
        hypers = self.hypers
        least = max(hypers.sampled[0], hypers.neighbors[0])
        what = f"its first level has {hypers.sampled[0]} centres"
        require_points(points, least, "RI-GCN", what)
        centres = gather(points, farthest_points(points, hypers.sampled[0]))
        indices = self._around(centres, points, hypers.neighbors[0])
        offsets = gather(points, indices) - centres[:, :, None]
        frames = local_frames(offsets)
        feat = self.first(offsets @ frames)
        for level, count, neighbors in zip(
            self.levels, hypers.sampled[1:], hypers.neighbors[1:], strict=True
        ):
            kept = farthest_points(centres, count)
            queries = gather(centres, kept)
            own = gather(frames.flatten(2), kept).unflatten(-1, (3, 3))
            indices = self._around(queries, centres, neighbors)
            offsets = (gather(centres, indices) - queries[:, :, None]) @ own
            others = gather(frames.flatten(2), indices).unflatten(-1, (3, 3))
            turns = (own[:, :, None].mT @ others).flatten(-2)
            feat = level(torch.cat([gather(feat, indices), offsets, turns], dim=-1))
            centres, frames = queries, own
        first, second = self.graph_convs
        neighbors = hypers.neighbors[-1]
        feat = first(feat, neighbors)
        kept = farthest_points(centres, max(1, hypers.sampled[-1] // 2))
        near = nearest(gather(centres, kept), centres, min(neighbors, centres.shape[1]))
        feat = second(gather(feat, near).amax(dim=2), neighbors)
        return torch.cat([feat.amax(dim=1), feat.mean(dim=1)], dim=-1)
