"""A node's features as one row."""

from __future__ import annotations

import math

from torch import Tensor

__all__ = ["as_rows"]


def as_rows(feat: Tensor) -> Tensor:
    """``(num_nodes, ...)`` as ``(num_nodes, numbers per node)``, also where either is zero."""
    return feat.reshape(feat.shape[0], math.prod(feat.shape[1:]))
