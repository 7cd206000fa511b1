"""What the tests of atomic models share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from csgnn_dgl.mapping.neighbors import Neighbors


@pytest.fixture
def shuffled() -> Callable[[Neighbors], tuple[Neighbors, Tensor]]:
    """Put neighbours into another order, and return it beside them."""

    def put(known: Neighbors) -> tuple[Neighbors, Tensor]:
        order = torch.randperm(len(known.centres), generator=torch.Generator().manual_seed(0))
        fields = {
            name: getattr(known, name)[order] for name in ("displacements", "centres", "numbers")
        }
        return replace(known, **fields, neighbors=None), order

    return put
