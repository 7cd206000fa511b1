"""PointNet: a perceptron for every point, then the maximum over all points."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from csgnn_dgl.config import Preset, option
from csgnn_dgl.models.contract import ShapeModel
from csgnn_dgl.models.hypers import Hypers
from csgnn_dgl.models.shapes.parts import PUBLISHED_STEPS

__all__ = ["Alignment", "PointNet", "PointNetHypers"]


class PointNetHypers(Hypers):
    """Options of :class:`PointNet`; the defaults are the paper's."""

    presets = {  # noqa: RUF012 (the base declares it a class variable, so pydantic ignores it)
        "quick": Preset(
            "a third of the width and few epochs: a first result in minutes on two cores",
            {"width_factor": 0.33, "hidden": [256, 128], "learning_rate": 2e-3},
        ),
        "paper": Preset(
            "the paper's network and training",
            {
                "hidden": [512, 256],
                "dropout": 0.3,
                **PUBLISHED_STEPS,
            },
        ),
    }

    width_factor: float = option(1.0, "Factor of all widths.", "Network", gt=0, le=4)
    align_points: bool = option(True, "Transform the points by a learned matrix.", "Network")
    align_features: bool = option(True, "Transform the features by a learned matrix A.", "Network")
    penalty: float = option(1e-3, "Weight of ‖I − AAᵀ‖² in the loss.", "Network", ge=0)


def _shared(widths: Sequence[int]) -> nn.Sequential:
    """A perceptron that all points share: ``(B·N, widths[0])`` → ``(B·N, widths[-1])``."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers)


def _greatest(perceptron: nn.Module, feat: Tensor) -> Tensor:
    """Maximum ``(B, C')`` over the points of ``(B, N, C)`` after a perceptron without its ReLU.

    The ReLU after the maximum has the same values, for fewer of them.
    """
    return _per_point(perceptron, feat).max(dim=1).values.relu()


def _per_point(perceptron: nn.Module, feat: Tensor) -> Tensor:
    """Apply a perceptron to each point of ``(B, N, C)``."""
    out: Tensor = perceptron(feat.flatten(0, 1))
    return out.view(*feat.shape[:2], -1)


class Alignment(nn.Module):
    """Network that learns a matrix ``(B, size, size)`` for each cloud, initially the identity.

    Parameters
    ----------
    size
        Channels of the points, ``C``.
    widths, hidden
        Widths of the layers for each point, and of those after the maximum over all points.
    """

    def __init__(self, size: int, widths: Sequence[int], hidden: Sequence[int]) -> None:
        super().__init__()
        self.size = size
        self.points = _shared((size, *widths))[:-1]
        self.cloud = _shared((widths[-1], *hidden))
        self.matrix = nn.Linear(hidden[-1], size * size)
        nn.init.zeros_(self.matrix.weight)
        nn.init.zeros_(self.matrix.bias)

    def forward(self, feat: Tensor) -> Tensor:
        pooled = self.cloud(_greatest(self.points, feat))
        identity = torch.eye(self.size, dtype=feat.dtype, device=feat.device)
        matrix: Tensor = self.matrix(pooled).view(-1, self.size, self.size) + identity
        return matrix


class PointNet(ShapeModel):
    """The classifier of Qi et al., "PointNet", CVPR 2017 (arXiv:1612.00593), without its head.

    A shared perceptron maps every point to features. Learned matrices align the points and 64
    intermediate features. Then the maximum over all points is taken. The network is not
    rotation-invariant, so it serves as a control for networks that are.

    Parameters
    ----------
    hypers
        The model's options.

    Shapes
    ------
    points ``(B, N, 3)`` → ``(B, features)``. With ``align_features`` in training, a pair of these
    features and a penalty.

    Examples
    --------
    >>> model = PointNet(PointNetHypers(width_factor=0.125)).eval()
    >>> model(torch.rand(2, 20, 3)).shape
    torch.Size([2, 128])
    """

    Hypers = PointNetHypers

    def __init__(self, hypers: PointNetHypers) -> None:
        super().__init__(hypers)
        small, middle, large, half, quarter = (
            max(1, round(width * hypers.width_factor)) for width in (64, 128, 1024, 512, 256)
        )
        widths, hidden = (small, middle, large), (half, quarter)
        self.align_points = Alignment(3, widths, hidden) if hypers.align_points else None
        self.first = _shared((3, small, small))
        self.align_features = Alignment(small, widths, hidden) if hypers.align_features else None
        self.second = _shared((small, small, middle, large))[:-1]
        self.features = large

    def forward(self, points: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Features of clouds ``(B, N, 3)``."""
        if self.align_points is not None:
            points = points @ self.align_points(points)
        feat = _per_point(self.first, points)
        matrix = None
        if self.align_features is not None:
            matrix = self.align_features(feat)
            feat = feat @ matrix
        pooled = _greatest(self.second, feat)
        if matrix is None or not self.training:
            return pooled
        identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
        deviation = (identity - matrix @ matrix.transpose(1, 2)).square().sum(dim=(1, 2))
        return pooled, self.hypers.penalty * deviation.mean()
