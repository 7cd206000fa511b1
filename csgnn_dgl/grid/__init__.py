"""Icospheres, their rotations, and the concentric grid as DGL heterographs."""

from csgnn_dgl.grid.concentric import ConcentricGrid
from csgnn_dgl.grid.export import to_networkx
from csgnn_dgl.grid.icosphere import Icosphere
from csgnn_dgl.grid.memory import available_memory, require_memory
from csgnn_dgl.grid.rotations import icosahedral_rotations, vertex_permutations
from csgnn_dgl.grid.sites import Coarsening, Sites, coarser_levels, fitting_levels

__all__ = [
    "Coarsening",
    "ConcentricGrid",
    "Icosphere",
    "Sites",
    "available_memory",
    "coarser_levels",
    "fitting_levels",
    "icosahedral_rotations",
    "require_memory",
    "to_networkx",
    "vertex_permutations",
]
