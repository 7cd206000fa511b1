"""The maximum over all nodes against torch, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from csgnn_dgl.ops import global_max, global_max_beside
from csgnn_dgl.testing import assert_no_mutation

# Around one and several blocks of the two-stage search.
SIZES = [1, 2, 63, 64, 65, 127, 128, 200, 642]


def random_features(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("num_nodes", SIZES)
@pytest.mark.parametrize("shape", [(2, 3), (7,), (), (2, 1, 3)], ids=str)
def test_equals_torch(num_nodes: int, shape: tuple[int, ...]) -> None:
    feat = random_features(num_nodes, *shape).requires_grad_()
    out = global_max(feat)
    assert torch.equal(out, feat.amax(dim=0))
    upstream = random_features(*shape, seed=1)
    (grad,) = torch.autograd.grad(out, feat, upstream)
    (expected,) = torch.autograd.grad(feat.amax(dim=0), feat, upstream)
    torch.testing.assert_close(grad, expected, rtol=0, atol=0)


@pytest.mark.parametrize("num_nodes", SIZES)
def test_maximum_at_every_place(num_nodes: int) -> None:
    feat = torch.eye(num_nodes, dtype=torch.float64).requires_grad_()
    global_max(feat).sum().backward()
    assert feat.grad is not None
    assert torch.equal(feat.grad, torch.eye(num_nodes, dtype=torch.float64))


@pytest.mark.parametrize("num_nodes", SIZES)
def test_one_of_equals_gets_the_whole_gradient(num_nodes: int) -> None:
    feat = random_features(num_nodes, 6).round().requires_grad_()
    out = global_max(feat)
    upstream = random_features(6, seed=1)
    (grad,) = torch.autograd.grad(out, feat, upstream)
    assert ((grad != 0).sum(dim=0) == 1).all()
    assert torch.equal(grad.sum(dim=0), upstream)
    assert torch.equal(feat[grad != 0].sort().values, out.sort().values)


def test_infinities_and_nan() -> None:
    feat = torch.full((130, 3), -torch.inf, dtype=torch.float64)
    feat[100, 1], feat[129, 2] = torch.inf, torch.nan
    out = global_max(feat)
    assert out[:2].tolist() == [-torch.inf, torch.inf]
    assert out[2].isnan()


def test_gradcheck() -> None:
    order = torch.randperm(140, generator=torch.Generator().manual_seed(0))
    feat = order.double().view(70, 1, 2).requires_grad_()
    assert torch.autograd.gradcheck(global_max, feat)
    assert torch.autograd.gradgradcheck(lambda x: global_max(x) ** 2, feat)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_narrow_types(dtype: torch.dtype) -> None:
    feat = random_features(150, 2, 4).to(dtype).requires_grad_()
    out = global_max(feat)
    assert out.dtype == dtype
    assert torch.equal(out, feat.amax(dim=0))
    (grad,) = torch.autograd.grad(out.sum(), feat)
    assert grad.dtype == dtype
    assert ((grad != 0).sum(dim=0) == 1).all()


def test_strides_do_not_matter() -> None:
    feat = random_features(150, 2, 4)
    expected = global_max(feat)
    whole = feat.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    sliced = torch.stack([feat, -feat], dim=-1)[..., 0]
    every_other = torch.stack([feat, feat + 1], dim=1).flatten(0, 1)[::2]
    for strided in (whole, sliced, every_other):
        assert not strided.is_contiguous()
        assert torch.equal(global_max(strided), expected)
    assert torch.equal(global_max(feat[:, 0].t()), feat[:, 0].t().amax(dim=0))


def test_inputs_are_only_read() -> None:
    assert_no_mutation(global_max, random_features(150, 2, 4))
    feat = random_features(5, 3).requires_grad_()
    upstream = torch.ones(3, dtype=torch.float64)
    global_max(feat).backward(upstream)
    assert (upstream == 1).all()


def test_order_of_the_nodes_does_not_matter() -> None:
    feat = random_features(150, 2, 4)
    shuffled = feat[torch.randperm(150, generator=torch.Generator().manual_seed(3))]
    assert torch.equal(global_max(feat), global_max(shuffled))


def test_batch_of_nothing() -> None:
    feat = torch.zeros(70, 0, 3, requires_grad=True)
    out = global_max(feat)
    assert out.shape == (0, 3)
    out.sum().backward()
    assert feat.grad is not None
    assert feat.grad.shape == feat.shape


def test_no_nodes() -> None:
    with pytest.raises(ValueError, match="no nodes"):
        global_max(torch.zeros(0, 3))


def test_beside_what_goes_on() -> None:
    generator = torch.Generator().manual_seed(2)
    feat = torch.randn(150, 2, 3, dtype=torch.float64, generator=generator).requires_grad_()
    same, best = global_max_beside(feat)
    assert torch.equal(same, feat)
    torch.testing.assert_close(best, feat.amax(dim=0))
    (grad,) = torch.autograd.grad((same**2).sum() + (3 * best).sum(), feat)
    expected = 2 * feat.detach() + 3 * (feat == feat.amax(dim=0))
    torch.testing.assert_close(grad, expected)
    assert torch.autograd.gradcheck(lambda x: global_max_beside(2 * x), feat[:70])
    assert torch.autograd.gradgradcheck(lambda x: global_max_beside(x * x), feat[:70])


def test_beside_without_gradients() -> None:
    feat = torch.randn(5, 2)
    same, best = global_max_beside(feat)
    assert same is feat
    assert torch.equal(best, feat.amax(dim=0))
    with pytest.raises(ValueError, match="no nodes"):
        global_max_beside(feat[:0])


def test_beside_any_other_use() -> None:
    """Whoever adds to the features may hold the very gradient that they get."""
    feat = random_features(130, 2, 3).requires_grad_()
    weight = random_features(130, 2, 3, seed=1).requires_grad_()

    def gradients(same: Tensor, best: Tensor) -> tuple[Tensor, ...]:
        loss = (same + weight).sin().sum() + (3 * best).sum()
        return torch.autograd.grad(loss, [feat, weight])

    hidden = 2 * feat
    expected = gradients(hidden, hidden.amax(dim=0))
    for one, other in zip(gradients(*global_max_beside(2 * feat)), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_a_gradient_that_is_kept_stays_as_it_was() -> None:
    feat = random_features(130, 2, 3).requires_grad_()
    same, best = global_max_beside(2 * feat)
    kept: list[tuple[Tensor, Tensor]] = []
    same.register_hook(lambda grad: kept.append((grad, grad.clone())))
    upstream = torch.ones_like(same)
    torch.autograd.backward([same, best], [upstream, torch.ones_like(best)])
    assert (upstream == 1).all()
    assert all(torch.equal(grad, before) for grad, before in kept)
