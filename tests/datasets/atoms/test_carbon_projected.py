"""Densities of states of the atoms of carbon trajectories."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from csgnn_dgl.datasets.atoms.carbon_projected import (
    project_all,
    projected_path,
    read_projected,
    write_projected,
)
from csgnn_dgl.datasets.atoms.carbon_trajectory import read_trajectory
from csgnn_dgl.datasets.atoms.dos_carbon import BUILT_IN
from csgnn_dgl.datasets.atoms.loading import load_dos_dataset
from csgnn_dgl.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The cages of the built-in set."""
    for name in ("C20-300K-train", "C20-300K-test"):
        shutil.copy(BUILT_IN / f"{name}.npz", tmp_path)
    shutil.copy(BUILT_IN / "recipe.json", tmp_path)
    return tmp_path


def test_atoms_add_up_to_their_structure(folder: Path) -> None:
    file = folder / "C20-300K-train.npz"
    trajectory = read_trajectory(file)
    curves = read_projected(write_projected(file), trajectory)
    assert curves.shape == (20, 20, 310)
    np.testing.assert_allclose(curves.astype(np.float64).mean(axis=1), trajectory.dos, atol=5e-4)
    # Atoms differ: this is more than the structure's curve copied.
    assert curves.astype(np.float64).std(axis=1).max() > 0.05


def test_records_carry_them(folder: Path) -> None:
    project_all(sorted(folder.glob("*.npz")), processes=1)
    dataset = load_dos_dataset(folder)
    assert len(dataset.train) == 20
    assert all(r.atom_dos is not None and r.atom_dos.shape == (20, 310) for r in dataset.records)
    assert "25 structures have curves of their atoms" in dataset.summary()


def test_those_of_another_trajectory_are_refused(folder: Path) -> None:
    train, test = folder / "C20-300K-train.npz", folder / "C20-300K-test.npz"
    write_projected(test)
    shutil.copy(projected_path(test), projected_path(train))
    with pytest.raises(DataError, match="does not belong to"):
        read_projected(projected_path(train), read_trajectory(train))
    projected_path(train).write_bytes(b"PK")
    with pytest.raises(DataError, match="is damaged, or no archive"):
        read_projected(projected_path(train), read_trajectory(train))
