"""What ShellNet and RIConv share: layers that divide the neighbours of far points into bins."""

from __future__ import annotations

from abc import abstractmethod

import torch
from pydantic import PositiveInt, model_validator
from torch import Tensor, nn
from typing_extensions import Self

from csgnn_dgl.config import option
from csgnn_dgl.models.contract import ShapeModel
from csgnn_dgl.models.hypers import Hypers
from csgnn_dgl.models.shapes.parts import (
    check_layers,
    farthest_points,
    gather,
    nearest,
    require_points,
)

__all__ = ["LIFTED", "BinnedConv", "BinnedModel", "ShellHypers"]

#: Widths of the perceptron on the geometry of a neighbour.
LIFTED = (32, 64)


class ShellHypers(Hypers):
    """Sizes of the layers of :class:`BinnedModel`."""

    neighbors: list[PositiveInt] = option(
        [64, 32, 16], "Nearest neighbours of each point, for each layer.", "Network"
    )
    bins: list[PositiveInt] = option(
        [4, 2, 1], "Parts into which the neighbours are divided, for each layer.", "Network"
    )
    sampled: list[PositiveInt] = option([512, 128, 32], "Points that each layer keeps.", "Network")
    widths: list[PositiveInt] = option([128, 256, 512], "Channels of each layer.", "Network")

    @model_validator(mode="after")
    def _layers_fit(self) -> Self:
        check_layers(self.sampled, self.neighbors, bins=self.bins, widths=self.widths)
        return self


class BinnedConv(nn.Module):
    """A layer: features of kept points from the neighbours of each, bin by bin.

    A subclass defines :meth:`local`, the features of a neighbour's geometry with ``LIFTED[1]``
    channels, and :meth:`maxima`.

    Parameters
    ----------
    neighbors, bins
        Nearest neighbours of each point, and parts into which they are divided.
    combine
        Convolution over the bins, ``(B, M, D, C)`` → ``(B, M, width)``.
    """

    def __init__(self, neighbors: int, bins: int, combine: nn.Module) -> None:
        super().__init__()
        self.neighbors, self.bins = neighbors, bins
        self.combine = combine

    @abstractmethod
    def local(self, queries: Tensor, found: Tensor) -> Tensor:
        """Features of neighbours ``(B, M, K, 3)`` of queries ``(B, M, 3)``, from positions."""

    @abstractmethod
    def maxima(self, feat: Tensor, queries: Tensor, found: Tensor, centre: Tensor) -> Tensor:
        """Maxima over the neighbours in each bin, ``(B, M, K, C)`` → ``(B, M, D, C)``."""

    def choose(self, queries: Tensor, points: Tensor) -> Tensor:
        """Indices of the neighbours, ``(B, M, K)``."""
        return nearest(queries, points, self.neighbors)

    def forward(
        self, queries: Tensor, points: Tensor, feat: Tensor | None, centre: Tensor
    ) -> Tensor:
        """Features ``(B, M, width)`` of queries, from features ``(B, N, C)`` of the points.

        ``centre`` is the mean of the whole cloud, shape ``(B, 1, 3)``.
        """
        indices = self.choose(queries, points)
        found = gather(points, indices)
        mapped = self.local(queries, found)
        if feat is not None:
            mapped = torch.cat([mapped, gather(feat, indices)], dim=-1)
        out: Tensor = self.combine(self.maxima(mapped, queries, found, centre))
        return out


class BinnedModel(ShapeModel):
    """A stack of :class:`BinnedConv`, with points far from each other kept by each layer.

    Shapes
    ------
    points ``(B, N, 3)`` → ``(B, M, features)``, a feature vector of each point that is left.

    Raises
    ------
    DataError
        Clouds have too few points for the first layer.
    """

    def __init__(self, hypers: ShellHypers) -> None:
        super().__init__(hypers)
        self.convs = nn.ModuleList(
            self.layer(previous, *sizes)
            for previous, *sizes in zip(
                (0, *hypers.widths), hypers.neighbors, hypers.bins, hypers.widths, strict=False
            )
        )
        self.features = hypers.widths[-1]

    @abstractmethod
    def layer(self, previous: int, neighbors: int, bins: int, width: int) -> BinnedConv:
        """A layer that gets ``previous`` channels and gives ``width``."""

    def forward(self, points: Tensor) -> Tensor:
        """Features of clouds ``(B, N, 3)``."""
        hypers = self.hypers
        least = max(hypers.sampled[0], hypers.neighbors[0])
        what = f"its first layer keeps {hypers.sampled[0]}, with {hypers.neighbors[0]} neighbours"
        require_points(points, least, type(self).__name__, what)
        centre = points.mean(dim=1, keepdim=True)
        feat: Tensor | None = None
        for conv, count in zip(self.convs, hypers.sampled, strict=True):
            queries = gather(points, farthest_points(points, count))
            points, feat = queries, conv(queries, points, feat, centre)
        assert feat is not None
        return feat

    @classmethod
    def training_memory(cls, hypers: ShellHypers, batch_size: int, points: int) -> int | None:
        """Lower estimate of the count of numbers kept for the backward pass."""
        total = 0
        for previous, neighbors, sampled in zip(
            (0, *hypers.widths), hypers.neighbors, hypers.sampled, strict=False
        ):
            total += sampled * neighbors * (3 * sum(LIFTED) + previous)
        return batch_size * total
