"""Neighbours in rows: one row of equal length for each atom."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["NeighborRows"]


class NeighborRows:
    """Puts values of neighbours into one row for each atom, so that sums are matrix products.

    Rows are as long as the longest one, and padded.

    Parameters
    ----------
    centres
        Index of each neighbour's atom, shape ``(P,)``, in any order.
    atoms
        Number of atoms ``A``.

    Shapes
    ------
    ``(P, …)`` → ``(A, width, …)``.

    Examples
    --------
    >>> rows = NeighborRows(torch.tensor([0, 2, 2]), 3)
    >>> rows(torch.tensor([5.0, 6.0, 7.0])).tolist()
    [[5.0, 0.0], [0.0, 0.0], [6.0, 7.0]]
    """

    def __init__(self, centres: Tensor, atoms: int) -> None:
        self.atoms = atoms
        counts = torch.bincount(centres, minlength=atoms)
        self.width = int(counts.max()) if len(centres) else 0
        # Neighbours are in the order of their atoms nearly always, and need no sorting then.
        ordered = bool((centres[1:] >= centres[:-1]).all())
        self.order = None if ordered else torch.argsort(centres, stable=True)
        sorted_centres = centres if self.order is None else centres.index_select(0, self.order)
        rank = torch.arange(len(centres), device=centres.device)
        first = counts.cumsum(0) - counts
        self.place = sorted_centres * self.width + rank - first.index_select(0, sorted_centres)

    def __call__(self, values: Tensor, fill: float = 0.0) -> Tensor:
        """Values of neighbours by atom, and ``fill`` where there are none."""
        if self.order is not None:
            values = values.index_select(0, self.order)
        padded = values.new_full((self.atoms * self.width, *values.shape[1:]), fill)
        padded = padded.index_copy(0, self.place, values)
        return padded.view(self.atoms, self.width, *values.shape[1:])
