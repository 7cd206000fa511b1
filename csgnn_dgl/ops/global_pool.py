"""Maximum over all nodes, with a gradient for one node per channel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from csgnn_dgl.ops.rows import as_rows

__all__ = ["first_maximum", "global_max", "global_max_beside"]


_BLOCK = 64


def first_maximum(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Maximum of each column of ``(num_nodes, width)``, and the index of a node that has it.

    ``max(dim=0)`` tracks indices through the whole tensor, one column at a time. It is an order of
    magnitude faster to find the best block of rows first, and then the index in that block.
    """
    num_nodes, width = rows.shape
    whole = num_nodes // _BLOCK
    per_block = []
    if whole:
        per_block.append(rows[: whole * _BLOCK].view(whole, _BLOCK, width).amax(1))
    if num_nodes % _BLOCK:
        per_block.append(rows[whole * _BLOCK :].amax(0, keepdim=True))
    best, block = torch.cat(per_block).max(0)
    inside = torch.arange(_BLOCK, device=rows.device)[:, None] + block * _BLOCK
    inside.clamp_(max=num_nodes - 1)
    node = inside.gather(0, rows.gather(0, inside).argmax(0, keepdim=True)).squeeze(0)
    return best, node


class _GlobalMax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, feat: Tensor) -> Tensor:
        best, node = first_maximum(as_rows(feat))
        best, node = best.view(feat.shape[1:]), node.view(feat.shape[1:])
        ctx.save_for_backward(node)
        ctx.num_nodes = feat.shape[0]
        return best

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (grad,) = grads
        (node,) = ctx.saved_tensors
        out = grad.new_zeros(ctx.num_nodes, *grad.shape)
        return out.scatter_(0, node.unsqueeze(0), grad.unsqueeze(0))


class _GlobalMaxBeside(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, feat: Tensor) -> tuple[Tensor, Tensor]:
        best, node = first_maximum(as_rows(feat))
        best, node = best.view(feat.shape[1:]), node.view(feat.shape[1:])
        ctx.save_for_backward(node)
        return feat.view_as(feat), best

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        through, grad = grads
        (node,) = ctx.saved_tensors
        # Not in place, because other uses of the features may share this gradient.
        return through.scatter_add(0, node.unsqueeze(0), grad.unsqueeze(0))


def global_max(feat: Tensor) -> Tensor:
    """Channel-wise maximum over all nodes.

    Parameters
    ----------
    feat
        Shape ``(num_nodes, ...)``.

    Returns
    -------
    Tensor
        Shape ``(...)``. Among nodes with equal values, one gets the whole gradient.

    Examples
    --------
    >>> global_max(torch.tensor([[1.0, 5.0], [3.0, 2.0]])).tolist()
    [3.0, 5.0]
    """
    if feat.shape[0] == 0:
        raise ValueError("there are no nodes, so the maximum is undefined")
    if not (torch.is_grad_enabled() and feat.requires_grad):
        return feat.amax(dim=0)
    out: Tensor = _GlobalMax.apply(feat)
    return out


def global_max_beside(feat: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``feat``, for further use, and its :func:`global_max`.

    The gradient of the maximum is a few numbers, which are added to a copy of the gradient of
    ``feat``. Autograd would fill a whole tensor with zeros, and add that.

    Parameters
    ----------
    feat
        Shape ``(num_nodes, ...)``, at least one node.

    Returns
    -------
    tuple of Tensor
        Shapes ``(num_nodes, ...)`` and ``(...)``.

    Examples
    --------
    >>> same, best = global_max_beside(torch.tensor([[1.0, 5.0], [3.0, 2.0]]))
    >>> same.tolist(), best.tolist()
    ([[1.0, 5.0], [3.0, 2.0]], [3.0, 5.0])
    """
    if feat.shape[0] == 0 or not (torch.is_grad_enabled() and feat.requires_grad):
        return feat, global_max(feat)
    beside: tuple[Tensor, Tensor] = _GlobalMaxBeside.apply(feat)
    return beside
