"""Compressed sparse rows of a relation, with the edges of a row in the order given."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

from csgnn_dgl.ops.lasting import lasting

__all__ = ["CSR"]

T = TypeVar("T")


def _derived(function: Callable[[CSR], T]) -> cached_property[T]:
    """Property that is computed once; a copy on another device takes it from the original."""

    @wraps(function)
    def find(csr: CSR) -> T:
        if csr._original is None:
            return lasting(function)(csr)
        found: Any = getattr(csr._original, function.__name__)
        if isinstance(found, (Tensor, CSR)):
            found = found.to(csr.device)
        kept: T = found
        return kept

    return cached_property(find)


@dataclass(frozen=True, eq=False)
class CSR:
    """A relation from ``num_columns`` sources to ``num_rows`` destinations.

    Row ``i`` lists the sources of destination ``i``. Within a row the order of the edges is kept,
    because the first of equal maxima gets the gradient.

    Parameters
    ----------
    indptr
        Start of each row, and end of the last one, int64, shape ``(num_rows + 1,)``.
    indices
        Source of every edge, int64, shape ``(num_edges,)``.
    num_columns
        Number of sources.
    block
        Number of consecutive nodes in each row and each column. Blocks are joined one to one: node
        ``block·i + k`` has the sources ``block·j + k``. All concentric spheres have the same edges,
        so the edges of one sphere are sufficient (:meth:`in_blocks`).
    weights
        Weight of every edge in sums, shape ``(num_edges,)``; None if all are 1.

    Examples
    --------
    >>> csr = CSR.from_edges(torch.tensor([0, 1, 2]), torch.tensor([1, 0, 1]), 2, 3)
    >>> csr.indptr.tolist(), csr.indices.tolist()
    ([0, 1, 3], [1, 0, 2])
    >>> csr.transposed.degrees.tolist()
    [1, 1, 1]
    """

    indptr: Tensor
    indices: Tensor
    num_columns: int
    block: int = 1
    weights: Tensor | None = None
    _on_device: dict[torch.device, CSR] = field(default_factory=dict, repr=False)
    _original: CSR | None = field(default=None, repr=False)  # if this is a copy on another device

    @classmethod
    @lasting
    def from_edges(
        cls,
        src: Tensor,
        dst: Tensor,
        num_rows: int,
        num_columns: int,
        block: int = 1,
        weights: Tensor | None = None,
    ) -> CSR:
        """Sort edges ``src[e] → dst[e]``, int64 of shape ``(num_edges,)``, into rows."""
        order = torch.argsort(dst, stable=True)
        indptr = torch.zeros(num_rows + 1, dtype=torch.int64, device=dst.device)
        indptr[1:] = torch.cumsum(torch.bincount(dst, minlength=num_rows), 0)
        weights = None if weights is None else weights[order].contiguous()
        return cls(indptr, src[order].contiguous(), num_columns, block, weights)

    @property
    def num_rows(self) -> int:
        """Number of destinations, or of blocks of them."""
        return self.indptr.numel() - 1

    @cached_property
    def num_sources(self) -> int:
        """Number of nodes at which edges may start."""
        return self.num_columns * self.block

    @cached_property
    def num_destinations(self) -> int:
        """Number of nodes at which edges may end."""
        return self.num_rows * self.block

    @property
    def device(self) -> torch.device:
        """Device of the two index tensors."""
        return self.indices.device

    @_derived
    def degrees(self) -> Tensor:
        """In-degree of each destination, int64, shape ``(num_rows,)``."""
        return torch.diff(self.indptr)

    @property
    def rows(self) -> Tensor:
        """Destination of every edge, int64, shape ``(num_edges,)``."""
        return torch.repeat_interleave(
            torch.arange(self.num_rows, device=self.device), self.degrees
        )

    @_derived
    def transposed(self) -> CSR:
        """The reversed relation, with a row for each source."""
        other = CSR.from_edges(
            self.rows, self.indices, self.num_columns, self.num_rows, self.block, self.weights
        )
        other.__dict__["transposed"] = self
        return other

    @_derived
    def has_childless(self) -> bool:
        """Whether some destination has no source."""
        return bool((self.degrees == 0).any())

    @_derived
    def reaches_all(self) -> bool:
        """Whether every source has a destination, and every destination a source."""
        used = torch.bincount(self.indices, minlength=self.num_columns) > 0
        return bool(used.all()) and not self.has_childless

    @_derived
    def padded_sources(self) -> Tensor:
        """Sources as a table ``(max_degree, num_rows)``; short rows repeat their first source.

        The repetition does not affect a maximum for which the first of equals wins. Rows without a
        source have an arbitrary entry and must be masked. Without edges the table has no rows.
        """
        width = int(self.degrees.max()) if self.num_rows else 0
        slot = torch.arange(width, device=self.device)[:, None]
        position = self.indptr[:-1] + torch.where(slot < self.degrees, slot, 0)
        return self.indices[position.clamp(max=max(self.indices.numel() - 1, 0))]

    @_derived
    def back_slots(self) -> Tensor:
        """Position of every edge of :attr:`transposed` within its row here, int32."""
        slots = torch.arange(self.indices.numel(), device=self.device) - self.indptr[self.rows]
        return slots[torch.argsort(self.indices, stable=True)].to(torch.int32)

    @_derived
    def with_self_loops(self) -> CSR:
        """This relation with every node as one of its own sources (square relations only)."""
        if self.num_rows != self.num_columns:
            raise ValueError(
                f"self loops need as many sources as destinations; this relation goes from "
                f"{self.num_sources} sources to {self.num_destinations} destinations"
            )
        return self.with_own_sources()

    @lasting
    def with_own_sources(self) -> CSR:
        """This relation with source ``i`` as one of the sources of destination ``i``.

        Destinations must be the first sources, as in a block of ``dgl.to_block``.
        """
        own = torch.arange(self.num_rows, device=self.device)
        weights = self.weights
        return CSR.from_edges(
            torch.cat([own, self.indices]),
            torch.cat([own, self.rows]),
            self.num_rows,
            self.num_columns,
            self.block,
            None if weights is None else torch.cat([weights.new_ones(self.num_rows), weights]),
        )

    def _edges_of(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Start of the edges of each of these rows, and the indices of all their edges."""
        counts = self.degrees[rows]
        indptr = torch.cat([counts.new_zeros(1), torch.cumsum(counts, 0)])
        edge = torch.arange(int(indptr[-1]), device=self.device)
        return indptr, edge + torch.repeat_interleave(self.indptr[rows] - indptr[:-1], counts)

    @property
    def by_node(self) -> CSR:
        """This relation with a row and a column for every node."""
        if self.block == 1:
            return self
        node = torch.arange(self.num_destinations, device=self.device)
        row = torch.div(node, self.block, rounding_mode="floor")
        indptr, edge = self._edges_of(row)
        place = torch.repeat_interleave(node - row * self.block, torch.diff(indptr))
        weights = None if self.weights is None else self.weights[edge]
        indices = self.indices[edge] * self.block + place
        return CSR(indptr, indices, self.num_sources, weights=weights)

    @lasting
    def in_blocks(self) -> CSR:
        """This relation in the largest blocks that fit all rows; without blocks, itself.

        Examples
        --------
        >>> src, dst = torch.tensor([0, 1, 2, 3]), torch.tensor([2, 3, 0, 1])
        >>> CSR.from_edges(src, dst, 4, 4).in_blocks().block
        2
        """
        first = int(self.indptr[1]) if self.num_rows else 0
        if self.block > 1 or first == 0 or self.weights is not None:
            return self
        # Count the rows at the start that equal the first row, shifted by one node for each row.
        alike = int(torch.cumprod(self.degrees == first, 0).sum())
        moved = torch.arange(alike, device=self.device)[:, None] + self.indices[:first]
        same = (self.indices[: alike * first].view(alike, first) == moved).all(dim=1)
        block = math.gcd(int(torch.cumprod(same, 0).sum()), self.num_rows, self.num_columns)
        if block == 1:
            return self
        indptr, edge = self._edges_of(torch.arange(0, self.num_rows, block, device=self.device))
        indices = torch.div(self.indices[edge], block, rounding_mode="floor")
        found = CSR(indptr, indices, self.num_columns // block, block)
        again = found.by_node
        fits = torch.equal(again.indptr, self.indptr) and torch.equal(again.indices, self.indices)
        return found if fits else self

    def compose(self, first: CSR) -> CSR:
        """Compose two steps, ``first`` and then this relation; equal paths are all kept.

        The weight of a path is the product of the weights of its edges.
        """
        if self.block != first.block:
            raise ValueError(f"blocks of {first.block} nodes do not fit blocks of {self.block}")
        indptr, edge = first._edges_of(self.indices)
        counts = torch.diff(indptr)
        rows = torch.repeat_interleave(self.rows, counts)
        weights = None if first.weights is None else first.weights[edge]
        if self.weights is not None:
            own = torch.repeat_interleave(self.weights, counts)
            weights = own if weights is None else own * weights
        return CSR.from_edges(
            first.indices[edge], rows, self.num_rows, first.num_columns, self.block, weights
        )

    def to(self, device: torch.device) -> CSR:
        """Copy this relation to ``device``; the copy is made once and kept."""
        if device == self.device:
            return self
        if device in self._on_device:
            return self._on_device[device]
        with torch.inference_mode(False):
            indptr, indices = self.indptr.to(device), self.indices.to(device)
            weights = None if self.weights is None else self.weights.to(device)
        copied = CSR(indptr, indices, self.num_columns, self.block, weights, _original=self)
        # Tensors of a tracer cannot be used outside of it, so they are not kept.
        if type(indices) is Tensor:
            self._on_device[device] = copied
        return copied
