"""The maxima over neighbourhoods and over all nodes together: as each of them by itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from csgnn_dgl.ops import global_max, neighborhood_and_global_max, neighborhood_max
from csgnn_dgl.testing import assert_no_mutation

EXACT = {"rtol": 1e-12, "atol": 1e-12}


@pytest.mark.parametrize("shape", [(2, 3), (5,), (), (0, 3)], ids=str)
@pytest.mark.parametrize("rectified", [True, False])
def test_equals_each_by_itself(relation: Any, shape: tuple[int, ...], rectified: bool) -> None:
    feat = relation.features(*shape)
    feat = (feat.clamp(min=0) if rectified else feat).requires_grad_()
    weight = relation.features(*shape, seed=1).requires_grad_()
    found = neighborhood_and_global_max(relation.csr, feat)
    expected = neighborhood_max(relation.csr, feat), global_max(feat)
    with torch.no_grad():
        without = neighborhood_and_global_max(relation.csr, feat)
    upstream = [torch.randn_like(out) for out in expected]
    for one, other, third in zip(found, expected, without, strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one, third)

    def gradients(outs: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        # The features are used once more, beside something that has a gradient, too.
        loss = (feat + weight).sin().sum()
        for out, scale in zip(outs, upstream, strict=True):
            loss = loss + (out * scale).sum()
        return torch.autograd.grad(loss, [feat, weight])

    for one, other in zip(gradients(found), gradients(expected), strict=True):
        torch.testing.assert_close(one, other, **EXACT)


@pytest.mark.parametrize("used", [0, 1])
def test_only_one_of_them_is_used(relation: Any, used: int) -> None:
    feat = relation.features(2, 3).requires_grad_()
    out = neighborhood_and_global_max(relation.csr, feat)[used]
    expected = (neighborhood_max(relation.csr, feat), global_max(feat))[used]
    upstream = torch.randn_like(out)
    (one,) = torch.autograd.grad(out, feat, upstream)
    (other,) = torch.autograd.grad(expected, feat, upstream)
    torch.testing.assert_close(one, other, **EXACT)


def test_derivatives(irregular: Any) -> None:
    order = torch.randperm(80, generator=torch.Generator().manual_seed(0))
    feat = order.double().view(40, 1, 2).requires_grad_()

    def function(x: Tensor) -> tuple[Tensor, ...]:
        return tuple(out**2 for out in neighborhood_and_global_max(irregular.csr, x))

    assert torch.autograd.gradcheck(function, feat)
    assert torch.autograd.gradgradcheck(function, feat)


def test_gradients_that_came_in_stay_as_they_were(relation: Any) -> None:
    feat = relation.features(2, 3).requires_grad_()
    outs = neighborhood_and_global_max(relation.csr, feat)
    upstream = [torch.ones_like(out) for out in outs]
    torch.autograd.backward(outs, upstream)
    assert all((grad == 1).all() for grad in upstream)


def test_inputs_are_only_read(irregular: Any) -> None:
    feat = irregular.features(2, 3)
    assert_no_mutation(neighborhood_and_global_max, irregular.csr, feat)
    assert_no_mutation(neighborhood_and_global_max, irregular.csr, feat.requires_grad_())
