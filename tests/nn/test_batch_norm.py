"""Batch norm over several processes: the same as over one batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn

from csgnn_dgl.nn.batch_norm import SyncedBatchNorm, synchronise_batch_norm

SHARES = (5, 3)  # rows of each process: not equal


def rows() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(sum(SHARES), 3, generator=generator, dtype=torch.float64) + 2


def steps(norm: nn.BatchNorm1d, share: Tensor, upstream: Tensor) -> dict[str, Any]:
    """Two forward passes and a backward one."""
    norm(share * 2)
    share = share.clone().requires_grad_()
    out = norm(share)
    out.backward(upstream)
    return {
        "out": out.detach(),
        "input": share.grad,
        "weight": norm.weight.grad,
        "bias": norm.bias.grad,
        "mean": norm.running_mean,
        "var": norm.running_var,
    }


def made(momentum: float | None) -> nn.BatchNorm1d:
    norm = nn.BatchNorm1d(3, momentum=momentum).double()
    nn.init.constant_(norm.weight, 1.5)
    return norm


def one_process(rank: int, folder: str, momentum: float | None) -> None:
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=len(SHARES)
    )
    start = sum(SHARES[:rank])
    share = slice(start, start + SHARES[rank])
    norm = synchronise_batch_norm(made(momentum))
    found = steps(norm, rows()[share], rows().sin()[share])
    torch.save(found, Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.skipif(not distributed.is_available(), reason="torch without torch.distributed")
@pytest.mark.parametrize("momentum", [0.1, None])
def test_several_processes_equal_one(momentum: float | None, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=one_process, args=(rank, str(tmp_path), momentum))
        for rank in range(len(SHARES))
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    whole = steps(made(momentum), rows(), rows().sin())
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(len(SHARES))]
    for name in ("out", "input"):
        together = torch.cat([part[name] for part in parts])
        torch.testing.assert_close(together, whole[name], rtol=1e-12, atol=1e-12)
    for name in ("weight", "bias"):  # distributed training adds these up by itself
        together = sum(part[name] for part in parts)
        torch.testing.assert_close(together, whole[name], rtol=1e-12, atol=1e-12)
    for part in parts:
        for name in ("mean", "var"):
            torch.testing.assert_close(part[name], whole[name], rtol=1e-12, atol=1e-12)


def test_alone_it_is_plain_batch_norm() -> None:
    plain, synced = made(0.1), synchronise_batch_norm(made(0.1))
    assert isinstance(synced, SyncedBatchNorm)
    for norm in (plain, synced):
        norm(rows())
    assert torch.equal(plain(rows()), synced(rows()))
    assert torch.equal(plain.eval()(rows()), synced.eval()(rows()))
    assert plain.state_dict().keys() == synced.state_dict().keys()


def test_an_optimiser_keeps_its_parameters() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    before = [id(parameter) for parameter in model.parameters()]
    synchronise_batch_norm(model)
    assert [id(parameter) for parameter in model.parameters()] == before
    assert isinstance(model[1], SyncedBatchNorm)
