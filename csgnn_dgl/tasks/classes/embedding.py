"""Embeddings of shapes: what the head of a classifier sees, on scales learned in training."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from csgnn_dgl.tasks.classes.trained import TrainedClassifier
from csgnn_dgl.tasks.classes.vote import embed

__all__ = ["embed_shapes"]


def embed_shapes(trained: TrainedClassifier, points: Tensor, **options: Any) -> Tensor:
    """Average the embedding of each cloud over orientations, on the scales of the training.

    Parameters
    ----------
    trained
        The classifier. A file of weights without scales gives the embedding as it is.
    points, options
        As for :func:`~csgnn_dgl.tasks.classes.vote.embed`.

    Returns
    -------
    Tensor
        Float64 on the CPU, shape ``(n, features)``.
    """
    features, scale = embed(trained.model, points, **options), trained.embedding_scale
    return features if scale is None else scale(features)
