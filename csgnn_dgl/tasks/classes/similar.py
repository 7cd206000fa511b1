"""Similar shapes: cosine similarity of embeddings, ranking, and how good a ranking is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["Ranking", "most_similar", "random_average_precision", "rank", "similarities"]

# Rows of a matrix of similarities that are computed at a time, to bound the memory.
_ROWS = 1024


def similarities(some: Tensor, others: Tensor) -> Tensor:
    """Cosine similarities of embeddings ``(m, F)`` and ``(n, F)``: ``(m, n)``, from -1 to 1.

    Examples
    --------
    >>> similarities(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
    tensor([[1., 0.]])
    """
    unit = [torch.nn.functional.normalize(each, dim=-1) for each in (some, others)]
    return unit[0] @ unit[1].T


def most_similar(
    features: npt.ArrayLike, count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Find the rows of an array that are most similar to each row, by cosine similarity.

    Parameters
    ----------
    features
        Embeddings, shape ``(n, F)``.
    count
        Number of rows to find for each; fewer if there are not so many others.

    Returns
    -------
    tuple
        Indices ``(n, count)``, the most similar first, and their similarities. A row is not its own
        neighbour.

    Examples
    --------
    >>> indices, values = most_similar([[1, 0], [0, 1], [3, 1]], 1)
    >>> indices[:, 0].tolist(), values.round(2)[:, 0].tolist()
    ([2, 2, 0], [0.95, 0.32, 0.95])
    """
    rows = torch.from_numpy(np.asarray(features, dtype=np.float64))
    count = max(0, min(count, len(rows) - 1))
    indices, values = [], []
    for start in range(0, len(rows), _ROWS):
        some = similarities(rows[start : start + _ROWS], rows)
        own = torch.arange(len(some))
        some[own, own + start] = -torch.inf
        best = some.topk(count, dim=1)
        indices.append(best.indices)
        values.append(best.values)
    if not indices:
        return np.zeros((0, 0), dtype=np.int64), np.zeros((0, 0))
    return torch.cat(indices).numpy(), torch.cat(values).numpy()


@dataclass(frozen=True, eq=False)
class Ranking:
    """How well similarity finds the other shapes of a query's class.

    Parameters
    ----------
    average_precision
        Of each query, shape ``(n,)``; NaN if its class has no other shape.
    nearest
        Whether the most similar shape is of the query's class.
    first_tier
        Share of the query's class, of ``c`` others, among the ``c`` most similar shapes.
    second_tier
        The same among the ``2 c`` most similar shapes.
    """

    average_precision: npt.NDArray[np.float64]
    nearest: npt.NDArray[np.float64]
    first_tier: npt.NDArray[np.float64]
    second_tier: npt.NDArray[np.float64]


def rank(features: Tensor, labels: Tensor) -> Ranking:
    """Let every shape in turn be the query, and rank all others by similarity.

    Parameters
    ----------
    features
        Embeddings, shape ``(n, F)``.
    labels
        Class of each, shape ``(n,)``.

    Examples
    --------
    >>> found = rank(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), torch.tensor([0, 0, 1]))
    >>> found.average_precision.tolist(), found.nearest.tolist()
    ([1.0, 1.0, nan], [1.0, 1.0, nan])
    """
    found = np.full((4, len(features)), np.nan)
    for start in range(0, len(features), _ROWS):
        block = similarities(features[start : start + _ROWS], features)
        for row, values in enumerate(block, start):
            others = torch.arange(len(features)) != row
            relevant = labels[others] == labels[row]
            size = int(relevant.sum())
            if size == 0:
                continue
            ordered = relevant[values[others].argsort(descending=True, stable=True)].double()
            precision = ordered.cumsum(dim=0) / torch.arange(1, len(ordered) + 1)
            found[:, row] = [
                float(precision @ ordered) / size,
                float(ordered[0]),
                float(ordered[:size].sum()) / size,
                float(ordered[: 2 * size].sum()) / size,
            ]
    return Ranking(*found)


def random_average_precision(labels: Tensor) -> float:
    """Mean average precision to expect of a random order of the other shapes.

    With ``c`` relevant of ``n`` shapes it is ``(H + (c - 1) / (n - 1) · (n - H)) / n``, where ``H``
    is the ``n``-th harmonic number. NaN if no class has two shapes.

    Examples
    --------
    >>> random_average_precision(torch.tensor([0, 0]))
    1.0
    >>> round(random_average_precision(torch.tensor([0, 0, 1])), 3)
    0.75
    """
    others = len(labels) - 1
    relevant = (torch.bincount(labels)[labels] - 1).double()
    relevant = relevant[relevant > 0]
    if not len(relevant):
        return float("nan")
    harmonic = float((1 / torch.arange(1, others + 1).double()).sum())
    share = (relevant - 1) / max(1, others - 1)
    return float(((harmonic + share * (others - harmonic)) / others).mean())
