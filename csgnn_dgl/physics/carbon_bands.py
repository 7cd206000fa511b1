"""Bands of tight-binding carbon in crystals with small cells, on a grid of k-points.

The model is that of :mod:`csgnn_dgl.physics.carbon_tb`, which takes the Γ point only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl._pairs import find_pairs
from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.physics.carbon_tb import CUTOFF, VALENCE_ELECTRONS, onsite_energies, pair_blocks

__all__ = ["Bands", "k_points", "solve_bands"]

Floats = npt.NDArray[np.float64]

# More k-points than this are a mistake in the spacing or the cell.
_MOST = 100_000
# Largest difference between a sum of weights and a number of electrons.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Bands:
    """Eigenvalues of a crystal.

    Parameters
    ----------
    eigenvalues
        Eigenvalues of every k-point in ascending order, shape ``(K, 4 N)`` [eV].
    weights
        Weights of the k-points, shape ``(K,)``; they add up to 1.
    projections
        Share of each state on each atom, shape ``(K, 4 N, N)``; rows add up to 1.
    """

    eigenvalues: Floats
    weights: Floats
    projections: Floats

    def __post_init__(self) -> None:
        size = self.projections.shape[2]
        order = np.argsort(self.eigenvalues, axis=None, kind="stable")
        levels = self.eigenvalues.reshape(-1)[order]
        states = 2 * np.repeat(self.weights, self.eigenvalues.shape[1])[order]
        electrons = float(VALENCE_ELECTRONS * size)
        filled = np.cumsum(states)
        top = int(np.searchsorted(filled, electrons - _ROUNDING))
        taken = states[: top + 1].copy()
        taken[-1] -= filled[top] - electrons
        full = abs(filled[top] - electrons) <= _ROUNDING and top + 1 < len(levels)
        level = (levels[top] + levels[top + 1]) / 2 if full else levels[top]
        object.__setattr__(self, "_fermi_level", float(level))
        object.__setattr__(self, "_band_energy", float(levels[: top + 1] @ taken))

    @property
    def band_energy(self) -> float:
        """Sum of filled eigenvalues [eV per cell]."""
        value: float = self.__dict__["_band_energy"]
        return value

    @property
    def fermi_level(self) -> float:
        """Middle between the highest filled and the lowest empty level, or a metal's level [eV]."""
        value: float = self.__dict__["_fermi_level"]
        return value

    @property
    def gap(self) -> float:
        """Smallest energy from a filled band to an empty one, 0 for a metal [eV]."""
        bands = VALENCE_ELECTRONS * self.projections.shape[2] // 2
        gap = self.eigenvalues[:, bands].min() - self.eigenvalues[:, bands - 1].max()
        return max(0.0, float(gap))


def k_points(atoms: Atoms, spacing: float) -> tuple[Floats, Floats]:
    """Make an even grid of k-points that contains Γ.

    Of each pair k and −k, which have the same eigenvalues, one is kept with twice the weight. In
    directions without periodicity there is one point.

    Parameters
    ----------
    atoms
        The structure.
    spacing
        Largest distance between neighbouring points [1/Å, with the factor 2π].

    Returns
    -------
    tuple
        Points in units of the reciprocal cell vectors, shape ``(K, 3)``, and weights, ``(K,)``.

    Raises
    ------
    ConfigError
        The spacing is not positive.
    DataError
        There would be more than 100,000 points.

    Examples
    --------
    >>> from ase.build import bulk
    >>> points, weights = k_points(bulk("C", "diamond", 3.57), 1.0)
    >>> points.shape, float(weights.sum())
    ((36, 3), 1.0)
    """
    if not (np.isfinite(spacing) and spacing > 0):
        raise ConfigError(f"the spacing of k-points is {spacing}, but it must be positive")
    lengths = np.linalg.norm(2 * np.pi * atoms.cell.complete().reciprocal(), axis=1)
    wanted = np.where(atoms.pbc, np.ceil(lengths / spacing - 1e-9), 1)
    if not wanted.prod() <= _MOST:
        raise DataError(
            f"its cell needs {wanted.prod():.3g} k-points at a spacing of {spacing:g} 1/Å; choose "
            f"a larger spacing"
        )
    sizes = np.maximum(wanted, 1).astype(int)
    index = np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), -1).reshape(-1, 3)
    number, opposite = (
        np.ravel_multi_index(tuple(part.T), tuple(sizes)) for part in (index, -index % sizes)
    )
    kept = number <= opposite
    weights = np.where(number == opposite, 1.0, 2.0)[kept] / len(index)
    return index[kept] / sizes, weights


def solve_bands(atoms: Atoms, spacing: float = 0.2) -> Bands:
    """Compute the eigenvalues of a carbon structure on a grid of k-points.

    Parameters
    ----------
    atoms
        The structure. Without periodicity, the result is that of
        :func:`~csgnn_dgl.physics.carbon_tb.solve`.
    spacing
        See :func:`k_points`.

    Raises
    ------
    DataError
        As for :func:`~csgnn_dgl.physics.carbon_tb.solve`; or too many k-points.
    ConfigError
        The spacing is not positive.

    Examples
    --------
    >>> from ase.build import bulk
    >>> bands = solve_bands(bulk("C", "diamond", 3.57))
    >>> bands.eigenvalues.shape[1], round(bands.gap)
    (8, 6)
    """
    points, weights = k_points(atoms, spacing)
    n = len(atoms)
    i, j, d = find_pairs(atoms.positions, atoms.cell.array, atoms.pbc, CUTOFF)
    blocks = pair_blocks(atoms, i, j, d)
    # Phases of whole displacements: the eigenvalues, and the shares of atoms, are the same as with
    # those of lattice vectors.
    across = d @ np.linalg.inv(atoms.cell.complete().array)
    onsite = np.diag(np.tile(onsite_energies(), n))
    values, shares = [], []
    for point in points:
        hopping = np.zeros((n, n, 4, 4), dtype=complex)
        phase = np.exp(2j * np.pi * (across @ point))
        np.add.at(hopping, (i, j), phase[:, None, None] * blocks)
        matrix = hopping.transpose(0, 2, 1, 3).reshape(4 * n, 4 * n) + onsite
        levels, vectors = np.linalg.eigh(matrix)
        values.append(levels)
        shares.append((np.abs(vectors) ** 2).T.reshape(4 * n, n, 4).sum(axis=2))
    return Bands(np.array(values), weights, np.array(shares))
