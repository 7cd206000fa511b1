"""Heads that targets put on top of a model: classes of shapes, curves of atoms."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.nn.site_norm import Norm, channel_norm

__all__ = ["ClassHead", "ClassHeads", "CurveHead", "CurveHeads", "HiddenLayers"]


def _check_widths(hidden: Sequence[int], dropout: float) -> None:
    if any(width < 1 for width in hidden):
        raise ConfigError(f"hidden is {list(hidden)}, but widths must be positive")
    if not 0 <= dropout < 1:
        raise ConfigError(f"dropout is {dropout}, but it must be at least 0 and less than 1")


def _hidden_layers(
    features: int, hidden: Sequence[int], dropout: float, norm: Norm
) -> list[nn.Module]:
    """Hidden layers of a head for curves: dropout, linear, a norm and ReLU for each width.

    Raises
    ------
    ConfigError
        A size or the norm is not allowed.
    """
    _check_widths(hidden, dropout)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise((features, *hidden)):
        layers += [nn.Dropout(dropout)] if dropout else []
        layers += [nn.Linear(before, after), channel_norm(norm, after), nn.ReLU(inplace=True)]
    # Without a norm nothing stands for it, so that names of weights stay what they were.
    return [layer for layer in layers if not isinstance(layer, nn.Identity)]


class ClassHead(nn.Sequential):
    """Layers from features to class scores (Fig. 4).

    Each hidden layer consists of dropout, linear, batch norm and ReLU.

    Parameters
    ----------
    features
        Length of the feature vectors.
    num_classes
        Number of classes.
    hidden
        Widths of the hidden layers.
    dropout
        Probability of dropout before each linear layer.

    Shapes
    ------
    ``(..., features)`` → ``(..., num_classes)``, before the softmax.

    Examples
    --------
    >>> ClassHead(8, 3, hidden=(4,))(torch.rand(5, 2, 8)).shape
    torch.Size([5, 2, 3])
    """

    def __init__(
        self,
        features: int,
        num_classes: int,
        *,
        hidden: Sequence[int] = (512, 256),
        dropout: float = 0.0,
    ) -> None:
        _check_widths(hidden, dropout)
        if num_classes < 1:
            raise ConfigError(f"num_classes is {num_classes}, but it must be at least 1")
        layers: list[nn.Module] = []
        width = features
        for out in hidden:
            layers += [
                nn.Dropout(dropout),
                nn.Linear(width, out),
                nn.BatchNorm1d(out),
                nn.ReLU(inplace=True),
            ]
            width = out
        super().__init__(*layers, nn.Dropout(dropout), nn.Linear(width, num_classes))
        self.num_classes = num_classes

    def forward(self, input: Tensor) -> Tensor:
        """Scores of feature vectors."""
        rows = input.flatten(0, -2) if input.dim() > 2 else input
        scores: Tensor = super().forward(rows)
        return scores.unflatten(0, input.shape[:-1]) if input.dim() > 2 else scores


class ClassHeads(nn.Module):
    """Several heads for classes, each on its own part of the features.

    In training each head has its own loss. A loss of their sum would let one head rely on the
    other, so that both make the same errors. With losses of their own, errors differ, and the mean
    of the scores is better than either.

    Parameters
    ----------
    features
        Length of each head's part.
    num_classes, hidden, dropout
        See :class:`ClassHead`.

    Shapes
    ------
    ``(..., sum(features))`` → ``(..., number of heads, num_classes)``, before the softmax.

    Examples
    --------
    >>> ClassHeads((8, 5), 3, hidden=(4,))(torch.rand(6, 13)).shape
    torch.Size([6, 2, 3])
    """

    def __init__(
        self,
        features: Sequence[int],
        num_classes: int,
        *,
        hidden: Sequence[int] = (512, 256),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.features, self.num_classes = tuple(features), num_classes
        self.heads = nn.ModuleList(
            ClassHead(length, num_classes, hidden=hidden, dropout=dropout) for length in features
        )

    def forward(self, input: Tensor) -> Tensor:
        """Scores of feature vectors, by each head."""
        parts = input.split(self.features, dim=-1)
        scores = [head(part) for head, part in zip(self.heads, parts, strict=True)]
        return torch.stack(scores, dim=-2)


class CurveHeads(nn.Module):
    """Several heads for curves, each on its own part of the descriptors.

    As with :class:`ClassHeads`, each head has its own loss in training, and a prediction is the
    mean of their curves.

    Parameters
    ----------
    heads
        The heads: :class:`CurveHead`, :class:`~csgnn_dgl.models.share_head.ShareHead` or
        :class:`~csgnn_dgl.models.fitted_head.FittedHead`.
    features
        Length of each head's part.

    Shapes
    ------
    ``(A, sum(features))`` → ``(A, bins)``.

    Examples
    --------
    >>> heads = CurveHeads([CurveHead(8, 20), CurveHead(5, 20)], (8, 5))
    >>> heads(torch.rand(6, 13)).shape, heads.each(torch.rand(6, 13)).shape
    (torch.Size([6, 20]), torch.Size([2, 6, 20]))
    """

    def __init__(self, heads: Sequence[Any], features: Sequence[int]) -> None:
        super().__init__()
        self.heads, self.features = nn.ModuleList(heads), tuple(features)
        self.bins: int = heads[0].bins

    def each(self, descriptors: Tensor) -> Tensor:
        """Curves of every head, shape ``(number of heads, A, bins)``."""
        parts = descriptors.split(self.features, dim=-1)
        return torch.stack([head(part) for head, part in zip(self.heads, parts, strict=True)])

    def forward(self, descriptors: Tensor) -> Tensor:
        """Mean curves of atoms with these descriptors."""
        return self.each(descriptors).mean(dim=0)

    def calibrate(self, curves: Tensor) -> None:
        """Initialise all heads; see :meth:`CurveHead.calibrate`."""
        for head in self.heads:
            cast(CurveHead, head).calibrate(curves)


class HiddenLayers(nn.Module):
    """Base of heads for curves: the hidden layers, each linear with a norm and a ReLU.

    Parameters
    ----------
    features, bins, hidden, dropout, norm
        See :class:`CurveHead`.

    Raises
    ------
    ConfigError
        A size or the norm is not allowed.
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
        self.layers = nn.Sequential(*_hidden_layers(features, hidden, dropout, norm))


class CurveHead(HiddenLayers):
    """Layers from descriptors of atoms to curves that are never negative (Fig. 7).

    Linear layers, each with a norm and a ReLU, are followed by a convolution over the bins (1 → 3
    channels, kernel 3), a ReLU, and the mean of the three channels.

    Parameters
    ----------
    features
        Length of the descriptors.
    bins
        Number of values of a curve.
    hidden
        Widths of the hidden layers.
    dropout
        Probability of dropout before each linear layer.
    norm
        With ``"batch"``, every layer has a batch norm, as in the paper. Then the mean output over a
        training batch is the same for every batch, whatever structures it holds. With ``"layer"``,
        hidden layers have a layer norm and the last layer has no norm, so that an atom's curve
        never depends on the rest of the batch. With ``"none"``, no layer has a norm.

    Shapes
    ------
    ``(A, features)`` → ``(A, bins)``.

    Raises
    ------
    ConfigError
        A size or the norm is not allowed.

    Examples
    --------
    >>> CurveHead(8, 20, hidden=(4,))(torch.rand(5, 8)).shape
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
        last = (*hidden[-1:], features)[0]
        # A layer norm over the bins would give every curve the same mean and spread.
        self.layers.extend(
            _hidden_layers(last, [bins], dropout, "none" if norm == "layer" else norm)
        )
        self.smooth = nn.Conv1d(1, 3, 3, padding=1)

    def forward(self, descriptors: Tensor) -> Tensor:
        """Curves of atoms with these descriptors."""
        curves = self.layers(descriptors)
        return F.relu(self.smooth(curves[:, None])).mean(dim=1)

    @torch.no_grad()
    def calibrate(self, curves: Tensor) -> None:
        """Initialise the last layer so that an untrained head gives curves like the training data.

        The last layer's weights become a random mix of the principal components of the training
        curves, each weighed by its standard deviation, and its bias their mean. So bins are
        correlated from the start as in the data, and the largest variations are learned first.

        Parameters
        ----------
        curves
            Training curves, if possible of single atoms, shape ``(n, bins)``; NaN where a bin is
            not defined.
        """
        mean = curves.nanmean(dim=0).nan_to_num()
        centred = (curves - mean).nan_to_num()
        covariance = centred.T @ centred / len(curves)
        variances, components = torch.linalg.eigh(covariance.double())
        spread = components * variances.clamp(min=0).sqrt()  # (bins, components)
        linear = [layer for layer in self.layers if isinstance(layer, nn.Linear)][-1]
        mix = torch.randn(len(mean), linear.in_features).double()
        linear.weight.copy_(spread @ mix / linear.in_features**0.5)
        norm = self.layers[-2]
        if isinstance(norm, nn.BatchNorm1d):
            norm.bias.copy_(mean)
            norm.weight.copy_(covariance.diagonal().sqrt())
        else:
            linear.bias.copy_(mean)
        # The three kernels differ, so that they learn different things. None changes a smooth curve
        # much.
        kernels = [[0.0, 1.0, 0.0], [0.25, 0.5, 0.25], [0.1, 0.8, 0.1]]
        self.smooth.weight.copy_(torch.tensor(kernels)[:, None])
        assert self.smooth.bias is not None
        self.smooth.bias.zero_()
