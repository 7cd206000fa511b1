"""Layers and the encoder on a CUDA device that is not there: nothing stays on the CPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from csgnn_dgl._dgl import dgl
from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.models import CSGNN, EncoderConfig, encoder
from csgnn_dgl.nn import IntraBlock, IntraConv, RadialBlock, RadialConv, VertexPool
from csgnn_dgl.testing.fake_device import assert_runs_on_fake_device, fake_cuda

CONFIG = EncoderConfig.with_base_width(2, 3, 2, base_width=4)


def features(graph: Any = None, channels: int = 2) -> Tensor:
    nodes = 486 if graph is None else graph.num_nodes()
    return torch.rand(nodes, 3, channels, dtype=torch.float64)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pooling": "mean"},
        {"pooling": "sum", "global_pooling": "mean"},
        {"concatenate": False, "self_loop": False, "kernel_size": 5},
        {"filter_order": 2, "gradients": True, "readout": ("max-mean", "power")},
    ],
    ids=str,
)
@pytest.mark.parametrize("first", [True, False])
def test_encoder(changes: dict[str, Any], first: bool) -> None:
    config = replace(CONFIG, **changes)
    if first:  # nothing is known of the graphs yet
        encoder._prepared.cache_clear()
    error = assert_runs_on_fake_device(lambda: CSGNN(config).double(), lambda: (features(),))
    assert error < 1e-12


@pytest.mark.parametrize("output", ["coarsest", "finest"])
def test_other_outputs(output: str) -> None:
    assert_runs_on_fake_device(lambda: CSGNN(CONFIG).double(), lambda: (features(), output))


def _with_holes() -> Any:
    return dgl.remove_nodes(ConcentricGrid(1, 3).graph(), torch.arange(0, 126, 7))


class OnGraph(nn.Module):
    """A layer with its graph, which stays where DGL can have it."""

    def __init__(self, layer: nn.Module, graph: Any) -> None:
        super().__init__()
        self.layer, self.graph = layer, graph

    def forward(self, feat: Tensor) -> Tensor:
        out: Tensor = self.layer(self.graph, feat)
        return out


@pytest.mark.parametrize(
    "layer",
    [
        lambda: IntraConv(2, 3),
        lambda: IntraConv(3, 2, self_loop=False),
        lambda: RadialConv(2, 3),
        lambda: RadialConv(2, 3, kernel_size=5),
        lambda: IntraBlock(3, 3),
        lambda: RadialBlock(2, 2),
        lambda: VertexPool("max", etype="intra"),
        lambda: VertexPool("mean", etype="radial"),
    ],
)
@pytest.mark.parametrize("graph", [ConcentricGrid(1, 3).graph, _with_holes])
def test_layers(layer: Any, graph: Any) -> None:
    made, channels = graph(), getattr(layer(), "in_feats", None)
    if channels is None:
        channels = getattr(getattr(layer(), "conv", None), "in_feats", 2)

    def inputs() -> tuple[Tensor]:
        return (features(made, channels).requires_grad_(),)

    assert_runs_on_fake_device(lambda: OnGraph(layer().double(), made), inputs)


def test_the_cpu_is_served_afterwards() -> None:
    model = CSGNN(CONFIG).double()
    encoder._prepared.cache_clear()
    with fake_cuda() as device:
        assert model.to(device)(features().to(device)).is_cuda
        back = model.cpu()(features())
    assert type(back) is Tensor
    assert type(CSGNN(CONFIG).double()(features())) is Tensor
    graph = ConcentricGrid(1, 2).graph()
    with fake_cuda() as device:
        conv = IntraConv(2, 2).to(device)
        conv(graph, torch.rand(84, 2, device=device))
    assert type(IntraConv(2, 2)(graph, torch.rand(84, 2))) is Tensor


@pytest.mark.parametrize("where", ["levels.0.radial.0", "levels.1.intra.1", "levels.2"])
def test_a_tensor_left_on_the_cpu_is_found(where: str) -> None:
    # Control: any layer may be the one.
    class Shifted(nn.Module):
        def __init__(self, inside: nn.Module) -> None:
            super().__init__()
            self.inside = inside

        def forward(self, graph: Any, feat: Tensor) -> Tensor:
            out = self.inside(graph, feat)
            shifted: Tensor = out + torch.ones(out.shape[-1], dtype=out.dtype)
            return shifted

    def make() -> nn.Module:
        model = CSGNN(CONFIG).double()
        parent, _, name = where.rpartition(".")
        model.get_submodule(parent).add_module(name, Shifted(model.get_submodule(where)))
        return model

    with pytest.raises(RuntimeError, match=r"add.* got tensors on different devices"):
        assert_runs_on_fake_device(make, lambda: (features(),))
