"""Time each kernel against its alternatives, forward and backward."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from csgnn_dgl._dgl import dgl
from csgnn_dgl.benchmarks.settings import Settings
from csgnn_dgl.benchmarks.timing import interleaved
from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.nn.structure import relation
from csgnn_dgl.ops import (
    CSR,
    global_max,
    neighbor_sum,
    neighborhood_max,
    node_linear,
    radial_conv_regular,
)

__all__ = ["kernels"]

Function = Callable[[Tensor], Tensor]


def _forward(function: Function, feat: Tensor) -> Callable[[], None]:
    def call() -> None:
        with torch.no_grad():
            function(feat)

    return call


def _both(function: Function, feat: Tensor, weight: Tensor | None) -> Callable[[], None]:
    feat = feat.clone().requires_grad_()
    inputs = [feat] if weight is None else [feat, weight]
    upstream = torch.randn_like(function(feat))

    def call() -> None:
        torch.autograd.grad(function(feat), inputs, upstream)

    return call


def _sums(csr: CSR, graph: Any) -> dict[str, Function]:
    by_node = csr.by_node
    ones = torch.ones(by_node.indices.numel())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        matrix = torch.sparse_csr_tensor(
            by_node.indptr,
            by_node.indices,
            ones,
            (by_node.num_rows, by_node.num_columns),
            check_invariants=False,
        )

    rows = by_node.rows

    def sparse(x: Tensor) -> Tensor:
        return torch.sparse.mm(matrix, x.flatten(1)).view(-1, *x.shape[1:])

    def scatter(x: Tensor) -> Tensor:
        return x.new_zeros(len(x), *x.shape[1:]).index_add(0, rows, x[by_node.indices])

    return {
        "toolkit": lambda x: neighbor_sum(csr, x),
        "dgl": lambda x: dgl.ops.copy_u_sum(graph, x),
        "sparse.mm": sparse,
        "gather, index_add": scatter,
    }


def _maxima(csr: CSR, graph: Any) -> dict[str, Function]:
    by_node = csr.by_node
    rows = by_node.rows

    def scatter(x: Tensor) -> Tensor:
        index = rows.view(-1, *[1] * (x.dim() - 1)).expand(-1, *x.shape[1:])
        out = x.new_full((by_node.num_rows, *x.shape[1:]), -torch.inf)
        return out.scatter_reduce(0, index, x[by_node.indices], "amax")

    return {
        "toolkit": lambda x: neighborhood_max(csr, x),
        "dgl": lambda x: dgl.ops.copy_u_max(graph, x),
        "gather, scatter_reduce": scatter,
    }


def _radial(weight: Tensor, bias: Tensor, spheres: int) -> dict[str, Function]:
    def permuted(x: Tensor) -> Tensor:
        nodes, batch, channels = x.shape
        chains = x.view(-1, spheres, batch, channels).permute(0, 2, 3, 1)
        out = F.conv1d(chains.reshape(-1, channels, spheres), weight, bias, padding="same")
        return out.view(-1, batch, len(bias), spheres).permute(0, 3, 1, 2).reshape(nodes, batch, -1)

    return {
        "toolkit": lambda x: radial_conv_regular(x, weight, bias, spheres),
        "permute, conv1d, permute": permuted,
    }


def kernels(settings: Settings, echo: Callable[[str], object]) -> dict[str, Any]:
    """Measure median times, and the rates of memory traffic [GB/s] and work [GFLOP/s].

    The traffic counts every input and output once. Backward passes are timed together with the
    forward pass; a product then has three times the work.
    """
    level, spheres, batch = (2, 4, 2) if settings.quick else (4, 16, 4)
    grid, channels = ConcentricGrid(level, spheres), 64
    torch.manual_seed(0)
    graph = grid.graph().edge_type_subgraph(["intra"])
    intra, pool = relation(graph, "intra"), relation(grid.coarsening(level), "pool")
    feat = torch.randn(grid.num_nodes(), batch, channels).relu()
    rows = feat.numel() // channels
    linear = torch.randn(channels, channels, requires_grad=True)
    taps = torch.randn(channels, channels, 3, requires_grad=True)
    bias = torch.zeros(channels)
    size = feat.numel() * feat.element_size()
    adds = intra.indices.numel() * intra.block * batch * channels
    cases: dict[str, tuple[dict[str, Function], Tensor | None, int, float]] = {
        "neighbor_sum": (_sums(intra, graph), None, 2 * size, adds),
        "neighborhood_max": (_maxima(pool, grid.coarsening(level)), None, size * 5 // 4, 0),
        "radial_conv": (_radial(taps, bias, spheres), taps, 2 * size, 6.0 * rows * channels**2),
        "node_linear": (
            {
                "toolkit": lambda x: node_linear(x, linear, bias),
                "linear": lambda x: F.linear(x, linear, bias),
            },
            linear,
            2 * size,
            2.0 * rows * channels**2,
        ),
        "global_max": (
            {
                "toolkit": global_max,
                "amax": lambda x: x.amax(dim=0),
                "max": lambda x: x.max(dim=0).values,
            },
            None,
            size,
            0,
        ),
    }
    found: dict[str, Any] = {"features": list(feat.shape)}
    for name, (functions, weight, traffic, work) in cases.items():
        found[name] = {}
        for way in ("forward", "forward and backward"):
            calls = {
                key: _forward(function, feat) if way == "forward" else _both(function, feat, weight)
                for key, function in functions.items()
            }
            times = interleaved(calls, settings.repeats, settings.clock)
            passes = 1 if way == "forward" else 3 if weight is not None else 2
            found[name][way] = {
                key: {
                    "seconds": seconds,
                    "GBps": traffic * (1 if way == "forward" else 2) / seconds / 1e9,
                    "GFLOPs": work * passes / seconds / 1e9,
                    "ratio": seconds / times["toolkit"],
                }
                for key, seconds in times.items()
            }
        echo(f"{name}: done")
    return found
