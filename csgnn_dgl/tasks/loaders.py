"""Batches of what is in memory already, reproducible and shared among processes."""

from __future__ import annotations

from typing import Any

from torch.utils.data import DataLoader, Dataset, DistributedSampler

__all__ = ["batch_loader"]


def _as_it_is(batch: Any) -> Any:
    return batch  # the data set gives whole batches already


def batch_loader(
    dataset: Dataset[Any],
    batch_size: int,
    *,
    seed: int = 0,
    shuffle: bool = False,
    rank: int = 0,
    world_size: int = 1,
) -> DataLoader[Any]:
    """Batches of one process's share of ``dataset``.

    The order depends on the seed and the epoch alone (Lightning tells the sampler the epoch). When
    shuffling, a last batch that is not full is left out: batch norm would weigh its few samples as
    much as a whole batch.

    Parameters
    ----------
    dataset
        Has a length, and ``__getitems__(indices)`` that gives a whole batch: one gather instead of
        many and a stack.
    batch_size
        Samples per batch.
    seed, shuffle
        Order.
    rank, world_size
        Number of this process, and of all.
    """
    sampler: DistributedSampler[Any] = DistributedSampler(
        dataset, num_replicas=world_size, rank=rank, shuffle=shuffle, seed=seed
    )
    size = min(batch_size, len(sampler)) if shuffle else batch_size
    return DataLoader(
        dataset,
        batch_size=size,
        sampler=sampler,
        drop_last=shuffle,
        collate_fn=_as_it_is,
    )
