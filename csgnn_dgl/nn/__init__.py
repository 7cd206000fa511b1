"""Layers that read like DGL's own: ``layer(graph, feat)`` on any graph with our edge types."""

from csgnn_dgl.nn.blocks import IntraBlock, RadialBlock
from csgnn_dgl.nn.intra_conv import IntraConv
from csgnn_dgl.nn.radial_conv import RadialConv
from csgnn_dgl.nn.vertex_pool import VertexPool

__all__ = ["IntraBlock", "IntraConv", "RadialBlock", "RadialConv", "VertexPool"]
