"""A small classifier, trained once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.train import train
from csgnn_dgl.tasks.run_directory import RunDirectory

SMALL: dict[str, Any] = {
    "level": 1,
    "n_spheres": 2,
    "channels": 2,
    "base_width": 4,
    "hidden": [16],
    "points": 64,
    "pool": 96,
    "epochs": 3,
    "batch_size": 4,
    "learning_rate": 1e-2,
    "validation_fraction": 0.34,
    "dropout": 0.1,
    "accelerator": "cpu",
}


@pytest.fixture(scope="session")
def small(clouds: Path) -> dict[str, Any]:
    """Options of a network that trains in a second."""
    return {**SMALL, "data": clouds}


@pytest.fixture(scope="session")
def small_run(small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A finished run that no test changes."""
    output = tmp_path_factory.mktemp("run") / "finished"
    return train(TrainModelNetConfig.resolve(flags={**small, "output": output}))
