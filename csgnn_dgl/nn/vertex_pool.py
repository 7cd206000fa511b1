"""Pooling from one level of the grid to the next coarser one (A.5 of the paper)."""

from __future__ import annotations

from typing import Any, Literal, get_args

from torch import Tensor, nn

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.nn.bypass import bypassable
from csgnn_dgl.nn.structure import EdgeType, relation, source_features
from csgnn_dgl.ops import neighbor_mean, neighbor_sum, neighborhood_max

__all__ = ["PoolMode", "VertexPool"]

PoolMode = Literal["max", "mean", "sum"]

_KERNELS = {"max": neighborhood_max, "mean": neighbor_mean, "sum": neighbor_sum}


@bypassable
class VertexPool(nn.Module):
    r"""Pooling of the fine neighbourhood of every coarse vertex.

    .. math:: y_u = f(\{x_v : v \in N(u)\})

    :math:`N(u)` is the vertex and its 1-ring on the finer level, given by the edges of
    ``ConcentricGrid.coarsening(level)``. Any other relation may be used as well.

    Parameters
    ----------
    mode
        The function :math:`f`: ``"max"``, ``"mean"`` or ``"sum"``.
    etype
        Edge type to pool over, by name or as a triple ``(source type, name, destination type)``;
        the anonymous edges of ``dgl.graph`` need no name.

    Shapes
    ------
    feat ``(num_fine, ..., C)`` → ``(num_coarse, ..., C)``. A coarse node without edges gets zero.

    Raises
    ------
    ConfigError
        The mode is unknown.
    DataError
        The graph lacks the edge type, or nodes with the data ``sphere`` are joined twice.

    Examples
    --------
    >>> import torch
    >>> from csgnn_dgl.grid import ConcentricGrid
    >>> grid = ConcentricGrid(level=1, n_spheres=2)
    >>> VertexPool("max")(grid.coarsening(1), torch.ones(84, 1, 3)).shape
    torch.Size([24, 1, 3])
    """

    def __init__(self, mode: PoolMode = "max", *, etype: EdgeType = "pool") -> None:
        super().__init__()
        if mode not in get_args(PoolMode):
            raise ConfigError(f"mode is {mode!r}, but it must be one of {get_args(PoolMode)}")
        self.mode, self.etype = mode, etype

    def forward(self, graph: Any, feat: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """Pool ``feat`` of the fine nodes; the graph is only read."""
        out: Tensor = _KERNELS[self.mode](relation(graph, self.etype), source_features(feat))
        return out

    def extra_repr(self) -> str:
        return f"{self.mode!r}"
