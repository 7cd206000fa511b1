"""A fixed, invariant fingerprint of the surroundings of every atom."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from csgnn_dgl.mapping.neighbors import Neighbors
from csgnn_dgl.models.atoms.rows import NeighborRows
from csgnn_dgl.models.atoms.species import PROPERTIES, element_properties

__all__ = ["LARGEST_REACH", "fingerprint_length", "surroundings_fingerprint"]

#: Radius of the fingerprint where the model sees farther [Å], two to three shells of neighbours.
LARGEST_REACH = 5.0

# Shells, evenly spaced in the logarithm of the distance, from the shortest bond of heavy atoms.
_SHELLS, _NEAREST = 10, 0.9
# Angular terms use pairs of shells, the elements of neighbours three wide ranges.
_WIDE = {2: 5, 4: 3}
_DEGREES = 4
# Coefficients of Legendre polynomials: degree → power → coefficient.
_LEGENDRE = {
    1: {1: 1.0},
    2: {0: -0.5, 2: 1.5},
    3: {1: -1.5, 3: 2.5},
    4: {0: 0.375, 2: -3.75, 4: 4.375},
}


def fingerprint_length() -> int:
    """Length of a fingerprint."""
    elements = (_WIDE[4] + 1) * len(PROPERTIES)
    return _SHELLS + _WIDE[2] * len(_LEGENDRE) + elements


def surroundings_fingerprint(neighbors: Neighbors, reach: float) -> Tensor:
    r"""Describe the surroundings of every atom by numbers that no training has changed.

    The fingerprint does not depend on the orientation, on the order of the atoms, or on a model. It
    serves to compare surroundings with those in training data. Its parts are

    - the number of neighbours in ten shells, :math:`\sqrt{\sum_j g_k(r_j)}`;
    - the power of the angles between neighbours in five wider shells, for the Legendre polynomials
      of degree 1 to 4, :math:`(\sum_{ij} h_k(r_i) h_k(r_j) P_l(\cos\theta_{ij}))^{1/2}`;
    - the mean of tabulated properties (:data:`~csgnn_dgl.models.atoms.species.PROPERTIES`) of
      neighbours in three ranges, and those of the atom itself. So similar elements have similar
      fingerprints.

    Shells are Gaussians of the logarithm of the distance, times a factor that falls to zero at
    ``reach``. Hence the fingerprint is a continuous function of all positions. Sums over pairs of
    neighbours are computed from moments of their directions, so the cost is linear in the number
    of neighbours.

    Parameters
    ----------
    neighbors
        Neighbours of the atoms, at least up to ``reach``.
    reach
        Radius beyond which neighbours do not count [Å].

    Shapes
    ------
    Neighbours of ``A`` atoms → ``(A, fingerprint_length())``, float64.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from csgnn_dgl.mapping.neighbors import find_neighbors
    >>> found = find_neighbors([bulk("C", "diamond", 3.57)], cutoff=5.0)
    >>> both = surroundings_fingerprint(found, reach=5.0)
    >>> both.shape == (2, fingerprint_length()), torch.allclose(both[0], both[1])
    (True, True)
    """
    vectors = neighbors.displacements.double()
    distances = vectors.norm(dim=1)
    near = torch.argwhere(distances < reach).flatten()
    centres = neighbors.centres.index_select(0, near)
    device, atoms = vectors.device, neighbors.n_atoms

    # Rows are padded with neighbours of no weight, so that all sums are matrix products.
    in_rows = NeighborRows(centres, atoms)

    def rows(values: Tensor, fill: float) -> Tensor:
        return in_rows(values.index_select(0, near), fill)

    distance = rows(distances, reach)
    by_shell = _shells(distance, reach)
    properties = _properties().to(device)
    directions = rows(vectors, 0.0) / distance[:, :, None]
    wide = {size: _merged(by_shell, size) for size in _WIDE}
    number = wide[4].sum(dim=2)
    kinds = wide[4] @ properties[rows(neighbors.numbers, 0)]
    moments = wide[2] @ _monomials(directions).transpose(1, 2)
    return torch.cat(
        [
            by_shell.sum(dim=2).sqrt(),
            _angular_power(moments),
            # Where there are no neighbours, the mean fades to the mean of all elements.
            (kinds / (number[:, :, None] + 0.5)).flatten(1),
            properties[neighbors.centre_numbers],
        ],
        dim=1,
    )


def _shells(distances: Tensor, reach: float) -> Tensor:
    """Share of each neighbour in every shell, ``(A, n)`` → ``(A, _SHELLS, n)``; 0 at ``reach``."""
    edges = torch.linspace(
        math.log(min(_NEAREST, reach / 2)),
        math.log(reach),
        _SHELLS + 1,
        dtype=distances.dtype,
        device=distances.device,
    )
    spacing = edges[1] - edges[0]
    off = (torch.log(distances)[:, None] - edges[:-1, None]) / spacing
    # The cosine of π is exactly −1, so that padding has no weight.
    fade = (1 + torch.cos(math.pi * (distances / reach))) / 2
    return torch.exp(-(off**2) / 2) * fade[:, None]


def _merged(by_shell: Tensor, size: int) -> Tensor:
    """Sums over ``size`` consecutive shells."""
    return torch.stack([part.sum(dim=1) for part in by_shell.split(size, dim=1)], dim=1)


def _powers() -> list[tuple[int, int, int]]:
    return [
        (a, b, degree - a - b)
        for degree in range(_DEGREES + 1)
        for a in range(degree + 1)
        for b in range(degree - a + 1)
    ]


@cache
def _products() -> list[tuple[int, int]]:
    """For each monomial but the first, a monomial of a lower degree, and the component it lacks."""
    powers = _powers()
    found = []
    for own in powers[1:]:
        axis = next(axis for axis in range(3) if own[axis])
        less = tuple(power - (k == axis) for k, power in enumerate(own))
        found.append((powers.index((less[0], less[1], less[2])), axis))
    return found


def _monomials(directions: Tensor) -> Tensor:
    """Products of components of unit vectors, of all degrees, ``(A, n, 3)`` → ``(A, 35, n)``."""
    components = directions.unbind(dim=2)
    shape = directions.shape[:2]
    out = directions.new_empty(shape[0], len(_powers()), shape[1])
    out[:, 0] = 1
    for index, (lower, axis) in enumerate(_products(), start=1):
        torch.mul(out[:, lower], components[axis], out=out[:, index])
    return out


def _angular_power(moments: Tensor) -> Tensor:
    """Sums of Legendre polynomials over pairs of neighbours, from moments ``(A, K, 35)``."""
    found = moments.square() @ _legendre().to(moments)
    # A sum that is zero by symmetry is a small number of either sign. Its root would be large.
    return (found.clamp(min=0) + 1e-8).sqrt().transpose(1, 2).flatten(1)


@cache
def _legendre() -> Tensor:
    """What the square of each moment adds to the sum of each polynomial, ``(35, 4)``.

    By the multinomial theorem, the sum of (u·v)^n over pairs is a weighted sum of squares.
    """
    table = torch.zeros(len(_powers()), len(_LEGENDRE), dtype=torch.float64)
    for row, powers in enumerate(_powers()):
        ways = math.factorial(sum(powers)) / math.prod(map(math.factorial, powers))
        for column, terms in enumerate(_LEGENDRE.values()):
            table[row, column] = ways * terms.get(sum(powers), 0.0)
    return table


@cache
def _properties() -> Tensor:
    table = torch.zeros(119, len(PROPERTIES), dtype=torch.float64)
    table[1:] = torch.from_numpy(element_properties(range(1, 119)))
    return table
