"""Time what runs on a GPU: ceilings, floor, steps and inference, mapping, kernels."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from gpu_checks import check_compiled
from gpu_common import CHANNELS, IN_TRITON, Setting, classifier, inputs, kernels, tf32, triton
from torch import Tensor
from torch.nn import functional as F

from csgnn_dgl.mapping import Augmentation, normalize_clouds
from csgnn_dgl.models.shapes.csgnn import encoder_config
from csgnn_dgl.tasks.cuda_graphs import CudaGraphs

CLOUDS = 9840  # clouds in an epoch of ModelNet40
SPHERES = (1, 8, 16, 24, 32)  # R in the paper's Table 4
Times = dict[str, Any]

# Ways to run a step. "default" is how PyTorch runs float32: TF32 in convolutions only.
WAYS: dict[str, dict[str, bool]] = {
    "default": {},
    "bf16": {"bf16": True},
    "float32 without TF32": {"strict": True},
    "default, PyTorch's kernels": {"triton": False},
    "bf16, PyTorch's kernels": {"bf16": True, "triton": False},
    "default, as the command": {"command": True},
    "bf16, as the command": {"bf16": True, "command": True},
    "default, graph": {"graph": True},
    "bf16, graph": {"bf16": True, "graph": True},
}
COMPILED: dict[str, dict[str, bool]] = {
    "bf16, compiled": {"bf16": True, "compiled": True},
    "bf16, compiled, graph": {"bf16": True, "compiled": True, "graph": True},
}


def parts(setting: Setting) -> dict[str, Callable[[], Times]]:
    """All timings by name, those that must compile for long last."""
    found: dict[str, Callable[[], Times]] = {}
    ways = WAYS
    if setting.cuda:
        found["ceilings"] = partial(time_ceilings, setting)
    else:
        ways = {"default": {}, "bf16": {"bf16": True}}
    found["floor"] = partial(floor, setting)
    for name, chosen in ways.items():
        found[f"step, {name}"] = partial(time_step, setting, chosen)
    found["mapping"] = partial(time_mapping, setting)
    for dtype in (torch.float32, torch.bfloat16) if setting.cuda else (torch.float32,):
        for name in kernels(setting, dtype, torch.device("cpu")):
            for way in setting.ways if name in IN_TRITON else [False]:
                label = f"{name}, {str(dtype)[6:]}{', Triton' if way else ''}"
                found[label] = partial(time_kernel, setting, name, dtype, way)
    if setting.cuda:
        for n_spheres in SPHERES:
            for name in ("default", "bf16"):
                found[f"R = {n_spheres}, {name}"] = partial(
                    time_step, setting, WAYS[name], n_spheres
                )
    found["check of the compiled encoder"] = partial(check_compiled, setting)
    if setting.cuda:
        for name, chosen in COMPILED.items():
            found[f"step, {name}"] = partial(time_step, setting, chosen)
    return found


def latency(setting: Setting, function: Callable[[], Any], repeats: int = 20) -> float:
    """Median time [s] of a call that is waited for, after three calls that are not counted."""
    times = []
    for turn in range((3 if setting.quick else repeats) + 3):
        setting.synchronise()
        start = time.perf_counter()
        function()
        setting.synchronise()
        if turn >= 3:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def pace(setting: Setting, function: Callable[[], Any], calls: int = 20) -> float:
    """Median time [s] per call in rows of calls without waiting in between, as in training."""
    calls = 2 if setting.quick else calls
    for _ in range(3):
        function()
    times = []
    for _ in range(3):
        setting.synchronise()
        start = time.perf_counter()
        for _ in range(calls):
            function()
        setting.synchronise()
        times.append((time.perf_counter() - start) / calls)
    return statistics.median(times)


def on_device(setting: Setting, function: Callable[[], Any]) -> float:
    """Median time [s] on the device, between events, with the cache emptied before each call."""
    if not setting.cuda:
        return latency(setting, function)
    from triton.testing import do_bench

    return float(do_bench(function, warmup=5, rep=30, return_mode="median")) / 1e3


def time_ceilings(setting: Setting) -> Times:
    """Bandwidth of a copy, counting bytes read and written, and rates of matrix products."""
    source, target = torch.randn(2, 2**29, device=setting.device)
    seconds = on_device(setting, lambda: target.copy_(source))
    found = {"copy_GBps": 8 * source.numel() / seconds / 1e9}
    for name, dtype, fast in (
        ("bf16", torch.bfloat16, True),
        ("tf32", torch.float32, True),
        ("fp32", torch.float32, False),
    ):
        one, other = torch.randn(2, 8192, 8192, device=setting.device, dtype=dtype)
        with tf32(fast):
            seconds = on_device(setting, lambda a=one, b=other: a @ b)  # type: ignore[misc]
        found[f"{name}_TFLOPps"] = 2 * 8192**3 / seconds / 1e12
    return found


def floor(setting: Setting) -> Times:
    """Least work of a training step and of inference.

    Each convolution, norm and pooling reads every number it needs once and writes its result once,
    forward and backward. The statistics of a norm are taken to cost nothing.
    """
    config = encoder_config(setting.hypers())
    forward = backward = flops = 0
    width = config.in_channels
    for step, widths in enumerate(zip(config.intra_widths, config.radial_widths, strict=True)):
        sites = (10 * 4 ** (config.level - step) + 2) * config.n_spheres * setting.batch
        for taps, outs in zip((1, config.kernel_size), widths, strict=True):
            for out in outs:
                forward += sites * (width + 3 * out)  # convolution; norm
                backward += sites * (5 * out + 2 * width)  # norm; gradients of input and weights
                flops += 2 * sites * taps * width * out
                width = out
        if step < config.level:
            forward += sites * width * 5 // 4
            backward += sites * width * 5 // 4
    return {
        "training_GB_bf16": 2 * (forward + backward) / 1e9,
        "inference_GB_bf16": 2 * forward / 1e9,
        "training_TFLOP": 3 * flops / 1e12,
        "inference_TFLOP": flops / 1e12,
    }


class Step:
    """One training step with its optimiser."""

    def __init__(self, setting: Setting, chosen: dict[str, bool], n_spheres: int | None) -> None:
        self.bf16, self.device = chosen.get("bf16", False), setting.device
        spheres = {} if n_spheres is None else {"n_spheres": n_spheres}
        self.network, self.model = classifier(setting, **spheres)
        # Commands record forward and backward pass, and call the optimiser as usual.
        self.graphs = CudaGraphs() if chosen.get("command") else None
        self.points, self.labels = inputs(setting, setting.batch)
        if chosen.get("compiled"):
            # torch.compile returns a module of another declared type.
            compiled: Any = torch.compile(self.model.encoder, fullgraph=True)
            self.model.encoder = compiled
        options: dict[str, Any] = {"fused": True, "capturable": True} if setting.cuda else {}
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-4, **options)
        self.augment = Augmentation(rotation="so3")
        self.generator = torch.Generator().manual_seed(3)

    def scores(self, points: Tensor) -> Tensor:
        call: Any = partial(self.graphs, self.network) if self.graphs else self.network
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=False
        ):
            found: Tensor = call(points)
            return found

    def train(self, points: Tensor | None = None) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        scores = self.scores(self.points if points is None else points)
        F.cross_entropy(scores.float(), self.labels).backward()
        self.optimizer.step()

    def augmented(self) -> None:
        """A step on clouds that are augmented first, as in a real training."""
        self.train(normalize_clouds(self.augment(self.points, self.generator)))

    @torch.no_grad()
    def infer(self) -> None:
        self.scores(self.points)


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


def time_step(setting: Setting, chosen: dict[str, bool], n_spheres: int | None = None) -> Times:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = not chosen.get("strict", False)
    try:
        with triton(chosen.get("triton", True)):
            step = Step(setting, chosen, n_spheres)
            start: Callable[..., Any] = graphed if chosen.get("graph") else lambda f: f
            if setting.cuda:
                torch.cuda.reset_peak_memory_stats()
            seconds = pace(setting, start(step.train))
            found = {"training_step_ms": 1e3 * seconds, "epoch_s": seconds * CLOUDS / setting.batch}
            if setting.cuda:
                found["peak_MiB"] = torch.cuda.max_memory_allocated() / 2**20
            if not chosen.get("graph"):
                seconds = pace(setting, step.augmented)
                found["epoch_with_augmentation_s"] = seconds * CLOUDS / setting.batch
            step.network.eval()
            infer = start(step.infer)
            found["inference_ms_per_batch"] = 1e3 * pace(setting, infer)
            found["inference_latency_ms"] = 1e3 * latency(setting, infer)
    finally:
        torch.backends.cudnn.allow_tf32 = before
    return found


def time_mapping(setting: Setting) -> Times:
    (_, model), (points, _) = classifier(setting), inputs(setting, setting.batch)
    found = {}
    for way in setting.ways:
        with triton(way):
            name = "triton_ms" if way else "ms"
            found[name] = 1e3 * latency(setting, lambda: model.mapping(points))
            found[f"device_{name}"] = 1e3 * on_device(setting, lambda: model.mapping(points))
    return found


def time_kernel(setting: Setting, name: str, dtype: torch.dtype, with_triton: bool) -> Times:
    size = (setting.grid.num_nodes(), setting.batch, CHANNELS)
    feat = torch.randn(size, device=setting.device, dtype=dtype).requires_grad_()
    with triton(with_triton), tf32(True):
        kernel = kernels(setting, dtype, setting.device)[name]
        upstream = torch.randn_like(kernel(feat))

        def forward() -> None:
            with torch.no_grad():
                kernel(feat)

        def both() -> None:
            torch.autograd.grad(kernel(feat), feat, upstream)

        # What a forward pass must move: each number read once, each result written once.
        moved = (feat.numel() + upstream.numel()) * feat.element_size()
        seconds = on_device(setting, forward)
        return {
            "forward_ms": 1e3 * seconds,
            "forward_GBps": moved / seconds / 1e9,
            "both_ms": 1e3 * on_device(setting, both),
        }


def profile(setting: Setting, path: Path) -> Times:
    """Write a table of the kernels of three steps in bf16, and three in float32."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if setting.cuda:
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    key = "self_cuda_time_total" if setting.cuda else "self_cpu_time_total"
    tables = []
    for name in ("bf16", "default"):
        step = Step(setting, WAYS[name], None)
        for _ in range(3):
            step.train()
        setting.synchronise()
        with torch.profiler.profile(activities=activities) as found:
            for _ in range(3):
                step.train()
            setting.synchronise()
        events = found.key_averages()
        tables.append(f"{name}\n{events.table(sort_by=key, row_limit=40)}")
    path.write_text("\n".join(tables), encoding="utf-8")
    return {"steps": 3}
