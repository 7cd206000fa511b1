"""Point clouds to class scores: a model of shapes with a head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from csgnn_dgl.models.contract import ShapeModel, check_features, check_made
from csgnn_dgl.models.heads import ClassHead, ClassHeads

__all__ = ["Classifier"]


class Classifier(nn.Module):
    """A model of shapes with a head for classes.

    With :class:`~csgnn_dgl.models.ShapeCSGNN` and the defaults it is the paper's classifier (Fig.
    4): 3,959,784 parameters for 40 classes.

    Parameters
    ----------
    model
        The model.
    num_classes
        Number of classes.
    hidden, dropout
        See :class:`~csgnn_dgl.models.ClassHead`.

    Shapes
    ------
    points ``(B, N, 3)`` within the unit ball → scores before the softmax ``(B, num_classes)``. In
    training, a model with ``M`` parts or heads gives the scores of each, ``(B, M, num_classes)``,
    and a model with a penalty gives a pair of scores and penalty.

    Raises
    ------
    ConfigError
        The model breaks the contract.

    Examples
    --------
    >>> import torch
    >>> from csgnn_dgl.models import ShapeCSGNN, ShapeCSGNNHypers
    >>> model = ShapeCSGNN(ShapeCSGNNHypers(level=1, n_spheres=2, channels=2, base_width=4))
    >>> Classifier(model, 5, hidden=(8,)).eval()(torch.rand(2, 30, 3) / 2).shape
    torch.Size([2, 5])
    """

    def __init__(
        self,
        model: ShapeModel,
        num_classes: int,
        *,
        hidden: Sequence[int] = (512, 256),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_made(model, type(model).__name__)
        self.model = model
        parts = model.head_features
        self.head: ClassHead | ClassHeads
        if len(parts) == 1:
            self.head = ClassHead(parts[0], num_classes, hidden=hidden, dropout=dropout)
        else:
            self.head = ClassHeads(parts, num_classes, hidden=hidden, dropout=dropout)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.head.num_classes

    @property
    def embedding_features(self) -> int:
        """Length of the embedding of a cloud."""
        return self.model.features

    def embed(self, points: Tensor) -> Tensor:
        """Describe clouds ``(B, N, 3)`` by what the head sees: ``(B, embedding_features)``.

        This is the output of the model, such as the pooled sites of all levels. If a model has
        parts of each cloud, it is their mean.
        """
        features = self._checked(self.model(points), points)
        return features.mean(dim=1) if features.dim() == 3 else features

    def _checked(self, found: Any, points: Tensor) -> Tensor:
        like = next(self.head.parameters()).dtype
        return check_features(found, points.shape[0], self.model.features, self.model, like)

    def forward(self, points: Tensor) -> Any:
        """Class scores of clouds ``(B, N, 3)``; the class describes the results in training."""
        found = self.model(points)
        paired = self.training and isinstance(found, tuple) and len(found) == 2
        scores = self.head(self._checked(found[0] if paired else found, points))
        if scores.dim() == 4:  # of each part, by each head
            scores = scores.flatten(1, 2)
        if self.training:
            return (scores, found[1]) if paired else scores
        return scores.mean(dim=1) if scores.dim() == 3 else scores
