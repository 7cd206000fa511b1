"""The Triton kernels, run by Triton's interpreter: no GPU is needed, but Triton is."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

CODE = """
import importlib
import torch
from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.mapping import PointMapping
from csgnn_dgl.nn.structure import relation
from csgnn_dgl.ops import (
    CSR, neighbor_sum, neighborhood_and_global_max, neighborhood_max, triton_kernels
)
from csgnn_dgl.ops.rows import from_rows, source_rows

grid = ConcentricGrid(1, 2)
intra = relation(grid.graph(), "intra").with_self_loops
empty = CSR.from_edges(torch.tensor([0, 1]), torch.tensor([2, 0]), 4, 3)
for csr in (intra, empty):
    feat = torch.randn(csr.num_sources, 21)
    out = triton_kernels.neighbor_sum(source_rows(csr, feat), csr.indptr, csr.indices)
    torch.testing.assert_close(from_rows(csr, out, feat), neighbor_sum(csr, feat))
csr = relation(grid.coarsening(1), "pool")
feat = torch.randn(csr.num_sources, 1500).relu().requires_grad_()
expected = neighborhood_max(csr, feat)
upstream = torch.randn_like(expected)
expected.backward(upstream)
rows = source_rows(csr, feat.detach())
winner = torch.zeros(csr.num_rows, rows.shape[1], dtype=torch.int8)
out = triton_kernels.neighborhood_max(rows, csr.indptr, csr.indices, winner)
assert torch.equal(from_rows(csr, out, feat), expected)
back = csr.transposed
grad = triton_kernels.neighborhood_max_backward(
    upstream.view(csr.num_rows, -1), winner, back.indptr, back.indices, csr.back_slots
)
torch.testing.assert_close(grad.view_as(feat), feat.grad)

# The same by way of autograd, as on a GPU.
features = torch.randn(csr.num_sources, 2, 5).relu()
def gradients():
    feat = features.clone().requires_grad_()
    best, largest = neighborhood_and_global_max(csr, feat)
    total = neighbor_sum(csr, feat).sin().sum() + best.cos().sum() + (3 * largest).sum()
    return best, largest, neighborhood_max(csr, feat), torch.autograd.grad(total, feat)[0]
expected = gradients()
calls = []
def interpreted(feat):
    calls.append(feat.shape)
    return triton_kernels
for name in ("neighbor_sum", "neighborhood_max"):
    importlib.import_module(f"csgnn_dgl.ops.{name}").triton_for = interpreted
for one, other in zip(gradients(), expected):
    torch.testing.assert_close(one, other)
assert len(calls) > 5
for name in ("neighbor_sum", "neighborhood_max"):
    importlib.import_module(f"csgnn_dgl.ops.{name}").triton_for = lambda feat: None

mapping = PointMapping(level=1, n_spheres=4, channels=3)
points = torch.rand(5, 37, 3) * 1.3 - 0.5
points[0, :2] = 0
expected = mapping(points)
points_module = importlib.import_module("csgnn_dgl.mapping.points")
calls = []
def interpreted(feat):
    calls.append(feat.shape)
    return triton_kernels
points_module.triton_for = interpreted
torch.testing.assert_close(mapping(points), expected)
assert calls

# A NaN spreads to its own cloud; a point at the origin must not read before the table.
mapping = PointMapping(level=1, n_spheres=4, channels=3, validate=False)
points[1, 7] = torch.nan
points[2, 3, 1] = torch.inf
found = mapping(points)
points_module.triton_for = lambda feat: None
expected = mapping(points)
torch.testing.assert_close(found[:, [0, 3, 4]], expected[:, [0, 3, 4]])
assert found[:, 1].isnan().any() and expected[:, 1].isnan().any()
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
