"""Parts that networks on point clouds share: neighbours, farthest points, dense layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.mapping.nearest_points import in_a_tree, nearest, rows_in_a_tree

__all__ = [
    "PUBLISHED_STEPS",
    "Dense",
    "NormFirst",
    "binned_maxima",
    "check_layers",
    "farthest_points",
    "gather",
    "in_a_tree",
    "nearest",
    "polar",
    "require_points",
    "rows_in_a_tree",
]

#: Training that PointNet's authors published, and that many took over: Adam, whose rate falls to
#: 0.7 of itself every 200,000 clouds, which are 20 epochs of ModelNet40.
PUBLISHED_STEPS = {
    "learning_rate": 1e-3,
    "schedule": "step",
    "step_epochs": 20,
    "step_factor": 0.7,
    "final_learning_rate": 1e-5,
    "epochs": 250,
}


def check_layers(sampled: Sequence[int], neighbors: Sequence[int], **others: Sequence[int]) -> None:
    """Check that lists with an entry for each layer fit together.

    Parameters
    ----------
    sampled
        Points that each layer keeps, and the next one gets.
    neighbors
        Neighbours of each point, for each layer.
    others
        Further lists by name.

    Raises
    ------
    ConfigError
        Lists differ in length or are empty, or a layer gets fewer points than it needs.

    Examples
    --------
    >>> check_layers([64, 16], [8, 8], widths=[32, 64])
    """
    lists = {"sampled": sampled, "neighbors": neighbors, **others}
    if len({len(values) for values in lists.values()}) != 1 or not sampled:
        listed = ", ".join(f"{len(values)} {name}" for name, values in lists.items())
        raise ConfigError(f"there are {listed}, but each layer needs one of each")
    for before, after, count in zip(sampled, sampled[1:], neighbors[1:], strict=False):
        if max(after, count) > before:
            raise ConfigError(
                f"sampled is {list(sampled)} and neighbors {list(neighbors)}, but a layer that "
                f"gets {before} points cannot keep {after} of them with {count} neighbours each"
            )


def require_points(points: Tensor, least: int, model: str, what: str) -> None:
    """Refuse clouds with too few points for a network.

    Raises
    ------
    DataError
        There are fewer than ``least`` points; the message says what needs them.

    Examples
    --------
    >>> require_points(torch.zeros(1, 8, 3), 20, "DGCNN", "20 neighbours of each point")
    Traceback (most recent call last):
    csgnn_dgl.errors.DataError: DGCNN needs at least 20 points (20 neighbours of each point), but \
the clouds have 8; use more points, or change the model's options
    """
    if points.shape[1] < least:
        raise DataError(
            f"{model} needs at least {least} points ({what}), but the clouds have "
            f"{points.shape[1]}; use more points, or change the model's options"
        )


def farthest_points(points: Tensor, count: int) -> Tensor:
    """Choose points that are far from each other, one after the other.

    The first is the one that is farthest from the mean; each of the others is farthest from those
    chosen before. So the choice depends neither on the order of the points nor on their
    orientation (Qi et al., "PointNet++", 2017, begin with a random point).

    Parameters
    ----------
    points
        Shape ``(B, N, 3)``.
    count
        Number of points to choose, ``M``, at most ``N``.

    Returns
    -------
    Tensor
        Indices of points, shape ``(B, M)``, int64.

    Examples
    --------
    >>> line = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [9, 0, 0]]])
    >>> farthest_points(line, 3).tolist()
    [[3, 0, 2]]
    """
    with torch.no_grad():
        gap = (points - points.mean(dim=1, keepdim=True)).square().sum(dim=-1)
        index = gap.argmax(dim=1, keepdim=True)
        gap = torch.full_like(gap, torch.inf)
        chosen = []
        for _ in range(count):
            chosen.append(index)
            here = points.gather(1, index[:, :, None].expand(-1, -1, points.shape[-1]))
            gap = torch.minimum(gap, (points - here).square().sum(dim=-1))
            index = gap.argmax(dim=1, keepdim=True)
        return torch.cat(chosen, dim=1)


def gather(feat: Tensor, indices: Tensor) -> Tensor:
    """Rows of every cloud: ``(B, N, C)`` at ``(B, ...)`` gives ``(B, ..., C)``.

    Examples
    --------
    >>> gather(torch.tensor([[[1.0], [2.0]]]), torch.tensor([[[1, 1, 0]]]))[0, 0, :, 0].tolist()
    [2.0, 2.0, 1.0]
    """
    clouds, number, width = feat.shape
    first = torch.arange(clouds, device=feat.device).view(-1, *(1,) * (indices.dim() - 1))
    rows = (indices + number * first).flatten()
    return feat.reshape(clouds * number, width).index_select(0, rows).view(*indices.shape, width)


def polar(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Lengths ``(..., 1)`` and directions ``(..., 3)`` of vectors; both are 0 for the zero vector.

    Gradients at the zero vector are 0, too.

    Examples
    --------
    >>> length, direction = polar(torch.tensor([[3.0, 0.0, 4.0], [0.0, 0.0, 0.0]]))
    >>> length.flatten().tolist(), direction[1].tolist()
    ([5.0, 0.0], [0.0, 0.0, 0.0])
    """
    square = vectors.square().sum(dim=-1, keepdim=True)
    zero = square == 0
    length = torch.where(zero, 1, square).sqrt()
    return torch.where(zero, 0, length), vectors / length


def binned_maxima(feat: Tensor, bins: Tensor, count: int) -> Tensor:
    """Maximum over the neighbours in each bin; 0 for an empty bin.

    Parameters
    ----------
    feat
        Features of neighbours, not negative, shape ``(B, M, K, C)``.
    bins
        Bin of every neighbour, shape ``(B, M, K)``, int64.
    count
        Number of bins, ``D``.

    Returns
    -------
    Tensor
        Shape ``(B, M, D, C)``.

    Examples
    --------
    >>> feat = torch.tensor([3.0, 1.0, 2.0])[None, None, :, None]
    >>> binned_maxima(feat, torch.tensor([[[0, 2, 2]]]), 3).flatten().tolist()
    [3.0, 0.0, 2.0]
    """
    if count == 1:
        return feat.max(dim=2, keepdim=True).values
    # A product is twice as fast as torch.where; 0 is never above the features.
    parts = [(feat * (bins == i)[..., None].to(feat.dtype)).max(dim=2).values for i in range(count)]
    return torch.stack(parts, dim=2)


class Dense(nn.Module):
    """Linear, batch norm and an activation on the last dimension of ``(..., in_feats)``.

    Parameters
    ----------
    in_feats, out_feats
        Numbers of channels.
    slope
        Slope of the activation below zero: 0 for a ReLU.
    bias
        Whether the linear map has a bias.

    Examples
    --------
    >>> Dense(3, 8)(torch.rand(2, 5, 4, 3)).shape
    torch.Size([2, 5, 4, 8])
    """

    def __init__(
        self, in_feats: int, out_feats: int, *, slope: float = 0.0, bias: bool = True
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(in_feats, out_feats, bias=bias)
        self.norm = nn.BatchNorm1d(out_feats)
        self.activation = nn.LeakyReLU(slope) if slope else nn.ReLU()

    def forward(self, feat: Tensor) -> Tensor:
        """Map the last dimension."""
        rows: Tensor = self.activation(self.norm(self.linear(feat.flatten(0, -2))))
        return rows.unflatten(0, feat.shape[:-1])


class NormFirst(nn.Module):
    """Batch norm, linear and ReLU on the last dimension of ``(..., in_feats)``.

    With ``window`` positions in the last dimension but one, the linear map takes all of them at
    once: a convolution of that width without padding. The norm treats them alike.

    Parameters
    ----------
    in_feats, out_feats
        Numbers of channels.
    window
        Positions that the linear map takes at once.

    Examples
    --------
    >>> NormFirst(6, 8, window=4)(torch.rand(2, 5, 4, 6)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, in_feats: int, out_feats: int, *, window: int | None = None) -> None:
        super().__init__()
        self.window = window
        self.norm = nn.BatchNorm1d(in_feats)
        self.linear = nn.Linear(in_feats * (window or 1), out_feats)
        self.activation = nn.ReLU()

    def forward(self, feat: Tensor) -> Tensor:
        """Map the last dimension, or the last two."""
        normed = self.norm(feat.flatten(0, -2)).unflatten(0, feat.shape[:-1])
        kept = 1 if self.window is None else 2
        rows: Tensor = self.activation(self.linear(normed.flatten(0, -kept - 1).flatten(1)))
        return rows.unflatten(0, feat.shape[:-kept])
