"""The norm of a block's channels: over a batch, within each site, or none."""

from __future__ import annotations

from typing import Literal, get_args

from torch import nn

from csgnn_dgl.errors import ConfigError

__all__ = ["Norm", "channel_norm"]

Norm = Literal["batch", "layer", "none"]


def channel_norm(norm: Norm, channels: int) -> nn.Module:
    """Make the norm of rows of ``channels`` numbers.

    Parameters
    ----------
    norm
        ``"batch"`` normalises each channel over all rows of a batch, as in the paper. In training,
        a row then depends on what else is in the batch. ``"layer"`` normalises each row by itself.
        ``"none"`` changes nothing.
    channels
        Length of a row.

    Raises
    ------
    ConfigError
        The norm is unknown.

    Examples
    --------
    >>> type(channel_norm("layer", 8)).__name__
    'LayerNorm'
    """
    if norm not in get_args(Norm):
        raise ConfigError(f"norm is {norm!r}, but it must be one of {', '.join(get_args(Norm))}")
    if norm == "batch":
        return nn.BatchNorm1d(channels)
    return nn.LayerNorm(channels) if norm == "layer" else nn.Identity()
