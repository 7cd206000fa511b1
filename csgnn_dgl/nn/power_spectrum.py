"""Power spectra of features on a sphere: how strong they are at each degree."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.polynomial.legendre import legval
from torch import Tensor

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.grid import Icosphere
from csgnn_dgl.ops.lasting import lasting

__all__ = ["FINEST_LEVEL", "num_degrees", "power_spectrum", "spectral_basis"]

#: Spectra of finer spheres are not computed: they need a matrix of all pairs of vertices.
FINEST_LEVEL = 3

# Keeps the slope of the square root finite.
_EPSILON = 1e-12

_moved: dict[tuple[int, torch.device], Tensor] = {}


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


def spectral_basis(level: int, device: torch.device) -> Tensor:
    """The rows of all degrees, one after the other, float64, shape ``(n, V)``.

    Tracers cannot follow this function, but its result is constant.
    """
    if (level, device) in _moved:
        return _moved[level, device]
    with torch.inference_mode(False):
        basis = _basis(level).to(device)
    if type(basis) is Tensor:  # tensors of a tracer cannot be used outside of it
        _moved[level, device] = basis
    return basis


def power_spectrum(feat: Tensor, level: int, n_spheres: int, basis: Tensor) -> Tensor:
    r"""Strength of each channel at each degree, which no rotation of the grid changes.

    .. math:: a_l^2 = \frac{2l + 1}{R V^2} \sum_{rij} f_{ir}\, P_l(u_i \cdot u_j)\, f_{jr}

    ``P_l`` are Legendre polynomials, and ``u`` the vertices. By the addition theorem this is the
    power of spherical harmonics of degree ``l``. The squares of all degrees add up to about the
    mean square of the features, so ``a`` is of their size; ``a_0`` is the mean on a sphere.

    Parameters
    ----------
    feat
        Shape ``(V·R, B, C)``, node ``v·R + r``.
    level, n_spheres
        Size of the grid.
    basis
        From :func:`spectral_basis`.

    Returns
    -------
    Tensor
        Shape ``(B, degrees·C)``.

    Examples
    --------
    >>> basis = spectral_basis(0, torch.device("cpu"))
    >>> power_spectrum(torch.full((24, 1, 1), 3.0), 0, 2, basis).round(decimals=3).tolist()
    [[3.0, 0.0, 0.0, 0.0]]
    """
    wide = feat.to(torch.promote_types(feat.dtype, torch.float32))
    rows = wide.reshape(feat.shape[0] // n_spheres, -1)
    squares = (basis.to(wide.dtype) @ rows).square()
    # (n, R, B, C), of which n are grouped by degree.
    squares = squares.view(-1, n_spheres, *feat.shape[1:]).mean(dim=1)
    power = torch.stack([part.sum(dim=0) for part in squares.split(_sizes(level))])
    return (power + _EPSILON).sqrt().to(feat.dtype).transpose(0, 1).flatten(1)
