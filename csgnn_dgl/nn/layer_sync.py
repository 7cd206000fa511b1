"""Batch norm over several processes, as a plugin for Lightning's ``Trainer``."""

from __future__ import annotations

from lightning.pytorch import LightningModule
from lightning.pytorch.plugins.layer_sync import TorchSyncBatchNorm
from torch import nn

from csgnn_dgl.nn.batch_norm import revert_batch_norm, synchronise_batch_norm

__all__ = ["BatchNormSync"]


class BatchNormSync(TorchSyncBatchNorm):
    """Plugin that synchronises batch norm on CPUs too, where Lightning's own plugin fails.

    Lightning applies it when several processes start to train, and reverts it at the end. A run of
    one process is not changed. See :func:`~csgnn_dgl.nn.batch_norm.synchronise_batch_norm`.

    Examples
    --------
    >>> from lightning.pytorch import Trainer
    >>> options = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    >>> trainer = Trainer(**options, devices=2, sync_batchnorm=True, plugins=[BatchNormSync()])
    >>> trainer.world_size
    2
    """

    def apply(self, model: nn.Module) -> nn.Module:
        """Synchronise every batch norm of ``model``, which may not be on its device yet."""
        trainer = model._trainer if isinstance(model, LightningModule) else None
        if trainer is not None:
            return synchronise_batch_norm(model, trainer.strategy.root_device)
        first = next(model.parameters(), None)
        return model if first is None else synchronise_batch_norm(model, first.device)

    def revert(self, model: nn.Module) -> nn.Module:
        """Undo :meth:`apply`."""
        return revert_batch_norm(model)
