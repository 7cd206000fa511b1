"""Accuracy against time and memory, with spheres of one level and of different levels.

    python benchmarks/resolution.py --data PATH|solids [--epochs 20] [--seeds 0,1,2] [--test]
                                    [--set KEY=VALUE ...] [--only NAME ...] [--reference NAME]
                                    [--json OUT] [--picture OUT.png]

Every network of ``levels.py`` and some others are trained on the same data with
the same options, and those of the preset ``compact``. Accuracies are means over random orientations
of all shapes of the validation split; with ``--test`` the test split is read, too, once for each
training. Finished trainings in the JSON file are not repeated, so the command can be stopped and
called again; with ``--trainings 0`` it only draws. Give processors one thread (``OMP_NUM_THREADS``)
where others work on the machine, too.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from levels import SETTINGS, machine, measure
from matplotlib.figure import Figure

from csgnn_dgl._files import atomic_write_json
from csgnn_dgl.config import parse_yaml
from csgnn_dgl.datasets.shapes import ShapeSplit
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.models import ShapeCSGNNHypers
from csgnn_dgl.shapes import train_classifier
from csgnn_dgl.tasks.allocator import keep_freed_memory
from csgnn_dgl.tasks.classes.evaluate import find_shapes
from csgnn_dgl.tasks.classes.vote import vote
from csgnn_dgl.tasks.evaluation import Found
from csgnn_dgl.tasks.plots import MAIN, REFERENCE, save_figure, set_labels, styled
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.use_config import EvaluateConfig

#: Networks with finer inner spheres, or fine ones where most points are, and uniform ones that are
#: cheaper in other ways.
FURTHER: dict[str, dict[str, Any]] = {
    "1,1,1,2,3,3,3,2": {"sphere_levels": [1, 1, 1, 2, 3, 3, 3, 2]},
    "1,2,2,3,3,3,2,2": {"sphere_levels": [1, 2, 2, 3, 3, 3, 2, 2]},
    "2,2,2,2,2,2,3,3": {"sphere_levels": [2] * 6 + [3] * 2},
    "3,3,3,3,3,3,4,4": {"sphere_levels": [3] * 6 + [4] * 2},
    "uniform, level 4": {"sphere_levels": [4] * 8},
    "uniform, 4 spheres": {"sphere_levels": [3] * 4},
    "uniform, level 2": {"sphere_levels": [2] * 8},
}


def train_once(
    data: str, options: dict[str, Any], splits: Sequence[str], orientations: int
) -> dict[str, Any]:
    """Train a network; returns its accuracies [%] and the seconds of processors it took."""
    levels = options["sphere_levels"]
    sizes = {"level": max(levels), "n_spheres": len(levels)}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "run"
        start = time.process_time()
        train_classifier(
            None if data == "solids" else data,
            preset="compact",
            output=output,
            **{"train_rotation": "so3", "progress": False, **options, **sizes},
        )
        seconds = time.process_time() - start
        summary = RunDirectory(output).read_summary()
        found = find_shapes(output, EvaluateConfig())
    _, held_out = found.data.split_validation(found.options.validation_fraction, found.options.seed)
    chosen = {"validation": held_out, "test": found.data.test}
    return {
        **{split: accuracy(found, chosen[split], orientations) for split in splits},
        "shapes": {split: len(chosen[split]) for split in splits},
        "seconds": round(seconds, 1),
        "seconds_per_epoch": summary["seconds_per_epoch"],
    }


def accuracy(found: Found[Any, Any, Any], split: ShapeSplit, orientations: int) -> float:
    """Mean accuracy over random orientations of all shapes [%]."""
    right = []
    for seed in range(orientations):
        probabilities = vote(
            found.trained.model,
            split.clouds[:, : found.options.points],
            rotation="so3",
            up_axis=found.data.up_axis,
            votes=1,
            seed=seed,
        )
        right.append(float((probabilities.argmax(dim=1) == split.labels).double().mean()))
    return round(100 * statistics.mean(right), 2)


def _assigned(pairs: Sequence[str]) -> dict[str, Any]:
    found = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise ConfigError(f"--set {pair} is not KEY=VALUE, such as epochs=5")
        found[key] = parse_yaml(text, f"the value of --set {key}")
    return found


@styled
def draw(result: dict[str, Any], path: Path) -> None:
    """Draw the accuracy against the time and the memory of a step."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    split = "test" if result["test"] else "validation"
    for axes, key, label in zip(
        figure.subplots(1, 2, sharey=True),
        ("time_ratio", "memory_ratio"),
        ("time of a training step", "peak memory of a training step"),
        strict=True,
    ):
        shown: set[str] = set()
        for name, row in result["settings"].items():
            accuracies = [run[split] for run in result["runs"].get(name, {}).values()]
            if not accuracies:
                continue
            uniform = len(set(row["sphere_levels"])) == 1
            kind = "spheres of one level" if uniform else "spheres of different levels"
            height = statistics.mean(accuracies)
            axes.errorbar(
                row[key],
                height,
                # From the lowest to the highest seed.
                yerr=[[height - min(accuracies)], [max(accuracies) - height]],
                fmt="s" if uniform else "o",
                color=REFERENCE if uniform else MAIN,
                capsize=3,
                label=None if kind in shown else kind,
            )
            shown.add(kind)
            axes.annotate(
                "uniform, level 3" if name == "uniform" else name,
                (row[key], height),
                xytext=(0, -12),
                textcoords="offset points",
                ha="center",
                fontsize=7,
            )
        axes.set_xlim(0, 1.2)
        axes.margins(y=0.25)
        axes.set_xlabel(f"{label} (uniform: 1)")
    set_labels(figure.axes[0], y=f"{split} accuracy, so3/so3 [%]")
    figure.axes[0].legend(loc="upper left")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_figure(figure, path)


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
    parser.add_argument("--reference", default="uniform", help="what --only is compared with")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", dest="options")
    parser.add_argument("--test", action="store_true", help="read the test split, too")
    parser.add_argument("--batch", type=int, default=32, help="samples of a timed step")
    parser.add_argument("--rounds", type=int, default=7, help="timed steps of each network")
    parser.add_argument("--orientations", type=int, default=10, help="of each evaluated shape")
    parser.add_argument("--trainings", type=int, help="largest number of trainings now")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args(arguments)
    settings = {**SETTINGS, **FURTHER}
    if given.only is not None:
        # The first is what the others are compared with.
        settings = {name: settings[name] for name in (given.reference, *given.only)}
    options = {"epochs": given.epochs, **_assigned(given.options)}
    # Options of the network belong to the steps that are timed, too.
    network = {key: value for key, value in options.items() if key in ShapeCSGNNHypers.model_fields}
    wanted = {
        "data": Path(given.data).name,
        "options": options,
        "test": given.test,
        "orientations": given.orientations,
    }
    result = _stored(given.json, wanted)
    keep_freed_memory()
    if set(settings) - set(result["settings"]):
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        result["machine"] = machine()
        timed = {name: {**network, **own} for name, own in settings.items()}
        result["settings"] = measure(timed, given.batch, given.rounds)
        torch.set_num_threads(threads)
        _store(result, given.json)
    left = math.inf if given.trainings is None else given.trainings
    splits = ("validation", "test") if given.test else ("validation",)
    for seed in given.seeds.split(","):
        for name in settings:
            runs = result["runs"].setdefault(name, {})
            if seed in runs or left <= 0:
                continue
            left -= 1
            chosen = {**options, **settings[name], "seed": int(seed)}
            runs[seed] = train_once(given.data, chosen, splits, given.orientations)
            print(f"{name}, seed {seed}: {runs[seed]}", flush=True)
            _store(result, given.json)
    _store(result, given.json)
    if given.picture:
        draw(result, given.picture)
    return result


def _store(result: dict[str, Any], path: Path | None) -> None:
    """Write the results, with means over seeds."""
    result["means"] = {
        name: {
            "seeds": len(runs),
            **{
                key: round(statistics.mean(run[key] for run in runs.values()), 2)
                for key in ("validation", *(["test"] if result["test"] else []), "seconds")
            },
        }
        for name, runs in result["runs"].items()
        if runs
    }
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_json(path, result)


if __name__ == "__main__":
    main()
