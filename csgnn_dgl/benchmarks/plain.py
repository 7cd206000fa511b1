"""The paper's encoder written without this toolkit, in plain DGL and in plain PyG."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from csgnn_dgl._dgl import dgl
from csgnn_dgl.errors import MissingDependencyError
from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.models import CSGNN
from csgnn_dgl.nn import IntraBlock, RadialBlock

__all__ = ["PlainDGL", "PlainPyG", "PlainRadial"]


class PlainRadial(nn.Module):
    """A radial block with ``Conv1d``: nodes are permuted into chains and back."""

    def __init__(self, block: RadialBlock, n_spheres: int) -> None:
        super().__init__()
        conv = block.conv
        self.n_spheres = n_spheres
        self.conv = nn.Conv1d(
            conv.in_feats, conv.out_feats, conv.kernel_size, padding=conv.kernel_size // 2
        )
        self.norm = nn.BatchNorm1d(conv.out_feats)
        self.conv.load_state_dict(conv.state_dict())
        self.norm.load_state_dict(block.norm.state_dict())

    def forward(self, feat: Tensor) -> Tensor:
        """``(V·R, B, C)`` → ``(V·R, B, F)``."""
        num_nodes, batch, channels = feat.shape
        chains = feat.view(-1, self.n_spheres, batch, channels).permute(0, 2, 3, 1)
        out = self.conv(chains.reshape(-1, channels, self.n_spheres))
        out = out.view(-1, batch, out.shape[1], self.n_spheres).permute(0, 3, 1, 2)
        out = out.reshape(num_nodes * batch, -1)
        return F.relu(self.norm(out)).view(num_nodes, batch, -1)


class _Plain(nn.Module):
    """Base of both versions: the order of the layers, and the maximum over all sites."""

    def __init__(self, encoder: CSGNN) -> None:
        super().__init__()
        self.config = encoder.config
        self.grid: ConcentricGrid = encoder.grid
        self.intra = nn.ModuleList()
        self.radial = nn.ModuleList()
        for level in encoder.levels:
            intra, radial = level.get_submodule("intra"), level.get_submodule("radial")
            self.intra.append(nn.ModuleList(self._intra_block(b) for b in intra.children()))
            self.radial.append(
                nn.ModuleList(
                    PlainRadial(b, self.config.n_spheres)
                    for b in radial.children()
                    if isinstance(b, RadialBlock)
                )
            )

    def _intra_block(self, block: Any) -> nn.Module:
        """The convolution of ``block`` as users of the library would write it."""
        raise NotImplementedError

    def _pool(self, level: int, feat: Tensor) -> Tensor:
        """Pooling to the next coarser level, with the library's own functions."""
        raise NotImplementedError

    def forward(self, feat: Tensor) -> Tensor:
        """``(V·R, B, C)`` → ``(B, global features)``."""
        level, pooled = self.config.level, []
        for index, (intra, radial) in enumerate(zip(self.intra, self.radial, strict=True)):
            if index:
                feat = self._pool(level, feat)
                level -= 1
            for block in intra.children():
                feat = block(level, feat)
            for block in radial.children():
                feat = block(feat)
            # amax takes half the time of max(dim=0).values.
            pooled.append(feat.amax(dim=0))
        return torch.cat(pooled, dim=-1)


class _DGLIntra(nn.Module):
    def __init__(self, block: IntraBlock, graphs: dict[int, Any]) -> None:
        super().__init__()
        conv = block.conv
        self.graphs, self.residual = graphs, block.residual
        self.conv = dgl.nn.GraphConv(conv.in_feats, conv.out_feats, norm="none")
        self.norm = nn.BatchNorm1d(conv.out_feats)
        self.conv.load_state_dict(conv.state_dict())
        self.norm.load_state_dict(block.norm.state_dict())

    def forward(self, level: int, feat: Tensor) -> Tensor:
        out = self.conv(self.graphs[level], feat)
        out = F.relu(self.norm(out.view(-1, out.shape[-1]))).view(out.shape)
        return out + feat if self.residual else out


class PlainDGL(_Plain):
    """The encoder with ``dgl.nn.GraphConv``, permuted ``Conv1d``, and pooling by message passing.

    Features are node-major here, too, which is DGL's convention and its fastest layout: one graph
    serves the whole batch. Weights are copied from ``encoder``.

    Parameters
    ----------
    encoder
        The encoder to rewrite; it must have self loops and max pooling.

    Shapes
    ------
    feat ``(V·R, B, C)`` → ``(B, global features)``.
    """

    def __init__(self, encoder: CSGNN) -> None:
        self.graphs = {
            level: dgl.add_self_loop(encoder.grid.graph(level).edge_type_subgraph(["intra"]))
            for level in range(encoder.grid.coarsest, encoder.grid.level + 1)
        }
        super().__init__(encoder)

    def _intra_block(self, block: Any) -> nn.Module:
        return _DGLIntra(block, self.graphs)

    def _pool(self, level: int, feat: Tensor) -> Tensor:
        graph = self.grid.coarsening(level)
        with graph.local_scope():
            graph.nodes["fine"].data["x"] = feat
            graph.update_all(dgl.function.copy_u("x", "m"), dgl.function.max("m", "y"))
            pooled: Tensor = graph.nodes["coarse"].data["y"]
            return pooled


def _message_passing() -> Any:
    try:
        from torch_geometric.nn import SimpleConv
    except ImportError as error:
        raise MissingDependencyError(
            "PyTorch Geometric is not installed: pip install torch-geometric"
        ) from error
    return SimpleConv


class _PyGIntra(nn.Module):
    def __init__(self, block: IntraBlock, edges: dict[int, Tensor]) -> None:
        super().__init__()
        conv = block.conv
        self.edges, self.residual = edges, block.residual
        self.sum = _message_passing()(aggr="sum", node_dim=0)
        self.linear = nn.Linear(conv.in_feats, conv.out_feats)
        self.linear.weight.data.copy_(conv.weight.t())
        if conv.bias is not None:
            self.linear.bias.data.copy_(conv.bias)
        self.norm = nn.BatchNorm1d(conv.out_feats)
        self.norm.load_state_dict(block.norm.state_dict())

    def forward(self, level: int, feat: Tensor) -> Tensor:
        out = self.linear(self.sum(feat, self.edges[level]))
        out = F.relu(self.norm(out.view(-1, out.shape[-1]))).view(out.shape)
        return out + feat if self.residual else out


class PlainPyG(_Plain):
    """The encoder with PyTorch Geometric's message passing over ``edge_index``.

    Parameters
    ----------
    encoder
        The encoder to rewrite; it must have self loops and max pooling.

    Raises
    ------
    MissingDependencyError
        PyTorch Geometric is not installed.
    """

    def __init__(self, encoder: CSGNN) -> None:
        self.edges, self.pools = {}, {}
        for level in range(encoder.grid.coarsest, encoder.grid.level + 1):
            graph = encoder.grid.graph(level)
            own = torch.arange(graph.num_nodes())
            ends = torch.stack(graph.edges(etype="intra"))
            self.edges[level] = torch.cat([ends, torch.stack([own, own])], dim=1)
            if level > encoder.grid.coarsest:
                self.pools[level] = torch.stack(encoder.grid.coarsening(level).edges())
        super().__init__(encoder)

    def _intra_block(self, block: Any) -> nn.Module:
        return _PyGIntra(block, self.edges)

    def _pool(self, level: int, feat: Tensor) -> Tensor:
        from torch_geometric.utils import scatter

        src, dst = self.pools[level]
        coarse = self.grid.num_nodes(level - 1)
        pooled: Tensor = scatter(feat[src], dst, dim=0, dim_size=coarse, reduce="max")
        return pooled
