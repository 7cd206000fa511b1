"""Train and test one cell of a comparison."""

from __future__ import annotations

import platform
import shutil
import statistics
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch.nn import functional as F

from csgnn_dgl.benchmarks.timing import measure
from csgnn_dgl.compare.check import check_data
from csgnn_dgl.compare.recipes import training_values
from csgnn_dgl.compare.settings import Cell, Settings
from csgnn_dgl.compare.store import Store
from csgnn_dgl.errors import DataError
from csgnn_dgl.models import Classifier
from csgnn_dgl.models.registry import find_class
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.targets import TARGETS
from csgnn_dgl.tasks.use_config import EvaluateConfig

__all__ = ["run_cell"]

Echo = Callable[[str], object]

# Clouds in an epoch of ModelNet40, for the times per epoch.
_CLOUDS = 9840
_BATCH = 32
_MODELNET40_CLASSES = 40
_LEVELS = {"quick": 2, "compact": 3, "paper": 4}


def run_cell(store: Store, cell: Cell, echo: Echo) -> dict[str, Any]:
    """Train and test a cell, or go on where an earlier process stopped, and record the results.

    Parameters
    ----------
    store
        The comparison; this process must have claimed the cell.
    cell
        The cell.
    echo
        Called with lines of text.

    Raises
    ------
    CSGNNError
        Data or settings cannot be used.
    """
    kind = store.settings.found.kind
    found = _speed(store, cell) if kind == "speed" else _trained(store, cell, echo)
    content = {
        "row": cell.row.name,
        "model": cell.row.model,
        "protocol": cell.protocol,
        "recipe": cell.recipe,
        "seed": cell.seed,
        **found,
        "peak_memory_bytes": _peak_memory(),
        "device": _device(),
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("csgnn-dgl", "torch", "dgl")},
    }
    store.write(cell, content)
    return content


def _trained(store: Store, cell: Cell, echo: Echo) -> dict[str, Any]:
    settings = store.settings
    shapes = settings.found.kind == "shapes"
    kind = "classifier" if shapes else "dos"
    config_class: Any = TrainModelNetConfig if shapes else TrainDOSConfig
    folder, target = store.folder(cell), TARGETS[kind]
    path = folder / "run"
    common: dict[str, Any] = {
        "model": cell.row.model,
        "seed": cell.seed,
        "accelerator": settings.device,
        "devices": "1",
        "progress": False,
    }
    if settings.data is not None:
        common["data"] = Path(settings.data)
    if shapes:
        common["train_rotation"] = cell.protocol
        if settings.up_axis is not None:
            common["up_axis"] = settings.up_axis

    def config(epochs: int | None, output: Path) -> Any:
        values = training_values(config_class, cell, settings.size, epochs)
        return config_class.resolve(flags={**values, **common, "output": output})

    if not _resumable(path):
        check_data(settings, cell.seed)
        shutil.rmtree(path, ignore_errors=True)
        epochs = settings.epochs
        if settings.budget is not None:
            seconds = _known_seconds(store, cell)
            if seconds is None:
                seconds = _seconds_of_an_epoch(target, config(1, folder / "probe"))
            epochs = max(1, int(60 * settings.budget / seconds))
            echo(f"{cell.name}: {epochs} epochs fit into {settings.budget:g} minutes")
        target.train(config(epochs, path), echo)
    elif "seconds_of_training" not in RunDirectory(path).read_summary():
        target.resume(path, echo, None)
    summary = RunDirectory(path).read_summary()
    tests, further = _tests(cell, path, settings, shapes)
    score = summary["validation_accuracy"] if shapes else -summary["validation_loss"]
    seconds = _seconds(summary)
    return {
        "parameters": summary["parameters"],
        "epochs": summary["epochs"],
        "seconds_per_epoch": seconds / summary["epochs"],
        "seconds_of_training": seconds,
        "wall_seconds_of_training": summary["seconds_of_training"],
        "vote_set": EvaluateConfig().vote_set,
        "validation_score": score,
        "data": summary["data"],
        "tests": tests,
        **further,
    }


def _resumable(path: Path) -> bool:
    run = RunDirectory(path)
    return run.config.is_file() and (run.last_checkpoint.is_file() or run.summary.is_file())


def _seconds(summary: Mapping[str, Any]) -> float:
    """Seconds of training; on one core those of the processor, which other work does not change."""
    alone = torch.get_num_threads() == 1 and not torch.cuda.is_available()
    known = summary.get("processor_seconds_of_training") if alone else None
    return float(summary["seconds_of_training"] if known is None else known)


def _known_seconds(store: Store, cell: Cell) -> float | None:
    """Seconds of an epoch, from a cell that differs in protocol or seed only and was done here."""
    here = {"device": _device(), "threads": torch.get_num_threads()}
    for other in store.settings.cells():
        if (other.row, other.recipe) == (cell.row, cell.recipe):
            found = store.result(other)
            if found is not None and here.items() <= found.items():
                return float(found["seconds_per_epoch"])
    return None


def _seconds_of_an_epoch(target: Any, config: Any) -> float:
    """The time of a first epoch, which is thrown away."""
    shutil.rmtree(config.output, ignore_errors=True)
    run = target.train(config, lambda line: None)
    seconds = _seconds(run.read_summary())
    shutil.rmtree(config.output)
    return seconds


def _tests(
    cell: Cell, path: Path, settings: Settings, shapes: bool
) -> tuple[dict[str, float], dict[str, Any]]:
    from csgnn_dgl.tasks.classes.evaluate import evaluate as evaluate_shapes
    from csgnn_dgl.tasks.dos.evaluate import evaluate as evaluate_atoms

    tests: dict[str, float] = {}
    further: dict[str, Any] = {}
    for test in cell.tests:
        options: dict[str, Any] = {"split": "test", "votes": test.votes, "progress": False}
        if shapes:
            shown = evaluate_shapes(path, EvaluateConfig(rotation=test.rotation, **options))
            tests[test.column] = 100 * shown.result.accuracy
            if test.votes == 1:
                further["milliseconds_per_item"] = shown.result.milliseconds_per_shape
            continue
        if test.votes > 1 and find_class("atoms", cell.row.model).invariant:
            tests[test.column] = tests[cell.tests[0].column]  # votes change nothing
            continue
        found = evaluate_atoms(path, EvaluateConfig(**options))
        errors = _band_energies(cell, found.table)
        tests[test.column] = errors.pop("all")
        if test.votes == 1:
            further["by_type"] = errors
            further["milliseconds_per_item"] = found.milliseconds_per_structure
    return tests, further


def _band_energies(cell: Cell, table: pd.DataFrame) -> dict[str, float]:
    """Mean errors by type of structure, and of all; without types of which none is known."""
    column = table.get("band_energy_mae")
    # Curves with fewer states than electrons have no band energy.
    if column is None or column.iloc[-1] != column.iloc[-1]:
        raise DataError(
            f"{cell.name}: no curve that it predicts for the test structures holds as many states "
            f"as they have electrons, so there is no band energy; train longer"
        )
    return {
        str(name): float(value)
        for name, value in zip(table["type"], column, strict=True)
        if value == value
    }


def _speed(store: Store, cell: Cell) -> dict[str, Any]:
    """Seconds of an epoch and milliseconds of a batch, on random clouds."""
    kind = find_class("shapes", cell.row.model)
    hypers = kind.Hypers(level=_LEVELS[store.settings.size], **cell.row.options)
    cuda = torch.cuda.is_available() and store.settings.device in ("auto", "gpu", "cuda")
    device = torch.device("cuda" if cuda else "cpu")
    torch.manual_seed(cell.seed)
    network = Classifier(kind(hypers), _MODELNET40_CLASSES).to(device)
    points = (torch.rand(_BATCH, 1024, 3) - 0.5).to(device)
    labels = torch.arange(_BATCH, device=device) % _MODELNET40_CLASSES
    optimizer = torch.optim.Adam(network.parameters())

    def step() -> None:
        network.train()
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(network(points), labels).backward()
        optimizer.step()

    @torch.no_grad()
    def infer() -> None:
        network.eval()(points)

    times = {}
    for name, function in (("train", step), ("infer", infer)):
        function()
        times[name] = statistics.median(measure(function, synchronise=cuda) for _ in range(3))
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "tests": {
            "s per epoch": times["train"] * _CLOUDS / _BATCH,
            "ms per batch": 1000 * times["infer"],
        },
    }


def _peak_memory() -> int | None:
    """Largest memory of this process, or of the GPU where one is used [bytes]."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated()
    if sys.platform == "win32":
        return None
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def _device() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU"
