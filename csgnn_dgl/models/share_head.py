"""A head that predicts the shape of a curve and its integral apart."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from csgnn_dgl.models.heads import HiddenLayers
from csgnn_dgl.nn.site_norm import Norm

__all__ = ["ShareHead"]

# Smallest value of a training curve, as a share of the largest, when its logarithm is taken.
_FLOOR = 1e-3


class ShareHead(HiddenLayers):
    r"""Layers from descriptors of atoms to curves: shares of the bins times the sum over all bins.

    .. math:: g_b = \mathrm{softmax}(W h)_b \cdot \mathrm{softplus}(w \cdot h + c)

    Hidden layers are linear, each with a norm and a ReLU. An error of the integral does not change
    the shape, and small values, as in gaps, are as easy to represent as large ones.

    Parameters
    ----------
    features, bins, hidden, dropout, norm
        See :class:`~csgnn_dgl.models.CurveHead`; the last layer never has a norm.

    Shapes
    ------
    ``(A, features)`` → ``(A, bins)``.

    Raises
    ------
    ConfigError
        A size or the norm is not allowed.

    Examples
    --------
    >>> ShareHead(8, 20, hidden=(4,))(torch.rand(5, 8)).shape
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
        if dropout:
            self.layers.append(nn.Dropout(dropout))
        width = (*hidden[-1:], features)[0]
        self.shape = nn.Linear(width, bins)
        self.total = nn.Linear(width, 1)

    def forward(self, descriptors: Tensor) -> Tensor:
        """Curves of atoms with these descriptors."""
        hidden = self.layers(descriptors)
        return self.shape(hidden).softmax(dim=1) * F.softplus(self.total(hidden))

    @torch.no_grad()
    def calibrate(self, curves: Tensor) -> None:
        """Initialise the last layers so that an untrained head gives curves like the training data.

        As :meth:`csgnn_dgl.models.CurveHead.calibrate`, with the principal components of the
        logarithms of the curves.

        Parameters
        ----------
        curves
            Training curves, shape ``(n, bins)``; NaN where a bin is not defined.
        """
        floor = _FLOOR * curves.nan_to_num().amax()
        logarithms = curves.clamp(min=floor).log()
        mean = logarithms.nanmean(dim=0).nan_to_num(nan=float(floor.log()))
        centred = (logarithms - mean).nan_to_num()
        variances, components = torch.linalg.eigh((centred.T @ centred / len(curves)).double())
        spread = components * variances.clamp(min=0).sqrt()
        mix = torch.randn(self.bins, self.shape.in_features).double()
        self.shape.weight.copy_(spread @ mix / self.shape.in_features**0.5)
        self.shape.bias.copy_(mean)
        total = curves.nan_to_num().sum(dim=1).mean().clamp(min=1e-3)
        self.total.weight.zero_()
        # The inverse of softplus.
        self.total.bias.fill_(float(total + torch.log(-torch.expm1(-total))))
