"""Bandwidths of the radial basis function, one per shell (Sec. A.6)."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from csgnn_dgl.errors import ConfigError, suggest
from csgnn_dgl.grid import Icosphere

__all__ = ["Bandwidth", "shell_bandwidths"]

Bandwidth = Literal["squared", "paper"]


def shell_bandwidths(
    level: int, n_shells: int, *, bandwidth: Bandwidth = "squared", threshold: float = 0.01
) -> NDArray[np.float64]:
    r"""Compute bandwidths :math:`\gamma_i` for the shells between equally spaced spheres.

    Shell :math:`i = 1, \dots, n` lies between the radii :math:`(i-1)/n` and :math:`i/n`. A face has
    three vertices on each of the two spheres (on the innermost shell, three vertices and the
    origin). With :math:`d_i` the largest distance between two of these,

    .. math::
        \gamma_i = -\ln T / d_i^2 \quad (\text{squared}), \qquad
        \gamma_i = -\ln T / (d_i / 2) \quad (\text{paper}).

    ``"squared"`` is the formula in the authors' released code: at the largest possible distance
    between a point and a vertex of its neighbourhood, the weight is exactly ``T``, at any radius.
    ``"paper"`` is the formula in Sec. A.6 of "Concentric Spherical GNN for 3D Representation
    Learning".

    Faces of one level differ slightly in size. The largest face is used, so that the result does
    not depend on the numbering or a rotation of the grid.

    Parameters
    ----------
    level
        Icosahedral level ``L``.
    n_shells
        Number ``n`` of spheres, the outermost at radius 1.
    bandwidth
        Formula, see above.
    threshold
        ``T``, 0 < T ≤ 1. At 1 every weight is 1.

    Returns
    -------
    numpy.ndarray
        Shape ``(n,)``, float64, in 1/length² ("squared"); element ``i - 1`` is shell ``i``.

    Raises
    ------
    ConfigError
        The formula is unknown, the threshold is outside (0, 1], or there is no shell.

    Examples
    --------
    >>> shell_bandwidths(2, 4).round(1)
    array([73.7, 60.8, 45.1, 32.5])
    """
    if bandwidth not in get_args(Bandwidth):
        hint = suggest(str(bandwidth), get_args(Bandwidth))
        raise ConfigError(f"unknown bandwidth formula {bandwidth!r}: {hint}")
    if not 0 < threshold <= 1:
        raise ConfigError(f"threshold is {threshold}, but it must be above 0 and at most 1")
    if n_shells < 1:
        raise ConfigError(f"{n_shells} spheres are asked for, but there must be at least 1")
    sphere = Icosphere.get(level)
    ends = sphere.vertices[sphere.edges]
    edge_squared = float(((ends[:, 0] - ends[:, 1]) ** 2).sum(-1).max())
    outer = np.arange(1, n_shells + 1) / n_shells
    inner = np.arange(n_shells) / n_shells
    # Two vertices u, w at radii a, b are sqrt((a - b)² + a b |u - w|²) apart. Within a sphere, and
    # between the spheres, the longest edge gives the largest distance; inner = 0 is the origin.
    within = outer**2 * edge_squared
    between = (outer - inner) ** 2 + outer * inner * edge_squared
    squared = np.maximum(within, between)
    scale = squared if bandwidth == "squared" else np.sqrt(squared) / 2
    # For a threshold of 1, adding 0.0 changes -0.0 into 0.0.
    gammas: NDArray[np.float64] = -np.log(threshold) / scale + 0.0
    return gammas
