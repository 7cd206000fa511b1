"""Choose the device to compute on."""

from __future__ import annotations

import torch

from csgnn_dgl._foreign import quoted
from csgnn_dgl.errors import ConfigError

__all__ = ["choose_device"]


def choose_device(name: str) -> torch.device:
    """The device called ``name``; ``auto`` is the first GPU if there is one, else the CPU.

    Raises
    ------
    ConfigError
        The device does not exist or cannot be used here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"device {quoted(name)} cannot be used here ({reason}); use 'auto' or 'cpu', or see "
            f"csgnn-dgl doctor for the devices there are"
        ) from error
    return device
