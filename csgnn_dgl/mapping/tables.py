"""Constant tables which follow the data to its device and precision."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from csgnn_dgl.ops.lasting import lasting

__all__ = ["Tables"]


@lasting
def _tensor(array: NDArray[np.float64] | NDArray[np.int64], dtype: torch.dtype) -> Tensor:
    # tensor, not from_numpy: the original must be out of the copy's reach.
    table = torch.tensor(array)
    return table.to(dtype) if table.is_floating_point() else table


class Tables:
    """Named constant arrays, with one tensor copy per device and floating-point type.

    They are deliberately not module buffers. ``module.half()`` would round a buffer, and a later
    ``.double()`` would not bring the digits back, so that points fall into the wrong face;
    distributed training would send buffers to every process at each step. Here each copy is cast
    from the float64 (or int64) original, and nothing of it reaches a checkpoint.

    Parameters
    ----------
    arrays
        Floating-point arrays are cast to the type asked for; integer arrays stay int64.

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
        """The table ``name`` on ``device``; the same tensor at each call, only to be read."""
        key = (name, device, dtype)
        if key in self._copies:
            return self._copies[key]
        # Validation often runs first, in inference mode; a tensor made in that mode could not take
        # part in training afterwards.
        with torch.inference_mode(False):
            table = _tensor(self._arrays[name], dtype).to(device)
        # A tracer's tensors are of no use to anybody else.
        if type(table) is Tensor:
            self._copies[key] = table
        return table

    def __getstate__(self) -> dict[str, object]:
        """Copies stay behind when a module is pickled or deep-copied; they are rebuilt on use."""
        return {"_arrays": self._arrays, "_copies": {}}
