"""Numbering of the sites of concentric spheres, which may have different levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.grid.icosphere import Icosphere, Ints
from csgnn_dgl.grid.rotations import vertex_permutations

__all__ = [
    "Coarsening",
    "Sites",
    "check_levels",
    "coarser_levels",
    "fitting_levels",
    "interpolation",
    "is_uniform",
]

Coarsening = Literal["together", "in_turn"]
Levels = tuple[int, ...]


def check_levels(levels: object) -> Levels:
    """Levels of the spheres, innermost first, as a tuple of whole numbers.

    Raises
    ------
    ConfigError
        There is no sphere, or a level is not a whole number of at least 0.
    """
    if isinstance(levels, (str, bytes)) or not isinstance(levels, (Sequence, np.ndarray)):
        raise ConfigError(
            f"levels is {levels!r}, but it must be a sequence with the level of every sphere, "
            f"innermost first, such as (1, 1, 2, 2)"
        )
    if len(levels) == 0:
        raise ConfigError("levels is empty, but it must have a level for at least one sphere")
    for sphere, level in enumerate(levels):
        if isinstance(level, bool) or not isinstance(level, (int, np.integer)) or level < 0:
            raise ConfigError(
                f"the level of sphere {sphere} is {level!r}, but it must be a whole number, 0 or "
                f"greater"
            )
    return tuple(int(level) for level in levels)


def fitting_levels(levels: object, level: int, n_spheres: int) -> Levels:
    """Levels of the spheres, which must fit the number of spheres and the level of the finest.

    Raises
    ------
    ConfigError
        They do not, or :func:`check_levels` refuses them.

    Examples
    --------
    >>> fitting_levels([1, 2, 2], level=2, n_spheres=3)
    (1, 2, 2)
    """
    found = check_levels(levels)
    if len(found) != n_spheres:
        raise ConfigError(
            f"the levels of {len(found)} spheres are given, {found}, but n_spheres is {n_spheres}; "
            f"give a level for every sphere, or set n_spheres to {len(found)}"
        )
    if max(found) != level:
        raise ConfigError(
            f"the finest of the spheres' levels {found} is {max(found)}, but level is {level}; "
            f"level must be that of the finest spheres, so set it to {max(found)}"
        )
    return found


def is_uniform(levels: Levels) -> bool:
    """Whether all spheres have the same level.

    Examples
    --------
    >>> is_uniform((2, 2)), is_uniform((1, 2))
    (True, False)
    """
    return len(set(levels)) == 1


def coarser_levels(levels: Levels, level: int, coarsest: int, coarsening: Coarsening) -> Levels:
    """Levels of the spheres when the finest of them have been coarsened to ``level``.

    Parameters
    ----------
    levels
        Levels of the spheres at the start.
    level
        Level of the finest spheres now.
    coarsest
        Level below which no sphere is coarsened.
    coarsening
        ``"together"``: every sphere loses a level in each step, down to ``coarsest``, so that the
        distances between vertices keep their ratio from sphere to sphere. ``"in_turn"``: a sphere
        stays as it is until the finest spheres have come down to its level.

    Raises
    ------
    ConfigError
        The name is unknown.

    Examples
    --------
    >>> coarser_levels((1, 2, 3), 2, 0, "together"), coarser_levels((1, 2, 3), 2, 0, "in_turn")
    ((0, 1, 2), (1, 2, 2))
    """
    if coarsening not in get_args(Coarsening):
        raise ConfigError(
            f"coarsening is {coarsening!r}, but it must be one of {get_args(Coarsening)}"
        )
    if coarsening == "in_turn":
        return tuple(min(each, level) for each in levels)
    steps = max(levels) - level
    return tuple(max(each - steps, min(each, coarsest)) for each in levels)


@dataclass(frozen=True, eq=False)
class Sites:
    """The sites of spheres with given levels. Make one with :meth:`of`; arrays are read-only.

    Sites are numbered vertex by vertex, and within a vertex by the spheres that have it, innermost
    first. If all ``R`` spheres have the same level, the number is ``v·R + r``. Vertices of coarser
    levels come first, so all the sites of a level form a block of chains of the same spheres.

    Attributes
    ----------
    levels
        Level of every sphere, innermost first.
    index
        Number of the site of each vertex on each sphere, or -1, shape ``(V, R)``.
    vertex, sphere
        Vertex and sphere of each site, shape ``(N,)``.

    Examples
    --------
    >>> sites = Sites.of((0, 1))
    >>> sites.num_nodes, sites.index[11].tolist(), sites.index[12].tolist()
    (54, [22, 23], [-1, 24])
    """

    levels: Levels
    index: Ints
    vertex: Ints
    sphere: Ints

    @staticmethod
    def of(levels: Levels) -> Sites:
        """Get the sites of spheres with these levels, built at the first call."""
        return _sites(levels)

    @property
    def num_nodes(self) -> int:
        """Number of sites, ``N``."""
        return len(self.vertex)

    def on(self, level: int) -> Ints:
        """The spheres that have this level."""
        return np.flatnonzero(np.asarray(self.levels) == level)

    def nodes(self, vertices: Ints, spheres: Ints) -> Ints:
        """Numbers of the sites of each vertex on all of ``spheres``, one after the other."""
        return self.index[np.ix_(vertices, spheres)].reshape(-1)

    def permutations(self) -> Ints:
        """Number of the site to which each of the 60 rotations moves each site, ``(60, N)``."""
        # Vertices are nested, so the vertices of a coarser sphere are permuted in the same way.
        moved = vertex_permutations(max(self.levels))[:, self.vertex]
        return self.index[moved, self.sphere]


@cache
def _sites(levels: Levels) -> Sites:
    counts = np.array([10 * 4**level + 2 for level in levels])
    present = np.arange(counts.max())[:, None] < counts
    vertex, sphere = (axis.astype(np.int64) for axis in np.nonzero(present))
    index = np.full(present.shape, -1, dtype=np.int64)
    index[vertex, sphere] = np.arange(len(vertex))
    for array in (index, vertex, sphere):
        array.setflags(write=False)
    return Sites(levels, index, vertex, sphere)


@cache
def interpolation(coarse: int, fine: int) -> sparse.csr_array:
    """Weights of the vertices of a coarse level in the vertices of a finer one.

    A vertex that the coarse level has is itself. A midpoint is the mean of its two parents, which
    may in turn be midpoints. Weights are powers of one half, or sums of them, and exact.

    Returns
    -------
    Array of shape ``(V_fine, V_coarse)``, whose rows add up to 1.

    Examples
    --------
    >>> interpolation(0, 1)[[0, 12]].toarray().max(axis=1).tolist()
    [1.0, 0.5]
    """
    found = sparse.eye_array(Icosphere.get(coarse).num_vertices, format="csr")
    for level in range(coarse + 1, fine + 1):
        parents = Icosphere.get(level).parents
        middle: NDArray[np.float64] = np.full(parents.size, 0.5)
        rows = np.repeat(np.arange(len(parents)), 2)
        halves = sparse.csr_array(
            (middle, (rows, parents.reshape(-1))), shape=(len(parents), found.shape[0])
        )
        found = sparse.vstack([found, halves @ found], format="csr")
    found.sort_indices()
    return found
