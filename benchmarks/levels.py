"""Time and memory of a training step, with spheres of different levels and of one level.

    python benchmarks/levels.py [--levels 1,1,1,2,2,2,3,3] [--batch 32] [--rounds 7] [--json OUT]

The networks have the same parameters: those of the preset ``compact``. Steps of all networks take
turns in one process with one thread; times are of the processor, so other work on the machine
counts less, and the smallest of all rounds is compared. Peak memory is that of a process of its
own, beyond what it had before the network was made.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from csgnn_dgl._files import atomic_write_json
from csgnn_dgl.benchmarks.worker import _memory, _Watch
from csgnn_dgl.models import Classifier, ShapeCSGNN, ShapeCSGNNHypers
from csgnn_dgl.tasks.allocator import keep_freed_memory

#: Levels of the spheres of each network; the first is what the others are compared with.
SETTINGS: dict[str, dict[str, Any]] = {
    "uniform": {"sphere_levels": [3] * 8},
    "1,1,2,2,3,3,3,3": {"sphere_levels": [1, 1, 2, 2, 3, 3, 3, 3]},
    "1,1,2,2,3,3,3,3 in turn": {
        "sphere_levels": [1, 1, 2, 2, 3, 3, 3, 3],
        "sphere_coarsening": "in_turn",
    },
    "1,1,1,2,2,2,3,3": {"sphere_levels": [1, 1, 1, 2, 2, 2, 3, 3]},
}
COMPACT: dict[str, Any] = {"channels": 4, "base_width": 16}


class Step:
    """A training step of a classifier on random clouds."""

    def __init__(self, options: dict[str, Any], batch: int, points: int = 1024) -> None:
        torch.manual_seed(0)
        self.network = Classifier(ShapeCSGNN(ShapeCSGNNHypers(**{**COMPACT, **options})), 10)
        clouds = torch.randn(batch, points, 3)
        self.clouds = clouds / clouds.norm(dim=2).amax(dim=1)[:, None, None]
        self.labels = torch.randint(10, (batch,))

    def __call__(self) -> float:
        """Take the step; returns its time on the processor [s]."""
        start = time.process_time()
        self.network.zero_grad()
        scores = self.network(self.clouds)
        # In training, a network with several readouts gives the scores of each head.
        scores = scores.mean(dim=1) if scores.dim() == 3 else scores
        F.cross_entropy(scores, self.labels).backward()
        return time.process_time() - start


def step_times(
    settings: dict[str, dict[str, Any]], batch: int, rounds: int
) -> dict[str, list[float]]:
    """Times of the steps of all networks, in turns [s]."""
    steps = {name: Step(options, batch) for name, options in settings.items()}
    for step in steps.values():
        step()
    found: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            found[name].append(step())
    return found


def peak_memory(options: dict[str, Any], batch: int) -> int:
    """Peak memory of three training steps in a process of their own [bytes]."""
    task = json.dumps({"options": options, "batch": batch})
    done = subprocess.run(
        [sys.executable, __file__, "--memory", task], stdout=subprocess.PIPE, text=True, check=True
    )
    return int(done.stdout)


def _print_memory(task: str) -> None:
    torch.set_num_threads(1)
    wanted = json.loads(task)
    # What is loaded at the first use of any network does not count.
    Step({"sphere_levels": [0, 0]}, 2)()
    before, watch = _memory(), _Watch()
    step = Step(wanted["options"], wanted["batch"])
    for _ in range(3):
        step()
    print(watch.stop() - before)


def measure(settings: dict[str, dict[str, Any]], batch: int, rounds: int) -> dict[str, Any]:
    """Times and memory of all settings, and their ratios to those of the first."""
    times = step_times(settings, batch, rounds)
    memory = {name: peak_memory(options, batch) for name, options in settings.items()}
    reference, rows = next(iter(settings)), {}
    for name, options in settings.items():
        levels = options["sphere_levels"]
        rows[name] = {
            **options,
            "sites": sum(10 * 4**level + 2 for level in levels),
            "seconds": round(min(times[name]), 4),
            "memory_mib": round(memory[name] / 2**20, 1),
            "time_ratio": round(min(times[name]) / min(times[reference]), 3),
            "memory_ratio": round(memory[name] / memory[reference], 3),
        }
    return rows


def machine() -> dict[str, Any]:
    """What the times were measured on."""
    return {
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print a table, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--levels", help="levels of the spheres to compare, instead of the usual")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    keep_freed_memory()
    if given.memory:
        _print_memory(given.memory)
        return {}
    torch.set_num_threads(1)
    settings = SETTINGS
    if given.levels:
        levels = [int(level) for level in given.levels.split(",")]
        uniform = {"sphere_levels": [max(levels)] * len(levels)}
        settings = {"uniform": uniform, given.levels: {"sphere_levels": levels}}
    rows = measure(settings, given.batch, given.rounds)
    print(f"{'levels':26} {'sites':>6} {'s/step':>8} {'MiB':>8} {'time':>6} {'memory':>7}")
    for name, row in rows.items():
        print(
            f"{name:26} {row['sites']:6} {row['seconds']:8.4f} {row['memory_mib']:8.1f} "
            f"{row['time_ratio']:6.2f} {row['memory_ratio']:7.2f}"
        )
    result = {"machine": machine(), "batch": given.batch, "rounds": given.rounds, "settings": rows}
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_json(given.json, result)
    return result


if __name__ == "__main__":
    main()
