"""The encoder and the mapping on a GPU, where there is one: like the CPU in float64."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from csgnn_dgl.mapping import PointMapping
from csgnn_dgl.models import CSGNN, EncoderConfig

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
CONFIG = EncoderConfig.with_base_width(2, 4, 3, base_width=12)


@pytest.fixture(autouse=True)
def _no_tf32() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def results(network: CSGNN, feat: Tensor) -> dict[str, Tensor]:
    x = feat.clone().requires_grad_()
    found = {"training": network(x)}
    found["training"].cos().sum().backward()
    assert x.grad is not None
    found["input"] = x.grad
    found |= {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    found |= {name: buffer.clone() for name, buffer in network.named_buffers()}
    with torch.no_grad():
        found["evaluation"] = network.eval()(feat)
    return {name: tensor.detach().double().cpu() for name, tensor in found.items()}


@pytest.mark.parametrize("triton", ["0", "1"])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-9), (torch.float32, 1e-3)])
def test_encoder(
    dtype: torch.dtype, limit: float, triton: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CSGNN_TRITON", triton)
    torch.manual_seed(0)
    exact = CSGNN(CONFIG).double()
    with torch.no_grad():
        for parameter in exact.parameters():  # no bias is zero
            parameter.add_(torch.randn_like(parameter) / 4)
    feat = torch.randn(162 * 4, 3, 3, dtype=torch.float64)
    network = copy.deepcopy(exact).to("cuda", dtype)
    expected, found = results(exact, feat), results(network, feat.to("cuda", dtype))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        if not name.endswith("conv.bias"):  # the norm removes it, so its gradient is only rounding
            assert float((found[name] - tensor).norm()) <= limit * float(tensor.norm()), name


@pytest.mark.parametrize("triton", ["0", "1"])
@pytest.mark.parametrize("neighbourhood", ["face", "nearest"])
@pytest.mark.parametrize("flat", [False, True])
def test_mapping(
    flat: bool, neighbourhood: Any, triton: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CSGNN_TRITON", triton)
    mapping = PointMapping(level=3, n_spheres=5, channels=3, neighbourhood=neighbourhood)
    points = torch.rand(4, 200, 3, generator=torch.Generator().manual_seed(0)) * 1.4 - 0.7
    points[1, 5] = 0
    expected = mapping(points.double())
    if flat:
        order = torch.randperm(800, generator=torch.Generator().manual_seed(1))
        cloud = torch.arange(4).repeat_interleave(200)[order].cuda()
        found = mapping(points.view(-1, 3)[order].cuda(), cloud, 4)
    else:
        found = mapping(points.cuda())
    torch.testing.assert_close(found.double().cpu(), expected, rtol=1e-4, atol=1e-5)
