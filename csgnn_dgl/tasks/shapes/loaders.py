"""Batches of raw clouds from splits in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from csgnn_dgl.datasets.shapes import ShapeSplit

__all__ = ["shape_loader"]

Batch = tuple[Tensor, Tensor]


class _Shapes(Dataset[Batch]):
    """A split, indexed a whole batch at a time: one gather instead of many and a stack."""

    def __init__(self, split: ShapeSplit) -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.split.labels)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        chosen = list(indices)
        return self.split.points[chosen], self.split.labels[chosen]


def _as_it_is(batch: Any) -> Any:
    return batch  # _Shapes gives whole batches already


def shape_loader(
    split: ShapeSplit,
    batch_size: int,
    *,
    seed: int = 0,
    shuffle: bool = False,
    rank: int = 0,
    world_size: int = 1,
) -> DataLoader[Batch]:
    """Batches ``(points (B, P, 3), labels (B,))`` of one process's share of ``split``.

    The order depends on the seed and the epoch alone (Lightning tells the sampler the epoch). When
    shuffling, a last batch that is not full is left out: batch norm would weigh its few shapes as
    much as a whole batch.
    """
    sampler: DistributedSampler[Batch] = DistributedSampler(
        _Shapes(split), num_replicas=world_size, rank=rank, shuffle=shuffle, seed=seed
    )
    size = min(batch_size, len(sampler)) if shuffle else batch_size
    return DataLoader(
        sampler.dataset,
        batch_size=size,
        sampler=sampler,
        drop_last=shuffle,
        collate_fn=_as_it_is,
    )
