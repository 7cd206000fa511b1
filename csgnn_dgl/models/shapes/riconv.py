"""RIConv: convolutions over rotation-invariant features of neighbours."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from csgnn_dgl.config import Preset, option
from csgnn_dgl.models.shapes.parts import PUBLISHED_STEPS, Dense, binned_maxima, nearest, polar
from csgnn_dgl.models.shapes.shells import LIFTED, BinnedConv, BinnedModel, ShellHypers

__all__ = ["RIConv", "RIConvHypers"]


class RIConvHypers(ShellHypers):
    """Options of :class:`RIConv`; the defaults are the paper's."""

    presets = {  # noqa: RUF012 (the base declares it a class variable, so pydantic ignores it)
        "quick": Preset(
            "half of the points and few epochs: a first result in minutes on two cores",
            {
                "neighbors": [32, 16, 8],
                "sampled": [128, 64, 32],
                "hidden": [256, 128],
                "learning_rate": 2e-3,
            },
        ),
        "paper": Preset(
            "the paper's network and training",
            {
                "hidden": [512, 256],
                "dropout": 0.5,
                **PUBLISHED_STEPS,
            },
        ),
    }

    sampled: list[PositiveInt] = option([256, 128, 64], "Points that each layer keeps.", "Network")
    skip: int = option(
        0,
        "Nearest neighbours to leave out, the point itself among them; the released code has 5.",
        "Network",
        ge=0,
    )


class _RIConv(BinnedConv):
    """Features of points from invariants of their neighbours, bin by bin."""

    def __init__(self, previous: int, neighbors: int, bins: int, width: int, skip: int) -> None:
        combine = nn.Sequential(nn.Flatten(2), Dense(bins * (previous + LIFTED[1]), width))
        super().__init__(neighbors, bins, combine)
        self.skip = skip
        self.lift = nn.Sequential(Dense(4, LIFTED[0]), Dense(*LIFTED))

    def choose(self, queries: Tensor, points: Tensor) -> Tensor:
        # Near the end of the stack, fewer points may be left than are to be left out.
        skip = min(self.skip, points.shape[1] - self.neighbors)
        return nearest(queries, points, self.neighbors + skip)[:, :, skip:]

    def local(self, queries: Tensor, found: Tensor) -> Tensor:
        point = queries[:, :, None]
        mean = found.mean(dim=2, keepdim=True)
        _, axis = polar(mean - point)
        parts = []
        for vector in (found - point, found - mean):
            length, direction = polar(vector)
            parts += [length, (direction * axis).sum(dim=-1, keepdim=True)]
        lifted: Tensor = self.lift(torch.cat(parts, dim=-1))
        return lifted

    def maxima(self, feat: Tensor, queries: Tensor, found: Tensor, centre: Tensor) -> Tensor:
        with torch.no_grad():
            inwards = (centre - queries)[:, :, None]
            along = ((found - queries[:, :, None]) * inwards).sum(dim=-1)
            low, high = along.aminmax(dim=2, keepdim=True)
            share = (along - low) / (high - low).clamp(min=torch.finfo(along.dtype).tiny)
            bins = (share * self.bins).long().clamp(max=self.bins - 1)
        return binned_maxima(feat, bins, self.bins)


class RIConv(BinnedModel):
    """The classifier of Zhang et al., "Rotation Invariant Convolutions", 3DV 2019.

    arXiv:1908.06297, here without its head. In each layer, points far from each other are kept. Of
    each neighbour ``x`` of a point ``p``, with the mean ``m`` of all neighbours, four numbers are
    used that no rotation changes: ``‖x − p‖``, ``‖x − m‖``, and the cosines of the angles of
    ``x − p`` and ``x − m`` with ``m − p``. Neighbours are divided into bins along the direction
    from ``p`` to the mean of the cloud. The maximum within each bin is taken, and a convolution
    over the bins follows. The network is exactly rotation-invariant.

    Parameters
    ----------
    hypers
        The model's options.

    Shapes
    ------
    points ``(B, N, 3)`` → ``(B, M, features)``, a feature vector of each point that is left.

    Raises
    ------
    DataError
        Clouds have too few points for the first layer.

    Examples
    --------
    >>> sizes = {"neighbors": [8, 4], "bins": [2, 1], "sampled": [16, 4], "widths": [8, 16]}
    >>> RIConv(RIConvHypers(**sizes)).eval()(torch.rand(2, 20, 3)).shape
    torch.Size([2, 4, 16])
    """

    Hypers = RIConvHypers

    def layer(self, previous: int, neighbors: int, bins: int, width: int) -> BinnedConv:
        """A layer that gets ``previous`` channels and gives ``width``."""
        return _RIConv(previous, neighbors, bins, width, self.hypers.skip)
