"""Accuracy against time and memory, with spheres of one level and of different levels.

    python benchmarks/resolution.py --data PATH|solids [--epochs 20] [--seeds 0,1,2] [--test]
                                    [--set KEY=VALUE] [--json OUT] [--picture OUT.png]

Every network of ``levels.py`` and two uniform ones of other sizes are trained on the same data with
the same options, and those of the preset ``compact``. The accuracy is that on the validation split
with random rotations; with ``--test`` the test split is read, too, once for each training. Finished
trainings in the JSON file are not repeated, so the command can be stopped and called again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from levels import SETTINGS, machine, measure
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from csgnn_dgl._files import atomic_write_json
from csgnn_dgl.config import parse_yaml
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.shapes import train_classifier
from csgnn_dgl.tasks.allocator import keep_freed_memory
from csgnn_dgl.tasks.run_directory import RunDirectory

#: Uniform networks that are cheaper in other ways, for comparison.
CHEAPER: dict[str, dict[str, Any]] = {
    "uniform, 4 spheres": {"sphere_levels": [3] * 4},
    "uniform, level 2": {"sphere_levels": [2] * 8},
}


def train_once(data: str, options: dict[str, Any], test: bool) -> dict[str, float]:
    """Train a network; returns its accuracies [%] and the seconds per epoch."""
    levels = options["sphere_levels"]
    sizes = {"level": max(levels), "n_spheres": len(levels)}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "run"
        trained = train_classifier(
            None if data == "solids" else data,
            preset="compact",
            output=output,
            **{"train_rotation": "so3", **options, **sizes},
        )
        summary = RunDirectory(output).read_summary()
        found = {
            "validation": 100 * summary["validation_accuracy"],
            "seconds_per_epoch": summary["seconds_per_epoch"],
        }
        if test:
            found["test"] = 100 * trained.evaluate(rotation="so3").result.accuracy
    return found


def _assigned(pairs: Sequence[str]) -> dict[str, Any]:
    found = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise ConfigError(f"--set {pair} is not KEY=VALUE, such as epochs=5")
        found[key] = parse_yaml(text, f"the value of --set {key}")
    return found


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw the accuracy against the time and the memory of a step."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    kind = "test" if result["test"] else "validation"
    for axes, key, label in zip(
        figure.subplots(1, 2, sharey=True),
        ("time_ratio", "memory_ratio"),
        ("time of a training step", "peak memory of a training step"),
        strict=True,
    ):
        for name, row in result["settings"].items():
            accuracies = [run[kind] for run in result["runs"].get(name, {}).values()]
            if not accuracies:
                continue
            uniform = len(set(row["sphere_levels"])) == 1
            spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0
            marker, color = ("s", "tab:gray") if uniform else ("o", "tab:blue")
            height = statistics.mean(accuracies)
            axes.errorbar(row[key], height, yerr=spread, fmt=marker, color=color, capsize=3)
            axes.annotate(
                name, (row[key], height), xytext=(5, 5), textcoords="offset points", fontsize=7
            )
        axes.set_xlabel(f"{label}, relative to uniform")
        axes.set_xlim(0, 1.25)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel(f"{kind} accuracy, SO(3) [%]")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _stored(path: Path | None, wanted: dict[str, Any]) -> dict[str, Any]:
    """Results of an earlier call with the same options; empty if there is none."""
    if path is None or not path.exists():
        return {**wanted, "settings": {}, "runs": {}}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if {key: found.get(key) for key in wanted} != wanted:
        raise ConfigError(f"{path} holds results of other options; remove it, or write elsewhere")
    return found


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, train, write the numbers and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="solids")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--only", nargs="*", help="names of settings, instead of all")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", dest="options")
    parser.add_argument("--test", action="store_true", help="read the test split, too")
    parser.add_argument("--batch", type=int, default=32, help="samples of a timed step")
    parser.add_argument("--rounds", type=int, default=7, help="timed steps of each network")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args(arguments)
    settings = {**SETTINGS, **CHEAPER}
    if given.only is not None:
        # The first is what the others are compared with.
        settings = {name: settings[name] for name in ("uniform", *given.only)}
    options = {"epochs": given.epochs, **_assigned(given.options)}
    data = Path(given.data).name
    result = _stored(given.json, {"data": data, "options": options, "test": given.test})
    keep_freed_memory()
    if set(settings) - set(result["settings"]):
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        result["machine"] = machine()
        result["settings"] = measure(settings, given.batch, given.rounds)
        torch.set_num_threads(threads)
    for seed in given.seeds.split(","):
        for name in settings:
            runs = result["runs"].setdefault(name, {})
            if seed in runs:
                continue
            wanted = {**options, **settings[name], "seed": int(seed)}
            runs[seed] = train_once(given.data, wanted, given.test)
            print(f"{name}, seed {seed}: {runs[seed]}", flush=True)
            if given.json:
                given.json.parent.mkdir(parents=True, exist_ok=True)
                atomic_write_json(given.json, result)
    if given.picture:
        draw(result, given.picture)
    return result


if __name__ == "__main__":
    main()
