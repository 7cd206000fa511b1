"""What makes the encoder fast cannot be noticed: hooks, replaced parts, gradients, graphs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from csgnn_dgl._dgl import dgl
from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.models import CSGNN, EncoderConfig, encoder
from csgnn_dgl.nn import IntraBlock, IntraConv, VertexPool
from csgnn_dgl.testing.commands import run_python

Randomise = Callable[[nn.Module], None]
CONFIG = EncoderConfig.with_base_width(2, 3, 2, base_width=4)
MODES = ["train", "eval", "no_grad", "inference"]
modes = pytest.mark.parametrize("where", MODES)


def guard(where: str) -> Any:
    return {"no_grad": torch.no_grad, "inference": torch.inference_mode}.get(
        where, torch.enable_grad
    )()


@pytest.fixture
def model(randomise: Randomise, monkeypatch: pytest.MonkeyPatch) -> CSGNN:
    """An encoder that takes one sample at a time wherever it may."""
    monkeypatch.setattr(encoder, "_PART_BYTES", 1)
    made = CSGNN(CONFIG).double()
    randomise(made)
    return made


def features(batch: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(486, batch, 2, dtype=torch.float64, generator=generator)


def parts(model: CSGNN) -> dict[str, nn.Module]:
    """All modules that are called, each once; the pool twice."""
    found = {n: m for n, m in model.named_modules() if not isinstance(m, nn.ModuleList)}
    # The encoder, three levels, the pool, and 3 modules in each of the 9 blocks.
    assert len(found) == 1 + 3 + 1 + 3 * 9
    return found


@modes
@pytest.mark.parametrize("pre", [True, False])
def test_hooks_fire_once_with_the_whole_batch(model: CSGNN, where: str, pre: bool) -> None:
    model.train(where == "train")
    calls: dict[str, int] = {}
    for name, module in parts(model).items():

        def hook(_: nn.Module, inputs: Any, *__: Any, name: str = name) -> None:
            calls[name] = calls.get(name, 0) + 1
            # Rows of batch norm are sites and samples together.
            batch = inputs[-1].shape[1] if inputs[-1].dim() == 3 else len(inputs[-1]) % 3 or 3
            assert batch == 3

        if pre:
            module.register_forward_pre_hook(hook)
        else:
            module.register_forward_hook(hook)
    with guard(where):
        model(features())
    assert calls == {name: 2 if name == "pool" else 1 for name in parts(model)}


@modes
@pytest.mark.parametrize("name", sorted(parts(CSGNN(CONFIG))))
def test_a_single_hook_fires_and_changes_nothing(model: CSGNN, where: str, name: str) -> None:
    model.train(where == "train")
    with guard(where):
        expected = model(features())
    calls: list[int] = []
    model.get_submodule(name).register_forward_hook(lambda *_: calls.append(1))
    with guard(where):
        found = model(features())
    assert len(calls) == (2 if name == "pool" else 1)
    if where != "train":
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@modes
def test_global_hooks_fire(model: CSGNN, where: str) -> None:
    model.train(where == "train")
    calls: list[nn.Module] = []
    handle = torch_module.register_module_forward_pre_hook(lambda m, _: calls.append(m))
    try:
        with guard(where):
            model(features())
    finally:
        handle.remove()
    assert len(calls) == len(parts(model)) + 1
    assert {id(m) for m in calls} == {id(m) for m in parts(model).values()}


@pytest.mark.parametrize("training", [True, False])
def test_full_backward_hooks_fire(model: CSGNN, training: bool) -> None:
    model.train(training)
    feat = features().requires_grad_()
    (expected,) = torch.autograd.grad(model(feat).sum(), feat)
    calls: list[nn.Module] = []
    for module in parts(model).values():
        module.register_full_backward_hook(lambda m, *_: calls.append(m))
    model(feat).sum().backward()
    assert {id(m) for m in calls} == {id(m) for m in parts(model).values()}
    torch.testing.assert_close(feat.grad, expected, rtol=1e-9, atol=1e-9)


def test_without_hooks_the_batch_is_split(model: CSGNN, monkeypatch: pytest.MonkeyPatch) -> None:
    # Control for all of the above.
    sizes, encode = [], model._encode

    def counted(feat: Tensor, output: Any) -> Tensor:
        sizes.append(feat.shape[1])
        return encode(feat, output)

    monkeypatch.setattr(model, "_encode", counted)
    with torch.no_grad():
        model.eval()(features())
    assert sizes == [1, 1, 1]


class Counting(nn.Module):
    """Keeps count of the samples that it sees."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside, self.seen = inside, []

    def forward(self, graph: Any, feat: Tensor) -> Tensor:
        self.seen.append(feat.shape[1])
        out: Tensor = self.inside(graph, feat)
        return out


@modes
@pytest.mark.parametrize("place", ["levels.0.radial.1", "levels.1.intra.0", "levels.1", "pool"])
def test_wrapped_modules_run(model: CSGNN, where: str, place: str) -> None:
    model.train(where == "train")
    with guard(where):
        expected = model(features())
    parent, _, name = place.rpartition(".")
    wrapped = Counting(model.get_submodule(place)).train(where == "train")
    model.get_submodule(parent).add_module(name, wrapped)
    with guard(where):
        found = model(features())
    assert wrapped.seen == [3] * (2 if place == "pool" else 1)
    if where != "train":
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


class MeanPool(VertexPool):
    """A subclass with another forward, in the place of the pool."""

    def forward(self, graph: Any, feat: Any) -> Tensor:
        return VertexPool("mean")(graph, feat)


@modes
def test_another_pool_runs(model: CSGNN, randomise: Randomise, where: str) -> None:
    other = CSGNN(replace(CONFIG, pooling="mean")).double()
    other.load_state_dict(model.state_dict())
    model.pool = MeanPool("max")
    for encoder_ in (model, other):
        encoder_.train(where == "train")
    with guard(where):
        torch.testing.assert_close(model(features()), other(features()), rtol=1e-12, atol=1e-12)


class Plain(nn.Module):
    """A user's own block, made of DGL's parts: it knows nothing of this package."""

    def __init__(self, width: int, etype: str) -> None:
        super().__init__()
        self.conv, self.etype = dgl.nn.GraphConv(width, width, norm="none"), etype

    def forward(self, graph: Any, feat: Tensor) -> Tensor:
        assert graph.num_nodes("vertex") == len(feat)
        out: Tensor = self.conv(graph[self.etype], feat)
        return out.relu()


@modes
def test_blocks_of_other_libraries_run(model: CSGNN, where: str) -> None:
    model.levels[0].radial[1] = Plain(8, "radial").double()
    model.levels[1].intra[0].conv = IntraConv(8, 8, etype=("vertex", "radial", "vertex")).double()
    model.levels[1].intra[1] = IntraBlock(8, 8).double()
    model.train(where == "train")
    with guard(where):
        found = model(features(), "finest")
        level = model.levels[0]
        graph, feat = model.grid.graph(), features()
        for block in (*level.intra, *level.radial):
            feat = block(graph, feat)
        assert model(features()).shape == (3, CONFIG.global_features)
    torch.testing.assert_close(found, feat, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("pooling", ["max", "mean"])
@pytest.mark.parametrize("watched", [True, False])
def test_gradients_are_those_of_plain_operations(
    randomise: Randomise, training: bool, pooling: Any, watched: bool
) -> None:
    """All features of all levels are used once more, outside of the encoder."""
    model = CSGNN(replace(CONFIG, pooling=pooling)).double()
    randomise(model)
    model.train(training)
    kept: list[Tensor] = []
    for level in model.levels:
        level.register_forward_hook(lambda _, __, out: kept.append(out))
    if watched:
        model.pool.register_forward_hook(lambda *_: None)
    feat = features().requires_grad_()
    weights = [
        torch.zeros(n, 3, w, dtype=torch.float64) for n, w in ((486, 8), (126, 16), (36, 32))
    ]

    def gradients(out: Tensor, levels: list[Tensor]) -> tuple[Tensor, ...]:
        extra = [weight.clone().requires_grad_() for weight in weights]
        loss = (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum()
        for values, weight in zip(levels, extra, strict=True):
            loss = loss + (values + weight).sin().sum()
        return torch.autograd.grad(loss, [feat, *extra, *model.parameters()])

    found = gradients(model(feat), list(kept))
    x, levels, pooled = feat, [], []
    for index, level in enumerate((2, 1, 0)):
        if index:
            x = VertexPool(pooling)(model.grid.coarsening(level + 1), x)
        layers = model.levels[index]
        for block in [*layers.intra, *layers.radial]:
            x = block(model.grid.graph(level), x)
        levels.append(x)
        pooled.append(x.amax(dim=0))
    for one, other in zip(found, gradients(torch.cat(pooled, 1), levels), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


@modes
def test_a_spoiled_graph_does_not_reach_a_model(
    model: CSGNN, randomise: Randomise, where: str
) -> None:
    model.train(where == "train")
    with guard(where):
        expected = model(features())
    encoder._prepared.cache_clear()
    for grid in (ConcentricGrid(2, 3), model.grid):
        for level in range(3):
            grid.graph(level).ndata["sphere"].fill_(7)
            grid.graph(level).edges["radial"].data["offset"].neg_()
            grid.graph(level).remove_edges(torch.arange(9), etype="intra")
        grid.coarsening(2).remove_edges(torch.arange(9))
    with guard(where):
        again = CSGNN(CONFIG).double()
        randomise(again)
        assert torch.equal(again.train(where == "train")(features()), expected)
        if where != "train":
            assert torch.equal(model(features()), expected)


def test_compilers_are_told_as_torch_would_tell_them() -> None:
    def theirs() -> None: ...

    def ours() -> None: ...

    torch.compiler.assume_constant_result(theirs)
    encoder._constant_to_compilers(ours)
    assert vars(ours) == vars(theirs) != {}


def test_export_of_an_encoder_that_never_ran() -> None:
    """Graphs are found out with real tensors, whatever the tracer has in their place."""
    code = """
import torch
from csgnn_dgl.models import CSGNN, EncoderConfig
for options in {}, {"filter_order": 2, "gradients": True, "readout": ("max-mean", "power")}:
    model = CSGNN(EncoderConfig.with_base_width(1, 4, 2, base_width=4, **options)).eval()
    feat = torch.randn(168, 3, 2)
    batch = torch.export.Dim("batch")
    program = torch.export.export(model, (feat,), dynamic_shapes=({1: batch}, ))
    with torch.no_grad():
        torch.testing.assert_close(program.module()(feat[:, :2]), model(feat[:, :2]))
    model.train()(feat).sum().backward()
"""
    done = run_python(["-c", code])
    assert done.returncode == 0, done.stderr


def test_the_compiler_is_not_imported() -> None:
    code = """
import sys
import csgnn_dgl.models.encoder
assert "torch._dynamo" not in sys.modules
import csgnn_dgl.nn, csgnn_dgl.grid
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_unknown_output() -> None:
    with pytest.raises(ConfigError, match=r"output is 'local', but it must be one of"):
        CSGNN(CONFIG)(torch.zeros(486, 1, 2), "local")


@pytest.mark.parametrize(
    "shape", [(485, 2, 2), (486, 2, 3), (486, 2), (2, 486, 2), (486, 1, 2, 2)], ids=str
)
def test_wrong_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"must have shape \(486, B, 2\)") as caught:
        CSGNN(CONFIG)(torch.zeros(shape))
    assert str(shape) in str(caught.value)
