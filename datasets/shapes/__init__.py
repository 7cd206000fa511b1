"""Shapes: ModelNet in HDF5, folders of meshes and clouds, built-in solids."""

from csgnn_dgl.datasets.shapes.base import ShapeDataset, ShapeSplit
from csgnn_dgl.datasets.shapes.folder import load_shape_folder
from csgnn_dgl.datasets.shapes.loading import ShapeOptions, load_dataset
from csgnn_dgl.datasets.shapes.modelnet_hdf5 import load_modelnet_hdf5
from csgnn_dgl.datasets.shapes.shape_files import center_and_scale, load_shape

__all__ = [
    "ShapeDataset",
    "ShapeOptions",
    "ShapeSplit",
    "center_and_scale",
    "load_dataset",
    "load_modelnet_hdf5",
    "load_shape",
    "load_shape_folder",
]
