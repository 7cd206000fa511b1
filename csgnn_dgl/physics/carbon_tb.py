r"""Tight-binding carbon: the orthogonal sp³ model of Xu, Wang, Chan and Ho, as an ASE calculator.

C. H. Xu, C. Z. Wang, C. T. Chan and K. M. Ho, J. Phys.: Condens. Matter 4, 6047 (1992),
doi 10.1088/0953-8984/4/28/006. Energies are in eV and lengths in Å. Each atom has four valence
electrons. The Brillouin zone is sampled only at Γ, so cells should be large; for others see
:mod:`csgnn_dgl.physics.carbon_bands`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from scipy.linalg import eigh

from csgnn_dgl._pairs import find_pairs
from csgnn_dgl.errors import DataError

__all__ = [
    "CUTOFF",
    "VALENCE_ELECTRONS",
    "CarbonTightBinding",
    "Spectrum",
    "onsite_energies",
    "pair_blocks",
    "solve",
]

Floats = npt.NDArray[np.float64]

CUTOFF = 2.6
VALENCE_ELECTRONS = 4
_ONSITE_S, _ONSITE_P = -2.99, 3.71
_R0 = 1.536329
# ssσ, spσ, ppσ, ppπ at r0.
_HOPPING = np.array([-5.0, 4.7, 5.5, -1.55])
# kT of the occupations, which matters only for a degenerate level at the top [eV].
_TEMPERATURE = 1e-3


@dataclass(frozen=True)
class _Radial:
    """``scale (a/r)^n exp(n((a/c)^m − (r/c)^m))``; a cubic from ``joint`` to the cutoff, then 0."""

    scale: float
    a: float
    n: float
    c: float
    m: float
    joint: float
    cubic: tuple[float, float, float, float]

    def __call__(self, r: Floats) -> tuple[Floats, Floats]:
        """Compute value and slope."""
        near = r < self.joint
        x = np.where(near, r, self.joint)
        power = (x / self.c) ** self.m
        value = self.scale * (self.a / x) ** self.n
        value = value * np.exp(self.n * (-power + (self.a / self.c) ** self.m))
        slope = -value * self.n * (1 + self.m * power) / x
        y = np.where(near, 0.0, r - self.joint)
        c0, c1, c2, c3 = self.cubic
        tail, tail_slope = c0 + y * (c1 + y * (c2 + y * c3)), c1 + y * (2 * c2 + y * 3 * c3)
        inside = r < CUTOFF
        return (
            np.where(near, value, np.where(inside, tail, 0.0)),
            np.where(near, slope, np.where(inside, tail_slope, 0.0)),
        )


_S = _Radial(
    *(1.0, _R0, 2.0, 2.18, 6.5, 2.45),
    (6.7392620074314e-3, -8.1885359517898e-2, 0.1932365259144, 0.3542874332380),
)
_PHI = _Radial(
    *(8.18555, 1.64, 3.30304, 2.1052, 8.6655, 2.57),
    (2.2504290109e-8, -1.4408640561e-6, 2.1043303374e-5, 6.6024390226e-5),
)
_EMBEDDING = np.polynomial.Polynomial(
    [
        -2.5909765118191,
        0.5721151498619,
        -1.7896349903396e-3,
        2.3539221516757e-5,
        -1.24251169551587e-7,
    ]
)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Results of a diagonalisation.

    Parameters
    ----------
    eigenvalues
        Eigenvalues in ascending order, shape ``(4 N,)`` [eV].
    occupations
        Electrons in each level, 0 to 2.
    projections
        Share of each eigenvector on each atom, shape ``(4 N, N)``; rows add up to 1.
    band_energy
        Sum of filled eigenvalues [eV].
    repulsion
        Repulsive energy [eV].
    forces
        Forces on the atoms, shape ``(N, 3)`` [eV/Å].
    """

    eigenvalues: Floats
    occupations: Floats
    projections: Floats
    band_energy: float
    repulsion: float
    forces: Floats

    @property
    def energy(self) -> float:
        """Band energy and repulsion [eV]."""
        return self.band_energy + self.repulsion

    @property
    def gap(self) -> float:
        """Difference between the lowest empty and the highest filled level [eV]."""
        filled = round(float(self.occupations.sum()) / 2)
        return float(self.eigenvalues[filled] - self.eigenvalues[filled - 1])


def solve(atoms: Atoms) -> Spectrum:
    """Compute eigenvalues, energies and forces of a carbon structure at Γ.

    Raises
    ------
    DataError
        The structure has other elements, no atoms, positions that are not finite, or two atoms at
        one place.

    Examples
    --------
    >>> from ase.build import molecule
    >>> solve(molecule("C60")).eigenvalues.shape
    (240,)
    """
    _check(atoms)
    i, j, d = find_pairs(atoms.positions, atoms.cell.array, atoms.pbc, CUTOFF)
    r = _lengths(i, j, d)
    n = len(atoms)
    hopping, slopes = _blocks(r, d)
    hamiltonian = np.zeros((n, n, 4, 4))
    # Several images of an atom may be neighbours of the same atom; their blocks add up.
    np.add.at(hamiltonian, (i, j), hopping)
    hamiltonian[np.arange(n), np.arange(n)] += np.diag(onsite_energies())
    matrix = hamiltonian.transpose(0, 2, 1, 3).reshape(4 * n, 4 * n)
    values, vectors = eigh(matrix)
    occupations = _occupations(values, VALENCE_ELECTRONS * n)
    density = (vectors * occupations) @ vectors.T
    blocks = density.reshape(n, 4, n, 4).transpose(0, 2, 1, 3)[i, j]
    phi, phi_slope = _PHI(r)
    crowding = np.bincount(i, phi, minlength=n)
    # dE/dD of every directed pair: from the bonds, and from the repulsion of both atoms.
    pull = np.einsum("pab,pabx->px", blocks, slopes)
    embedding = _EMBEDDING.deriv()(crowding)
    push = (embedding[i] * phi_slope / np.where(r > 0, r, 1))[:, None] * d
    forces = np.zeros((n, 3))
    for axis in range(3):
        total = pull[:, axis] + push[:, axis]
        forces[:, axis] = np.bincount(i, total, minlength=n) - np.bincount(j, total, minlength=n)
    return Spectrum(
        eigenvalues=values,
        occupations=occupations,
        projections=(vectors**2).T.reshape(4 * n, n, 4).sum(axis=2),
        band_energy=float(values @ occupations),
        repulsion=float(_EMBEDDING(crowding).sum()),
        forces=forces,
    )


def onsite_energies() -> Floats:
    """Energies of the four orbitals of an atom, s, x, y and z, shape ``(4,)`` [eV]."""
    return np.array([_ONSITE_S] + [_ONSITE_P] * 3)


def pair_blocks(
    atoms: Atoms, i: npt.NDArray[np.int64], j: npt.NDArray[np.int64], d: Floats
) -> Floats:
    """Hopping between the orbitals of pairs of atoms, shape ``(P, 4, 4)`` [eV].

    Parameters
    ----------
    atoms
        The structure.
    i, j, d
        Pairs within :data:`CUTOFF`, of :func:`csgnn_dgl._pairs.find_pairs`.

    Raises
    ------
    DataError
        As for :func:`solve`.
    """
    _check(atoms)
    return _blocks(_lengths(i, j, d), d)[0]


def _lengths(i: npt.NDArray[np.int64], j: npt.NDArray[np.int64], d: Floats) -> Floats:
    r = np.asarray(np.linalg.norm(d, axis=1))
    if len(r) and r.min() < 0.1:
        pair = int(r.argmin())
        raise DataError(
            f"atoms {i[pair]} and {j[pair]} are {r.min():.3f} Å apart, which is too close for "
            f"carbon; correct their positions"
        )
    return r


def _check(atoms: Atoms) -> None:
    if len(atoms) == 0:
        raise DataError("the structure has no atoms")
    others = sorted(set(atoms.symbols) - {"C"})
    if others:
        raise DataError(
            f"the structure has {', '.join(others)}, but this tight-binding model knows carbon only"
        )


def _blocks(r: Floats, d: Floats) -> tuple[Floats, Floats]:
    """Slater–Koster blocks ``(pairs, 4, 4)``, and their slopes ``(pairs, 4, 4, 3)``."""
    s, s_slope = _S(r)
    u = d / np.where(r > 0, r, 1)[:, None]
    ss, sp, pps, ppp = _HOPPING
    angular = np.zeros((len(r), 4, 4))
    angular[:, 0, 0] = ss
    angular[:, 0, 1:] = sp * u
    angular[:, 1:, 0] = -sp * u
    angular[:, 1:, 1:] = (pps - ppp) * u[:, :, None] * u[:, None, :] + ppp * np.eye(3)
    # du_a/dD_x = (δ_ax − u_a u_x) / r
    across = (np.eye(3) - u[:, :, None] * u[:, None, :]) / np.where(r > 0, r, 1)[:, None, None]
    turned = np.zeros((len(r), 4, 4, 3))
    turned[:, 0, 1:] = sp * across
    turned[:, 1:, 0] = -sp * across
    turned[:, 1:, 1:] = (pps - ppp) * (
        across[:, :, None, :] * u[:, None, :, None] + u[:, :, None, None] * across[:, None, :, :]
    )
    along = s_slope[:, None, None, None] * angular[..., None] * u[:, None, None, :]
    return s[:, None, None] * angular, along + s[:, None, None, None] * turned


def _occupations(values: Floats, electrons: int) -> Floats:
    """Fill levels with two electrons each from below; degenerate levels at the top share the rest.

    This is a Fermi function with a temperature far below all other energies. It fills degenerate
    levels evenly, so that the forces belong to a well-defined state.
    """
    filled = electrons // 2
    if filled >= len(values) or values[filled] - values[filled - 1] > 60 * _TEMPERATURE:
        return np.where(np.arange(len(values)) < electrons / 2, 2.0, 0.0)
    low, high = values[0] - 1, values[-1] + 1
    for _ in range(100):
        middle = (low + high) / 2
        x = np.clip((values - middle) / _TEMPERATURE, -500, 500)
        count = (2 / (1 + np.exp(x))).sum()
        low, high = (middle, high) if count < electrons else (low, middle)
    x = np.clip((values - (low + high) / 2) / _TEMPERATURE, -500, 500)
    shares = 2 / (1 + np.exp(x))
    return np.asarray(shares * electrons / shares.sum())


class CarbonTightBinding(Calculator):
    """ASE calculator for energy and forces; ``spectrum`` holds the :class:`Spectrum`.

    Examples
    --------
    >>> from ase.build import molecule
    >>> fullerene = molecule("C60")
    >>> fullerene.calc = CarbonTightBinding()
    >>> round(fullerene.get_potential_energy() / 60, 1)
    -8.0
    """

    implemented_properties = ["energy", "forces"]  # noqa: RUF012 (ASE's own way)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.spectrum: Spectrum | None = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        super().calculate(atoms, list(properties), list(system_changes))
        if self.atoms is None:
            raise DataError("the calculator was given no atoms")
        self.spectrum = solve(self.atoms)
        self.results = {"energy": self.spectrum.energy, "forces": self.spectrum.forces}
