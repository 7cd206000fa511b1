"""Exact checks with the 60 rotations that map an icosahedral grid onto itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from csgnn_dgl.grid import ConcentricGrid, icosahedral_rotations
from csgnn_dgl.mapping import rotate_clouds
from csgnn_dgl.testing.compare import relative_error
from csgnn_dgl.testing.tolerances import tolerance_of

__all__ = [
    "assert_layer_equivariant",
    "assert_rotation_equivariant",
    "assert_rotation_invariant",
]


def _rotated(points: Tensor, index: int) -> Tensor:
    matrix = torch.tensor(icosahedral_rotations()[index]).to(points)
    return rotate_clouds(points, matrix.expand(len(points), 3, 3))


def check_errors(
    what: str, errors: Sequence[float], dtype: torch.dtype, tolerance: float | None
) -> float:
    """The worst of the errors of all rotations, if the tolerance allows it."""
    limit = tolerance_of(dtype) if tolerance is None else tolerance
    # NaN is the worst of all.
    worst = max(range(len(errors)), key=lambda i: math.inf if errors[i] != errors[i] else errors[i])
    if not errors[worst] <= limit:
        bad = sum(not error <= limit for error in errors)
        raise AssertionError(
            f"{what} under {bad} of {len(errors)} rotations; the worst is number {worst}, relative "
            f"error {errors[worst]:.2e}, tolerance {limit:.0e}"
        )
    return errors[worst]


@torch.no_grad()
def assert_rotation_invariant(
    function: Callable[[Tensor], Tensor], points: Tensor, *, tolerance: float | None = None
) -> float:
    """The output does not move under any of the 60 icosahedral rotations.

    Parameters
    ----------
    function
        Clouds ``(B, N, 3)`` → any tensor; deterministic, such as a classifier in evaluation mode.
    points
        Clouds ``(B, N, 3)``, float64, in general position: a point on the border of two faces may
        go to either after a rotation's rounding.
    tolerance
        Largest difference, relative to the largest output; by default that of
        :data:`~csgnn_dgl.testing.TOLERANCES`.

    Returns
    -------
    float
        The largest relative error.

    Raises
    ------
    AssertionError
        It moves; says under how many rotations, and how far.

    Examples
    --------
    >>> clouds = torch.rand(2, 16, 3, dtype=torch.float64)
    >>> assert_rotation_invariant(lambda p: p.norm(dim=-1), clouds) < 1e-14
    True
    >>> assert_rotation_invariant(lambda p: p.sum(dim=1), clouds)
    Traceback (most recent call last):
    ...
    AssertionError: the output changes under 59 of 60 rotations; ...
    """
    reference = function(points)
    errors = [relative_error(function(_rotated(points, g)), reference) for g in range(60)]
    return check_errors("the output changes", errors, reference.dtype, tolerance)


@torch.no_grad()
def assert_rotation_equivariant(
    function: Callable[[Tensor], Tensor],
    points: Tensor,
    grid: ConcentricGrid,
    *,
    level: int | None = None,
    tolerance: float | None = None,
) -> float:
    """Site features permute as the sites do, under all 60 icosahedral rotations.

    Parameters
    ----------
    function
        Clouds ``(B, N, 3)`` → site features ``(V·R, B, C)`` on ``grid.graph(level)``.
    points
        Clouds ``(B, N, 3)``, float64, in general position.
    grid
        The grid, which knows how its sites permute.
    level
        Level of the site features; the grid's finest by default.
    tolerance
        Largest difference, relative to the largest feature; by default that of
        :data:`~csgnn_dgl.testing.TOLERANCES`.

    Returns
    -------
    float
        The largest relative error.

    Raises
    ------
    AssertionError
        Features go elsewhere; says under how many rotations, and how far off they are.

    Examples
    --------
    >>> from csgnn_dgl.mapping import PointMapping
    >>> clouds = torch.rand(2, 16, 3, dtype=torch.float64) - 0.5
    >>> assert_rotation_equivariant(PointMapping(1, 2, 3), clouds, ConcentricGrid(1, 2)) < 1e-13
    True
    """
    permutations = torch.from_numpy(grid.node_permutations(level))
    reference = function(points)
    errors = []
    for g in range(60):
        permutation = permutations[g].to(reference.device)
        errors.append(relative_error(function(_rotated(points, g))[permutation], reference))
    what = "site features do not permute as the sites do"
    return check_errors(what, errors, reference.dtype, tolerance)


@torch.no_grad()
def assert_layer_equivariant(
    layer: Callable[[Any, Tensor], Tensor],
    feat: Tensor,
    grid: ConcentricGrid,
    *,
    level: int | None = None,
    pools: bool = False,
    tolerance: float | None = None,
) -> float:
    """A layer ``layer(graph, feat)`` commutes with the permutations of the sites.

    Parameters
    ----------
    layer
        A layer, in evaluation mode.
    feat
        Site features ``(V·R, B, C)``, float64.
    grid
        The grid whose graphs it works on.
    level
        Level of ``feat``; the finest by default.
    pools
        Whether it works on ``grid.coarsening(level)`` and so gives features of the level below.
    tolerance
        Largest difference, relative to the largest output; by default that of
        :data:`~csgnn_dgl.testing.TOLERANCES`.

    Returns
    -------
    float
        The largest relative error.

    Raises
    ------
    AssertionError
        It does not; says under how many rotations, and how far off it is.

    Examples
    --------
    >>> from csgnn_dgl.nn import VertexPool
    >>> feat = torch.rand(84, 1, 2, dtype=torch.float64)
    >>> assert_layer_equivariant(VertexPool("max"), feat, ConcentricGrid(1, 2), pools=True)
    0.0
    """
    level = grid.level if level is None else level
    graph = grid.coarsening(level) if pools else grid.graph(level)
    before = torch.from_numpy(grid.node_permutations(level)).to(feat.device)
    after = torch.from_numpy(grid.node_permutations(level - pools)).to(feat.device)
    reference = layer(graph, feat)
    errors = []
    for g in range(60):
        moved = torch.empty_like(feat)
        moved[before[g]] = feat
        errors.append(relative_error(layer(graph, moved)[after[g]], reference))
    what = "the layer does not commute with the grid"
    return check_errors(what, errors, reference.dtype, tolerance)
