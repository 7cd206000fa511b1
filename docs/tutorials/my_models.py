"""A model of shapes: DGL's GraphConv within spheres, RadialConv between them, VertexPool."""

from itertools import pairwise

import csgnn_dgl  # noqa: F401  Before DGL, which then loads with any version of torch.

# isort: split
import torch
from dgl.nn.pytorch import GraphConv, HeteroGraphConv
from torch import Tensor, nn

from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.mapping import PointMapping
from csgnn_dgl.models import Hypers, ShapeModel
from csgnn_dgl.nn import RadialConv, VertexPool


class Radial(RadialConv):
    """RadialConv as HeteroGraphConv calls it: with features of sources and of destinations."""

    def forward(self, graph, feat):
        return super().forward(graph, feat[0])


class RelationNet(ShapeModel):
    class Hypers(Hypers):
        level: int = 2
        n_spheres: int = 4
        width: int = 32

    def __init__(self, hypers: Hypers) -> None:
        super().__init__(hypers)
        grid = ConcentricGrid(hypers.level, hypers.n_spheres, coarsest=hypers.level - 1)
        # Graphs are made here, once, and not in forward.
        self.graphs = [grid.graph(hypers.level), grid.graph(hypers.level - 1)]
        self.coarsening = grid.coarsening(hypers.level)
        self.mapping = PointMapping(hypers.level, hypers.n_spheres, channels=4, validate=False)
        widths = [4, hypers.width, 2 * hypers.width]
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList(map(nn.LayerNorm, widths[1:]))
        for before, after in pairwise(widths):
            relations = {"intra": GraphConv(before, after), "radial": Radial(before, after)}
            self.convs.append(HeteroGraphConv(relations, aggregate="sum"))
        self.pool, self.features = VertexPool("max"), widths[-1]

    @torch.compiler.disable  # DGL's kernels run, but torch.compile cannot look into them.
    def convolve(self, index: int, feat: Tensor) -> Tensor:
        return self.convs[index](self.graphs[index], {"vertex": feat})["vertex"]

    def forward(self, points: Tensor) -> Tensor:  # (B, N, 3) in the unit ball
        feat = torch.relu(self.norms[0](self.convolve(0, self.mapping(points))))
        feat = self.pool(self.coarsening, feat)  # (sites, B, channels)
        feat = torch.relu(self.norms[1](self.convolve(1, feat)))
        return feat.amax(dim=0)  # (B, features)
