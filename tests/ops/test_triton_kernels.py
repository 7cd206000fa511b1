"""The Triton kernels, run by Triton's interpreter: no GPU is needed, but Triton is."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

CODE = """
import torch
from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.nn.structure import relation
from csgnn_dgl.ops import CSR, neighbor_sum, neighborhood_max, triton_kernels

grid = ConcentricGrid(1, 2)
intra = relation(grid.graph(), "intra").with_self_loops
empty = CSR.from_edges(torch.tensor([0, 1]), torch.tensor([2, 0]), 4, 3)
for csr in (intra, empty):
    feat = torch.randn(csr.num_sources, 21)
    out = triton_kernels.neighbor_sum(feat, csr.indptr, csr.indices)
    torch.testing.assert_close(out, neighbor_sum(csr, feat))
csr = relation(grid.coarsening(1), "pool")
feat = torch.randn(csr.num_columns, 1500).relu().requires_grad_()
expected = neighborhood_max(csr, feat)
upstream = torch.randn_like(expected)
expected.backward(upstream)
winner = torch.zeros(expected.shape, dtype=torch.int8)
out = triton_kernels.neighborhood_max(feat.detach(), csr.indptr, csr.indices, winner)
assert torch.equal(out, expected)
back = csr.transposed
grad = triton_kernels.neighborhood_max_backward(
    upstream, winner, back.indptr, back.indices, csr.back_slots
)
torch.testing.assert_close(grad, feat.grad)
"""


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_interpreted() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        env={**os.environ, "TRITON_INTERPRET": "1"},
    )
    assert done.returncode == 0, done.stderr
