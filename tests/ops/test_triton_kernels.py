"""The Triton kernels, run by Triton's interpreter: no GPU is needed, but Triton is."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

START = """
import importlib
import torch
from csgnn_dgl.ops import CSR, neighbor_sum, neighborhood_and_global_max, neighborhood_max
from csgnn_dgl.ops import triton_kernels

torch.manual_seed(0)
calls = []

def interpreted(feat):
    calls.append(feat.shape)
    return triton_kernels

def switch(modules, on):
    for name in modules:
        module = importlib.import_module(f"csgnn_dgl.{name}")
        module.triton_for = interpreted if on else lambda feat: None
"""

ROWS = """
from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.nn.structure import relation, tangents
from csgnn_dgl.ops import tangential_gradient

grid = ConcentricGrid(1, 2)
intra = relation(grid.graph(0), "intra").with_self_loops
pool = relation(grid.coarsening(1), "pool")
shares = relation(ConcentricGrid(levels=(0, 1)).graph(), "intra")
shares = CSR.from_edges(
    shares.indices, shares.rows, 54, 54, weights=torch.rand(len(shares.indices)) - 0.5
)
empty = CSR.from_edges(torch.tensor([0, 1]), torch.tensor([2, 0]), 4, 3)
modules = ("ops.neighbor_sum", "ops.neighborhood_max")

def results(csr, features):
    feat = features.clone().requires_grad_()
    best, largest = neighborhood_and_global_max(csr, feat)
    total = neighbor_sum(csr, feat).sin().sum() + best.cos().sum() + (3 * largest).sum()
    (grad,) = torch.autograd.grad(total, feat)
    with torch.no_grad():
        again = neighborhood_max(csr, features), neighbor_sum(csr, features)
    return best, largest, grad, *again

for csr in (intra, pool, shares, empty):
    for dtype, limit in ((torch.float64, 1e-12), (torch.float32, 1e-7), (torch.bfloat16, 1e-3)):
        # Many features, of which a program does a part, for few rows: the interpreter is slow.
        for shape in ((2, 5), (1100,))[: 2 if csr is empty or csr is pool else 1]:
            features = torch.randn(csr.num_sources, *shape).relu().to(dtype)
            switch(modules, False)
            exact, usual = results(csr, features.double()), results(csr, features)
            switch(modules, True)
            for one, other, true in zip(results(csr, features), usual, exact, strict=True):
                assert one.dtype == dtype
                # Where a GPU rounds to bfloat16, the interpreter cuts digits off: twice the error.
                most = 2.1 * (other.double() - true).norm() + limit * true.norm()
                assert (one.double() - true).norm() <= most, (dtype, shape)
assert len(calls) > 30

def slopes(features):
    feat = features.clone().requires_grad_()
    out = tangential_gradient(tangents(grid.graph(0), "intra"), feat)
    return out, *torch.autograd.grad(out.sin().sum(), feat)

for dtype, limit in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
    features = torch.randn(intra.num_sources, 2, 5, dtype=dtype)
    switch(modules, False)
    expected = slopes(features)
    calls.clear()
    switch(modules, True)
    for one, other in zip(slopes(features), expected, strict=True):
        assert (one - other).norm() <= limit * other.norm(), dtype
    assert len(calls) == 2
"""

BLOCKS = """
import copy
from torch import nn
from csgnn_dgl.models import CSGNN, EncoderConfig

modules = ("ops.neighbor_sum", "ops.neighborhood_max", "ops.norm_relu")
config = EncoderConfig.with_base_width(1, 2, 4, base_width=4)
network = CSGNN(config)
with torch.no_grad():
    for parameter in network.parameters():  # no bias is zero
        parameter.add_(torch.randn_like(parameter) / 4)
feat = torch.randn(84, 3, 4)

def results(network):
    network, x = copy.deepcopy(network), feat.clone().requires_grad_()
    found = {"training": network(x)}
    found["training"].cos().sum().backward()
    found["input"] = x.grad
    found |= {name: p.grad for name, p in network.named_parameters()}
    found |= {name: b.clone() for name, b in network.named_buffers()}
    with torch.no_grad():
        found["evaluation"] = network.eval()(feat)
    # Second derivatives.
    x = feat.clone().requires_grad_()
    (first,) = torch.autograd.grad(network.train()(x).sin().sum(), x, create_graph=True)
    found["second"] = torch.autograd.grad(first.square().sum(), x)[0]
    return found

def compare(network, expected, some_calls=True):
    calls.clear()
    switch(modules, True)
    found = results(network)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        if name.endswith("conv.bias"):  # zero but for rounding
            assert not found[name].any() and tensor.abs().max() < 1e-3
            continue
        scale = tensor.abs().max().clamp(min=1e-3)
        error = float((found[name] - tensor).abs().max() / scale)
        assert error < (1e-3 if name == "second" else 1e-4), (name, error)
    switch(modules, False)

expected = results(network)
compare(network, expected)
assert any(shape[-1] == 16 for shape in calls)

# Norms that the kernel cannot do, and hooks, take the usual way.
seen = []
network.levels[0].intra[0].norm.register_forward_hook(lambda *_: seen.append(1))
network.levels[0].radial[0].norm.momentum = None
network.levels[1].intra[0].norm = nn.BatchNorm1d(8, affine=False)
network.levels[1].radial[0].norm = nn.BatchNorm1d(16, track_running_stats=False)
expected = results(network)
compare_bias = network.levels[1].radial[0].conv.bias
seen.clear()
switch(modules, True)
results(network)
assert len(seen) == 3

# One row has no variance.
from csgnn_dgl.ops import can_norm_relu, norm_relu
norm = nn.BatchNorm1d(3)
assert can_norm_relu(norm, torch.zeros(2, 3))
assert not can_norm_relu(norm, torch.zeros(2, 3).double())
assert not can_norm_relu(norm.eval(), torch.zeros(2, 3))  # its backward pass is another
try:
    norm_relu(norm.train(), torch.zeros(1, 3))
except ValueError as error:
    assert "more than 1 value" in str(error)
else:
    raise AssertionError("one row was accepted")

# A mean that is large against the spread; numbers of half precision; many parts and few.
for rows, channels, dtype, limit in (
    (5000, 32, torch.float32, 1e-4), (777, 48, torch.bfloat16, 2e-2), (3, 130, torch.float32, 1e-3)
):
    for own in (None, torch.randn(rows, channels)):
        norm, bias = nn.BatchNorm1d(channels), torch.randn(channels)
        nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
        exact = copy.deepcopy(norm).double()
        x = (torch.randn(rows, channels) / 8 + 5).to(dtype).requires_grad_()
        y = norm_relu(norm, x, None if own is None else own.to(dtype), bias)
        wide = x.detach().double().requires_grad_()
        normed = exact(wide + bias)
        expected = normed.relu()
        if own is not None:
            expected = expected + own.to(dtype).double()
        # Rounding decides whether a number next to zero has a gradient.
        upstream = torch.randn(rows, channels).masked_fill(normed.detach().abs() < 1e-3, 0)
        found = [y, *torch.autograd.grad(y, (x, norm.weight, norm.bias), upstream.to(dtype))]
        inputs = (wide, exact.weight, exact.bias)
        wanted = [expected, *torch.autograd.grad(expected, inputs, upstream.to(dtype).double())]
        found += [norm.running_mean, norm.running_var]
        wanted += [exact.running_mean, exact.running_var]
        for one, other in zip(found, wanted, strict=True):
            one, other = one.detach().double(), other.detach()
            error = float((one - other).norm() / other.norm())
            assert error < limit, (rows, channels, error)
"""

POINTS = """
from csgnn_dgl.mapping import PointMapping

modules = ("mapping.points",)
for level in (0, 1, 3):
    mapping = PointMapping(level=level, n_spheres=4, channels=3)
    points = torch.rand(5, 37, 3) * 1.3 - 0.5
    points[0, :2] = 0
    expected = mapping(points)
    switch(modules, True)
    torch.testing.assert_close(mapping(points), expected)
    # Clouds of different sizes, in any order.
    order = torch.randperm(5 * 37)
    cloud = torch.arange(5).repeat_interleave(37)[order]
    torch.testing.assert_close(mapping(points.view(-1, 3)[order], cloud, 5), expected)
    switch(modules, False)
assert calls

# Other neighbourhoods go the usual way.
calls.clear()
for options in ({"neighbourhood": "nearest"}, {"radial": "bracket"}):
    mapping = PointMapping(level=2, n_spheres=4, channels=3, **options)
    expected = mapping(points)
    switch(modules, True)
    torch.testing.assert_close(mapping(points), expected)
    switch(modules, False)
assert not calls

# A NaN spreads to its own cloud, and no index leads out of a table or of the features.
mapping = PointMapping(level=1, n_spheres=4, channels=3, validate=False)
points[1, 7] = torch.nan
points[2, 3, 1] = torch.inf
expected = mapping(points)
switch(modules, True)
found = mapping(points)
torch.testing.assert_close(found[:, [0, 3, 4]], expected[:, [0, 3, 4]])
assert found[:, 1].isnan().any() and expected[:, 1].isnan().any()
wrong = torch.tensor([-1, 0, 1, 2, 1 << 40])
found = mapping(torch.rand(5, 3), wrong, 2)
assert found.shape[1] == 2 and found.isfinite().all()
"""


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.skipif(torch.cuda.is_available(), reason="test_on_gpu.py runs them on the GPU")
@pytest.mark.parametrize("code", [ROWS, BLOCKS, POINTS], ids=["rows", "blocks", "points"])
def test_interpreted(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", START + code],
        capture_output=True,
        text=True,
        env={**os.environ, "TRITON_INTERPRET": "1"},
    )
    assert done.returncode == 0, done.stderr
