"""View the features of a node, or of a block of nodes, as one row."""

from __future__ import annotations

import math

from torch import Tensor

from csgnn_dgl.ops.csr import CSR

__all__ = ["as_rows", "from_rows", "source_rows"]


def as_rows(feat: Tensor) -> Tensor:
    """View ``(num_nodes, ...)`` as ``(num_nodes, numbers per node)``; either may be zero."""
    return feat.reshape(feat.shape[0], math.prod(feat.shape[1:]))


def source_rows(csr: CSR, feat: Tensor) -> Tensor:
    """View ``(num_sources, ...)`` as ``(num_columns, numbers per block of nodes)``.

    Raises
    ------
    ValueError
        The number of nodes is wrong.
    """
    if feat.shape[0] != csr.num_sources:
        raise ValueError(
            f"features are for {feat.shape[0]} nodes, but the relation is from "
            f"{csr.num_sources} nodes"
        )
    return feat.reshape(csr.num_columns, csr.block * math.prod(feat.shape[1:]))


def from_rows(csr: CSR, rows: Tensor, like: Tensor) -> Tensor:
    """View ``(num_rows, numbers per block of nodes)`` as ``(num_destinations, ...)``."""
    return rows.view(csr.num_destinations, *like.shape[1:])
