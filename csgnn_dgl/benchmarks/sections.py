"""The measurements of the suite, one function for each; all return plain values for JSON."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch

from csgnn_dgl.benchmarks.kernels import kernels
from csgnn_dgl.benchmarks.settings import Settings
from csgnn_dgl.benchmarks.timing import interleaved, measure
from csgnn_dgl.benchmarks.worker import Worker, peak_memory
from csgnn_dgl.errors import CSGNNError

__all__ = ["SECTIONS", "exponent"]

Echo = Callable[[str], object]
_MIB = 2**20


def exponent(sizes: list[float], values: list[float]) -> float:
    """Fit an exponent: the slope of a line through the logarithms.

    Examples
    --------
    >>> round(exponent([1, 2, 4], [3, 12, 48]), 6)
    2.0
    """
    x, y = [math.log(s) for s in sizes], [math.log(v) for v in values]
    mean_x, mean_y = statistics.mean(x), statistics.mean(y)
    covariance = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return covariance / sum((a - mean_x) ** 2 for a in x)


_WRITINGS: dict[str, dict[str, Any]] = {
    "toolkit": {"writing": "toolkit"},
    "plain-dgl": {"writing": "plain-dgl", "keep_memory": False},
    "plain-dgl, our allocator": {"writing": "plain-dgl"},
    "plain-pyg": {"writing": "plain-pyg", "keep_memory": False},
    "floor": {"writing": "floor"},
}


def _start(settings: Settings, stack: ExitStack, echo: Echo) -> dict[str, Worker]:
    workers = {}
    for name, spec in _WRITINGS.items():
        try:
            worker = Worker(**spec, **settings.sizes, threads=settings.threads)
            workers[name] = stack.enter_context(worker)
        except CSGNNError as error:
            echo(f"left out: {error}")
    return workers


def step(settings: Settings, echo: Echo) -> dict[str, Any]:
    """Time a training step and an inference, with alternating processes of all implementations.

    Before each measured call, the same process makes one more call, as in a loop over batches. So
    what other processes left in the caches does not count.
    """
    with ExitStack() as stack:
        workers = _start(settings, stack, echo)
        scores = {
            n: torch.tensor(w.ask("scores")["scores"]) for n, w in workers.items() if n != "floor"
        }
        found: dict[str, Any] = {"sizes": settings.sizes, "seconds": {}, "ratios": {}}
        found["largest_difference"] = {
            name: float((scores["toolkit"] - other).abs().max())
            for name, other in scores.items()
            if name != "toolkit"
        }
        for word in ("train", "infer"):
            times: dict[str, list[float]] = {name: [] for name in workers}
            for turn in range(settings.repeats + 2):
                for name, worker in workers.items():
                    worker.ask(word)
                    taken = worker.ask(word)[settings.clock]
                    if turn >= 2:
                        times[name].append(taken)
            median = {name: statistics.median(values) for name, values in times.items()}
            found["seconds"][word] = median
            found["ratios"][word] = {
                f"{name} / toolkit": seconds / median["toolkit"]
                for name, seconds in median.items()
                if name not in ("toolkit", "floor")
            }
            found["ratios"][word]["toolkit / floor"] = median["toolkit"] / median["floor"]
    return found


def memory(settings: Settings, echo: Echo) -> dict[str, Any]:
    """Measure the peak memory of a process beyond its imports, for training and for inference.

    The fragmentation of the heap differs between processes, so the median of several is taken.
    """
    found: dict[str, Any] = {"sizes": settings.sizes, "MiB": {}, "ratios": {}}
    for word in ("train", "infer"):
        peaks = {}
        for name, spec in _WRITINGS.items():
            if name == "floor":
                continue
            try:
                peaks[name] = statistics.median(
                    peak_memory(word, 4, **spec, **settings.sizes, threads=settings.threads)
                    for _ in range(settings.repeats)
                )
            except CSGNNError as error:
                echo(f"left out: {error}")
        found["MiB"][word] = {name: peak / _MIB for name, peak in peaks.items()}
        found["ratios"][word] = {
            f"toolkit / {name}": peaks["toolkit"] / peak
            for name, peak in peaks.items()
            if name != "toolkit"
        }
    return found


def mapping(settings: Settings, echo: Echo) -> dict[str, Any]:
    """Measure points mapped per second, and the share of the mapping in a training step."""
    with Worker(**settings.sizes, threads=settings.threads) as worker:
        times: dict[str, list[float]] = {"train": [], "mapping": []}
        for turn in range(settings.repeats + 2):
            for word, values in times.items():
                taken = worker.ask(word)[settings.clock]
                if turn >= 2:
                    values.append(taken)
    median = {word: statistics.median(values) for word, values in times.items()}
    points = settings.sizes["batch"] * settings.sizes["points"]
    return {
        "points_per_second": points / median["mapping"],
        "share_of_training_step": median["mapping"] / median["train"],
        "seconds": median,
    }


def scaling(settings: Settings, echo: Echo) -> dict[str, Any]:
    """Measure time and peak memory for several numbers of spheres, and of vertices."""
    spheres = (1, 2) if settings.quick else (1, 8, 16, 24, 32)
    levels = (2, 3) if settings.quick else (2, 3, 4, 5, 6)
    base = settings.sizes
    series = {
        "R": [({**base, "n_spheres": r}, r) for r in spheres],
        # Three levels for every size, so that the layers are the same.
        "V": [
            ({**base, "level": n, "n_spheres": 4, "batch": 2, "depth": 3}, 10 * 4**n + 2)
            for n in levels
        ],
    }
    found: dict[str, Any] = {}
    for name, points in series.items():
        rows = []
        for sizes, value in points:
            row: dict[str, Any] = {name: value}
            for word in ("train", "infer"):
                with Worker(**sizes, threads=settings.threads) as worker:
                    times = [worker.ask(word)[settings.clock] for _ in range(settings.repeats + 2)]
                    worker.ask("watch")
                    worker.ask(word)
                    used = worker.ask("memory")
                row[f"{word}_seconds"] = statistics.median(times[2:])
                row[f"{word}_MiB"] = (used["peak"] - used["before"]) / _MIB
            echo(f"{name} = {value}: training step {row['train_seconds']:.4f} s")
            rows.append(row)
        # At the smallest sizes, the overhead of calls dominates.
        large = rows[-4:] if name == "R" else rows[-3:]
        values = [row[name] for row in large]
        found[name] = {
            "points": rows,
            "fitted_from": values[0],
            "exponents": {
                key: exponent(values, [row[key] for row in large])
                for key in ("train_seconds", "infer_seconds", "train_MiB")
            },
        }
    return found


def atoms(settings: Settings, echo: Echo) -> dict[str, Any]:
    """Measure atoms per second of the paper's DOS model on a diamond supercell."""
    from ase.build import bulk

    from csgnn_dgl.mapping.neighbors import find_neighbors
    from csgnn_dgl.models import AtomCSGNN, AtomCSGNNHypers, DOSModel

    torch.manual_seed(0)
    hypers = AtomCSGNNHypers(level=1 if settings.quick else 3)
    model = DOSModel(AtomCSGNN(hypers, (6,)), bins=310)
    structure = bulk("C", "diamond", 3.57, cubic=True).repeat((2, 2, 1))
    neighbors = find_neighbors([structure], hypers.cutoff).to("cpu", torch.float32)

    def train() -> None:
        model.train().zero_grad(set_to_none=True)
        model(neighbors).square().sum().backward()

    def infer() -> None:
        with torch.no_grad():
            model.eval()(neighbors)

    times = interleaved(
        {
            "train": train,
            "infer": infer,
            "neighbors": lambda: find_neighbors([structure], hypers.cutoff),
        },
        settings.repeats,
        settings.clock,
    )
    return {
        "atoms": len(structure),
        "neighbors": len(neighbors.centres),
        "atoms_per_second": {name: len(structure) / seconds for name, seconds in times.items()},
    }


def machine(settings: Settings, echo: Echo) -> dict[str, Any]:
    """Measure the machine's best rates of copying and of a matrix product."""
    n = 256 if settings.quick else 1024
    block = torch.randn(2**16 if settings.quick else 2**24)
    target, square = torch.empty_like(block), torch.randn(n, n)

    def best(function: Callable[[], Any]) -> float:
        return min(measure(function, settings.clock) for _ in range(settings.repeats + 2))

    copied = 2 * block.numel() * block.element_size()
    return {
        "copy_GBps": copied / best(lambda: target.copy_(block)) / 1e9,
        "sgemm_GFLOPs": 2 * n**3 / best(lambda: square @ square) / 1e9,
    }


SECTIONS: dict[str, Callable[[Settings, Echo], dict[str, Any]]] = {
    "machine": machine,
    "step": step,
    "memory": memory,
    "kernels": kernels,
    "mapping": mapping,
    "scaling": scaling,
    "atoms": atoms,
}
