"""A head whose last layer is fitted in closed form, and curves that it cannot make negative."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from csgnn_dgl.models.heads import HiddenLayers
from csgnn_dgl.nn.site_norm import Norm

__all__ = ["FittedHead", "rising"]


def rising(curves: Tensor) -> Tensor:
    """Make curves nonnegative without moving states in energy.

    The sum up to each bin is replaced by the middle between its largest value so far and its
    smallest value from there on, which never falls. So states that are missing in one bin are taken
    from its neighbours. A curve without negative values stays the same. Cutting off negative values
    would add states in every gap instead, which moves the Fermi level.

    Parameters
    ----------
    curves
        Shape ``(A, E)``.

    Examples
    --------
    >>> rising(torch.tensor([[1.0, -0.5, 1.0], [1.0, 0.0, 2.0]])).tolist()
    [[0.75, 0.0, 0.75], [1.0, 0.0, 2.0]]
    """
    sums = curves.cumsum(dim=1).clamp(min=0)
    above = sums.cummax(dim=1).values
    below = sums.flip(1).cummin(dim=1).values.flip(1)
    middle = (above + below) / 2
    return torch.cat([middle[:, :1], middle.diff(dim=1)], dim=1)


class FittedHead(HiddenLayers):
    """Hidden layers of a :class:`~csgnn_dgl.models.CurveHead`, and one linear layer from all of it.

    The linear layer sees the last hidden layer and the descriptor beside it. It is meant to be
    fitted by least squares to all training data (``train dos --closing-fit``). The tensors of the
    hidden layers have the names that they have in a :class:`~csgnn_dgl.models.CurveHead`. Curves
    are never negative (:func:`rising`).

    Parameters
    ----------
    features, bins, hidden, dropout, norm
        See :class:`~csgnn_dgl.models.CurveHead`.

    Shapes
    ------
    ``(A, features)`` → ``(A, bins)``.

    Raises
    ------
    ConfigError
        A size or the norm is not allowed.

    Examples
    --------
    >>> FittedHead(8, 20, hidden=(4,))(torch.rand(5, 8)).shape
    torch.Size([5, 20])
    """

    def __init__(
        self,
        features: int,
        bins: int,
        *,
        hidden: Sequence[int] = (512, 512),
        dropout: float = 0.0,
        norm: Norm = "batch",
    ) -> None:
        super().__init__(features, bins, hidden=hidden, dropout=dropout, norm=norm)
        self.linear = nn.Linear(features + sum(hidden[-1:]), bins)

    def rows(self, descriptors: Tensor) -> Tensor:
        """What the linear layer sees: the last hidden layer, and the descriptor."""
        if not len(self.layers):
            return descriptors
        return torch.cat([self.layers(descriptors), descriptors], dim=1)

    def forward(self, descriptors: Tensor) -> Tensor:
        """Curves of atoms with these descriptors."""
        return rising(self.linear(self.rows(descriptors)))
