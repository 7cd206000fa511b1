"""The networks that are measured against are the same network."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from csgnn_dgl.benchmarks.plain import PlainDGL, PlainPyG
from csgnn_dgl.models import CSGNN, EncoderConfig

# torch's profiler warns of itself.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
HAS_PYG = importlib.util.find_spec("torch_geometric") is not None


def encoder(level: int = 2, n_spheres: int = 3, base_width: int = 4) -> CSGNN:
    torch.manual_seed(0)
    return CSGNN(EncoderConfig.with_base_width(level, n_spheres, 2, base_width=base_width))


@pytest.mark.parametrize(
    "plain",
    [
        PlainDGL,
        pytest.param(
            PlainPyG,
            marks=pytest.mark.skipif(not HAS_PYG, reason="PyTorch Geometric is not installed"),
        ),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_same_outputs_and_gradients(plain: Any, dtype: torch.dtype) -> None:
    own = encoder().to(dtype)
    other = plain(own).to(dtype)
    feat = torch.randn(own.grid.num_nodes(2), 3, 2, dtype=dtype)
    tolerance = 1e-10 if dtype == torch.float64 else 1e-4
    for training in (True, False):
        inputs, outputs = [feat.clone().requires_grad_() for _ in range(2)], []
        for model, given in zip((own, other), inputs, strict=True):
            model.train(training)
            outputs.append(model(given))
        torch.testing.assert_close(*outputs, rtol=tolerance, atol=tolerance)
        upstream = torch.randn_like(outputs[0])
        grads = [
            torch.autograd.grad(out, given, upstream)[0]
            for out, given in zip(outputs, inputs, strict=True)
        ]
        torch.testing.assert_close(*grads, rtol=tolerance, atol=tolerance)


def peak(model: nn.Module, feat: Tensor, training: bool) -> int:
    """Most bytes that tensors take at once beyond those there were before."""

    def call() -> None:
        if training:
            model.train()(feat).sum().backward()
            model.zero_grad(set_to_none=True)
        else:
            with torch.no_grad():
                model.eval()(feat)

    call()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        call()
    events = [e for e in found.profiler.kineto_results.events() if e.name() == "[memory]"]
    used = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        used += event.nbytes()
        most = max(most, used)
    return most


def test_memory() -> None:
    own = encoder(level=3, n_spheres=16, base_width=16)
    plain = PlainDGL(own)
    feat = torch.randn(own.grid.num_nodes(3), 4, 2)
    assert peak(own, feat, training=True) <= peak(plain, feat, training=True)
    assert peak(own, feat, training=False) <= peak(plain, feat, training=False) / 2
