"""Independent random streams from one seed, without any state to save.

Whatever is random in step ``i`` of epoch ``e`` is drawn from a generator made for just that purpose
and place. So a run that is resumed draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch

__all__ = ["derive_seed", "generator"]


def derive_seed(seed: int, purpose: str, *place: int) -> int:
    """A seed for ``purpose`` (any text) at ``place`` (non-negative numbers), below 2⁶³.

    Examples
    --------
    >>> derive_seed(0, "augment", 1, 2) == derive_seed(0, "augment", 1, 2)
    True
    >>> derive_seed(0, "augment", 1, 2) == derive_seed(0, "augment", 2, 1)
    False
    """
    sequence = np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), *place])
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)


def generator(seed: int, purpose: str, *place: int) -> torch.Generator:
    """A CPU generator for ``purpose`` at ``place``; see :func:`derive_seed`."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose, *place))
