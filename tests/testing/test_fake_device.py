"""The fake GPU finds what a real one would, and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from csgnn_dgl.testing.fake_device import assert_runs_on_fake_device, fake_cuda

CUDA = torch.device("cuda:0")


def test_where_tensors_are() -> None:
    with fake_cuda() as device:
        assert device == CUDA
        here, there = torch.ones(3), torch.ones(3, device="cuda")
        for tensor in (
            there,
            here.to("cuda"),
            here.to(torch.float64).to(device, torch.float32),
            here.cuda(),
            here.to(there),
            here.to(device=device, non_blocking=True),
            there + 1,
            there[:2],
            there.new_zeros(2),
            torch.zeros_like(there),
            torch.empty_like(here, device=device),
            here.new_full((2,), 7, device="cuda"),
            torch.arange(3, device=device),
            torch.tensor([1, 2], device=device),
            torch.cat([there, there]),
            torch.tensor(2.0) * there,  # a single number
            F.one_hot(torch.arange(3, device=device)),
            nn.Parameter(there),
            copy.deepcopy(there),
            there.view(3, 1).expand(3, 2).reshape(-1).sum(),
        ):
            assert tensor.device == CUDA
            assert tensor.is_cuda
        for tensor in (here, there.cpu(), there.to("cpu"), there.to(here), torch.zeros(2)):
            assert tensor.device == torch.device("cpu")
            assert type(tensor) is Tensor
    # Nothing is left behind.
    assert type(torch.ones(3)) is Tensor
    assert torch.ones(3).to("cpu").device.type == "cpu"


def test_numbers_are_real() -> None:
    with fake_cuda() as device:
        x = torch.tensor([3.0, 1.0, 2.0], device=device)
        assert x.argsort().tolist() == [1, 2, 0]
        assert x[x > 1.5].tolist() == [3, 2]
        assert float(x.max()) == x.max().item() == 3
        assert bool((x > 0).all())
        x[1] = 7
        x += 1
        x[x > 7] = 0
        assert x.cpu().numpy().tolist() == [4, 0, 3]
        assert torch.equal(x.cpu(), torch.tensor([4.0, 0, 3]))


def test_gradients_come_back_to_where_they_belong() -> None:
    with fake_cuda() as device:
        here = torch.ones(3, requires_grad=True)
        there = torch.ones(3, device=device, requires_grad=True)
        (here.to(device) * there * torch.arange(3, device=device)).sum().backward()
        assert here.grad is not None
        assert there.grad is not None
        assert (here.grad.device.type, there.grad.device.type) == ("cpu", "cuda")
        assert here.grad.tolist() == there.grad.tolist() == [0, 1, 2]


MISTAKES: dict[str, Callable[[Tensor], Any]] = {
    "a constant": lambda x: x + torch.ones(3),
    "an index of the GPU into a table of the CPU": lambda x: torch.arange(3)[x.long()],
    "writing with it": lambda x: torch.zeros(3).index_put_((x.long(),), torch.ones(3)),
    "a table looked up": lambda x: F.embedding(x.long(), torch.ones(3, 2)),
    "a product": lambda x: F.linear(x, torch.ones(2, 3)),
    "places to add at": lambda x: x.new_zeros(3).index_add(0, torch.arange(3), x),
    "a choice": lambda x: torch.where(torch.ones(3) > 0, x, x),
    "side by side": lambda x: torch.cat([x, torch.zeros(1)]),
    "a comparison": lambda x: torch.equal(x, torch.zeros(3)),
    "for NumPy": lambda x: x.numpy(),
}


@pytest.mark.parametrize("name", list(MISTAKES))
def test_mistakes_are_found(name: str) -> None:
    MISTAKES[name](torch.tensor([0.0, 1, 2]))  # right on the CPU
    with fake_cuda() as device:
        x = torch.tensor([0.0, 1, 2], device=device)
        with pytest.raises((RuntimeError, TypeError), match=r"different devices|can't convert"):
            MISTAKES[name](x)


def test_indices_may_come_from_the_cpu() -> None:
    with fake_cuda() as device:
        x = torch.tensor([0.0, 1, 2], device=device)
        assert x[torch.tensor([2, 0])].tolist() == [2, 0]
        x[torch.tensor([1])] = 5
        assert x.tolist() == [0, 5, 2]


class Net(nn.Module):
    """A bit of everything: convolution, norms, buffers, dropout, recurrence over a list."""

    shift: Tensor

    def __init__(self, buffer: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 4, 3)
        self.norm = nn.BatchNorm1d(4)
        self.layer_norm = nn.LayerNorm(4)
        self.dropout = nn.Dropout(0.3)
        if buffer:
            self.register_buffer("shift", torch.ones(4))
        else:
            self.shift = torch.ones(4)

    def forward(self, clouds: list[Tensor], scale: float) -> dict[str, Tensor]:
        x = self.norm(self.conv(torch.stack(clouds))).relu().amax(dim=2)
        x = self.dropout(self.layer_norm(x) + self.shift) * scale
        return {"features": x, "counts": (x > 0).sum()}


def inputs() -> tuple[Any, ...]:
    return [torch.rand(2, 9) for _ in range(5)], 2.0


def test_a_module_runs() -> None:
    assert assert_runs_on_fake_device(Net, inputs) < 1e-5


def test_a_constant_that_does_not_move() -> None:
    with pytest.raises(RuntimeError, match=r"add.* got tensors on different devices"):
        assert_runs_on_fake_device(lambda: Net(buffer=False), inputs)


def test_mistakes_in_a_backward_pass() -> None:
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return 2 * x

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Tensor:
            return grads[0] * torch.full((5, 3), 2.0)

    class Doubled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = Double.apply(super().forward(x))
            return out

    with pytest.raises(RuntimeError, match=r"mul.* got tensors on different devices"):
        assert_runs_on_fake_device(lambda: Doubled(3, 3), lambda: (torch.rand(5, 3),))


def test_results_on_the_cpu() -> None:
    class Back(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).cpu()

    with pytest.raises(AssertionError, match="output 0 is on cpu, not on cuda:0"):
        assert_runs_on_fake_device(lambda: Back(3, 2), lambda: (torch.rand(5, 3),))


def test_other_numbers_on_a_gpu() -> None:
    class Branching(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * (1.1 if x.is_cuda else 1)

    with pytest.raises(AssertionError, match="output 0 differs between the devices"):
        assert_runs_on_fake_device(lambda: Branching(3, 2), lambda: (torch.rand(5, 3),))
    error = assert_runs_on_fake_device(
        lambda: Branching(3, 2), lambda: (torch.rand(5, 3),), tolerance=0.5
    )
    assert 0.05 < error < 0.5


def test_nothing_to_check() -> None:
    class Nothing(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) > 0

    with pytest.raises(AssertionError, match="no tensor of floating-point numbers"):
        assert_runs_on_fake_device(lambda: Nothing(3, 2), lambda: (torch.rand(5, 3),))
