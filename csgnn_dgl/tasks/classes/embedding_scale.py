"""Scales of the embedding of a classifier, which are learned after its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["EmbeddingScale", "fit_scale"]

Floats = npt.NDArray[np.float64]

# Names of the arrays in a file of weights.
_MEAN, _MATRIX = "embedding_mean", "embedding_matrix"
# Variance that is added within classes, relative to the total variance of a feature.
_SHRINKAGE = 0.03
# Features without variance are divided by this.
_LEAST = 1e-6
# Longest embedding whose features are decorrelated; the matrix of longer ones would be too large.
_LONGEST = 1024


@dataclass(frozen=True, eq=False)
class EmbeddingScale:
    """Scales of an embedding: directions in which a class varies much count little.

    An embedding ``f`` becomes ``(f - mean) @ matrix``.

    Parameters
    ----------
    mean
        Shape ``(F,)``.
    matrix
        Shape ``(F, F)``; or ``(F,)``, one factor for each feature.
    """

    mean: Floats
    matrix: Floats

    def __call__(self, features: Tensor) -> Tensor:
        """Embeddings ``(n, F)`` on these scales."""
        centred = features.double().numpy() - self.mean
        scaled = centred * self.matrix if self.matrix.ndim == 1 else centred @ self.matrix
        return torch.from_numpy(scaled)

    def tensors(self) -> dict[str, Tensor]:
        """The arrays in single precision, by the names that they have in a file of weights."""
        named = {_MEAN: self.mean, _MATRIX: self.matrix}
        return {name: torch.from_numpy(a.astype(np.float32)) for name, a in named.items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], features: int) -> EmbeddingScale | None:
        """The scales in a file of weights; None if it has none, as those of earlier versions.

        Raises
        ------
        ValueError
            They do not fit embeddings of this length.
        """
        if _MEAN not in tensors and _MATRIX not in tensors:
            return None
        if not {_MEAN, _MATRIX} <= tensors.keys():
            raise ValueError("a part of the scales of its embedding is missing")
        mean, matrix = (tensors[name].double().numpy() for name in (_MEAN, _MATRIX))
        if mean.shape != (features,) or matrix.shape not in ((features,), (features, features)):
            raise ValueError(
                f"the scales of its embedding have shapes {mean.shape} and {matrix.shape}, but it "
                f"has {features} features"
            )
        return cls(mean, matrix)


def fit_scale(features: Tensor, labels: Tensor) -> EmbeddingScale | None:
    """Learn scales from embeddings of training shapes.

    Features are divided by their standard deviations, and then decorrelated within classes (within-
    class covariance normalisation: Hatch, Kajarekar and Stolcke, Interspeech 2006).

    Parameters
    ----------
    features
        Shape ``(n, F)``.
    labels
        Class of each, shape ``(n,)``.

    Returns
    -------
    EmbeddingScale or None
        None if no class has two shapes. With more than 1,024 features, or no more shapes than
        features and classes together, the scales are one factor for each feature.

    Examples
    --------
    >>> rows = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    >>> scale = fit_scale(rows * torch.tensor([1.0, 5.0, 0.1]), torch.arange(200) % 4)
    >>> scale.matrix.shape
    (3, 3)
    """
    rows, classes = features.double().numpy(), labels.numpy()
    _, inverse, counts = np.unique(classes, return_inverse=True, return_counts=True)
    if not len(rows) or counts.max() < 2:
        return None
    mean, spread = rows.mean(axis=0), np.maximum(rows.std(axis=0), _LEAST)
    scaled = (rows - mean) / spread
    means = np.zeros((len(counts), rows.shape[1]))
    np.add.at(means, inverse, scaled)
    within = scaled - (means / counts[:, None])[inverse]
    freedom = len(rows) - len(counts)
    if rows.shape[1] > _LONGEST or freedom <= rows.shape[1]:
        variances = (within**2).sum(axis=0) / max(freedom, 1)
        return EmbeddingScale(mean, 1 / (spread * np.sqrt(variances + _SHRINKAGE)))
    variances, axes = np.linalg.eigh(within.T @ within / freedom)
    whitening = axes / np.sqrt(np.maximum(variances, 0) + _SHRINKAGE)
    return EmbeddingScale(mean, whitening / spread[:, None])
