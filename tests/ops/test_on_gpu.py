"""Kernels on a GPU, where there is one: with and without Triton, against the CPU in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from csgnn_dgl.ops import (
    CSR,
    global_max_beside,
    neighbor_mean,
    neighbor_sum,
    neighborhood_and_global_max,
    neighborhood_max,
)

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

_KERNELS: dict[str, Callable[[CSR, Tensor], Tensor]] = {
    "sum": neighbor_sum,
    "mean": neighbor_mean,
    "max": neighborhood_max,
    "both maxima": lambda csr, feat: torch.cat(
        [part.flatten() for part in neighborhood_and_global_max(csr, feat)]
    ),
    "maximum of all": lambda csr, feat: torch.cat(
        [part.flatten() for part in global_max_beside(feat)]
    ),
}
_LIMITS = {torch.float64: 1e-12, torch.float32: 1e-6, torch.bfloat16: 1e-2, torch.float16: 2e-3}


@pytest.mark.parametrize("triton", ["0", "1"])
@pytest.mark.parametrize("dtype", list(_LIMITS), ids=str)
@pytest.mark.parametrize("shape", [(3, 5), (2, 700)], ids=str)
@pytest.mark.parametrize("name", list(_KERNELS))
def test_like_the_cpu(
    name: str,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    triton: str,
    relation: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CSGNN_TRITON", triton)
    kernel = _KERNELS[name]
    # Numbers that every type can hold, so that all types agree on which is the largest.
    wide = relation.features(*shape).to(dtype).double().requires_grad_()
    expected = kernel(relation.csr, wide)
    upstream = torch.randn(expected.shape, dtype=torch.float64)
    (wanted,) = torch.autograd.grad(expected, wide, upstream)
    feat = wide.detach().to("cuda", dtype).requires_grad_()
    found = kernel(relation.csr, feat)
    (grad,) = torch.autograd.grad(found, feat, upstream.to("cuda", dtype))
    with torch.no_grad():
        again = kernel(relation.csr, feat)
    for ours, theirs in ((found, expected), (again, expected), (grad, wanted)):
        assert (ours.device.type, ours.dtype) == ("cuda", dtype)
        difference = (ours.detach().double().cpu() - theirs.detach()).norm()
        assert float(difference) <= _LIMITS[dtype] * max(float(theirs.detach().norm()), 1e-12)
