"""Kernels on node-major features, without a graph library.

Every kernel takes a :class:`~csgnn_dgl.ops.csr.CSR` (or the sizes of a regular grid) and a tensor
whose first dimension is that of the nodes. It runs on the device of the tensor.
"""

from csgnn_dgl.ops.csr import CSR
from csgnn_dgl.ops.global_pool import global_max, global_max_beside
from csgnn_dgl.ops.linear_sum import linear_sum
from csgnn_dgl.ops.neighbor_sum import neighbor_mean, neighbor_sum
from csgnn_dgl.ops.neighborhood_max import neighborhood_and_global_max, neighborhood_max
from csgnn_dgl.ops.node_linear import node_linear
from csgnn_dgl.ops.norm_relu import can_norm_relu, norm_relu
from csgnn_dgl.ops.radial import radial_conv_by_offset, radial_conv_regular
from csgnn_dgl.ops.radial_blocks import ChainBlock, Crossing, radial_conv_in_blocks
from csgnn_dgl.ops.tangents import slope_lengths, tangential_gradient, tangential_relation

__all__ = [
    "CSR",
    "ChainBlock",
    "Crossing",
    "can_norm_relu",
    "global_max",
    "global_max_beside",
    "linear_sum",
    "neighbor_mean",
    "neighbor_sum",
    "neighborhood_and_global_max",
    "neighborhood_max",
    "node_linear",
    "norm_relu",
    "radial_conv_by_offset",
    "radial_conv_in_blocks",
    "radial_conv_regular",
    "slope_lengths",
    "tangential_gradient",
    "tangential_relation",
]
