"""Compare models of densities of states in one run, with the same data, head and training.

    python benchmarks/dos.py --data data/carbon-tb --preset quick --output runs/dos-benchmark

Trains (1) CSGNN with exact invariants beside the grid, (2) without, (3) with a single channel,
``C = 1``, and (4) the AGNI fingerprint, as ``csgnn-dgl train dos`` does, each in its own run
directory. Also takes (5) the mean curve of each type of structure. Prints the errors on the test
structures, and writes them as JSON and CSV.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch

from csgnn_dgl._files import atomic_write_json, atomic_write_text
from csgnn_dgl.datasets.atoms.dos import DOSDataset
from csgnn_dgl.datasets.atoms.loading import load_dos_dataset
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.tasks import allocator
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.dos.errors import compare_curves, summarize
from csgnn_dgl.tasks.dos.evaluate import evaluate
from csgnn_dgl.tasks.dos.train import train
from csgnn_dgl.tasks.use_config import EvaluateConfig

SYSTEMS = {
    "concentric grid with exact invariants": {"model": "csgnn", "invariants": "all"},
    "concentric grid": {"model": "csgnn", "invariants": "none", "append_invariants": False},
    "concentric grid, C = 1": {
        "model": "csgnn",
        "invariants": "none",
        "append_invariants": False,
        "channels": 1,
    },
    "AGNI-type fingerprint": {"model": "agni"},
}


def group_means(dataset: DOSDataset) -> np.ndarray:
    """Mean training curve of the type of every test structure."""
    groups = pd.Series([record.group for record in dataset.train])
    curves = np.array([record.dos for record in dataset.train])
    by_group = groups.groupby(groups).groups
    means = {name: curves[np.array(rows)].mean(axis=0) for name, rows in by_group.items()}
    return np.array([means[record.group] for record in dataset.test])


@click.command(context_settings={"show_default": True})
@click.option("--data", type=click.Path(path_type=Path), help="Default: the built-in carbon set.")
@click.option("--preset", default="quick", help="Preset of all systems.")
@click.option("--epochs", type=int, help="Epochs of all systems. Default: the preset's.")
@click.option("--seed", default=0, help="Random seed of all systems.")
@click.option("--votes", default=1, help="Orientations per test structure.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder to make.")
def main(
    data: Path | None, preset: str, epochs: int | None, seed: int, votes: int, output: Path
) -> None:
    """Train the model and its alternatives, and compare them on the test structures."""
    allocator.keep_freed_memory()
    dataset = load_dos_dataset(data, seed=seed)
    if not dataset.test:
        raise ConfigError(f"{dataset.source} has no test structures; choose data that have some")
    tables, seconds = {}, {}
    for name, options in SYSTEMS.items():
        click.echo(f"== {name}")
        flags = {**options, "data": data, "seed": seed, "output": output / f"model-{len(tables)}"}
        if epochs is not None:
            flags["epochs"] = epochs
        run = train(TrainDOSConfig.resolve(preset=preset, flags=flags), click.echo)
        tables[name] = evaluate(run.path, EvaluateConfig(votes=votes)).table
        seconds[name] = run.read_summary()["seconds_of_training"]
    means = compare_curves(dataset.test, group_means(dataset), dataset.grid)
    tables["mean curve of the type"] = summarize(means)
    shown = pd.DataFrame(
        {name: table.set_index("type")["band_energy_mae"] for name, table in tables.items()}
    )
    click.echo(f"\nband energy, mean absolute error [{dataset.grid.unit}/atom]")
    click.echo(shown.to_string(float_format=lambda value: f"{value:.4f}"))
    atomic_write_text(output / "band-energy.csv", shown.to_csv())
    atomic_write_json(
        output / "results.json",
        {
            "data": dataset.source,
            "fingerprint": dataset.fingerprint,
            "threads": torch.get_num_threads(),
            "votes": votes,
            "seconds": seconds,
            "tables": {name: table.fillna(0).to_dict("records") for name, table in tables.items()},
        },
    )


if __name__ == "__main__":
    main()
