"""Reproducible batches of data in memory, divided among processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler

__all__ = ["batch_loader"]


class _StratifiedSampler(DistributedSampler[Any]):
    """A random order in which every stretch holds each group in proportion to its size."""

    def __init__(self, dataset: Any, groups: Sequence[str], **options: Any) -> None:
        super().__init__(dataset, **options)
        numbers = {name: number for number, name in enumerate(dict.fromkeys(groups))}
        self._groups = torch.tensor([numbers[name] for name in groups])

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        size = len(self._groups)
        place = torch.rand(size, generator=generator)
        key = torch.empty(size)
        for group in self._groups.unique():
            members = (self._groups == group).nonzero()[:, 0]
            members = members[place[members].argsort()]
            # Members are spread evenly over the epoch, each at a random place in its stretch.
            within = torch.arange(len(members)) + torch.rand(len(members), generator=generator)
            key[members] = within / len(members)
        order = key.argsort().tolist()
        order += order[: self.total_size - size]
        return iter(order[self.rank : self.total_size : self.num_replicas])


def _as_it_is(batch: Any) -> Any:
    return batch  # the data set gives whole batches already


def batch_loader(
    dataset: Dataset[Any],
    batch_size: int,
    *,
    seed: int = 0,
    shuffle: bool = False,
    groups: Sequence[str] | None = None,
    rank: int = 0,
    world_size: int = 1,
) -> DataLoader[Any]:
    """Batches of one process's share of ``dataset``.

    The order depends only on the seed and the epoch (Lightning tells the sampler the epoch). When
    shuffling, an incomplete last batch is left out: batch norm would weigh its few samples as much
    as a whole batch.

    Parameters
    ----------
    dataset
        Has a length, and a method ``__getitems__(indices)`` that returns a whole batch, which takes
        one gather instead of many and a stack.
    batch_size
        Samples per batch.
    seed, shuffle
        Random seed of the order, and whether the order is random.
    groups
        Group of each sample. When shuffling, every batch then holds all groups in proportion to
        their sizes. Otherwise the mix in the batches that batch norm sees would vary.
    rank, world_size
        Index of this process, and the number of processes.
    """
    sampler: DistributedSampler[Any]
    if shuffle and groups is not None:
        sampler = _StratifiedSampler(dataset, groups, num_replicas=world_size, rank=rank, seed=seed)
    else:
        sampler = DistributedSampler(
            dataset, num_replicas=world_size, rank=rank, shuffle=shuffle, seed=seed
        )
    size = min(batch_size, len(sampler)) if shuffle else batch_size
    return DataLoader(
        dataset,
        batch_size=size,
        sampler=sampler,
        drop_last=shuffle,
        collate_fn=_as_it_is,
        # Copies of batches to a GPU then do not wait for it.
        pin_memory=torch.cuda.is_available(),
    )
