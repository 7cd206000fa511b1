"""The product of all nodes is torch's, whichever library computes it."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch.nn import functional as F

from csgnn_dgl.ops import node_linear


@pytest.fixture(autouse=True, params=[0, 2**22], ids=["small ones too", "large ones only"])
def by_convolution(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which products go to the convolution library."""
    module = importlib.import_module("csgnn_dgl.ops.node_linear")
    monkeypatch.setattr(module, "_LITTLE_WORK", request.param)


@pytest.mark.parametrize("shape", [(5, 3), (2048, 3), (512, 4, 3), (1030, 3), (1027, 1, 3), (0, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("with_bias", [True, False])
def test_equals_linear(shape: tuple[int, ...], dtype: torch.dtype, with_bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)

    def made(*size: int) -> torch.Tensor:
        return torch.randn(size, generator=generator, dtype=dtype).requires_grad_()

    inputs = [made(*shape), made(7, 3), *([made(7)] if with_bias else [])]
    out, expected = node_linear(*inputs), F.linear(*inputs)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-4
    torch.testing.assert_close(out, expected, rtol=tolerance, atol=tolerance)
    assert out.is_contiguous()
    upstream = torch.randn(out.shape, generator=generator, dtype=dtype)
    for one, other in zip(
        torch.autograd.grad(out, inputs, upstream),
        torch.autograd.grad(expected, inputs, upstream),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=10 * tolerance)


def test_a_transposed_weight_and_a_strided_input() -> None:
    feat, weight = torch.randn(3, 4096).t(), torch.randn(3, 7).t()
    torch.testing.assert_close(node_linear(feat, weight), F.linear(feat, weight))
