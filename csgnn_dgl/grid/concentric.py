"""Concentric icospheres as DGL heterographs."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.grid.icosphere import Icosphere, Ints
from csgnn_dgl.grid.memory import require_memory
from csgnn_dgl.grid.rotations import vertex_permutations
from csgnn_dgl.ops.lasting import lasting

__all__ = ["ConcentricGrid"]

# An edge has two int64 ends, stored twice: DGL keeps COO and builds CSR on demand.
_BYTES_PER_EDGE = 32
_BYTES_PER_NODE = 28


class ConcentricGrid:
    """``R`` icospheres of one level at radii ``1/R, 2/R, …, 1``, and their coarser levels.

    Node ``v·R + r`` is vertex ``v`` on sphere ``r``, so that the sites of one vertex are contiguous
    in memory. The graphs are plain DGL graphs, built at first use. Each grid has its own graphs:
    data written into them are not seen by other grids or models. Copies and pickles of a grid start
    with new graphs.

    Parameters
    ----------
    level
        ``L``, the level of the finest spheres.
    n_spheres
        ``R``, the number of spheres.
    coarsest
        Coarsest level of the grid.

    Raises
    ------
    ConfigError
        A size is out of range.
    ResourceError
        There is not enough memory.

    Examples
    --------
    >>> grid = ConcentricGrid(level=2, n_spheres=4)
    >>> graph = grid.graph()
    >>> graph.num_nodes(), graph.num_edges("intra"), graph.num_edges("radial")
    (648, 3840, 972)
    >>> grid.coarsening(2).num_nodes("coarse")
    168
    """

    def __init__(self, level: int, n_spheres: int, *, coarsest: int = 0) -> None:
        for name, value, least in (
            ("level", level, 0),
            ("n_spheres", n_spheres, 1),
            ("coarsest", coarsest, 0),
        ):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise ConfigError(f"{name} is {value!r}, but it must be a whole number")
            if value < least:
                raise ConfigError(f"{name} is {value}, but it must be at least {least}")
        if coarsest > level:
            raise ConfigError(f"coarsest is {coarsest}, but the finest level is {level}")
        self.level, self.n_spheres, self.coarsest = int(level), int(n_spheres), int(coarsest)
        self._graphs: dict[int, Any] = {}
        self._coarsenings: dict[int, Any] = {}
        nodes = self.num_nodes()
        edges = self.n_spheres * 60 * 4**self.level + 2 * (nodes - nodes // self.n_spheres)
        # The coarser levels add a third, and the coarsening graphs add two thirds.
        require_memory(
            2 * (edges * _BYTES_PER_EDGE + nodes * _BYTES_PER_NODE),
            f"a grid of level {level} with {n_spheres} spheres ({nodes:,} nodes)",
            "choose a lower level (each level less needs a quarter) or fewer spheres",
        )

    @property
    def radii(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Radii of the spheres, innermost first, shape ``(R,)``."""
        return np.arange(1, self.n_spheres + 1) / self.n_spheres

    def num_nodes(self, level: int | None = None) -> int:
        """Sites ``V·R`` at ``level`` (default: the finest)."""
        level = self.level if level is None else level
        return (10 * 4**level + 2) * self.n_spheres

    def graph(self, level: int | None = None) -> Any:
        """The heterograph at ``level`` (default: the finest).

        Returns
        -------
        dgl.DGLGraph
            Node type ``vertex`` with data ``position`` (float32, ``(N, 3)``), ``sphere`` and
            ``vertex`` (int64, ``(N,)``). Edge types ``intra`` (face edges within a sphere) and
            ``radial`` (between consecutive spheres), in both directions. ``radial`` has the edge
            data ``offset``, int64: sphere of the source minus sphere of the destination. It selects
            the tap of a radial kernel.

        Raises
        ------
        ConfigError
            The grid does not have this level.
        """
        level = self.level if level is None else level
        self._check(level, self.coarsest)
        if level not in self._graphs:
            self._graphs[level] = _own(_graph(level, self.n_spheres))
        return self._graphs[level]

    def coarsening(self, level: int) -> Any:
        """The graph that pools ``level`` to ``level - 1``.

        Returns
        -------
        dgl.DGLGraph
            Edge type ``('fine', 'pool', 'coarse')``. Every vertex that is kept has edges from
            itself (the first edge) and from its 1-ring on the finer sphere. Both node types have
            the data ``sphere`` and ``vertex``.

        Raises
        ------
        ConfigError
            The grid does not coarsen this level.
        """
        self._check(level, self.coarsest + 1)
        if level not in self._coarsenings:
            self._coarsenings[level] = _own(_coarsening(level, self.n_spheres))
        return self._coarsenings[level]

    def node_permutations(self, level: int | None = None) -> Ints:
        """Index of the site to which each of the 60 rotations moves a site, ``(60, V·R)``."""
        level = self.level if level is None else level
        self._check(level, self.coarsest)
        vertex = vertex_permutations(level)[:, :, None] * self.n_spheres
        return (vertex + np.arange(self.n_spheres)).reshape(60, -1)

    def _check(self, level: int, lowest: int) -> None:
        if not lowest <= level <= self.level:
            raise ConfigError(
                f"this grid has no level {level} here, only {lowest} to {self.level}; choose one "
                f"of these"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_graphs", "_coarsenings")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _graphs={}, _coarsenings={})

    def __repr__(self) -> str:
        return f"ConcentricGrid(level={self.level}, n_spheres={self.n_spheres})"


def _on_every_sphere(vertices: Ints, n_spheres: int) -> torch.Tensor:
    """Node ids of each of ``vertices`` on all spheres."""
    return torch.from_numpy((vertices[:, None] * n_spheres + np.arange(n_spheres)).reshape(-1))


@lasting
def _own(graph: Any) -> Any:
    """Copy a graph: the structure is shared, since it never changes, and the data are copied."""
    own = graph.clone()
    for ntype in own.ntypes:
        for name, values in own.nodes[ntype].data.items():
            own.nodes[ntype].data[name] = values.clone()
    for etype in own.canonical_etypes:
        for name, values in own.edges[etype].data.items():
            own.edges[etype].data[name] = values.clone()
    return own


# Grids hand out copies of these graphs, so users cannot change them.
@cache
@lasting
def _graph(level: int, n_spheres: int) -> Any:
    from csgnn_dgl._dgl import dgl  # takes a second to import, and is not always needed

    sphere = Icosphere.get(level)
    indptr, src = sphere.neighbors()
    dst = np.repeat(np.arange(sphere.num_vertices), np.diff(indptr))
    num_nodes = sphere.num_vertices * n_spheres
    node = torch.arange(num_nodes)
    inner = node[node % n_spheres < n_spheres - 1]
    graph = dgl.heterograph(
        {
            ("vertex", "intra", "vertex"): (
                _on_every_sphere(src, n_spheres),
                _on_every_sphere(dst, n_spheres),
            ),
            ("vertex", "radial", "vertex"): (
                torch.cat([inner + 1, inner]),
                torch.cat([inner, inner + 1]),
            ),
        },
        num_nodes_dict={"vertex": num_nodes},
    )
    graph.edges["radial"].data["offset"] = torch.cat(
        [torch.ones_like(inner), -torch.ones_like(inner)]
    )
    radii = np.arange(1, n_spheres + 1) / n_spheres
    position = sphere.vertices[:, None, :] * radii[:, None]
    graph.ndata["position"] = torch.from_numpy(position.reshape(-1, 3)).to(torch.float32)
    _number(graph, "vertex", n_spheres)
    return graph


def _number(graph: Any, ntype: str, n_spheres: int) -> None:
    """Store the vertex and the sphere of every node in the graph."""
    node = torch.arange(graph.num_nodes(ntype))
    graph.nodes[ntype].data["sphere"] = node % n_spheres
    graph.nodes[ntype].data["vertex"] = torch.div(node, n_spheres, rounding_mode="floor")


@cache
@lasting
def _coarsening(level: int, n_spheres: int) -> Any:
    from csgnn_dgl._dgl import dgl

    fine, kept = Icosphere.get(level), Icosphere.get(level - 1).num_vertices
    indptr, neighbors = fine.neighbors()
    ring = neighbors[: indptr[kept]]
    own = np.arange(kept)
    owner = np.repeat(own, np.diff(indptr[: kept + 1]))
    src, dst = np.concatenate([own, ring]), np.concatenate([own, owner])
    graph = dgl.heterograph(
        {
            ("fine", "pool", "coarse"): (
                _on_every_sphere(src, n_spheres),
                _on_every_sphere(dst, n_spheres),
            )
        },
        num_nodes_dict={"fine": fine.num_vertices * n_spheres, "coarse": kept * n_spheres},
    )
    _number(graph, "fine", n_spheres)
    _number(graph, "coarse", n_spheres)
    return graph
