"""Convolution, batch norm, ReLU and residual, written out once more."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.nn import IntraBlock, RadialBlock, blocks
from csgnn_dgl.nn.blocks import radial_stack
from csgnn_dgl.nn.structure import prepare
from csgnn_dgl.testing import assert_layer_equivariant, assert_no_mutation

EXACT = {"rtol": 1e-12, "atol": 1e-12}
Block = IntraBlock | RadialBlock

BLOCKS = {
    "intra": lambda: IntraBlock(3, 4),
    "intra, residual": lambda: IntraBlock(3, 3),
    "intra, no residual": lambda: IntraBlock(3, 3, residual=False),
    "intra, no self loop": lambda: IntraBlock(3, 3, self_loop=False),
    "intra, order 1": lambda: IntraBlock(3, 3, filter_order=1),
    "intra, order 2, gradients": lambda: IntraBlock(3, 2, filter_order=2, gradients=True),
    "radial": lambda: RadialBlock(3, 3),
    "radial, wide": lambda: RadialBlock(3, 4, kernel_size=5),
}


def randomise(block: nn.Module) -> None:
    """Nonzero biases, scales of both signs, and running statistics of some training."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        for module in block.modules():
            if isinstance(module, nn.BatchNorm1d):
                assert module.running_mean is not None
                assert module.running_var is not None
                size = module.running_mean.shape
                module.running_mean.copy_(torch.randn(size, generator=generator))
                module.running_var.copy_(torch.rand(size, generator=generator) + 0.5)


@pytest.fixture(params=list(BLOCKS))
def block(request: pytest.FixtureRequest) -> Block:
    """Each kind of block in turn."""
    made: Block = BLOCKS[request.param]().double()
    randomise(made)
    return made


def features(graph: Any, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(graph.num_nodes(), batch, 3, dtype=torch.float64, generator=generator)


def adds_input(block: Block) -> bool:
    return isinstance(block, IntraBlock) and block.residual


@pytest.mark.parametrize("training", [True, False])
def test_written_out(graph: Any, block: Block, training: bool) -> None:
    block.train(training)
    feat = features(graph).requires_grad_()
    linear = block.conv(graph, feat)
    mean, variance = linear.mean(dim=(0, 1)), linear.var(dim=(0, 1), unbiased=False)
    if not training:
        assert block.norm.running_mean is not None
        assert block.norm.running_var is not None
        mean, variance = block.norm.running_mean.clone(), block.norm.running_var.clone()
    scaled = (linear - mean) / (variance + block.norm.eps).sqrt()
    expected = (scaled * block.norm.weight + block.norm.bias).clamp(min=0)
    if adds_input(block):
        expected = expected + feat
    out = block(graph, feat)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-10)
    inputs = [feat, *block.parameters()]
    upstream = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(2))
    grads = torch.autograd.grad(out, inputs, upstream)
    for grad, other in zip(grads, torch.autograd.grad(expected, inputs, upstream), strict=True):
        torch.testing.assert_close(grad, other, rtol=1e-9, atol=1e-9)


def test_statistics_run_over_sites_and_samples(block: Block) -> None:
    graph = ConcentricGrid(1, 3).graph()
    feat = features(graph)
    linear = block.conv(graph, feat).reshape(-1, block.norm.num_features)
    assert block.norm.running_mean is not None
    assert block.norm.running_var is not None
    mean = 0.9 * block.norm.running_mean + 0.1 * linear.mean(dim=0)
    variance = 0.9 * block.norm.running_var + 0.1 * linear.var(dim=0)
    block.train()(graph, feat)
    torch.testing.assert_close(block.norm.running_mean, mean, **EXACT)
    torch.testing.assert_close(block.norm.running_var, variance, **EXACT)


def test_samples_do_not_mix_in_evaluation_only(block: Block) -> None:
    graph = ConcentricGrid(1, 3).graph()
    feat = features(graph)
    block.eval()
    torch.testing.assert_close(block(graph, feat)[:, :1], block(graph, feat[:, :1]), **EXACT)
    block.train()
    assert not torch.allclose(block(graph, feat)[:, :1], block(graph, feat[:, :1]))


@pytest.mark.parametrize(
    ("made", "residual"),
    [
        (IntraBlock(3, 3), True),
        (IntraBlock(3, 3, residual=False), False),
        (IntraBlock(3, 4), False),
        (IntraBlock(4, 3), False),
    ],
)
def test_residual_where_the_widths_agree(made: IntraBlock, residual: bool) -> None:
    assert made.residual == residual


def test_options_reach_the_convolution() -> None:
    assert IntraBlock(3, 3).conv.self_loop
    assert not IntraBlock(3, 3, self_loop=False).conv.self_loop
    rich = IntraBlock(3, 3, filter_order=2, gradients=True).conv
    assert (rich.filter_order, rich.gradients) == (2, True)
    assert RadialBlock(3, 3).conv.kernel_size == 3
    assert RadialBlock(3, 3, kernel_size=5).conv.kernel_size == 5


@pytest.mark.parametrize("training", [True, False])
def test_commutes_with_the_rotations(block: Block, training: bool) -> None:
    grid = ConcentricGrid(1, 3)
    block.train(training)
    assert_layer_equivariant(block, features(grid.graph()), grid, tolerance=1e-10)


@pytest.mark.parametrize("training", [True, False])
def test_gradcheck(block: Block, training: bool) -> None:
    graph = ConcentricGrid(0, 2).graph()
    block.train(training)
    feat = features(graph, batch=1).requires_grad_()
    names, values = zip(*block.named_parameters(), strict=True)

    def function(x: Tensor, *parameters: Tensor) -> Tensor:
        named = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(block, named, (graph, x))

    assert torch.autograd.gradcheck(function, (feat, *values))


@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_left_behind(graph: Any, block: Block, training: bool) -> None:
    assert_no_mutation(block.train(training), graph, features(graph))


def test_float32(graph: Any, block: Block) -> None:
    expected = block.eval()(graph, features(graph))
    out = block.float()(graph, features(graph).float())
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.double(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("nodes", [1, 7, 1000])
@pytest.mark.parametrize("prepared", [True, False])
def test_radial_stack_in_pieces(
    nodes: int, prepared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph: Any = ConcentricGrid(1, 3).graph()
    stack = nn.Sequential(RadialBlock(3, 5), RadialBlock(5, 4, kernel_size=5)).double().eval()
    randomise(stack)
    feat = features(graph)
    expected = stack[1](graph, stack[0](graph, feat))
    given = prepare(graph, radial="radial") if prepared else graph
    monkeypatch.setattr(blocks, "_PIECE_BYTES", nodes * 2 * 5 * 8)
    monkeypatch.setattr(blocks, "_PIECES", 1000)
    layers = [block for block in stack if isinstance(block, RadialBlock)]
    with torch.no_grad():
        out = radial_stack(layers, given, feat)
    torch.testing.assert_close(out, expected, **EXACT)
    # In training it is one after the other.
    stack.train()
    assert radial_stack(layers, given, feat).requires_grad


def test_radial_stack_on_any_graph(graph: Any) -> None:
    stack = nn.Sequential(RadialBlock(3, 5), RadialBlock(5, 4)).double().eval()
    layers = [block for block in stack if isinstance(block, RadialBlock)]
    feat = features(graph)
    with torch.no_grad():
        expected = stack[1](graph, stack[0](graph, feat))
        torch.testing.assert_close(radial_stack(layers, graph, feat), expected, **EXACT)
        assert radial_stack([], graph, feat) is feat


@pytest.mark.parametrize("training", [True, False])
def test_second_derivatives(training: bool) -> None:
    graph = ConcentricGrid(0, 2).graph()
    torch.manual_seed(3)
    block = nn.ModuleList([IntraBlock(2, 2), RadialBlock(2, 2)]).double().train(training)
    feat = torch.randn(24, 1, 2, dtype=torch.float64, requires_grad=True)

    def function(x: Tensor) -> Tensor:
        for part in block:
            x = part(graph, x)
        return x

    assert torch.autograd.gradgradcheck(function, feat)
