"""Orders in which samples come."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import pytest
from torch.utils.data import Dataset

from csgnn_dgl.tasks.loaders import batch_loader


class _Numbers(Dataset[list[int]]):
    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitems__(self, indices: Sequence[int]) -> list[int]:
        return list(indices)


GROUPS = ["a"] * 60 + ["b"] * 30 + ["c"] * 10


def test_batches_hold_groups_in_their_shares() -> None:
    loader = batch_loader(_Numbers(100), 20, shuffle=True, groups=GROUPS)
    batches = list(loader)
    assert sorted(chain.from_iterable(batches)) == list(range(100))
    for batch in batches:
        counts = {name: sum(GROUPS[i] == name for i in batch) for name in "abc"}
        assert abs(counts["a"] - 12) <= 1
        assert abs(counts["b"] - 6) <= 1
        assert abs(counts["c"] - 2) <= 1
    # Without groups some batch differs by more: the check above can fail.
    plain = batch_loader(_Numbers(100), 20, shuffle=True)
    assert any(abs(sum(GROUPS[i] == "a" for i in batch) - 12) > 1 for batch in plain)


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        loader = batch_loader(_Numbers(100), 20, seed=seed, shuffle=True, groups=GROUPS)
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        return list(loader)

    assert order(0, 3) == order(0, 3)
    assert order(0, 3) != order(0, 4)
    assert order(0, 3) != order(1, 3)


@pytest.mark.parametrize("size", [100, 101])
def test_processes_share_the_samples(size: int) -> None:
    groups = [*GROUPS, "c"][:size]
    parts = []
    for rank in range(2):
        loader = batch_loader(
            _Numbers(size), 1, shuffle=True, groups=groups, rank=rank, world_size=2
        )
        parts.append(list(chain.from_iterable(loader)))
    assert len(parts[0]) == len(parts[1])
    assert set(parts[0]) | set(parts[1]) == set(range(size))
