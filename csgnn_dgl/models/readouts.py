"""What an encoder's levels give to the global features: pooled sites and power spectra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.models.hypers import Readout
from csgnn_dgl.nn.power_spectrum import FINEST_LEVEL, num_degrees

__all__ = ["check_readouts", "read_length", "readout_parts", "reads_level"]

# Levels, from the coarsest on, of which power spectra are computed.
_SPECTRAL_LEVELS = 2


def check_readouts(readouts: Sequence[str], level: int, levels: int) -> None:
    """Check the names of readouts of an encoder with ``levels`` levels from ``level`` down.

    Raises
    ------
    ConfigError
        There is none, one is unknown or given twice, or levels are too fine for spectra.
    """
    known = get_args(Readout)
    if not readouts or any(name not in known for name in readouts):
        raise ConfigError(f"readout is {list(readouts)}, but must be one or several of {known}")
    if len(set(readouts)) < len(readouts):
        raise ConfigError(f"readout is {list(readouts)}, but each may be given only once")
    finest = level - max(levels - _SPECTRAL_LEVELS, 0)
    if "power" in readouts and finest > FINEST_LEVEL:
        raise ConfigError(
            f"the readout 'power' reads the {_SPECTRAL_LEVELS} coarsest levels, here up to "
            f"{finest}, but can read levels up to {FINEST_LEVEL}; give widths for coarser levels, "
            f"too"
        )


def readout_parts(readout: str, pooling: str) -> tuple[str, ...]:
    """The vectors of a level, where ``pool`` is this pooling, that a readout consists of.

    Examples
    --------
    >>> readout_parts("pool", "sum"), readout_parts("max-mean", "sum")
    (('sum',), ('max', 'mean'))
    """
    parts = {"pool": (pooling,), "max-mean": ("max", "mean")}
    return parts.get(readout, (readout,))


def reads_level(readout: str, index: int, levels: int, concatenate: bool) -> bool:
    """Whether a readout reads the level with this index, finest first.

    Examples
    --------
    >>> [reads_level("power", index, 4, True) for index in range(4)]
    [False, False, True, True]
    """
    if readout == "power":
        return index >= levels - _SPECTRAL_LEVELS
    return concatenate or index == levels - 1


def read_length(part: str, level: int, channels: int) -> int:
    """Count of numbers in a vector of a level with so many channels.

    Examples
    --------
    >>> read_length("mean", 1, 8), read_length("power", 1, 8)
    (8, 48)
    """
    return channels * (num_degrees(level) if part == "power" else 1)
