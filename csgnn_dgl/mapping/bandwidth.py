"""Bandwidths of the radial basis function, one per shell (Sec. A.6)."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from csgnn_dgl.errors import ConfigError, suggest
from csgnn_dgl.grid import Icosphere

__all__ = ["Bandwidth", "BandwidthFace", "shell_bandwidths"]

Bandwidth = Literal["squared", "paper"]
BandwidthFace = Literal["largest", "first"]


def shell_bandwidths(
    level: int,
    n_shells: int,
    *,
    bandwidth: Bandwidth = "squared",
    threshold: float = 0.01,
    face: BandwidthFace = "largest",
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

    Faces of one level differ in size. ``"largest"`` takes the largest distance on any of them, so
    that no weight within a face falls below ``T``. ``"first"`` takes the first face, as the
    authors' released code does. It lies at a vertex of the icosahedron, like 59 others of the same
    size, so neither result depends on the numbering or a rotation of the grid. With the first
    face, bandwidths are up to 2 % greater (level 4, 16 spheres).

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
    face
        Face whose vertices are meant, see above.

    Returns
    -------
    numpy.ndarray
        Shape ``(n,)``, float64, in 1/length² ("squared"); element ``i - 1`` is shell ``i``.

    Raises
    ------
    ConfigError
        The formula or the face is unknown, the threshold is outside (0, 1], or there is no shell.

    Examples
    --------
    >>> shell_bandwidths(2, 4).round(1)
    array([73.7, 60.8, 45.1, 32.5])
    """
    for what, value, known in (
        ("bandwidth formula", bandwidth, get_args(Bandwidth)),
        ("face for bandwidths", face, get_args(BandwidthFace)),
    ):
        if value not in known:
            raise ConfigError(f"unknown {what} {value!r}: {suggest(str(value), known)}")
    if not 0 < threshold <= 1:
        raise ConfigError(f"threshold is {threshold}, but it must be above 0 and at most 1")
    if n_shells < 1:
        raise ConfigError(f"{n_shells} spheres are asked for, but there must be at least 1")
    sphere = Icosphere.get(level)
    # Children of a face keep its corners in their order, so face 0 of any level is at a vertex of
    # the icosahedron.
    edges = sphere.edges if face == "largest" else sphere.faces[0][[[0, 1], [1, 2], [2, 0]]]
    ends = sphere.vertices[edges]
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
