"""Triton kernels for CUDA. Imported only where they are used, because CPUs do not need Triton."""

from csgnn_dgl.ops.triton_kernels.launch import require_working
from csgnn_dgl.ops.triton_kernels.norm import (
    fixed_norm_relu,
    norm_relu,
    norm_relu_backward,
)
from csgnn_dgl.ops.triton_kernels.points import point_features
from csgnn_dgl.ops.triton_kernels.rows import (
    neighbor_sum,
    neighborhood_max,
    neighborhood_max_backward,
)

__all__ = [
    "fixed_norm_relu",
    "neighbor_sum",
    "neighborhood_max",
    "neighborhood_max_backward",
    "norm_relu",
    "norm_relu_backward",
    "point_features",
    "require_working",
]
