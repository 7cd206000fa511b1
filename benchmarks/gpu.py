"""Check and time the GPU path in one run of less than eight minutes.

    python benchmarks/gpu.py --output benchmarks/results/gpu.json

First everything is checked against float64 on the CPU. Then kernels, training steps and inference
of the paper's classifier (level 4, R = 16, C = 8, batch 32) are timed: in float32, TF32 and bf16,
compiled, and as a CUDA graph, with PyTorch's kernels and with Triton's. The JSON is written after
each part. Parts for which there is no time left are skipped, and named. ``--device cpu --quick``
runs everything that needs no GPU, with small sizes.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from csgnn_dgl._files import atomic_write_json
from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.models import Classifier, ShapeCSGNN, ShapeCSGNNHypers
from csgnn_dgl.nn.structure import relation
from csgnn_dgl.ops import (
    global_max,
    neighbor_sum,
    neighborhood_max,
    node_linear,
    radial_conv_regular,
)

CLOUDS = 9840  # clouds in an epoch of ModelNet40
Kernel = Callable[[Tensor], Tensor]


class Run:
    """Options, results so far, and the time limit."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.device = torch.device(options.device)
        self.quick: bool = options.quick
        self.output: Path = options.output
        self.end = time.monotonic() + options.seconds
        self.cuda = self.device.type == "cuda"
        name = torch.cuda.get_device_name() if self.cuda else "CPU"
        self.results: dict[str, Any] = {
            "device": name,
            "torch": torch.__version__,
            "quick": self.quick,
            "checks": {},
            "times": {},
            "skipped": [],
            "failed": {},
        }
        level, spheres, batch, points = (2, 4, 2, 128) if self.quick else (4, 16, 32, 1024)
        self.batch, self.points = batch, points
        self.hypers = ShapeCSGNNHypers(level=level, n_spheres=spheres, channels=8)
        self.grid = ConcentricGrid(level, spheres)

    def part(self, group: str, name: str, function: Callable[[], Any], seconds: float) -> None:
        """Run a part if ``seconds`` are left; an error is recorded and does not end the run."""
        if time.monotonic() + seconds > self.end:
            self.results["skipped"].append(name)
            print(f"{name}: skipped, no time left", flush=True)
            return
        try:
            found = function()
        except Exception as error:
            traceback.print_exc()
            self.results["failed"][name] = f"{type(error).__name__}: {error}"
            found = None
        if found is not None:
            self.results[group][name] = found
            print(f"{name}: {found}", flush=True)
        self.output.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_json(self.output, self.results)

    def seconds(self, function: Callable[[], Any], repeats: int = 20) -> float:
        """Median time of a call, after three calls that are not counted."""
        if self.quick:
            repeats = 3
        times = []
        for turn in range(repeats + 3):
            self.synchronise()
            start = time.perf_counter()
            function()
            self.synchronise()
            if turn >= 3:
                times.append(time.perf_counter() - start)
        return statistics.median(times)

    def synchronise(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()


@contextlib.contextmanager
def triton(wanted: bool) -> Iterator[None]:
    """Switch Triton's kernels on or off."""
    before = os.environ.get("CSGNN_TRITON")
    os.environ["CSGNN_TRITON"] = "1" if wanted else "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ["CSGNN_TRITON"]
        else:
            os.environ["CSGNN_TRITON"] = before


def kernels(run: Run, dtype: torch.dtype, device: torch.device) -> dict[str, Kernel]:
    """Every kernel as a function of features ``(V·R, B, 64)``."""
    intra = relation(run.grid.graph(), "intra").with_self_loops
    pool = relation(run.grid.coarsening(run.grid.level), "pool")
    generator = torch.Generator().manual_seed(1)
    linear = torch.randn(64, 64, generator=generator).to(device, dtype)
    taps = torch.randn(64, 64, 3, generator=generator).to(device, dtype)
    return {
        "neighbor_sum": lambda x: neighbor_sum(intra, x),
        "neighborhood_max": lambda x: neighborhood_max(pool, x),
        "radial_conv": lambda x: radial_conv_regular(x, taps, None, run.grid.n_spheres),
        "node_linear": lambda x: node_linear(x, linear),
        "global_max": global_max,
    }


def features(run: Run, batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    size = (run.grid.num_nodes(), batch, 64)
    return torch.randn(size, generator=generator, dtype=torch.float64)


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found.double().cpu() - expected).norm() / expected.norm().clamp(min=1e-300))


def check_kernel(run: Run, name: str, with_triton: bool) -> dict[str, float]:
    """Errors of a kernel and its gradient in float32, against float64 on the CPU."""
    exact = features(run, 1 if run.quick else 2).requires_grad_()
    expected = kernels(run, torch.float64, torch.device("cpu"))[name](exact)
    upstream = torch.randn(expected.shape, dtype=torch.float64)
    (wanted,) = torch.autograd.grad(expected, exact, upstream)
    feat = exact.detach().to(run.device, torch.float32).requires_grad_()
    with triton(with_triton):
        out = kernels(run, torch.float32, run.device)[name](feat)
        (grad,) = torch.autograd.grad(out, feat, upstream.to(run.device, torch.float32))
    errors = {"out": relative(out.detach(), expected.detach()), "gradient": relative(grad, wanted)}
    for what, error in errors.items():
        assert error < 1e-5, f"{name}: {what} differs by {error:.1e} from float64"
    return errors


def inputs(run: Run, batch: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    points = torch.rand(batch, run.points, 3, generator=generator) - 0.5
    return points.to(run.device), (torch.arange(batch) % 40).to(run.device)


def classifier(run: Run) -> tuple[Classifier, ShapeCSGNN]:
    """Make the network, and return it with its model."""
    torch.manual_seed(0)
    model = ShapeCSGNN(run.hypers)
    model.mapping.validate = False  # the check waits for the device
    return Classifier(model, 40).to(run.device), model


def check_model(run: Run, with_triton: bool) -> dict[str, float]:
    """Mapping, scores and gradients of the whole classifier against float64 on the CPU."""
    network, model = classifier(run)
    exact = copy.deepcopy(network).cpu().double()
    exact_model: Any = exact.model
    # With fewer clouds the head's batch norm would make very large gradients.
    points, labels = inputs(run, 8)
    # Faces are found in float32 on both sides: a point on an edge may fall to either side.
    with triton(with_triton):
        sites = model.mapping(points)
    wide = exact_model.mapping(points.cpu().double())
    expected = exact.head(exact_model.encoder(sites.cpu().double()))
    F.cross_entropy(expected, labels.cpu()).backward()
    with triton(with_triton):
        scores = network.head(model.encoder(sites))
        F.cross_entropy(scores, labels).backward()
    pairs = zip(network.parameters(), exact.parameters(), strict=True)
    grads = [(p.grad, q.grad) for p, q in pairs if p.grad is not None and q.grad is not None]
    ours, theirs = (torch.cat([g[i].double().cpu().flatten() for g in grads]) for i in (0, 1))
    errors = {
        "mapping": relative(sites, wide),
        "scores": relative(scores.detach(), expected.detach()),
        "gradients": relative(ours, theirs),
    }
    for what, limit in (("mapping", 1e-5), ("scores", 1e-3), ("gradients", 1e-2)):
        assert errors[what] < limit, f"{what} differ by {errors[what]:.1e} from float64"
    return errors


def check_bf16(run: Run) -> dict[str, float]:
    """Difference between scores in bf16 and in float32, in evaluation."""
    (model, _), (points, _) = classifier(run), inputs(run, run.batch)
    model.eval()
    with torch.no_grad():
        expected = model(points)
        with torch.autocast(run.device.type, torch.bfloat16):
            scores = model(points).float()
    error = relative(scores, expected.double().cpu())
    assert error < 0.1, f"scores in bf16 differ by {error:.1e}"
    same = (scores.argmax(1) == expected.argmax(1)).double().mean()
    return {"scores": error, "same class": float(same)}


def check_compiled(run: Run) -> dict[str, float]:
    """Check the encoder under ``torch.compile`` without graph breaks, forward and backward."""
    (network, model), (points, _) = classifier(run), inputs(run, 2)
    network.eval()
    # A machine without a GPU may have no C++ compiler, which inductor needs.
    backend = "inductor" if run.cuda else "aot_eager"
    compiled = torch.compile(model.encoder, fullgraph=True, backend=backend)
    sites = model.mapping(points)
    expected = model.encoder(sites)
    out = compiled(sites)
    out.sum().backward()
    error = relative(out.detach(), expected.detach().double().cpu())
    assert error < 1e-4, f"the compiled encoder differs by {error:.1e}"
    return {"encoder": error}


def time_kernel(run: Run, name: str, dtype: torch.dtype, with_triton: bool) -> dict[str, float]:
    size = (run.grid.num_nodes(), run.batch, 64)
    feat = torch.randn(size, device=run.device, dtype=dtype).requires_grad_()
    with triton(with_triton):
        kernel = kernels(run, dtype, run.device)[name]
        upstream = torch.randn_like(kernel(feat))

        def forward() -> None:
            with torch.no_grad():
                kernel(feat)

        def both() -> None:
            torch.autograd.grad(kernel(feat), feat, upstream)

        moved = (feat.numel() + upstream.numel()) * feat.element_size()
        seconds = run.seconds(forward)
        return {
            "forward_ms": 1e3 * seconds,
            "forward_GBps": moved / seconds / 1e9,
            "both_ms": 1e3 * run.seconds(both),
        }


def time_mapping(run: Run) -> dict[str, float]:
    (_, model), (points, _) = classifier(run), inputs(run, run.batch)
    found = {"ms": 1e3 * run.seconds(lambda: model.mapping(points))}
    if run.cuda:
        with triton(True):
            found["triton_ms"] = 1e3 * run.seconds(lambda: model.mapping(points))
        compiled = torch.compile(model.mapping)
        found["compiled_ms"] = 1e3 * run.seconds(lambda: compiled(points))
    return found


class Step:
    """One training step with its optimiser, optionally in bf16 or compiled."""

    def __init__(self, run: Run, *, bf16: bool, compiled: bool) -> None:
        self.run, self.bf16 = run, bf16
        self.model, model = classifier(run)
        self.points, self.labels = inputs(run, run.batch)
        self.call: nn.Module | Callable[[Tensor], Tensor] = self.model
        if compiled:
            # torch.compile returns a module of another declared type.
            model.encoder = torch.compile(model.encoder, fullgraph=True)  # type: ignore[assignment]
        options: dict[str, Any] = {"fused": True, "capturable": True} if run.cuda else {}
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-4, **options)

    def __call__(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.run.device.type, torch.bfloat16, enabled=self.bf16):
            loss = F.cross_entropy(self.model(self.points), self.labels)
        loss.backward()
        self.optimizer.step()

    def infer(self) -> None:
        with (
            torch.no_grad(),
            torch.autocast(self.run.device.type, torch.bfloat16, enabled=self.bf16),
        ):
            self.model(self.points)


def graphed(function: Callable[[], None]) -> Callable[[], None]:
    """Capture a function as a CUDA graph, which is launched at once and reuses its memory."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    replay: Callable[[], None] = graph.replay
    return replay


def time_step(
    run: Run, *, bf16: bool, compiled: bool, as_graph: bool, with_triton: bool, tf32: bool
) -> dict[str, float]:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    with triton(with_triton):
        step = Step(run, bf16=bf16, compiled=compiled)
        if run.cuda:
            torch.cuda.reset_peak_memory_stats()
        train = run.seconds(graphed(step) if as_graph else step)
        peak = torch.cuda.max_memory_allocated() / 2**20 if run.cuda else 0.0
        step.model.eval()
        infer = run.seconds(graphed(step.infer) if as_graph else step.infer)
    return {
        "training_step_ms": 1e3 * train,
        "epoch_s": train * CLOUDS / run.batch,
        "inference_ms_per_batch": 1e3 * infer,
        "peak_MiB": peak,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/gpu.json"))
    parser.add_argument("--seconds", type=float, default=420, help="time limit for starting parts")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print(
            "error: torch finds no CUDA device; --device cpu checks what needs none",
            file=sys.stderr,
        )
        return 2
    run = Run(options)
    ways = [False, True] if run.cuda else [False]
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    names = list(kernels(run, torch.float32, run.device))
    in_triton = ("neighbor_sum", "neighborhood_max")
    for name in names:
        for way in ways if name in in_triton else [False]:
            label = f"{name}{', Triton' if way else ''}"
            run.part("checks", label, lambda n=name, w=way: check_kernel(run, n, w), 10)
    for way in ways:
        label = f"classifier{', Triton' if way else ''}"
        run.part("checks", label, lambda w=way: check_model(run, w), 20)
    run.part("checks", "bf16", lambda: check_bf16(run), 10)
    steps: dict[str, dict[str, bool]] = {"float32": {}, "bf16": {"bf16": True}}
    if run.cuda:
        steps |= {
            "TF32": {"tf32": True},
            "bf16, Triton": {"bf16": True, "tf32": True, "with_triton": True},
            "bf16, graph": {"bf16": True, "tf32": True, "as_graph": True},
            "bf16, Triton, graph": {
                "bf16": True,
                "tf32": True,
                "with_triton": True,
                "as_graph": True,
            },
            "bf16, compiled": {"bf16": True, "tf32": True, "compiled": True},
            "bf16, compiled, graph": {
                "bf16": True,
                "tf32": True,
                "compiled": True,
                "as_graph": True,
            },
        }
    usual = dict.fromkeys(("bf16", "compiled", "as_graph", "with_triton", "tf32"), False)
    def time_steps(compiled: bool) -> None:
      for name, ticked in steps.items():
        if ticked.get("compiled", False) != compiled:
            continue
        seconds = 40 if ticked.get("compiled") else 15
        run.part(
            "times", f"step, {name}", lambda t=ticked: time_step(run, **{**usual, **t}), seconds
        )

    time_steps(False)
    run.part("times", "mapping", lambda: time_mapping(run), 40)
    for dtype in (torch.float32, torch.bfloat16) if run.cuda else (torch.float32,):
        for name in names:
            for way in ways if name in in_triton else [False]:
                label = f"{name}, {str(dtype)[6:]}{', Triton' if way else ''}"
                run.part(
                    "times", label, lambda n=name, d=dtype, w=way: time_kernel(run, n, d, w), 5
                )
    time_steps(True)
    run.part("checks", "compiled encoder", lambda: check_compiled(run), 40)
    for name, error in run.results["failed"].items():
        print(f"FAILED {name}: {error}")
    print(f"written to {run.output}")
    return 1 if run.results["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
