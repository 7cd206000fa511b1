"""Densities of states, derived quantities, and tight binding. NumPy in, NumPy out."""

from csgnn_dgl.physics.dos import (
    SMEARINGS,
    density_of_states,
    finer_bins,
    refined,
    resampled,
)
from csgnn_dgl.physics.filling import (
    band_energy,
    band_gap,
    cumulative,
    fermi_level,
    level_range,
    states_below,
)
from csgnn_dgl.physics.grid import EnergyGrid
from csgnn_dgl.physics.levels import Levels, find_levels

__all__ = [
    "SMEARINGS",
    "EnergyGrid",
    "Levels",
    "band_energy",
    "band_gap",
    "cumulative",
    "density_of_states",
    "fermi_level",
    "find_levels",
    "finer_bins",
    "level_range",
    "refined",
    "resampled",
    "states_below",
]
