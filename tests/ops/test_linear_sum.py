"""Sums of linear maps."""

from __future__ import annotations

import pytest
import torch

from csgnn_dgl.ops import linear_sum


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("terms", [1, 2, 3])
def test_sum_of_products(terms: int, bias: bool) -> None:
    torch.manual_seed(0)
    feats = [torch.randn(6, 2, 3 + k).double().requires_grad_() for k in range(terms)]
    weights = [torch.randn(4, 3 + k).double().requires_grad_() for k in range(terms)]
    added = torch.randn(4).double().requires_grad_() if bias else None
    inputs = [*feats, *weights, *([added] if added is not None else [])]

    def both(*_: torch.Tensor) -> torch.Tensor:
        return linear_sum(list(zip(feats, weights, strict=True)), added)

    expected = sum(f @ w.t() for f, w in zip(feats, weights, strict=True))
    expected = expected if added is None else expected + added
    torch.testing.assert_close(both(), expected, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(both, inputs)


def test_features_of_any_shape() -> None:
    weight = torch.ones(4, 3)
    assert linear_sum([(torch.ones(3), weight), (torch.ones(3), weight)]).tolist() == [6.0] * 4
    strided = torch.ones(3, 2, 5).permute(2, 1, 0)
    assert linear_sum([(strided, weight), (strided, weight)]).shape == (5, 2, 4)
    assert linear_sum([(torch.ones(0, 3), weight)] * 2).shape == (0, 4)
