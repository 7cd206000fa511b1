"""Radial convolutions: the dense one against conv1d, the sparse one against the dense one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from csgnn_dgl.ops import CSR, radial_conv_by_offset, radial_conv_regular
from csgnn_dgl.testing import assert_no_mutation

V, B, C, OUT = 12, 2, 3, 4
EXACT = {"rtol": 1e-12, "atol": 1e-12}

spheres = pytest.mark.parametrize("n_spheres", [1, 2, 3, 6])
kernel_sizes = pytest.mark.parametrize("kernel_size", [1, 3, 5, 9])
biases = pytest.mark.parametrize("with_bias", [True, False], ids=["bias", "no bias"])


def random_inputs(n_spheres: int, kernel_size: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(V * n_spheres, B, C), (OUT, C, kernel_size), (OUT,)]
    feat, weight, bias = (
        torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes
    )
    return feat.requires_grad_(), weight.requires_grad_(), bias.requires_grad_()


def by_conv1d(feat: Tensor, weight: Tensor, bias: Tensor | None, n_spheres: int) -> Tensor:
    rows = feat.reshape(-1, n_spheres, feat.shape[1], feat.shape[2]).permute(0, 2, 3, 1)
    out = F.conv1d(rows.flatten(0, 1), weight, bias, padding=weight.shape[2] // 2)
    out = out.view(len(rows), feat.shape[1], -1, n_spheres)
    return out.permute(0, 3, 1, 2).reshape(feat.shape[0], feat.shape[1], -1)


def chains(n_spheres: int, reach: int, vertices: int = V) -> dict[int, CSR]:
    """Who feeds whom from how far out, written down site by site."""
    found = {}
    for offset in range(-reach, reach + 1):
        pairs = [
            (v * n_spheres + r + offset, v * n_spheres + r)
            for v in range(vertices)
            for r in range(n_spheres)
            if 0 <= r + offset < n_spheres
        ]
        if offset:
            src, dst = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).t()
            found[offset] = CSR.from_edges(src, dst, vertices * n_spheres, vertices * n_spheres)
    return found


def assert_same(out: Tensor, expected: Tensor, inputs: list[Tensor]) -> None:
    torch.testing.assert_close(out, expected, **EXACT)
    upstream = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(1))
    grads = torch.autograd.grad(out, inputs, upstream)
    for grad, other in zip(grads, torch.autograd.grad(expected, inputs, upstream), strict=True):
        torch.testing.assert_close(grad, other, **EXACT)


@spheres
@kernel_sizes
@biases
def test_regular_equals_conv1d(n_spheres: int, kernel_size: int, with_bias: bool) -> None:
    feat, weight, bias = random_inputs(n_spheres, kernel_size)
    given = bias if with_bias else None
    out = radial_conv_regular(feat, weight, given, n_spheres)
    assert out.shape == (V * n_spheres, B, OUT)
    inputs = [feat, weight, bias] if with_bias else [feat, weight]
    assert_same(out, by_conv1d(feat, weight, given, n_spheres), inputs)


@spheres
@kernel_sizes
@biases
def test_by_offset_equals_regular(n_spheres: int, kernel_size: int, with_bias: bool) -> None:
    feat, weight, bias = random_inputs(n_spheres, kernel_size)
    given = bias if with_bias else None
    out = radial_conv_by_offset(feat, weight, given, chains(n_spheres, kernel_size // 2))
    inputs = [feat, weight, bias] if with_bias else [feat, weight]
    assert_same(out, radial_conv_regular(feat, weight, given, n_spheres), inputs)


def test_direction_of_the_taps() -> None:
    # Control: the last tap reads the next sphere outwards; the mirrored kernel is another function.
    feat = torch.tensor([1.0, 10.0, 100.0]).view(3, 1, 1)
    outer = torch.tensor([0.0, 0.0, 1.0]).view(1, 1, 3)
    assert radial_conv_regular(feat, outer, None, 3).flatten().tolist() == [10, 100, 0]
    assert radial_conv_regular(feat, outer.flip(2), None, 3).flatten().tolist() == [0, 1, 10]


def test_vertices_do_not_mix() -> None:
    feat, weight, bias = random_inputs(3, 5)
    out = radial_conv_regular(feat, weight, bias, 3)
    moved = feat.detach().clone()
    moved[3 * 5 : 3 * 6] += 1
    changed = (radial_conv_regular(moved, weight, bias, 3) != out).flatten(1).any(dim=1)
    assert torch.nonzero(changed).flatten().tolist() == [15, 16, 17]


@pytest.mark.parametrize("n_spheres", [1, 3])
def test_gradcheck(n_spheres: int) -> None:
    feat, weight, bias = random_inputs(n_spheres, 3)
    feat = feat[: 2 * n_spheres, :1].detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda *args: radial_conv_regular(*args, n_spheres), (feat, weight, bias)
    )
    relations = chains(n_spheres, 1, vertices=2)
    assert torch.autograd.gradcheck(
        lambda *args: radial_conv_by_offset(*args, relations), (feat, weight, bias)
    )


@pytest.mark.parametrize("n_spheres", [1, 4])
def test_bfloat16(n_spheres: int) -> None:
    inputs = [value.detach().bfloat16() for value in random_inputs(n_spheres, 3)]
    feat, weight, bias = inputs
    expected = by_conv1d(feat.double(), weight.double(), bias.double(), n_spheres)
    for out in (
        radial_conv_regular(feat, weight, bias, n_spheres),
        radial_conv_by_offset(feat, weight, bias, chains(n_spheres, 1)),
    ):
        assert out.dtype == torch.bfloat16
        torch.testing.assert_close(out.double(), expected, rtol=0.03, atol=0.05)


def test_float32() -> None:
    feat, weight, bias = (value.detach().float() for value in random_inputs(4, 3))
    expected = by_conv1d(feat.double(), weight.double(), bias.double(), 4)
    out = radial_conv_regular(feat, weight, bias, 4)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 5, 40])
@kernel_sizes
@biases
def test_lines_of_spheres_and_samples(
    batch: int, kernel_size: int, with_bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Narrower than float64, long chains of small batches are read as lines on a CPU."""
    conv2d, dilations = F.conv2d, []

    def spy(*args: Any, **named: Any) -> Tensor:
        dilations.append(named.get("dilation"))
        return conv2d(*args, **named)

    monkeypatch.setattr(F, "conv2d", spy)
    spheres, generator = 6, torch.Generator().manual_seed(3)
    shapes = [(V * spheres, batch, C), (OUT, C, kernel_size), (OUT,)]
    wide = [torch.randn(s, dtype=torch.float64, generator=generator) for s in shapes]
    wide = [value.requires_grad_() for value in wide[: 2 + with_bias]]
    narrow = [value.detach().float().requires_grad_() for value in wide]
    bias, narrow_bias = (wide[2], narrow[2]) if with_bias else (None, None)
    expected = by_conv1d(wide[0], wide[1], bias, spheres)
    out = radial_conv_regular(narrow[0], narrow[1], narrow_bias, spheres)
    if kernel_size > 1 and torch.backends.mkldnn.is_available():
        assert dilations == [(1, batch if batch < 32 else 1)]
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)
    upstream = torch.randn(out.shape, generator=generator)
    grads = torch.autograd.grad(out, narrow, upstream)
    others = torch.autograd.grad(expected, wide, upstream.double())
    for grad, other in zip(grads, others, strict=True):
        torch.testing.assert_close(grad.double(), other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n_spheres", [1, 4])
def test_inputs_are_only_read(n_spheres: int) -> None:
    inputs = [value.detach() for value in random_inputs(n_spheres, 3)]
    relations = chains(n_spheres, 1)
    assert_no_mutation(lambda *args: radial_conv_regular(*args, n_spheres), *inputs)
    assert_no_mutation(lambda *args: radial_conv_by_offset(*args, relations), *inputs)


@pytest.mark.parametrize("n_spheres", [1, 4])
def test_strides_do_not_matter(n_spheres: int) -> None:
    feat, weight, bias = (value.detach() for value in random_inputs(n_spheres, 3))
    expected = radial_conv_regular(feat, weight, bias, n_spheres)
    strided = feat.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    sliced = torch.stack([feat, feat + 1], dim=-1)[..., 0]
    turned = weight.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    relations = chains(n_spheres, 1)
    for value in (strided, sliced):
        out = radial_conv_regular(value, turned, bias, n_spheres)
        torch.testing.assert_close(out, expected, **EXACT)
        out = radial_conv_by_offset(value, turned, bias, relations)
        torch.testing.assert_close(out, expected, **EXACT)


def test_result_is_node_major_and_contiguous() -> None:
    feat, weight, bias = random_inputs(4, 3)
    assert radial_conv_regular(feat, weight, bias, 4).is_contiguous()


def test_absent_offsets_count_as_padding() -> None:
    feat, weight, bias = random_inputs(3, 5)
    inner = radial_conv_by_offset(feat, weight, bias, chains(3, 1))
    expected = radial_conv_regular(feat, weight[:, :, 1:4], bias, 3)
    torch.testing.assert_close(inner, expected, **EXACT)
    alone = radial_conv_by_offset(feat, weight, bias, {})
    torch.testing.assert_close(alone, F.linear(feat, weight[:, :, 2], bias), **EXACT)
