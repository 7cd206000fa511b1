"""Sets of rotations that average what depends on the orientation better than random ones."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.grid import icosahedral_rotations

__all__ = ["LARGEST_DESIGN", "designed_angles", "designed_rotations", "variance_left"]

Floats = npt.NDArray[np.float64]

# Most rotations in one set.
LARGEST_DESIGN = 16
_TABLE = Path(__file__).with_name("designed_votes.json")


@cache
def _table() -> dict[str, list[list[float]]]:
    found: dict[str, list[list[float]]] = json.loads(_TABLE.read_text(encoding="utf-8"))
    return found


def designed_rotations(n: int) -> Tensor:
    r"""A set of ``n`` rotations over which a model on the concentric grid is averaged best.

    Such a model is invariant under the 60 rotations of the icosahedron. As a function of the
    orientation, its answer has harmonics of the degrees 6, 10, 12, 15, 16, 18, … only. A set leaves
    the share :func:`variance_left` of each degree; ``n`` random rotations leave ``1/n`` of all. The
    sets make the sum over degrees small, weighted as they occur in the trained models of this
    package. Degrees from 1 on, which models without the grid have, are averaged as well as the
    choice leaves free.

    To use a set, turn all of it by one random rotation ``Q``: the rotations ``R_a Q``.

    Parameters
    ----------
    n
        Number of rotations, from 1 to 16.

    Returns
    -------
    Tensor
        Shape ``(n, 3, 3)``, float64. The first is the identity.

    Raises
    ------
    ConfigError
        There is no set of so many rotations.

    Examples
    --------
    >>> designed_rotations(5).shape
    torch.Size([5, 3, 3])
    >>> variance_left(designed_rotations(5), 6) < 0.03
    True
    """
    if not 1 <= n <= LARGEST_DESIGN:
        raise ConfigError(
            f"{n} designed rotations are asked for, but there are sets of 1 to {LARGEST_DESIGN}"
        )
    if n == 1:
        return torch.eye(3, dtype=torch.float64)[None]
    quaternions = np.array(_table()[str(n)])  # rounded in the file
    x, y, z, w = (quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return torch.from_numpy(np.ascontiguousarray(np.array(rows).transpose(2, 0, 1)))


def designed_angles(n: int) -> Tensor:
    """``n`` angles about an axis of the grid, over which to average.

    A half turn about a coordinate axis maps the grid onto itself. So the angles are evenly spaced
    over a half turn, and every other one is turned by a further half, for models without the grid.

    Returns
    -------
    Tensor
        Shape ``(n,)``, float64, in radians; the first is 0.

    Examples
    --------
    >>> (designed_angles(4) / torch.pi).round(decimals=3).tolist()
    [0.0, 1.25, 2.5, 3.75]
    """
    return torch.arange(n, dtype=torch.float64) * (math.pi * (n + 1) / n)


def variance_left(rotations: Tensor, degree: int) -> float:
    r"""Share of the variance of one degree that the mean over rotations leaves.

    .. math:: \frac{1}{60\,n^2} \sum_{a,b} \sum_g \chi_l(g\,R_a R_b^{-1}) \Big/
              \frac{1}{60} \sum_g \chi_l(g)

    Here :math:`g` runs over the rotations of the icosahedron, and :math:`\chi_l` is the character
    of degree :math:`l`. The quotient is the mean square of the average over the set
    :math:`R_a Q`, over all rotations :math:`Q`, for a function with
    :math:`f(gR) = f(R)` and harmonics of degree :math:`l` only, relative to that of the function.

    Parameters
    ----------
    rotations
        Shape ``(n, 3, 3)``.
    degree
        The degree ``l``.

    Raises
    ------
    ConfigError
        No function of this degree has the symmetry: the first degrees are 6, 10, 12, 15 and 16.

    Examples
    --------
    >>> variance_left(torch.eye(3)[None], 6)
    1.0
    """
    if degree < 1 or _characters(icosahedral_rotations(), degree).mean() < 0.5:
        raise ConfigError(
            f"no harmonic of degree {degree} has the symmetry of the icosahedron; the first "
            f"degrees are 6, 10, 12, 15, 16, 18"
        )
    group = icosahedral_rotations()
    turns = rotations.double().cpu().numpy()
    pairs = np.einsum("aij,bkj->abik", turns, turns)
    turned = np.einsum("gij,abjk->gabik", group, pairs)
    return float(_characters(turned, degree).mean() / _characters(group, degree).mean())


def _characters(rotations: Floats, degree: int) -> Floats:
    """Characters of one degree: ``1 + 2 Σ_k cos(kω)`` for rotations by the angle ω."""
    trace = np.trace(rotations, axis1=-2, axis2=-1)
    angle = np.arccos(np.clip((trace - 1) / 2, -1, 1))
    found = np.ones_like(angle)
    for order in range(1, degree + 1):
        found += 2 * np.cos(order * angle)
    return found
