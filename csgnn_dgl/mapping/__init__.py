"""Map points and atoms to grid sites; rotations and augmentation. Batched, in torch."""

from csgnn_dgl.mapping.atoms import AtomAssignment, AtomMapping
from csgnn_dgl.mapping.augment import Augmentation
from csgnn_dgl.mapping.bandwidth import Bandwidth, BandwidthFace, shell_bandwidths
from csgnn_dgl.mapping.clouds import normalize_clouds, subsample
from csgnn_dgl.mapping.faces import FaceSearch
from csgnn_dgl.mapping.nearest import NearestVertices
from csgnn_dgl.mapping.neighbors import Neighbors, find_neighbors
from csgnn_dgl.mapping.points import AngularNeighborhood, PointMapping, RadialNeighborhood
from csgnn_dgl.mapping.rotations import RotationProtocol, UpAxis, random_rotations, rotate_clouds

__all__ = [
    "AngularNeighborhood",
    "AtomAssignment",
    "AtomMapping",
    "Augmentation",
    "Bandwidth",
    "BandwidthFace",
    "FaceSearch",
    "NearestVertices",
    "Neighbors",
    "PointMapping",
    "RadialNeighborhood",
    "RotationProtocol",
    "UpAxis",
    "find_neighbors",
    "normalize_clouds",
    "random_rotations",
    "rotate_clouds",
    "shell_bandwidths",
    "subsample",
]
