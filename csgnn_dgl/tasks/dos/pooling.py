"""Descriptors of whole structures, pooled from those of their atoms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols

from csgnn_dgl.errors import ConfigError, suggest
from csgnn_dgl.tasks.table_files import feature_names
from csgnn_dgl.tasks.use_config import Pool

__all__ = ["Pool", "check_pool", "pool_descriptors", "pooled_names"]


def check_pool(pool: str) -> None:
    """Refuse a pooling that does not exist.

    Raises
    ------
    ConfigError
        ``pool`` is unknown.
    """
    if pool not in get_args(Pool):
        raise ConfigError(f"unknown pool {pool!r}: {suggest(str(pool), get_args(Pool))}")


def pool_descriptors(
    features: npt.NDArray[Any],
    numbers: npt.NDArray[Any],
    pool: Pool = "mean",
    elements: Sequence[int] = (),
) -> npt.NDArray[Any]:
    """Pool the descriptors of a structure's atoms into one of the structure.

    The result depends neither on the order of the atoms nor, for ``"mean"`` and ``"per-element"``,
    on the choice of the cell.

    Parameters
    ----------
    features
        Descriptors of the atoms, shape ``(N, F)``.
    numbers
        Atomic numbers, shape ``(N,)``.
    pool
        ``"mean"`` over atoms; ``"sum"`` over atoms, which grows with the structure; or
        ``"per-element"``, a mean over the atoms of each element, one after another. The part of an
        element that the structure lacks is zero.
    elements
        Atomic numbers for ``"per-element"``, in the order of the parts.

    Returns
    -------
    numpy.ndarray
        Shape ``(F,)``; ``(len(elements) · F,)`` for ``"per-element"``. Type of ``features``.

    Raises
    ------
    ConfigError
        ``pool`` is unknown, or an element of the structure is not among ``elements``.

    Examples
    --------
    >>> features = np.array([[1.0, 0.0], [3.0, 2.0], [8.0, 8.0]])
    >>> pool_descriptors(features, np.array([1, 1, 8]))
    array([4.        , 3.33333333])
    >>> pool_descriptors(features, np.array([1, 1, 8]), "per-element", (1, 6, 8))
    array([2., 1., 0., 0., 8., 8.])
    """
    check_pool(pool)
    wide = features.astype(np.float64)
    if pool == "mean":
        return wide.mean(axis=0).astype(features.dtype)
    if pool == "sum":
        return wide.sum(axis=0).astype(features.dtype)
    strange = sorted({int(number) for number in numbers} - set(elements))
    if strange:
        raise ConfigError(
            f"the structure has {', '.join(chemical_symbols[n] for n in strange)}, which is not "
            f"among the elements of the descriptor: "
            f"{' '.join(chemical_symbols[n] for n in elements) or 'none'}"
        )
    parts = np.zeros((len(elements), features.shape[1]))
    for row, element in zip(parts, elements, strict=True):
        own = wide[numbers == element]
        if len(own):
            row[:] = own.mean(axis=0)
    return parts.ravel().astype(features.dtype)


def pooled_names(count: int, pool: Pool = "mean", elements: Sequence[int] = ()) -> list[str]:
    """Names of the features of a structure.

    Examples
    --------
    >>> pooled_names(2, "per-element", (1, 8))
    ['H_f0', 'H_f1', 'O_f0', 'O_f1']
    """
    names = feature_names(count)
    if pool != "per-element":
        return names
    return [f"{chemical_symbols[element]}_{name}" for element in elements for name in names]
