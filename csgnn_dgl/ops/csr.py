"""Compressed sparse rows: who sends to whom, in the order in which the edges were given."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["CSR"]


@dataclass(frozen=True, eq=False)
class CSR:
    """A relation from ``num_columns`` sources to ``num_rows`` destinations.

    Row ``i`` lists the sources of destination ``i``; within a row the order of the edges is kept,
    because a maximum with ties goes to the first one.

    Parameters
    ----------
    indptr
        Where each row begins and the last one ends, int64, shape ``(num_rows + 1,)``.
    indices
        Source of every edge, int64, shape ``(num_edges,)``.
    num_columns
        Number of sources.

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
    _on_device: dict[torch.device, CSR] = field(default_factory=dict, repr=False)

    @classmethod
    def from_edges(cls, src: Tensor, dst: Tensor, num_rows: int, num_columns: int) -> CSR:
        """Sort edges ``src[e] → dst[e]``, int64 of shape ``(num_edges,)``, into rows."""
        order = torch.argsort(dst, stable=True)
        indptr = torch.zeros(num_rows + 1, dtype=torch.int64, device=dst.device)
        indptr[1:] = torch.cumsum(torch.bincount(dst, minlength=num_rows), 0)
        return cls(indptr, src[order].contiguous(), num_columns)

    @property
    def num_rows(self) -> int:
        """Number of destinations."""
        return self.indptr.numel() - 1

    @property
    def device(self) -> torch.device:
        """Where the two index tensors live."""
        return self.indices.device

    @cached_property
    def degrees(self) -> Tensor:
        """In-degree of each destination, int64, shape ``(num_rows,)``."""
        return torch.diff(self.indptr)

    @property
    def rows(self) -> Tensor:
        """Destination of every edge, int64, shape ``(num_edges,)``."""
        return torch.repeat_interleave(
            torch.arange(self.num_rows, device=self.device), self.degrees
        )

    @cached_property
    def transposed(self) -> CSR:
        """The same edges read from their sources."""
        other = CSR.from_edges(self.rows, self.indices, self.num_columns, self.num_rows)
        other.__dict__["transposed"] = self
        return other

    @cached_property
    def has_childless(self) -> bool:
        """Whether some destination has no source."""
        return bool((self.degrees == 0).any())

    @cached_property
    def padded_sources(self) -> Tensor:
        """Sources as a table ``(max_degree, num_rows)``; short rows repeat their first source.

        Repeating is harmless for a maximum that goes to the first of equals. Rows without any
        source point at some source and must be masked. Without any edge the table has no rows.
        """
        width = int(self.degrees.max()) if self.num_rows else 0
        slot = torch.arange(width, device=self.device)[:, None]
        position = self.indptr[:-1] + torch.where(slot < self.degrees, slot, 0)
        return self.indices[position.clamp(max=max(self.indices.numel() - 1, 0))]

    @cached_property
    def back_slots(self) -> Tensor:
        """Of every edge of :attr:`transposed`: its position within its row here, int32."""
        slots = torch.arange(self.indices.numel(), device=self.device) - self.indptr[self.rows]
        return slots[torch.argsort(self.indices, stable=True)].to(torch.int32)

    @cached_property
    def with_self_loops(self) -> CSR:
        """Every node additionally its own source (square relations only)."""
        if self.num_rows != self.num_columns:
            raise ValueError(
                f"self loops need as many sources as destinations; this relation goes from "
                f"{self.num_columns} sources to {self.num_rows} destinations"
            )
        own = torch.arange(self.num_rows, device=self.device)
        return CSR.from_edges(
            torch.cat([own, self.indices]),
            torch.cat([own, self.rows]),
            self.num_rows,
            self.num_columns,
        )

    def compose(self, first: CSR) -> CSR:
        """Two steps as one: ``first``, then this relation; paths that coincide are all kept."""
        counts = first.degrees[self.indices]
        rows = torch.repeat_interleave(self.rows, counts)
        starts = torch.repeat_interleave(first.indptr[self.indices], counts)
        within = torch.arange(rows.numel(), device=self.device) - torch.repeat_interleave(
            torch.cumsum(counts, 0) - counts, counts
        )
        return CSR.from_edges(
            first.indices[starts + within], rows, self.num_rows, first.num_columns
        )

    def to(self, device: torch.device) -> CSR:
        """This relation on ``device``; a copy is made once and kept."""
        if device == self.device:
            return self
        if device not in self._on_device:
            self._on_device[device] = CSR(
                self.indptr.to(device), self.indices.to(device), self.num_columns
            )
        return self._on_device[device]
