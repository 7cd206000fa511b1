"""Small models of densities of states, untrained, as they are saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase.build import bulk

from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.dos.train import train
from csgnn_dgl.tasks.run_directory import RunDirectory

SMALL: dict[str, Any] = {
    "level": 1,
    "channels": 4,
    "base_width": 4,
    "features": 8,
    "hidden": [8],
    "cutoff": 4.0,
    "epochs": 3,
    "batch_size": 4,
    "learning_rate": 1e-2,
    "validation_fraction": 0.25,
    "rotate": True,
    "atoms_per_structure": 1,
    "dropout": 0.1,
    "jitter": 0.01,
    "accelerator": "cpu",
}


def write_diamonds(folder: Path, name: str, count: int, seed: int) -> None:
    """Frames whose curve follows their lattice constant."""
    rng = np.random.default_rng(seed)
    energies = -10 + 0.5 * np.arange(41)
    frames = []
    for _ in range(count):
        lattice = rng.uniform(3.3, 3.9)
        atoms = bulk("C", "diamond", lattice)
        atoms.rattle(0.05, rng=rng)
        centre = -8 + 4 * (lattice - 3.3)
        atoms.info["dos"] = 4 * np.exp(-((energies - centre) ** 2) / 2) / np.sqrt(2 * np.pi)
        atoms.info["electrons"] = 2.0
        frames.append(atoms)
    ase.io.write(folder / name, frames, format="extxyz")


@pytest.fixture(scope="session")
def small_dos() -> dict[str, Any]:
    """Options of a network that trains in a second."""
    return dict(SMALL)


@pytest.fixture(scope="session")
def more_diamonds() -> Callable[[Path, str, int, int], None]:
    """Writes other frames: folder, name, how many, seed."""
    return write_diamonds


@pytest.fixture(scope="session")
def curves_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Diamonds whose curve follows their lattice constant."""
    folder = tmp_path_factory.mktemp("curves")
    write_diamonds(folder, "train.extxyz", 16, 0)
    write_diamonds(folder, "test.extxyz", 4, 1)
    content = {
        "quantity": "electronic density of states",
        "energies": (-10 + 0.5 * np.arange(41)).tolist(),
        "unit": "eV",
        "zero": "vacuum level",
        "dos_unit": "states/eV/atom",
    }
    (folder / "grid.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="session")
def dos_run(curves_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A finished run that no test changes."""
    output = tmp_path_factory.mktemp("dos") / "run"
    return train(TrainDOSConfig.resolve(flags={**SMALL, "data": curves_folder, "output": output}))
