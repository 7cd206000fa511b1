"""Measure time and memory of describing many small structures in one and two worker processes.

    python benchmarks/many_structures.py [--counts 2000,20000] [--jobs 1,2] [--output FOLDER]

The structures are elements in their simple crystals, in cells of one to eight atoms, in one
extended xyz file. Each run is a command in a process of its own, whose time, processor time and
memory are those of the command and of its workers. On a machine that does other work, the processor
time tells more than the time. The single process is the same command without ``--jobs``, for few
structures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import ase.io
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent))
from descriptor import small_structures

_RESULTS = Path(__file__).resolve().parent / "results" / "many"


def write_structures(path: Path, count: int) -> int:
    """Write structures, a hundred different ones again and again; returns the number of atoms."""
    atoms = 0
    different = small_structures(100)
    with path.open("w") as file:
        for index in range(count):
            one = different[index % len(different)].copy()
            one.rattle(0.02, seed=index)
            ase.io.write(file, one, format="extxyz")
            atoms += len(one)
    return atoms


def run(words: Sequence[str]) -> dict[str, float]:
    """Run a command of csgnn-dgl; returns its time [s], processor time [s] and memory [MiB]."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = time.perf_counter()
    command = psutil.Popen(
        [sys.executable, "-m", "csgnn_dgl.cli", *words, "--no-progress"],
        stdout=subprocess.DEVNULL,
        env=environment,
    )
    times: dict[int, float] = {}
    largest = {"command": 0, "worker": 0}
    while command.poll() is None:
        for process in [command, *_children(command)]:
            _look(process, process is command, times, largest)
        time.sleep(0.1)
    if command.returncode:
        raise SystemExit(f"csgnn-dgl {' '.join(words)} failed")
    found = {
        "seconds": round(time.perf_counter() - started, 1),
        "processor_seconds": round(sum(times.values()), 1),
        "command_mib": round(largest["command"] / 2**20),
    }
    if largest["worker"]:
        found["worker_mib"] = round(largest["worker"] / 2**20)
    return found


def _children(command: psutil.Popen) -> list[psutil.Process]:
    try:
        return list(command.children(recursive=True))
    except psutil.Error:
        return []


def _look(
    process: psutil.Process, is_command: bool, times: dict[int, float], largest: dict[str, int]
) -> None:
    try:
        spent = process.cpu_times()
        memory = process.memory_info().rss
    except psutil.Error:  # it has just ended
        return
    times[process.pid] = spent.user + spent.system
    kind = "command" if is_command else "worker"
    largest[kind] = max(largest[kind], memory)


def measure(counts: Sequence[int], jobs: Sequence[int], folder: Path) -> dict[str, Any]:
    """Describe each number of structures with each number of processes."""
    found: dict[str, Any] = {}
    for count in counts:
        file = folder / f"{count}.extxyz"
        atoms = write_structures(file, count)
        entry: dict[str, Any] = {"atoms": atoms}
        for number in jobs:
            output = folder / "out.parquet"
            words = ["describe-atoms", str(file), "-o", str(output), "--jobs", str(number)]
            entry[f"jobs_{number}"] = run(words)
            shutil.rmtree(output)
            print(count, f"--jobs {number}", entry[f"jobs_{number}"], flush=True)
        found[f"structures_{count}"] = entry
    file, output = folder / f"{counts[0]}.extxyz", folder / "one.parquet"
    found[f"structures_{counts[0]}"]["single"] = run(
        ["describe-atoms", str(file), "-o", str(output)]
    )
    print(counts[0], "single", found[f"structures_{counts[0]}"]["single"], flush=True)
    return found


def main() -> None:
    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=numbers, default=[2000, 20_000])
    parser.add_argument("--jobs", type=numbers, default=[1, 2])
    parser.add_argument("--output", type=Path, default=_RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(options.counts, options.jobs, Path(folder))
    content = {
        "date": date.today().isoformat(),
        "machine": platform.processor() or platform.machine(),
        "cores": psutil.cpu_count(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        **figures,
    }
    options.output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=2) + "\n"
    (options.output / "results.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
