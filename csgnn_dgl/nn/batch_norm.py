"""Batch norm whose statistics are those of the batches of all processes together."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

__all__ = ["SyncedBatchNorm", "synchronise_batch_norm"]


def _processes() -> int:
    if not (distributed.is_available() and distributed.is_initialized()):
        return 1
    return distributed.get_world_size()


def _global_moments(rows: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and variance of each column over the rows of all processes, and their number."""
    mean = rows.mean(dim=0)
    squares = (rows - mean).square().sum(dim=0)
    own = torch.stack([mean, squares, torch.full_like(mean, len(rows))]).double()
    gathered = own.new_empty(_processes(), *own.shape)
    distributed.all_gather(list(gathered.unbind()), own)
    means, squares, counts = gathered.unbind(dim=1)
    total = counts.sum(dim=0)
    mean = (means * counts).sum(dim=0) / total
    # The spread within processes, and that between them.
    variance = (squares + counts * (means - mean).square()).sum(dim=0) / total
    return mean.to(rows.dtype), variance.to(rows.dtype), int(total[0])


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, mean: Tensor, deviation: Tensor, total: int) -> Tensor:
        scaled = (rows - mean) / deviation
        ctx.save_for_backward(scaled, deviation)
        ctx.total = total
        return scaled

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (grad,) = grads
        scaled, deviation = ctx.saved_tensors
        # Every process's rows move the mean and the variance, so every one's gradient counts.
        sums = torch.stack([grad.sum(dim=0), (grad * scaled).sum(dim=0)])
        distributed.all_reduce(sums)
        shift, slope = sums / ctx.total
        return (grad - shift - scaled * slope) / deviation, None, None, None


class SyncedBatchNorm(nn.BatchNorm1d):
    """:class:`torch.nn.BatchNorm1d` over the batches of all processes together.

    With equal batches, several processes then do what one does with all of their samples in a
    single batch. Unlike :class:`torch.nn.SyncBatchNorm` it also works on CPUs (gloo). Without
    ``torch.distributed``, or with one process, it is plain batch norm. Parameters and buffers have
    the same names.

    Every process must call it equally often, in the same order, with at least one row.

    Shapes
    ------
    ``(M, F)`` → ``(M, F)``.

    Examples
    --------
    >>> SyncedBatchNorm(3)(torch.randn(5, 3)).shape
    torch.Size([5, 3])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``(M, F)``."""
        if not self.training or _processes() == 1:
            return super().forward(input)
        wide = input.to(torch.promote_types(input.dtype, torch.float32))
        mean, variance, total = _global_moments(wide.detach())
        if self.running_mean is not None and self.running_var is not None:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            weight = self.momentum
            if weight is None:  # the average over all batches so far
                weight = 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), weight)
            unbiased = variance * (total / max(total - 1, 1))
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), weight)
        out: Tensor = _Normalise.apply(wide, mean, (variance + self.eps).sqrt(), total)
        if self.affine:
            out = out * self.weight + self.bias
        return out.to(input.dtype)


Module = TypeVar("Module", bound=nn.Module)


def synchronise_batch_norm(module: Module) -> Module:
    """Turn every :class:`torch.nn.BatchNorm1d` inside ``module`` into a :class:`SyncedBatchNorm`.

    In place, with the very same parameters and buffers, so that an optimiser made before still
    holds them.

    Examples
    --------
    >>> model = synchronise_batch_norm(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    >>> isinstance(model[1], SyncedBatchNorm)
    True
    """
    for child in module.modules():
        if type(child) is nn.BatchNorm1d:
            # Nothing is added to the class but behaviour.
            child.__class__ = SyncedBatchNorm
    return module
