"""Neighbour sums and means against DGL's message passing, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from csgnn_dgl.ops import CSR, neighbor_mean, neighbor_sum
from csgnn_dgl.testing import assert_no_mutation

Kernel = Callable[[CSR, Tensor], Tensor]
KERNELS = {"sum": neighbor_sum, "mean": neighbor_mean}
EXACT = {"rtol": 1e-12, "atol": 1e-12}

kernels = pytest.mark.parametrize("reducer", list(KERNELS))


@kernels
@pytest.mark.parametrize("shape", [(2, 3), (5,), (), (2, 1, 3)], ids=str)
def test_equals_dgl(relation: Any, reducer: str, shape: tuple[int, ...]) -> None:
    feat = relation.features(*shape).requires_grad_()
    out = KERNELS[reducer](relation.csr, feat)
    expected = relation.by_dgl(feat, reducer)
    assert out.shape == (relation.csr.num_destinations, *shape)
    torch.testing.assert_close(out, expected, **EXACT)
    upstream = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(1))
    (grad,) = torch.autograd.grad(out, feat, upstream)
    (expected_grad,) = torch.autograd.grad(expected, feat, upstream)
    torch.testing.assert_close(grad, expected_grad, **EXACT)


def test_weights_of_edges(relation: Any) -> None:
    csr, generator = relation.csr, torch.Generator().manual_seed(2)
    count = csr.indices.numel()
    weights = torch.randn(count, generator=generator, dtype=torch.float64)
    weighted = replace(csr, weights=weights)
    dense = torch.zeros(csr.num_rows, csr.num_columns, dtype=torch.float64)
    dense.index_put_((csr.rows, csr.indices), weights, accumulate=True)
    dense = torch.kron(dense, torch.eye(csr.block, dtype=torch.float64))
    feat = relation.features(2, 3).requires_grad_()
    out, expected = neighbor_sum(weighted, feat), torch.einsum("ij,jbc->ibc", dense, feat)
    torch.testing.assert_close(out, expected, **EXACT)
    torch.testing.assert_close(neighbor_sum(weighted.by_node, feat), expected, **EXACT)
    upstream = torch.randn(out.shape, dtype=out.dtype, generator=generator)
    (grad,) = torch.autograd.grad(out, feat, upstream)
    (expected_grad,) = torch.autograd.grad(expected, feat, upstream)
    torch.testing.assert_close(grad, expected_grad, **EXACT)
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 5e-2)):
        narrow = neighbor_sum(weighted, feat.detach().to(dtype))
        assert narrow.dtype == dtype
        limit = tolerance * max(float(expected.detach().norm(float("inf"))), 1)
        assert float((narrow - expected).detach().norm(float("inf"))) <= limit


def test_wrong_direction_differs(irregular: Any) -> None:
    # Control: the relation is not symmetric, so its transpose is another function.
    matrix = torch.eye(40, dtype=torch.float64)
    forward = neighbor_sum(irregular.csr, matrix)
    backward = neighbor_sum(irregular.csr.transposed, torch.eye(50, dtype=torch.float64))
    torch.testing.assert_close(forward, backward.t())
    assert not torch.allclose(forward[:40, :40], backward[:40, :40])


@kernels
def test_isolated_destinations_get_zero(irregular: Any, reducer: str) -> None:
    isolated = irregular.csr.degrees == 0
    assert isolated.any()
    out = KERNELS[reducer](irregular.csr, irregular.features(3) + 10)
    assert (out[isolated] == 0).all()
    assert (out[~isolated] != 0).all()


@kernels
def test_isolated_sources_get_no_gradient(irregular: Any, reducer: str) -> None:
    feat = irregular.features(3).requires_grad_()
    KERNELS[reducer](irregular.csr, feat).sum().backward()
    isolated = irregular.csr.transposed.degrees == 0
    assert isolated.any()
    assert feat.grad is not None
    assert (feat.grad[isolated] == 0).all()


@kernels
def test_gradcheck(irregular: Any, reducer: str) -> None:
    feat = irregular.features(1, 2).requires_grad_()
    csr = irregular.csr
    assert torch.autograd.gradcheck(lambda x: KERNELS[reducer](csr, x), feat)
    assert torch.autograd.gradgradcheck(lambda x: KERNELS[reducer](csr, x) ** 2, feat)


@kernels
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 1e-5), (torch.bfloat16, 5e-2), (torch.float16, 1e-2)],
)
def test_narrow_types(irregular: Any, reducer: str, dtype: torch.dtype, tolerance: float) -> None:
    feat = irregular.features(2, 8).to(dtype)
    out = KERNELS[reducer](irregular.csr, feat)
    assert out.dtype == dtype
    expected = KERNELS[reducer](irregular.csr, feat.double())
    assert float((out.double() - expected).abs().max()) < tolerance * float(expected.abs().max())


@kernels
def test_float32_gradient(relation: Any, reducer: str) -> None:
    feat = relation.features(2, 3, dtype=torch.float32).requires_grad_()
    (grad,) = torch.autograd.grad(KERNELS[reducer](relation.csr, feat).sum(), feat)
    (expected,) = torch.autograd.grad(relation.by_dgl(feat, reducer).sum(), feat)
    assert grad.dtype == torch.float32
    torch.testing.assert_close(grad, expected)


@kernels
def test_inputs_are_only_read(relation: Any, reducer: str) -> None:
    csr, feat = relation.csr, relation.features(2, 3)
    assert_no_mutation(lambda x, *_: KERNELS[reducer](csr, x), feat, csr.indptr, csr.indices)


@kernels
def test_upstream_gradient_is_only_read(irregular: Any, reducer: str) -> None:
    feat = irregular.features(2).requires_grad_()
    upstream = torch.ones(50, 2, dtype=torch.float64)
    KERNELS[reducer](irregular.csr, feat).backward(upstream)
    assert (upstream == 1).all()


@kernels
def test_strides_do_not_matter(irregular: Any, reducer: str) -> None:
    feat = irregular.features(3, 4)
    kernel: Kernel = KERNELS[reducer]
    expected = kernel(irregular.csr, feat)
    whole = feat.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    sliced = torch.stack([feat, -feat], dim=-1)[..., 0]
    every_other = torch.stack([feat, -feat], dim=1).flatten(0, 1)[::2]
    for strided in (whole, sliced, every_other):
        assert not strided.is_contiguous()
        assert torch.equal(kernel(irregular.csr, strided), expected)
    for size in (irregular.features(1, 4), irregular.features(3, 1)):
        wide = size.expand(40, 3, 4)
        assert torch.equal(kernel(irregular.csr, wide), kernel(irregular.csr, wide.contiguous()))


@kernels
def test_strides_of_the_gradient_do_not_matter(irregular: Any, reducer: str) -> None:
    feat = irregular.features(4).requires_grad_()
    out = KERNELS[reducer](irregular.csr, feat)
    upstream = torch.randn(4, 50, dtype=torch.float64)
    (strided,) = torch.autograd.grad(out, feat, upstream.t(), retain_graph=True)
    (contiguous,) = torch.autograd.grad(out, feat, upstream.t().contiguous(), retain_graph=True)
    torch.testing.assert_close(strided, contiguous, **EXACT)
    (expanded,) = torch.autograd.grad(out.sum(), feat, retain_graph=True)
    (ones,) = torch.autograd.grad(out, feat, torch.ones_like(out))
    torch.testing.assert_close(expanded, ones, **EXACT)


@kernels
def test_batch_of_nothing(irregular: Any, reducer: str) -> None:
    feat = irregular.features(0, 3).requires_grad_()
    out = KERNELS[reducer](irregular.csr, feat)
    assert out.shape == (50, 0, 3)
    out.sum().backward()
    assert feat.grad is not None
    assert feat.grad.shape == feat.shape


@kernels
def test_batch_samples_are_independent(irregular: Any, reducer: str) -> None:
    feat = irregular.features(3, 2)
    out = KERNELS[reducer](irregular.csr, feat)
    for sample in range(3):
        torch.testing.assert_close(out[:, sample], KERNELS[reducer](irregular.csr, feat[:, sample]))


@kernels
def test_number_of_nodes_is_checked(irregular: Any, reducer: str) -> None:
    with pytest.raises(ValueError, match="39 nodes, but the relation is from 40 nodes"):
        KERNELS[reducer](irregular.csr, torch.zeros(39, 2))
