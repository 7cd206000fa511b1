"""Constant tables on the device and in the precision of the data."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from csgnn_dgl.ops.lasting import lasting

__all__ = ["Tables"]


@lasting
def _tensor(array: NDArray[np.float64] | NDArray[np.int64], dtype: torch.dtype) -> Tensor:
    # Not from_numpy, whose result would share memory with the original.
    table = torch.tensor(array)
    return table.to(dtype) if table.is_floating_point() else table


class Tables:
    """Named constant arrays, with one tensor copy per device and floating-point type.

    They are deliberately not module buffers. ``module.half()`` would round a buffer, and a later
    ``.double()`` would not restore the digits, so that points would be assigned to wrong faces.
    Distributed training would send buffers to every process at each step. Here each copy is cast
    from the float64 (or int64) original, and checkpoints do not contain it.

    Parameters
    ----------
    arrays
        The arrays. Floating-point arrays are cast to the requested type; integers stay int64.

    Examples
    --------
    >>> tables = Tables(radii=np.array([0.5, 1.0]))
    >>> tables.get("radii", torch.device("cpu"), torch.float32)
    tensor([0.5000, 1.0000])
    """

    def __init__(self, **arrays: NDArray[np.float64] | NDArray[np.int64]) -> None:
        self._arrays = arrays
        self._copies: dict[tuple[str, torch.device, torch.dtype], Tensor] = {}

    def get(self, name: str, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Get the table ``name`` on ``device``: the same tensor at each call; do not change it."""
        key = (name, device, dtype)
        if key in self._copies:
            return self._copies[key]
        # Validation often runs first, in inference mode. A tensor made in that mode could not be
        # used in training afterwards.
        with torch.inference_mode(False):
            table = _tensor(self._arrays[name], dtype).to(device)
        # Tensors of a tracer cannot be used outside of it, so they are not kept.
        if type(table) is Tensor:
            self._copies[key] = table
        return table

    def __getstate__(self) -> dict[str, object]:
        """Leave out the copies when pickled or deep-copied; they are made again when needed."""
        return {"_arrays": self._arrays, "_copies": {}}
