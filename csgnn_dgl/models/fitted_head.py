"""A head whose last layer is fitted in closed form, and curves that it cannot make negative."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.models.heads import CurveHead, hidden_layers
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


class FittedHead(nn.Module):
    """Hidden layers of a :class:`~csgnn_dgl.models.CurveHead`, and one linear layer from all of it.

    The linear layer sees the last hidden layer and the descriptor beside it. It is meant to be
    fitted by least squares to all training data (``train dos --closing-fit``). Curves are never
    negative (:func:`rising`).

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
        super().__init__()
        if bins < 2:
            raise ConfigError(f"bins is {bins}, but a curve needs at least 2")
        self.bins = bins
        self.layers = nn.Sequential(*hidden_layers(features, hidden, dropout, norm))
        self.linear = nn.Linear(features + sum(hidden[-1:]), bins)

    @classmethod
    def of(cls, head: CurveHead) -> FittedHead:
        """Make one with the hidden layers of a trained head, in evaluation mode.

        The weights of the linear layer are zero.
        """
        linears = [layer for layer in head.layers if isinstance(layer, nn.Linear)]
        fitted = cls(linears[0].in_features, head.bins, hidden=(), norm="none")
        last = next(i for i, layer in enumerate(head.layers) if layer is linears[-1])
        # A dropout before the last layer belongs to that layer.
        last -= isinstance(head.layers[last - 1], nn.Dropout) if last else 0
        fitted.layers = nn.Sequential(*list(head.layers)[:last])
        width = linears[0].in_features + (linears[-1].in_features if len(linears) > 1 else 0)
        weight = linears[0].weight
        fitted.linear = nn.Linear(width, head.bins, device=weight.device, dtype=weight.dtype)
        nn.init.zeros_(fitted.linear.weight)
        nn.init.zeros_(fitted.linear.bias)
        return fitted.eval()

    def rows(self, descriptors: Tensor) -> Tensor:
        """What the linear layer sees: the last hidden layer, and the descriptor."""
        if not len(self.layers):
            return descriptors
        return torch.cat([self.layers(descriptors), descriptors], dim=1)

    def forward(self, descriptors: Tensor) -> Tensor:
        """Curves of atoms with these descriptors."""
        return rising(self.linear(self.rows(descriptors)))

    @torch.no_grad()
    def calibrate(self, curves: Tensor) -> None:
        """Initialise the linear layer with the mean curve; see :meth:`CurveHead.calibrate`."""
        self.linear.bias.copy_(curves.nanmean(dim=0).nan_to_num())
