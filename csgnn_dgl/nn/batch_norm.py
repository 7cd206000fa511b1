"""Batch norm with statistics over the batches of all processes, on CPUs too."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["revert_batch_norm", "synchronise_batch_norm"]


def _processes() -> int:
    if not (distributed.is_available() and distributed.is_initialized()):
        return 1
    return distributed.get_world_size()


def _others(tensor: Tensor) -> list[int]:
    """All dimensions except that of the channels, which is the second."""
    return [0, *range(2, tensor.dim())]


def _per_channel(values: Tensor, like: Tensor) -> Tensor:
    return values.view(1, -1, *[1] * (like.dim() - 2))


def _global_moments(values: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and variance of each channel over all processes, and the count of numbers."""
    count = values.numel() // values.shape[1] if values.shape[1] else 0
    mean = values.sum(dim=_others(values)) / max(count, 1)
    squares = (values - _per_channel(mean, values)).square().sum(dim=_others(values))
    own = torch.stack([mean, squares, torch.full_like(mean, count)]).double()
    gathered = own.new_empty(_processes(), *own.shape)
    distributed.all_gather(list(gathered.unbind()), own)
    means, squares, counts = gathered.unbind(dim=1)
    total = counts.sum(dim=0)
    mean = (means * counts).sum(dim=0) / total
    # The variance within processes, plus the variance between them.
    variance = (squares + counts * (means - mean).square()).sum(dim=0) / total
    return mean.to(values.dtype), variance.to(values.dtype), int(total[0])


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, mean: Tensor, deviation: Tensor, total: int) -> Tensor:
        scaled = (values - mean) / deviation
        ctx.save_for_backward(scaled, deviation)
        ctx.total = total
        return scaled

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (grad,) = grads
        scaled, deviation = ctx.saved_tensors
        # Mean and variance depend on the numbers of every process, so all gradients contribute.
        dims = _others(grad)
        sums = torch.stack([grad.sum(dim=dims), (grad * scaled).sum(dim=dims)])
        distributed.all_reduce(sums)
        shift, slope = (_per_channel(part, grad) for part in sums / ctx.total)
        return (grad - shift - scaled * slope) / deviation, None, None, None


class _Synchronised(_BatchNorm):
    """Batch norm over the batches of all processes together, in training.

    With batches of equal size, several processes then give the same result as one process with all
    samples in one batch. Every process must call it equally often and in the same order. The batch
    of a process may be empty.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or _processes() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        wide = input.to(torch.promote_types(input.dtype, torch.float32))
        mean, variance, total = _global_moments(wide.detach())
        if total < 2:
            raise ValueError(
                f"expected more than 1 value per channel in training, got {total} from all "
                f"processes together"
            )
        if self.running_mean is not None and self.running_var is not None:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            weight = self.momentum
            if weight is None:  # the average over all batches so far
                weight = 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), weight)
            unbiased = variance * (total / (total - 1))
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), weight)
        deviation = (variance + self.eps).sqrt()
        out: Tensor = _Normalise.apply(
            wide, _per_channel(mean, wide), _per_channel(deviation, wide), total
        )
        if self.affine:
            out = out * _per_channel(self.weight, out) + _per_channel(self.bias, out)
        return out.to(input.dtype)


class _Synchronised1d(_Synchronised, nn.BatchNorm1d):
    pass


class _Synchronised2d(_Synchronised, nn.BatchNorm2d):
    pass


class _Synchronised3d(_Synchronised, nn.BatchNorm3d):
    pass


# Classes of torch's own SyncBatchNorm. Modules change their class without its constructor, which
# would set the process group, so the default group is set here.
class _Torch1d(nn.SyncBatchNorm, nn.BatchNorm1d):
    process_group = None


class _Torch2d(nn.SyncBatchNorm, nn.BatchNorm2d):
    process_group = None


class _Torch3d(nn.SyncBatchNorm, nn.BatchNorm3d):
    process_group = None


_Classes = dict[type[nn.Module], type[nn.Module]]
_ON_CPU: _Classes = {
    nn.BatchNorm1d: _Synchronised1d,
    nn.BatchNorm2d: _Synchronised2d,
    nn.BatchNorm3d: _Synchronised3d,
}
_ELSEWHERE: _Classes = {
    nn.BatchNorm1d: _Torch1d,
    nn.BatchNorm2d: _Torch2d,
    nn.BatchNorm3d: _Torch3d,
}
_PLAIN: _Classes = {new: old for change in (_ON_CPU, _ELSEWHERE) for old, new in change.items()}

Module = TypeVar("Module", bound=nn.Module)


def synchronise_batch_norm(module: Module, device: torch.device | str = "cpu") -> Module:
    """Let every batch norm in ``module`` use the batches of all processes, on CPUs too.

    On other devices this is :class:`torch.nn.SyncBatchNorm`, which does not support CPUs. Modules
    are changed in place and keep their parameters, buffers and hooks, so existing optimisers stay
    valid. Subclasses of torch's three classes are not changed. In a run of a single process nothing
    is changed.

    Parameters
    ----------
    module
        A model. Inputs of its :class:`torch.nn.BatchNorm1d`, ``2d`` and ``3d`` may have any shape
        that these modules accept.
    device
        Device on which the model will be trained.

    Examples
    --------
    >>> model = synchronise_batch_norm(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    >>> type(model[1]) is nn.BatchNorm1d  # there is only this process
    True
    """
    if _processes() > 1:
        _change(module, _ON_CPU if torch.device(device).type == "cpu" else _ELSEWHERE)
    return module


def revert_batch_norm(module: Module) -> Module:
    """Undo :func:`synchronise_batch_norm`.

    Examples
    --------
    >>> model = revert_batch_norm(synchronise_batch_norm(nn.Sequential(nn.BatchNorm1d(3))))
    >>> type(model[0]) is nn.BatchNorm1d
    True
    """
    _change(module, _PLAIN)
    return module


def _change(module: nn.Module, classes: _Classes) -> None:
    for child in module.modules():
        if type(child) in classes:
            # The classes differ only in behaviour, not in state.
            child.__class__ = classes[type(child)]
