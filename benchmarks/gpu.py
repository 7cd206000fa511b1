"""Check and time the GPU path in one run of less than five minutes.

    python benchmarks/gpu.py --output benchmarks/results/h100/results.json

First everything is checked against float64 on the CPU. Then the ceilings of the card, training and
inference of the paper's classifier (level 4, R = 16, C = 8, batch 32), mapping and kernels are
timed, with our Triton kernels and with PyTorch's alone. The JSON is written after each part.
Parts for which there is no time left are skipped, and named. ``--device cpu --quick`` runs
everything that needs no GPU, with small sizes.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpu_checks
import gpu_times
import torch
from gpu_common import Setting

from csgnn_dgl._files import atomic_write_json


class Run:
    """Results so far, and the time limit."""

    def __init__(self, setting: Setting, output: Path, seconds: float) -> None:
        self.output, self.end = output, time.monotonic() + seconds
        cuda = setting.device.type == "cuda"
        self.results: dict[str, Any] = {
            "device": torch.cuda.get_device_name() if cuda else "CPU",
            "torch": torch.__version__,
            "quick": setting.quick,
            "checks": {},
            "times": {},
            "skipped": [],
            "failed": {},
        }

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
            self.results["failed"][name] = f"{type(error).__name__}: {str(error)[:300]}"
            found = None
        if found is not None:
            found = _rounded(found)
            self.results[group][name] = found
            print(f"{name}: {found}", flush=True)
        self.output.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_json(self.output, self.results)


def _rounded(found: Any) -> Any:
    if isinstance(found, dict):
        return {name: _rounded(value) for name, value in found.items()}
    return float(f"{found:.4g}") if isinstance(found, float) else found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/gpu.json"))
    parser.add_argument("--seconds", type=float, default=280, help="time limit for starting parts")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--profile", type=Path, help="file for a table of the kernels of a step")
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print(
            "error: torch finds no CUDA device; --device cpu checks what needs none",
            file=sys.stderr,
        )
        return 2
    setting = Setting.of(options.device, options.quick)
    run = Run(setting, options.output, options.seconds)
    for name, function in gpu_checks.parts(setting).items():
        run.part("checks", name, function, 10)
    for name, function in gpu_times.parts(setting).items():
        run.part("times", name, function, 60 if "compiled" in name else 5)
    if options.profile is not None:
        run.part("times", "profile", lambda: gpu_times.profile(setting, options.profile), 10)
    for name, error in run.results["failed"].items():
        print(f"FAILED {name}: {error}")
    print(f"written to {run.output}")
    return 1 if run.results["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
