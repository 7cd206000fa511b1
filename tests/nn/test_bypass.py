"""Nobody can tell which path a block takes: hooks fire, replaced parts run, numbers agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.utils import parametrize

from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.nn import IntraBlock, IntraConv, RadialBlock, RadialConv
from csgnn_dgl.nn.blocks import radial_stack
from csgnn_dgl.nn.bypass import untouched
from csgnn_dgl.nn.structure import prepare

EXACT = {"rtol": 1e-12, "atol": 1e-12}
GRAPH = ConcentricGrid(1, 3).graph()


@contextmanager
def mode(name: str) -> Iterator[None]:
    """Training and evaluation with gradients, and both ways without."""
    guards = {"no_grad": torch.no_grad, "inference": torch.inference_mode}
    with guards.get(name, torch.enable_grad)():
        yield


modes = pytest.mark.parametrize("where", ["train", "eval", "no_grad", "inference"])


class Stack(nn.Module):
    """One intra block with a residual, then two radial ones: each fast path there is."""

    def __init__(self) -> None:
        super().__init__()
        self.intra = IntraBlock(3, 3)
        self.radial = nn.ModuleList([RadialBlock(3, 5), RadialBlock(5, 4, kernel_size=5)])

    def forward(self, graph: Any, feat: Tensor) -> Tensor:
        return radial_stack(list(self.radial), graph, self.intra(graph, feat))


def written_out(stack: Stack, feat: Tensor) -> Tensor:
    """The same without any fast path."""
    for block in (stack.intra, *stack.radial.children()):
        out = block.conv(GRAPH, feat)  # type: ignore[operator]
        out = torch.relu(block.norm(out.flatten(0, 1)).view(out.shape))  # type: ignore[operator]
        feat = out + feat if isinstance(block, IntraBlock) else out
    return feat


@pytest.fixture
def stack() -> Stack:
    """Weights and statistics as after some training."""
    torch.manual_seed(0)
    made = Stack().double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape))
        for module in made.modules():
            if isinstance(module, nn.BatchNorm1d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 1.5)
    return made


@pytest.fixture
def feat() -> Tensor:
    """Features of two samples."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(126, 2, 3, dtype=torch.float64, generator=generator)


def parts(stack: nn.Module) -> list[str]:
    """Everything in it that is called."""
    names = [
        name for name, module in stack.named_modules() if not isinstance(module, nn.ModuleList)
    ]
    assert len(names) == 10
    return names


@modes
@pytest.mark.parametrize("prepared", [True, False])
@pytest.mark.parametrize("kind", ["forward", "pre", "both at all"])
def test_hooks_of_all_parts_fire_once(
    stack: Stack, feat: Tensor, where: str, prepared: bool, kind: str
) -> None:
    stack.train(where == "train")
    graph: Any = prepare(GRAPH, radial="radial") if prepared else GRAPH
    calls: list[nn.Module] = []

    def hook(module: nn.Module, *_: Any) -> None:
        calls.append(module)

    handles = []
    for name in parts(stack):
        module = stack.get_submodule(name)
        if kind != "pre":
            handles.append(module.register_forward_hook(hook))
        if kind != "forward":
            handles.append(module.register_forward_pre_hook(hook))
    with mode(where):
        found = stack(graph, feat)
    times = 2 if kind == "both at all" else 1
    assert {id(m): calls.count(m) for m in calls} == {
        id(stack.get_submodule(name)): times for name in parts(stack)
    }
    for handle in handles:
        handle.remove()
    calls.clear()
    if where != "train":
        with mode(where):
            torch.testing.assert_close(found, stack(graph, feat), **EXACT)
        assert calls == []


@modes
@pytest.mark.parametrize("name", ["intra", "intra.conv", "intra.norm", "radial.1", "radial.0.norm"])
def test_a_hook_of_one_part_fires(stack: Stack, feat: Tensor, where: str, name: str) -> None:
    stack.train(where == "train")
    calls: list[Any] = []
    stack.get_submodule(name).register_forward_hook(lambda *_: calls.append(1))
    with mode(where):
        stack(GRAPH, feat)
    assert calls == [1]


@modes
def test_global_hooks_fire(stack: Stack, feat: Tensor, where: str) -> None:
    stack.train(where == "train")
    calls: list[nn.Module] = []
    handle = torch_module.register_module_forward_hook(lambda m, *_: calls.append(m))
    try:
        with mode(where):
            stack(GRAPH, feat)
    finally:
        handle.remove()
    assert {id(m) for m in calls} == {id(stack.get_submodule(name)) for name in parts(stack)}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("everywhere", [True, False])
def test_full_backward_hooks_fire(
    stack: Stack, feat: Tensor, training: bool, everywhere: bool
) -> None:
    stack.train(training)
    feat.requires_grad_()
    expected = torch.autograd.grad(stack(GRAPH, feat).square().sum(), feat)[0]
    calls: list[nn.Module] = []

    def hook(module: nn.Module, *_: Any) -> None:
        calls.append(module)

    handles = (
        [torch_module.register_module_full_backward_hook(hook)]
        if everywhere
        else [stack.get_submodule(n).register_full_backward_hook(hook) for n in parts(stack)]
    )
    try:
        stack(GRAPH, feat).square().sum().backward()
    finally:
        for handle in handles:
            handle.remove()
    assert {id(m) for m in calls} == {id(stack.get_submodule(name)) for name in parts(stack)}
    torch.testing.assert_close(feat.grad, expected, rtol=1e-9, atol=1e-9)


@modes
def test_what_a_hook_has_seen_is_not_changed_later(stack: Stack, feat: Tensor, where: str) -> None:
    stack.train(where == "train")
    seen: list[tuple[str, Tensor, Tensor]] = []

    def look(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: Any, output: Tensor) -> None:
            for tensor in (*inputs, output):
                if isinstance(tensor, Tensor):
                    seen.append((name, tensor, tensor.detach().clone()))

        return hook

    for name in parts(stack):
        stack.get_submodule(name).register_forward_hook(look(name))
    feat.requires_grad_(where in ("train", "eval"))
    with mode(where):
        stack(GRAPH, feat)
    assert len(seen) == 2 * len(parts(stack))
    for name, tensor, before in seen:
        assert torch.equal(tensor, before), name


class Doubled(nn.BatchNorm1d):
    """A subclass with another forward."""

    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class DoubledConv(RadialConv):
    def forward(self, graph: Any, feat: Any) -> Tensor:
        return 2 * super().forward(graph, feat)


class Wrapped(nn.Module):
    """A module around another one."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, *inputs: Any) -> Tensor:
        out: Tensor = self.inside(*inputs)
        return 3 * out


class Half(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2


def _doubled_norm(block: Any) -> None:
    norm = Doubled(block.norm.num_features).double()
    norm.load_state_dict(block.norm.state_dict())
    block.norm = norm


def _layer_norm(block: Any) -> None:
    block.norm = nn.LayerNorm(block.norm.num_features).double()


def _no_norm(block: Any) -> None:
    block.norm = nn.Identity()


def _wrapped_norm(block: Any) -> None:
    block.norm = Wrapped(block.norm)


def _wrapped_conv(block: Any) -> None:
    block.conv = Wrapped(block.conv)


def _parametrized(block: Any) -> None:
    parametrize.register_parametrization(block.conv, "weight", Half())


def _weight_norm(block: Any) -> None:
    nn.utils.parametrizations.weight_norm(block.conv, "weight")
    block.conv.parametrizations.weight.original0.data.mul_(1.5)


def _old_weight_norm(block: Any) -> None:
    with pytest.warns(FutureWarning):
        nn.utils.weight_norm(block.conv, "weight")
    block.conv.weight_g.data.mul_(1.5)


def _pruned(block: Any) -> None:
    from torch.nn.utils import prune

    prune.l1_unstructured(block.conv, "weight", 0.5)


def _own_forward(block: Any) -> None:
    forward = block.norm.forward
    block.norm.forward = lambda rows: 2 * forward(rows)


CHANGES = [
    _doubled_norm,
    _layer_norm,
    _no_norm,
    _wrapped_norm,
    _wrapped_conv,
    _parametrized,
    _weight_norm,
    _old_weight_norm,
    _pruned,
    _own_forward,
]


@modes
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("which", ["intra", "radial.0", "radial.1"])
def test_replaced_parts_run(
    stack: Stack, feat: Tensor, where: str, change: Callable[[Any], None], which: str
) -> None:
    stack.train(where == "train")
    with mode(where):
        before = stack(GRAPH, feat)
        change(stack.get_submodule(which))
        stack.train(where == "train")
        found = stack(GRAPH, feat)
        torch.testing.assert_close(found, written_out(stack, feat), rtol=1e-10, atol=1e-10)
    if where != "train":  # where batch norm takes a scale away again
        assert not torch.allclose(found, before, rtol=1e-3)


@modes
def test_a_subclass_of_a_convolution_runs(stack: Stack, feat: Tensor, where: str) -> None:
    stack.eval()
    conv = DoubledConv(3, 5).double()
    conv.load_state_dict(stack.radial[0].conv.state_dict())  # type: ignore[union-attr]
    stack.radial[0].conv = conv
    with mode(where):
        torch.testing.assert_close(stack(GRAPH, feat), written_out(stack, feat), **EXACT)


@modes
def test_a_replaced_block_runs(stack: Stack, feat: Tensor, where: str) -> None:
    class Zero(nn.Module):
        def forward(self, graph: Any, feat: Tensor) -> Tensor:
            return torch.zeros_like(feat)

    stack.train(where == "train")
    stack.radial[1] = Zero()
    with mode(where):
        assert (stack(GRAPH, feat) == 0).all()
    stack.radial[1] = RadialBlock(5, 4).double()
    stack.radial[0] = Wrapped(RadialBlock(3, 5).double())
    stack.train(where == "train")
    with mode(where):
        out = stack.radial[0](GRAPH, stack.intra(GRAPH, feat))
        expected = stack.radial[1](GRAPH, out)
        torch.testing.assert_close(stack(GRAPH, feat), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", [IntraConv, RadialConv, nn.BatchNorm1d, RadialBlock])
def test_a_patched_class_is_seen(stack: Stack, feat: Tensor, kind: type[nn.Module]) -> None:
    calls, forward = [], kind.forward

    def counted(self: nn.Module, *inputs: Any) -> Any:
        calls.append(self)
        return forward(self, *inputs)

    stack.eval()
    with torch.no_grad(), mock.patch.object(kind, "forward", counted):
        stack(GRAPH, feat)
    assert len(calls) == sum(type(module) is kind for module in stack.modules())


def test_modules_compiled_in_place_are_called() -> None:
    norm = nn.BatchNorm1d(3)
    assert untouched(norm, nn.BatchNorm1d)
    norm.compile(backend="eager")
    assert not untouched(norm, nn.BatchNorm1d)


@pytest.mark.parametrize("where", ["eval", "no_grad", "inference"])
def test_the_fast_paths_are_taken(stack: Stack, feat: Tensor, where: str) -> None:
    # Control: all that is tested here would also hold if there were none.
    stack.eval()
    with mode(where), mock.patch.object(torch.nn.functional, "batch_norm") as norm:
        stack(GRAPH, feat)
    assert not norm.called


def test_mixed_precision_gives_one_type_with_and_without_gradients(feat: Tensor) -> None:
    block = IntraBlock(3, 3).eval()
    with torch.autocast("cpu", torch.bfloat16):
        with_gradients = block(GRAPH, feat.float())
        with torch.no_grad():
            without = block(GRAPH, feat.float())
    assert with_gradients.dtype == without.dtype
    assert torch.equal(with_gradients, without)


@pytest.mark.parametrize("training", [True, False])
def test_tensors_used_twice_get_both_gradients(stack: Stack, feat: Tensor, training: bool) -> None:
    stack.train(training)
    feat.requires_grad_()
    weight = torch.zeros(126, 2, 4, dtype=torch.float64, requires_grad=True)

    def gradients(out: Tensor) -> tuple[Tensor, ...]:
        loss = (out + weight).sin().sum() + (out * weight).sum() + feat.square().sum()
        return torch.autograd.grad(loss, [feat, weight, *stack.parameters()])

    found = gradients(stack(GRAPH, feat))
    for grad, other in zip(found, gradients(written_out(stack, feat)), strict=True):
        torch.testing.assert_close(grad, other, rtol=1e-9, atol=1e-9)
