"""Embeddings of chemical elements."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from ase.data import atomic_masses, chemical_symbols, covalent_radii
from torch import Tensor, nn

__all__ = ["PROPERTIES", "SpeciesEmbedding", "element_properties", "property_table"]

PROPERTIES = ("mass", "covalent radius", "group", "period", "electronegativity", "valence")

# Electronegativities on Pauling's scale, hydrogen to lawrencium; 0 where there is no value.
_PAULING = (
    *(2.20, 0, 0.98, 1.57, 2.04, 2.55, 3.04, 3.44, 3.98, 0),
    *(0.93, 1.31, 1.61, 1.90, 2.19, 2.58, 3.16, 0, 0.82, 1.00),
    *(1.36, 1.54, 1.63, 1.66, 1.55, 1.83, 1.88, 1.91, 1.90, 1.65),
    *(1.81, 2.01, 2.18, 2.55, 2.96, 3.00, 0.82, 0.95, 1.22, 1.33),
    *(1.6, 2.16, 1.9, 2.2, 2.28, 2.20, 1.93, 1.69, 1.78, 1.96),
    *(2.05, 2.1, 2.66, 2.6, 0.79, 0.89, 1.10, 1.12, 1.13, 1.14),
    *(1.13, 1.17, 1.2, 1.2, 1.1, 1.22, 1.23, 1.24, 1.25, 1.1),
    *(1.27, 1.3, 1.5, 2.36, 1.9, 2.2, 2.20, 2.28, 2.54, 2.00),
    *(1.62, 2.33, 2.02, 2.0, 2.2, 0, 0.7, 0.9, 1.1, 1.3),
    *(1.5, 1.38, 1.36, 1.28, 1.3, 1.3, 1.3, 1.3, 1.3, 1.3),
    *(1.3, 1.3, 1.3),
)
_NOBLE = (0, 2, 10, 18, 36, 54, 86, 118)


def _group_and_period(number: int) -> tuple[int, int]:
    """Column 1 … 18 and row of the periodic table; lanthanides and actinides are in column 3."""
    period = next(row for row in range(1, len(_NOBLE)) if number <= _NOBLE[row])
    place, length = number - _NOBLE[period - 1], _NOBLE[period] - _NOBLE[period - 1]
    if place <= 2 and not (period == 1 and place == 2):
        return place, period
    if length == 32:
        return (3 if place <= 17 else place - 14), period
    return place + 18 - length, period


@cache
def _table() -> npt.NDArray[np.float64]:
    rows = []
    for number in range(1, 119):
        group, period = _group_and_period(number)
        pauling = _PAULING[number - 1] if number <= len(_PAULING) else 0.0
        # Electrons outside the preceding noble gas, without filled d and f shells.
        valence = group if group <= 12 else group - 10
        rows.append(
            [
                np.log(atomic_masses[number]),
                covalent_radii[number],
                group,
                period,
                # Noble gases without a tabulated value get one close to krypton's and xenon's; so
                # do heavy elements without one.
                pauling or 2.6,
                valence,
            ]
        )
    table = np.array(rows)
    usual = table[:94]  # heavier elements hardly occur in crystals
    return np.asarray((table - usual.mean(axis=0)) / usual.std(axis=0))


def element_properties(numbers: Sequence[int]) -> npt.NDArray[np.float64]:
    """Tabulated properties of elements, standardised to mean 0 and deviation 1 over H … Pu.

    Parameters
    ----------
    numbers
        Atomic numbers, 1 to 118.

    Returns
    -------
    numpy.ndarray
        Shape ``(len(numbers), len(PROPERTIES))``, in the order of :data:`PROPERTIES`. The first
        column is made from the logarithm of the mass.

    Examples
    --------
    >>> iron, cobalt, neon = element_properties([26, 27, 10])
    >>> bool(np.linalg.norm(iron - cobalt) < np.linalg.norm(iron - neon))
    True
    """
    return _table()[np.asarray(numbers, dtype=np.int64) - 1]


def property_table() -> Tensor:
    """Properties by atomic number, shape ``(119, len(PROPERTIES))``; row 0 is zero.

    Examples
    --------
    >>> property_table().shape
    torch.Size([119, 6])
    """
    table = torch.zeros(119, len(PROPERTIES))
    table[1:] = torch.from_numpy(_table())
    return table


class SpeciesEmbedding(nn.Module):
    r"""A vector for every element: a linear map of its tabulated properties, and a correction.

    .. math:: e_Z = W p_Z + b + \delta_Z

    The corrections start at zero and are learned only for ``elements``. Other elements are
    described by their properties alone.

    Parameters
    ----------
    elements
        Atomic numbers in the training data.
    width
        Length of the vectors.

    Shapes
    ------
    atomic numbers ``(n,)``, int64 → ``(n, width)``.

    Examples
    --------
    >>> SpeciesEmbedding((6, 8), 4)(torch.tensor([6, 6, 92])).shape
    torch.Size([3, 4])
    """

    properties: Tensor
    known: Tensor

    def __init__(self, elements: Sequence[int], width: int) -> None:
        super().__init__()
        self.elements = tuple(elements)
        known = torch.zeros(119, dtype=torch.int64)
        for place, number in enumerate(self.elements):
            known[number] = place + 1  # 0: an element without a correction
        self.register_buffer("properties", property_table(), persistent=False)
        self.register_buffer("known", known, persistent=False)
        self.linear = nn.Linear(len(PROPERTIES), width)
        self.correction = nn.Parameter(torch.zeros(len(self.elements), width))

    def forward(self, numbers: Tensor) -> Tensor:
        """Vectors of the elements with these atomic numbers."""
        general = self.linear(self.properties[numbers])
        corrections = torch.cat([torch.zeros_like(self.correction[:1]), self.correction])
        return general + corrections[self.known[numbers]]

    def extra_repr(self) -> str:
        symbols = " ".join(chemical_symbols[number] for number in self.elements[:8])
        return f"{symbols}{' …' if len(self.elements) > 8 else ''}"
