"""Densities of states, derived quantities, and tight binding. NumPy in, NumPy out."""

from csgnn_dgl.physics.dos import (
    SMEARINGS,
    band_energy,
    band_gap,
    cumulative,
    density_of_states,
    fermi_level,
    refined,
    resampled,
)
from csgnn_dgl.physics.grid import EnergyGrid

__all__ = [
    "SMEARINGS",
    "EnergyGrid",
    "band_energy",
    "band_gap",
    "cumulative",
    "density_of_states",
    "fermi_level",
    "refined",
    "resampled",
]
