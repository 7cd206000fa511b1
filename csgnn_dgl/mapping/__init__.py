"""Map points and atoms to grid sites; rotations and augmentation. Batched, in torch."""

from csgnn_dgl.mapping.atoms import AtomAssignment, AtomMapping
from csgnn_dgl.mapping.augment import Augmentation
from csgnn_dgl.mapping.bandwidth import Bandwidth, BandwidthFace, shell_bandwidths
from csgnn_dgl.mapping.clouds import ball_centers, normalize_clouds, subsample
from csgnn_dgl.mapping.designed import designed_angles, designed_rotations, variance_left
from csgnn_dgl.mapping.faces import FaceSearch
from csgnn_dgl.mapping.invariants import NEIGHBOR_FEATURES, NeighborFeatures, radial_cosine
from csgnn_dgl.mapping.nearest import NearestVertices
from csgnn_dgl.mapping.neighbors import Neighbors, find_neighbors
from csgnn_dgl.mapping.points import (
    AngularNeighborhood,
    FeatureMean,
    PointMapping,
    RadialNeighborhood,
)
from csgnn_dgl.mapping.rotations import (
    RotationProtocol,
    UpAxis,
    axis_rotations,
    random_rotations,
    rotate_clouds,
)

__all__ = [
    "NEIGHBOR_FEATURES",
    "AngularNeighborhood",
    "AtomAssignment",
    "AtomMapping",
    "Augmentation",
    "Bandwidth",
    "BandwidthFace",
    "FaceSearch",
    "FeatureMean",
    "NearestVertices",
    "NeighborFeatures",
    "Neighbors",
    "PointMapping",
    "RadialNeighborhood",
    "RotationProtocol",
    "UpAxis",
    "axis_rotations",
    "ball_centers",
    "designed_angles",
    "designed_rotations",
    "find_neighbors",
    "normalize_clouds",
    "radial_cosine",
    "random_rotations",
    "rotate_clouds",
    "shell_bandwidths",
    "subsample",
    "variance_left",
]
