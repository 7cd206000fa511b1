"""Batch norm over several processes: the same as over one batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn

from csgnn_dgl.nn import batch_norm
from csgnn_dgl.nn.batch_norm import revert_batch_norm, synchronise_batch_norm
from csgnn_dgl.testing.commands import run_in_two_processes, run_python

pytestmark = pytest.mark.skipif(
    not distributed.is_available(), reason="torch without torch.distributed"
)

EXACT = {"rtol": 1e-12, "atol": 1e-12}
SHARES = (5, 3)  # samples of each process: not equal
KINDS: dict[str, tuple[type[nn.Module], tuple[int, ...]]] = {
    "1d, (M, F)": (nn.BatchNorm1d, ()),
    "1d, (B, C, L)": (nn.BatchNorm1d, (4,)),
    "2d": (nn.BatchNorm2d, (4, 2)),
    "3d": (nn.BatchNorm3d, (2, 3, 2)),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "usual": {},
    "average of all": {"momentum": None},
    "not affine": {"affine": False},
    "no statistics": {"track_running_stats": False},
}


def samples(shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    size = (sum(SHARES), 3, *shape)
    return torch.randn(size, generator=generator, dtype=torch.float64) + 2


def made(kind: str, options: str) -> Any:
    norm = KINDS[kind][0](3, **OPTIONS[options]).double()
    if norm.weight is not None:
        nn.init.constant_(norm.weight, 1.5)
    return norm


def steps(norm: Any, share: Tensor, upstream: Tensor) -> dict[str, Any]:
    """Two forward passes and a backward one, then evaluation."""
    norm(share * 2)
    share = share.clone().requires_grad_()
    out = norm(share)
    out.backward(upstream)
    found = {"out": out.detach(), "input": share.grad}
    for name, parameter in norm.named_parameters():
        found[f"gradient of {name}"] = parameter.grad
    for name, buffer in norm.named_buffers():
        found[name] = buffer
    if norm.track_running_stats:
        found["evaluation"] = norm.eval()(share).detach()
    return found


def one_process(rank: int, folder: str, shares: tuple[int, ...], script: Any) -> None:
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=len(shares)
    )
    start = sum(shares[:rank])
    torch.save(script(slice(start, start + shares[rank])), Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()


def in_processes(folder: Path, script: Any, shares: tuple[int, ...] = SHARES) -> list[Any]:
    """What ``script`` returns in each process for its samples."""
    if torch.cuda.is_available():
        pytest.skip("autograd cannot work in a fork of a process that has used a GPU")
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=one_process, args=(rank, str(folder), shares, script))
        for rank in range(len(shares))
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(len(shares))]


def every_kind(share: slice) -> dict[str, Any]:
    """All kinds and options in one pair of processes: starting them takes the time."""
    found = {}
    for kind, (_, shape) in KINDS.items():
        for options in OPTIONS:
            norm = synchronise_batch_norm(made(kind, options))
            assert isinstance(norm, batch_norm._Synchronised)
            values = samples(shape)
            found[f"{kind}, {options}"] = steps(norm, values[share], values.sin()[share])
    return found


@pytest.mark.parametrize("shares", [SHARES, (8, 0), (1, 1, 6)], ids=str)
def test_several_processes_equal_one(shares: tuple[int, ...], tmp_path: Path) -> None:
    parts = in_processes(tmp_path, every_kind, shares)
    for kind, (_, shape) in KINDS.items():
        for options in OPTIONS:
            name = f"{kind}, {options}"
            whole = steps(made(kind, options), samples(shape), samples(shape).sin())
            found = [part[name] for part in parts]
            assert all(part.keys() == whole.keys() for part in found)
            for key, expected in whole.items():
                values = [part[key] for part in found]
                if key in ("out", "input", "evaluation"):
                    torch.testing.assert_close(torch.cat(values), expected, **EXACT, msg=name)
                elif key.startswith("gradient"):  # distributed training adds these up by itself
                    torch.testing.assert_close(sum(values), expected, **EXACT, msg=name)
                else:
                    for value in values:
                        torch.testing.assert_close(value, expected, **EXACT, msg=name)
    # Control: alone, a process finds something else.
    alone = steps(made("2d", "usual"), samples((4, 2))[:5], samples((4, 2)).sin()[:5])
    if shares == SHARES:
        together = parts[0]["2d, usual"]
        assert not torch.allclose(alone["out"], together["out"])


def what_changes(share: slice) -> dict[str, Any]:
    class Own(nn.BatchNorm1d):
        pass

    model = nn.Sequential(
        nn.Linear(3, 3), nn.BatchNorm1d(3), Own(3), nn.BatchNorm2d(3), nn.SyncBatchNorm(3)
    ).double()
    calls: list[int] = []
    model[1].register_forward_hook(lambda *_: calls.append(1))
    before = [id(parameter) for parameter in model.parameters()]
    names = list(model.state_dict())
    classes = [type(module) for module in model]
    assert synchronise_batch_norm(model) is model
    model[:3](samples(())[share])
    found = {
        "hooks": calls == [1],
        "parameters": [id(parameter) for parameter in model.parameters()] == before,
        "names": list(model.state_dict()) == names,
        "changed": [type(a) is not b for a, b in zip(model, classes, strict=True)],
        "still of the class": isinstance(model[1], nn.BatchNorm1d),
    }
    revert_batch_norm(model)
    found["reverted"] = [type(module) for module in model] == classes
    # Elsewhere it is torch's own; without training that works on a CPU, too.
    expected = model[:3].eval()(samples(()))
    synchronise_batch_norm(model, "cuda")
    found["torch's"] = [isinstance(module, nn.SyncBatchNorm) for module in model]
    found["same"] = torch.equal(model[:3](samples(())), expected)
    revert_batch_norm(model)
    found["reverted again"] = [type(module) for module in model] == classes
    one = synchronise_batch_norm(nn.BatchNorm1d(3))
    try:
        one(torch.zeros(int(share.start == 0), 3))
        found["too few"] = ""
    except ValueError as error:
        found["too few"] = str(error)
    return found


def test_what_is_changed(tmp_path: Path) -> None:
    for found in in_processes(tmp_path, what_changes):
        assert found.pop("changed") == [False, True, False, True, False]
        assert found.pop("torch's") == [False, True, False, True, True]
        assert found.pop("too few").startswith("expected more than 1 value per channel")
        assert all(found.values()), found


def test_one_process_is_left_alone() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm2d(3))
    for device in ("cpu", "cuda"):
        assert synchronise_batch_norm(model, device) is model
        assert [type(module) for module in model] == [nn.BatchNorm1d, nn.BatchNorm2d]


SCRIPT = """
import sys
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn

from csgnn_dgl.nn import batch_norm
from csgnn_dgl.nn.layer_sync import BatchNormSync


class Task(LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.model = nn.Sequential(
            nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 2)
        ).double()
        self.kinds = set()

    def training_step(self, batch, index):
        self.kinds.add(type(self.model[1]).__name__)
        return self.model(batch).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


processes = int(sys.argv[1])
trainer = Trainer(
    accelerator="cpu",
    devices=processes,
    max_epochs=2,
    sync_batchnorm=True,
    plugins=[BatchNormSync()],
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
    use_distributed_sampler=False,
)
values = torch.randn(8, 2, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
own = values.view(2, processes, 4 // processes, 2, 8)[:, trainer.global_rank]
task = Task()
trainer.fit(task, torch.utils.data.DataLoader(own.flatten(0, 1), batch_size=4 // processes))
assert type(task.model[1]) is nn.BatchNorm1d  # again
assert task.kinds == {"_Synchronised1d" if processes > 1 else "BatchNorm1d"}
if trainer.global_rank == 0:
    torch.save(task.model.state_dict(), sys.argv[2])
"""


def test_as_a_plugin_of_lightning(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    alone = run_python([script, "1", tmp_path / "1.pt"])
    for done in (alone, *run_in_two_processes([script, "2", tmp_path / "2.pt"])):
        assert done.returncode == 0, done.stderr
    one, two = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in (1, 2))
    assert one.keys() == two.keys()
    for name, expected in one.items():
        torch.testing.assert_close(two[name], expected, rtol=1e-9, atol=1e-9, msg=name)
