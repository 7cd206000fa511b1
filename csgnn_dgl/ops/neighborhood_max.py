"""Maximum over the sources of each destination, with a backward pass that gathers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from csgnn_dgl.ops.csr import CSR
from csgnn_dgl.ops.rows import as_rows

__all__ = ["neighborhood_max"]


def _padded_sources(csr: CSR) -> Tensor:
    """Table ``(max_degree, num_rows)`` of sources; short rows repeat their first source.

    Repeating is harmless for a maximum that goes to the first of equals. Rows without any source
    point at source 0 and are masked by the caller.
    """
    cached = csr.__dict__.get("_padded_sources")
    if cached is None:
        width = int(csr.degrees.max()) if csr.num_rows else 0
        slot = torch.arange(width, device=csr.device)[:, None]
        position = csr.indptr[:-1] + torch.where(slot < csr.degrees, slot, 0)
        position = position.clamp(max=max(csr.indices.numel() - 1, 0))
        cached = csr.indices[position] if csr.indices.numel() else position
        csr.__dict__["_padded_sources"] = cached
    return cached


def _parents(csr: CSR) -> list[tuple[Tensor | None, Tensor, Tensor]]:
    """Per rank of a source's out-edges: (sources, their destinations, the slot they fill there).

    ``None`` for the sources stands for all of them in order.
    """
    cached = csr.__dict__.get("_parents")
    if cached is None:
        order = torch.argsort(csr.indices, stable=True)
        source, rows, slots = csr.indices[order], csr.rows[order], csr.slots[order]
        starts = csr.transposed.indptr
        rank = torch.arange(source.numel(), device=csr.device) - starts[source]
        cached = []
        for r in range(int(rank.max()) + 1 if rank.numel() else 0):
            pick = torch.nonzero(rank == r).flatten()
            everyone = pick.numel() == csr.num_columns
            cached.append(
                (None if everyone else source[pick], rows[pick], slots[pick].to(torch.int16))
            )
        csr.__dict__["_parents"] = cached
    return cached


class _NeighborhoodMax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, feat: Tensor, csr: CSR) -> Tensor:
        rows = as_rows(feat)
        if csr.indices.numel() == 0:
            ctx.empty = True
            ctx.shape = feat.shape
            return feat.new_zeros(csr.num_rows, *feat.shape[1:])
        ctx.empty = False
        table = _padded_sources(csr)
        slot_type = torch.int8 if table.shape[0] <= 127 else torch.int16
        best = rows.index_select(0, table[0])
        winner = torch.zeros(best.shape, dtype=slot_type, device=best.device)
        for slot in range(1, table.shape[0]):
            candidate = rows.index_select(0, table[slot])
            # Strictly greater: the first of equals wins, as in DGL. Slots ascend, so the last one
            # that was greater is the largest number.
            greater = (candidate > best).view(torch.int8).to(slot_type)
            torch.maximum(winner, greater.mul_(slot), out=winner)
            torch.maximum(best, candidate, out=best)
        childless = csr.degrees == 0
        if bool(childless.any()):
            best[childless] = 0.0
            winner[childless] = -1
        ctx.csr = csr
        ctx.save_for_backward(winner)
        return best.view(csr.num_rows, *feat.shape[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,) = grads
        if ctx.empty:
            return grad.new_zeros(ctx.shape), None
        (winner,) = ctx.saved_tensors
        csr: CSR = ctx.csr
        flat = as_rows(grad)
        out = None
        for sources, parents, slots in _parents(csr):
            won = winner.index_select(0, parents) == slots.to(winner.dtype)[:, None]
            # On CPU a product with a mask is several times faster than filling by a mask.
            part = flat.index_select(0, parents).mul_(won)
            if sources is None:
                out = part if out is None else out.add_(part)
                continue
            if out is None:
                out = flat.new_zeros(csr.num_columns, flat.shape[1])
            out.index_add_(0, sources, part)
        assert out is not None  # there is at least one edge
        return out.view(csr.num_columns, *grad.shape[1:]), None


def neighborhood_max(csr: CSR, feat: Tensor) -> Tensor:
    r"""Channel-wise maximum over the sources of every destination.

    .. math:: y_i = \max_{j \in N(i)} x_j

    Equal to DGL's ``update_all(copy_u, max)``: among equals the first edge gets the gradient, and
    a destination without sources gets zero. On the coarsening graphs a source has at most two
    destinations, so the gradient is gathered, never scattered.

    Parameters
    ----------
    csr
        The relation.
    feat
        Source features, shape ``(num_columns, ...)``.

    Returns
    -------
    Tensor
        Shape ``(num_rows, ...)``.

    Examples
    --------
    >>> csr = CSR.from_edges(torch.tensor([0, 1, 2]), torch.tensor([1, 0, 1]), 2, 3)
    >>> neighborhood_max(csr, torch.tensor([[1.0], [2.0], [4.0]])).tolist()
    [[2.0], [4.0]]
    """
    if feat.shape[0] != csr.num_columns:
        raise ValueError(
            f"features of {feat.shape[0]} nodes given to a relation from {csr.num_columns} nodes"
        )
    out: Tensor = _NeighborhoodMax.apply(feat, csr.to(feat.device))
    return out
