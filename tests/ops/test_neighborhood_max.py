"""The neighbourhood maximum against DGL's message passing, forward and backward, with ties."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from csgnn_dgl.ops import CSR, neighborhood_max
from csgnn_dgl.testing import assert_no_mutation


def gradients(relation: Any, feat: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of a random loss, by the kernel and by DGL."""
    feat = feat.detach().clone().requires_grad_()
    out, expected = neighborhood_max(relation.csr, feat), relation.by_dgl(feat, "max")
    upstream = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(1))
    (grad,) = torch.autograd.grad(out, feat, upstream)
    (expected_grad,) = torch.autograd.grad(expected, feat, upstream)
    # Without any edge DGL hands the gradients to node 0, whose features nobody read.
    return grad, expected_grad if relation.csr.indices.numel() else torch.zeros_like(feat)


@pytest.mark.parametrize("shape", [(2, 3), (5,), (), (2, 1, 3)], ids=str)
def test_equals_dgl(relation: Any, shape: tuple[int, ...]) -> None:
    feat = relation.features(*shape)
    out = neighborhood_max(relation.csr, feat)
    assert out.shape == (relation.csr.num_destinations, *shape)
    torch.testing.assert_close(out, relation.by_dgl(feat, "max"), rtol=0, atol=0)
    grad, expected = gradients(relation, feat)
    torch.testing.assert_close(grad, expected, rtol=1e-12, atol=1e-12)


def test_ties_as_in_dgl(relation: Any) -> None:
    # Rectified features are mostly ties at zero; the first edge of each gets the gradient.
    feat = relation.features(2, 8).mul(2).round().clamp(min=0)
    torch.testing.assert_close(*gradients(relation, feat), rtol=1e-12, atol=1e-12)
    constant = torch.zeros_like(feat)
    torch.testing.assert_close(*gradients(relation, constant), rtol=1e-12, atol=1e-12)


def test_tie_goes_to_the_first_edge() -> None:
    csr = CSR.from_edges(torch.tensor([2, 0, 1, 1]), torch.tensor([0, 0, 0, 1]), 2, 3)
    feat = torch.ones(3, 1, requires_grad=True)
    neighborhood_max(csr, feat).backward(torch.tensor([[1.0], [10.0]]))
    assert feat.grad is not None
    assert feat.grad.flatten().tolist() == [0, 10, 1]


def test_double_edge_counts_once() -> None:
    csr = CSR.from_edges(torch.tensor([1, 1, 0]), torch.tensor([0, 0, 0]), 1, 2)
    feat = torch.tensor([[1.0], [2.0]], requires_grad=True)
    neighborhood_max(csr, feat).sum().backward()
    assert feat.grad is not None
    assert feat.grad.flatten().tolist() == [0, 1]


def test_gradient_is_conserved(relation: Any) -> None:
    feat = relation.features(4).requires_grad_()
    neighborhood_max(relation.csr, feat).sum().backward()
    assert feat.grad is not None
    occupied = int((relation.csr.by_node.degrees > 0).sum())
    assert feat.grad.sum(dim=0).tolist() == [occupied] * 4


def test_negative_features_and_isolated_destinations(irregular: Any) -> None:
    feat = -irregular.features(3).abs() - 1
    out = neighborhood_max(irregular.csr, feat)
    isolated = irregular.csr.degrees == 0
    assert isolated.any()
    assert (out[isolated] == 0).all()
    assert (out[~isolated] <= -1).all()


def test_infinities(irregular: Any) -> None:
    feat = irregular.features(3)
    feat[::3], feat[1::7] = -torch.inf, torch.inf
    out = neighborhood_max(irregular.csr, feat)
    occupied = irregular.csr.degrees > 0
    for row in torch.nonzero(occupied).flatten().tolist():
        start, end = irregular.csr.indptr[row : row + 2].tolist()
        assert torch.equal(out[row], feat[irregular.csr.indices[start:end]].amax(dim=0))


def test_nan_is_not_hidden() -> None:
    csr = CSR.from_edges(torch.tensor([0, 1, 2, 0]), torch.tensor([0, 0, 0, 1]), 2, 3)
    for place in (0, 1, 2):
        feat = torch.ones(3, 1)
        feat[place] = torch.nan
        assert neighborhood_max(csr, feat)[0].isnan().all()


def test_gradcheck(irregular: Any) -> None:
    # Values far apart, so that a small step changes no winner.
    order = torch.randperm(80, generator=torch.Generator().manual_seed(2))
    feat = order.double().view(40, 1, 2).requires_grad_()
    csr = irregular.csr
    assert torch.autograd.gradcheck(lambda x: neighborhood_max(csr, x), feat)
    assert torch.autograd.gradgradcheck(lambda x: neighborhood_max(csr, x) ** 2, feat)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_narrow_types(relation: Any, dtype: torch.dtype) -> None:
    # A maximum rounds nothing: whatever the type, the result is exact.
    feat = relation.features(2, 8).to(dtype).requires_grad_()
    out = neighborhood_max(relation.csr, feat)
    assert out.dtype == dtype
    assert torch.equal(out.double(), neighborhood_max(relation.csr, feat.double()))
    (grad,) = torch.autograd.grad(out.sum(), feat)
    assert grad.dtype == dtype
    if dtype == torch.float32:
        torch.testing.assert_close(*gradients(relation, feat))


def test_inputs_are_only_read(relation: Any) -> None:
    csr, feat = relation.csr, relation.features(2, 3)
    assert_no_mutation(lambda x, *_: neighborhood_max(csr, x), feat, csr.indptr, csr.indices)


def test_upstream_gradient_is_only_read(relation: Any) -> None:
    feat = relation.features(2).requires_grad_()
    upstream = torch.ones(relation.csr.num_destinations, 2, dtype=torch.float64)
    neighborhood_max(relation.csr, feat).backward(upstream)
    assert (upstream == 1).all()


def test_output_shares_no_memory_with_the_input() -> None:
    own = torch.arange(3)
    feat = torch.zeros(3, 2)
    neighborhood_max(CSR.from_edges(own, own, 3, 3), feat).add_(1)
    assert (feat == 0).all()


def test_strides_do_not_matter(irregular: Any) -> None:
    feat = irregular.features(3, 4)
    expected = neighborhood_max(irregular.csr, feat)
    whole = feat.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    sliced = torch.stack([feat, -feat], dim=-1)[..., 0]
    every_other = torch.stack([feat, -feat], dim=1).flatten(0, 1)[::2]
    for strided in (whole, sliced, every_other):
        assert not strided.is_contiguous()
        assert torch.equal(neighborhood_max(irregular.csr, strided), expected)


def test_strides_of_the_gradient_do_not_matter(irregular: Any) -> None:
    feat = irregular.features(4).requires_grad_()
    out = neighborhood_max(irregular.csr, feat)
    upstream = torch.randn(4, 50, dtype=torch.float64).t()
    (strided,) = torch.autograd.grad(out, feat, upstream, retain_graph=True)
    (contiguous,) = torch.autograd.grad(out, feat, upstream.contiguous())
    assert torch.equal(strided, contiguous)


def test_batch_of_nothing(irregular: Any) -> None:
    feat = irregular.features(0, 3).requires_grad_()
    out = neighborhood_max(irregular.csr, feat)
    assert out.shape == (50, 0, 3)
    out.sum().backward()
    assert feat.grad is not None
    assert feat.grad.shape == feat.shape


def test_relation_may_serve_twice(irregular: Any) -> None:
    first = gradients(irregular, irregular.features(3, seed=1))
    second = gradients(irregular, irregular.features(2, 5, seed=2))
    for grad, expected in (first, second):
        torch.testing.assert_close(grad, expected, rtol=1e-12, atol=1e-12)


def test_number_of_nodes_is_checked(irregular: Any) -> None:
    with pytest.raises(ValueError, match="41 nodes, but the relation is from 40 nodes"):
        neighborhood_max(irregular.csr, torch.zeros(41, 2))
