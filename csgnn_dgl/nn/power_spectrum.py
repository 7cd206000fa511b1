"""Power spectra of features on a sphere: how strong they are at each degree."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.polynomial.legendre import legval
from torch import Tensor

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.grid import Icosphere, Sites
from csgnn_dgl.ops.lasting import lasting

__all__ = ["FINEST_LEVEL", "SphereGroup", "num_degrees", "power_spectrum", "sphere_groups"]

#: Spectra of finer spheres are not computed: they need a matrix of all pairs of vertices.
FINEST_LEVEL = 3

# Keeps the slope of the square root finite.
_EPSILON = 1e-12


def _sizes(level: int) -> tuple[int, ...]:
    """Count of independent functions of each degree on the vertices."""
    # Four of the seven functions of degree 3 vanish on the icosahedron's vertices.
    return (1, 3, 5, 3) if level == 0 else (1, 3, 5, 7, 9, 11)


def num_degrees(level: int) -> int:
    """Number of degrees ``l = 0, 1, …`` that the vertices of a level can tell apart.

    Examples
    --------
    >>> num_degrees(0), num_degrees(1)
    (4, 6)
    """
    return len(_sizes(level))


@cache
@lasting
def _basis(level: int) -> Tensor:
    """Rows whose squared products with features add up to their power, degree by degree."""
    if level > FINEST_LEVEL:
        raise ConfigError(
            f"power spectra are for spheres of level {FINEST_LEVEL} at most, not {level}"
        )
    vertices = Icosphere.get(level).vertices
    cosines = np.clip(vertices @ vertices.T, -1, 1)
    found = []
    for degree, size in enumerate(_sizes(level)):
        kernel = legval(cosines, [0] * degree + [1]) * (2 * degree + 1) / len(vertices) ** 2
        values, vectors = np.linalg.eigh(kernel)  # ascending; all but the last are zero
        found.append((vectors[:, -size:] * np.sqrt(values[-size:])).T)
    # Files of programs do not hold transposed tensors.
    return torch.from_numpy(np.ascontiguousarray(np.concatenate(found)))


class SphereGroup(NamedTuple):
    """The spheres of one level in a grid, and what their spectra need.

    Parameters
    ----------
    level
        Their level.
    spheres
        Their number.
    basis
        Rows of all degrees, one after the other, float64, shape ``(n, V)``.
    nodes
        Their sites, vertex by vertex, int64, shape ``(V · spheres,)``; None if these are all sites.
    """

    level: int
    spheres: int
    basis: Tensor
    nodes: Tensor | None


_moved: dict[tuple[tuple[int, ...], torch.device], tuple[SphereGroup, ...]] = {}


def sphere_groups(levels: tuple[int, ...], device: torch.device) -> tuple[SphereGroup, ...]:
    """Sort spheres with these levels, innermost first, by level; the coarsest group comes first.

    Tracers cannot follow this function, but its result is constant.
    """
    if (levels, device) in _moved:
        return _moved[levels, device]
    with torch.inference_mode(False):
        groups = tuple(_group(levels, level, device) for level in sorted(set(levels)))
    # Tensors of a tracer cannot be used outside of it.
    if all(type(group.basis) is Tensor for group in groups):
        _moved[levels, device] = groups
    return groups


def _group(levels: tuple[int, ...], level: int, device: torch.device) -> SphereGroup:
    basis, nodes = _basis(level), None
    sites = Sites.of(levels)
    spheres = sites.on(level)
    if len(spheres) < len(levels):
        found = sites.nodes(np.arange(basis.shape[1]), spheres)
        nodes = torch.from_numpy(found).to(device)
    return SphereGroup(level, len(spheres), basis.to(device), nodes)


def power_spectrum(feat: Tensor, groups: Sequence[SphereGroup]) -> Tensor:
    r"""Strength of each channel at each degree, which no rotation of the grid changes.

    .. math:: a_l^2 = \frac{2l + 1}{R} \sum_r \frac{1}{V_r^2}
              \sum_{ij} f_{ir}\, P_l(u_i \cdot u_j)\, f_{jr}

    ``P_l`` are Legendre polynomials, and ``u`` the vertices. By the addition theorem this is the
    power of spherical harmonics of degree ``l``. The squares of all degrees add up to about the
    mean square of the features, so ``a`` is of their size; ``a_0`` is the mean on a sphere. Where
    spheres have different levels, the mean over spheres leaves out those that are too coarse for a
    degree.

    Parameters
    ----------
    feat
        Features of all sites of a grid, shape ``(N, B, C)``.
    groups
        From :func:`sphere_groups`.

    Returns
    -------
    Tensor
        Shape ``(B, degrees·C)``, for the degrees of the finest spheres.

    Examples
    --------
    >>> groups = sphere_groups((0, 0), torch.device("cpu"))
    >>> power_spectrum(torch.full((24, 1, 1), 3.0), groups).round(decimals=3).tolist()
    [[3.0, 0.0, 0.0, 0.0]]
    """
    wide = feat.to(torch.promote_types(feat.dtype, torch.float32))
    degrees = num_degrees(groups[-1].level)
    totals: list[Tensor | None] = [None] * degrees
    spheres = [0] * degrees
    for group in groups:
        own = wide if group.nodes is None else wide.index_select(0, group.nodes)
        basis = group.basis.to(wide.dtype)
        squares = (basis @ own.reshape(basis.shape[1], -1)).square()
        # (n, R, B, C), of which n are grouped by degree.
        squares = squares.view(-1, group.spheres, *feat.shape[1:]).sum(dim=1)
        for degree, part in enumerate(squares.split(_sizes(group.level))):
            total, power = totals[degree], part.sum(dim=0)
            totals[degree] = power if total is None else total + power
            spheres[degree] += group.spheres
    means = [
        total / count for total, count in zip(totals, spheres, strict=True) if total is not None
    ]
    out = (torch.stack(means) + _EPSILON).sqrt()
    return out.to(feat.dtype).transpose(0, 1).flatten(1)
