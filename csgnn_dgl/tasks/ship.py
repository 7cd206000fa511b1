"""Put a trained model into the package.

``python -m csgnn_dgl.tasks.ship RUN NAME`` copies the weights, without paths of the machine that
trained them, and puts the results of the run's last evaluation into ``models.json``.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from csgnn_dgl._files import atomic_write_json
from csgnn_dgl.errors import CheckpointError, suggest
from csgnn_dgl.tasks.learned import drop_intervals
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.shipped import FOLDER
from csgnn_dgl.tasks.targets import target_of
from csgnn_dgl.tasks.weights import load_weights, save_weights

__all__ = ["ship"]


def ship(path: Path, name: str, folder: Path = FOLDER) -> Path:
    """Copy a run's weights and results to the folder of shipped models.

    Parameters
    ----------
    path
        The run, which must have been evaluated.
    name
        One of the names in ``models.json``.
    folder
        Folder of ``models.json``.

    Raises
    ------
    CheckpointError
        There is no such run or name, the run was not evaluated, or it is of another kind.
    """
    run = RunDirectory.open(path)
    summary = run.read_summary()
    if not summary.get("evaluation"):
        raise CheckpointError(f"{path} was not evaluated; run: csgnn-dgl evaluate {path}")
    listed: dict[str, Any] = json.loads((folder / "models.json").read_text(encoding="utf-8"))
    if name not in listed:
        raise CheckpointError(f"unknown model {name!r}: {suggest(name, listed)}")
    kind = target_of(path).kind
    if kind != listed[name]["kind"]:
        raise CheckpointError(
            f"{path} holds a model of the kind {kind!r}, but {name} is one of the kind "
            f"{listed[name]['kind']!r}"
        )
    header, state = load_weights(run.model, kind)
    target = folder / str(listed[name]["file"])
    save_weights(target, state, replace(header, data={**header.data, "source": name}))
    drop_intervals(target, kind, listed[name].get("without_intervals", ()))
    last = summary["evaluation"][-1]
    trained_on = ("training_structures", "training_shapes", "classes")
    found = {
        "split": last["split"],
        "votes": last["votes"],
        "parameters": summary["parameters"],
        **{key: summary["data"][key] for key in trained_on if key in summary["data"]},
        **_results(summary),
    }
    listed[name]["figures"] = {
        key: round(v, 4) if isinstance(v, float) else v for key, v in found.items()
    }
    atomic_write_json(folder / "models.json", listed)
    return target


def _results(summary: dict[str, Any]) -> dict[str, Any]:
    """Results of the last evaluation over all types of structure, or over all classes."""
    last = summary["evaluation"][-1]
    if "figures" in last:
        (overall,) = [row for row in last["figures"] if row["type"] == "all"]
        return {key: value for key, value in overall.items() if key != "type"}
    found = {key: last[key] for key in ("rotation", "shapes", "accuracy")}
    if summary.get("retrieval"):
        ranked = summary["retrieval"][-1]
        found["mean_average_precision"] = ranked["mean_average_precision"]
    return found


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("name")
def main(run: Path, name: str) -> None:
    """Ship the model of RUN with the package as NAME."""
    click.echo(ship(run, name))


if __name__ == "__main__":
    main()
