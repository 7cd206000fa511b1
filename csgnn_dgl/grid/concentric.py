"""Concentric icospheres as DGL heterographs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.grid.graphs import coarsening_graph, copied, grid_graph
from csgnn_dgl.grid.icosphere import Ints
from csgnn_dgl.grid.memory import require_memory
from csgnn_dgl.grid.sites import Coarsening, Levels, Sites, check_levels, coarser_levels, is_uniform

__all__ = ["ConcentricGrid"]

# An edge has two int64 ends, stored twice: DGL keeps COO and builds CSR on demand.
_BYTES_PER_EDGE = 32
_BYTES_PER_NODE = 28


class ConcentricGrid:
    """``R`` icospheres at radii ``1/R, 2/R, …, 1``, and their coarser levels.

    Give ``level`` and ``n_spheres`` for spheres of one level: node ``v·R + r`` is then vertex ``v``
    on sphere ``r``, so that the sites of one vertex are contiguous in memory. Or give ``levels``,
    the level of every sphere: inner spheres are smaller, and need fewer vertices for the same
    distance between them. Sites are still numbered vertex by vertex, and within a vertex by sphere
    (:meth:`site`), but without those that a coarser sphere does not have.

    The graphs are plain DGL graphs, built at first use. Each grid has its own graphs: data written
    into them are not seen by other grids or models. Copies and pickles of a grid start with new
    graphs.

    Parameters
    ----------
    level
        ``L``, the level of the finest spheres.
    n_spheres
        ``R``, the number of spheres.
    levels
        Level of every sphere, innermost first, instead of ``level`` and ``n_spheres``. Any levels
        in any order are allowed.
    coarsest
        Coarsest level of the grid: the finest spheres are coarsened down to this level.
    coarsening
        How spheres of lower levels are coarsened. ``"together"``: every sphere loses a level in
        each step, until it has reached ``coarsest``. ``"in_turn"``: a sphere stays as it is until
        the finest spheres have come down to its level, which it leaves together with them. Spheres
        of one level give the same with both.

    Attributes
    ----------
    level, n_spheres, levels, coarsest
        As above; ``level`` is the largest of ``levels``.

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
    >>> ConcentricGrid(levels=(1, 1, 2, 2, 3, 3, 3, 3)).num_nodes()
    2976
    """

    def __init__(
        self,
        level: int | None = None,
        n_spheres: int | None = None,
        *,
        levels: Sequence[int] | None = None,
        coarsest: int = 0,
        coarsening: Coarsening = "together",
    ) -> None:
        if levels is None:
            _check_sizes(level=level, n_spheres=n_spheres)
            assert level is not None
            assert n_spheres is not None
            # Before the levels of all spheres are written down, because there may be billions.
            nodes = (10 * 4 ** int(level) + 2) * int(n_spheres)
            edges = 60 * 4 ** int(level) * int(n_spheres) + 2 * (nodes - nodes // int(n_spheres))
            _require_memory(nodes, edges, f"level {level} with {n_spheres} spheres")
            self.levels: Levels = (int(level),) * int(n_spheres)
        elif level is None and n_spheres is None:
            self.levels = check_levels(levels)
            nodes = sum(10 * 4**each + 2 for each in self.levels)
            edges = sum(60 * 4**each for each in self.levels) + _radial_edges(self.levels)
            _require_memory(nodes, edges, f"levels up to {max(levels)} on {len(levels)} spheres")
        else:
            raise ConfigError(
                "both levels and level or n_spheres are given; levels already says how many "
                "spheres there are and how fine they are, so leave the others out"
            )
        _check_sizes(coarsest=coarsest)
        self.level, self.n_spheres = max(self.levels), len(self.levels)
        if coarsest > self.level:
            raise ConfigError(f"coarsest is {coarsest}, but the finest level is {self.level}")
        self.coarsest, self._coarsening = int(coarsest), coarsening
        self.sphere_levels(self.level)  # refuses an unknown coarsening
        self._graphs: dict[int, Any] = {}
        self._coarsenings: dict[int, Any] = {}

    @property
    def uniform(self) -> bool:
        """Whether all spheres have the same level."""
        return is_uniform(self.levels)

    @property
    def radii(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Radii of the spheres, innermost first, shape ``(R,)``."""
        return np.arange(1, self.n_spheres + 1) / self.n_spheres

    def sphere_levels(self, level: int | None = None) -> Levels:
        """Levels of all spheres when the finest have been coarsened to ``level``.

        Raises
        ------
        ConfigError
            The grid does not have this level.

        Examples
        --------
        >>> ConcentricGrid(levels=(1, 2, 3)).sphere_levels(2)
        (0, 1, 2)
        >>> ConcentricGrid(levels=(1, 2, 3), coarsening="in_turn").sphere_levels(2)
        (1, 2, 2)
        """
        level = self.level if level is None else level
        self._check(level, self.coarsest)
        return coarser_levels(self.levels, level, self.coarsest, self._coarsening)

    def num_nodes(self, level: int | None = None) -> int:
        """Sites at ``level`` (default: the finest): ``V·R`` if all spheres have the same level.

        Raises
        ------
        ConfigError
            The grid does not have this level.
        """
        return sum(10 * 4**each + 2 for each in self.sphere_levels(level))

    def site(self, vertex: int, sphere: int, level: int | None = None) -> int:
        """Number of the node of a vertex on a sphere, in the graph of ``level``.

        Raises
        ------
        ConfigError
            The grid does not have this level or sphere, or the sphere does not have this vertex.

        Examples
        --------
        >>> ConcentricGrid(2, 4).site(vertex=10, sphere=3)
        43
        >>> ConcentricGrid(levels=(1, 2)).site(vertex=42, sphere=1)
        84
        """
        level = self.level if level is None else level
        self._check(level, self.coarsest)
        if not 0 <= sphere < self.n_spheres:
            raise ConfigError(f"this grid has no sphere {sphere}, only 0 to {self.n_spheres - 1}")
        its_level = self.sphere_levels(level)[sphere]
        count = 10 * 4**its_level + 2
        if not 0 <= vertex < count:
            raise ConfigError(
                f"sphere {sphere} has no vertex {vertex}: it has level {its_level}, so its "
                f"vertices are 0 to {count - 1}"
            )
        return int(self._sites(level).index[vertex, sphere])

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

            Between spheres of different levels, a vertex that the coarser sphere does not have gets
            its radial edges from its two parents there, of which it is the midpoint, or from their
            parents. If spheres differ, ``radial`` has the edge data ``weight``, float32: the share
            of the source, 1 for a co-radial vertex and ½ for a parent. The shares of a vertex for
            one offset add up to 1.

        Raises
        ------
        ConfigError
            The grid does not have this level.
        """
        level = self.level if level is None else level
        self._check(level, self.coarsest)
        if level not in self._graphs:
            self._graphs[level] = copied(grid_graph(self.sphere_levels(level)))
        return self._graphs[level]

    def coarsening(self, level: int) -> Any:
        """The graph that pools ``level`` to ``level - 1``.

        Returns
        -------
        dgl.DGLGraph
            Edge type ``('fine', 'pool', 'coarse')``. Every vertex that is kept has edges from
            itself (the first edge) and from its 1-ring on the finer sphere. On a sphere that is not
            coarsened in this step, every vertex has only the edge from itself. Both node types have
            the data ``sphere`` and ``vertex``.

        Raises
        ------
        ConfigError
            The grid does not coarsen this level.
        """
        self._check(level, self.coarsest + 1)
        if level not in self._coarsenings:
            steps = self.sphere_levels(level), self.sphere_levels(level - 1)
            self._coarsenings[level] = copied(coarsening_graph(*steps))
        return self._coarsenings[level]

    def node_permutations(self, level: int | None = None) -> Ints:
        """Index of the site to which each of the 60 rotations moves a site, ``(60, N)``."""
        level = self.level if level is None else level
        self._check(level, self.coarsest)
        return self._sites(level).permutations()

    def _sites(self, level: int) -> Sites:
        return Sites.of(self.sphere_levels(level))

    def _check(self, level: int, lowest: int) -> None:
        if not isinstance(level, (int, np.integer)):
            raise ConfigError(f"level is {level!r}, but it must be a whole number")
        if not lowest <= level <= self.level:
            raise ConfigError(
                f"this grid has no level {level} here, only {lowest} to {self.level}; choose one "
                f"of these"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_graphs", "_coarsenings")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Grids that were pickled by earlier versions had spheres of one level.
        state.setdefault("levels", (state["level"],) * state["n_spheres"])
        state.setdefault("_coarsening", "together")
        self.__dict__.update(state, _graphs={}, _coarsenings={})

    def __repr__(self) -> str:
        if self.uniform:
            return f"ConcentricGrid(level={self.level}, n_spheres={self.n_spheres})"
        return f"ConcentricGrid(levels={self.levels}, coarsening={self._coarsening!r})"


def _check_sizes(**sizes: int | None) -> None:
    for name, value in sizes.items():
        if value is None:
            raise ConfigError(
                f"{name} is None, but it must be a whole number; give level and n_spheres, or "
                f"levels with the level of every sphere"
            )
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise ConfigError(f"{name} is {value!r}, but it must be a whole number")
        least = 1 if name == "n_spheres" else 0
        if value < least:
            raise ConfigError(f"{name} is {value}, but it must be at least {least}")


def _radial_edges(levels: Levels) -> int:
    """Number of radial edges, at least: from one source on equal and finer spheres, else two."""
    edges = 0
    for pair in pairwise(levels):
        coarse, fine = (10 * 4**each + 2 for each in sorted(pair))
        edges += 2 * coarse + 2 * (fine - coarse)
    return edges


def _require_memory(nodes: int, edges: int, what: str) -> None:
    # The coarser levels add a third, and the coarsening graphs add two thirds.
    require_memory(
        2 * (edges * _BYTES_PER_EDGE + nodes * _BYTES_PER_NODE),
        f"a grid of {what} ({nodes:,} nodes)",
        "choose a lower level (each level less needs a quarter) or fewer spheres",
    )
