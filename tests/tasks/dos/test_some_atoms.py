"""Training on some atoms of each structure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase.build import bulk

from csgnn_dgl.datasets.atoms.dos import DOSRecord
from csgnn_dgl.models import AtomCSGNN, AtomCSGNNHypers, DOSModel
from csgnn_dgl.physics import EnergyGrid
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.dos.task import DOSTask, StructureBatches
from csgnn_dgl.tasks.dos.train import train, without_curves
from csgnn_dgl.tasks.seeds import generator
from csgnn_dgl.testing.samples import write_dos_folder


def test_some_atoms_of_each_structure_with_their_own_curves() -> None:
    rng = np.random.default_rng(0)
    records = []
    for count in (1, 3, 5):
        atoms = bulk("C", "diamond", 3.5, cubic=True)[:count]
        shares = rng.random((count, 4))
        records.append(DOSRecord(atoms, shares.mean(axis=0), str(count), atom_dos=shares))
    batch = StructureBatches(records, 4.0).__getitems__([0, 1, 2])
    assert batch.atom_curves is not None
    some = batch.some_atoms(2, generator(0, "atoms"))
    assert torch.bincount(some.neighbors.structures).tolist() == [1, 2, 2]
    assert some.atom_curves is not None
    for index, record in enumerate(records):
        rows = some.atom_curves[some.neighbors.structures == index]
        torch.testing.assert_close(rows.mean(dim=0), some.curves[index])
        assert record.atom_dos is not None
        known = torch.as_tensor(record.atom_dos).float()
        assert all((row == known).all(dim=1).any() for row in rows)
    other = batch.some_atoms(2, generator(1, "atoms"))
    assert not torch.equal(other.curves, some.curves)


def test_without_curves_of_atoms_the_target_stays_that_of_the_structure() -> None:
    record = DOSRecord(bulk("C", "diamond", 3.5, cubic=True), np.arange(4.0), "x")
    batch = StructureBatches([record, record], 4.0).__getitems__([0, 1])
    some = batch.some_atoms(2, generator(0, "atoms"))
    assert some.neighbors.n_atoms == 4
    assert torch.equal(some.curves, batch.curves)


def test_structures_with_and_without_curves_of_atoms_share_a_batch() -> None:
    atoms = bulk("C", "diamond", 3.5)
    shares = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    with_curves = DOSRecord(atoms, shares.mean(axis=0), "a", atom_dos=shares)
    without = DOSRecord(atoms, np.array([5.0, 6.0, 7.0]), "b")
    batch = StructureBatches([with_curves, without], 4.0).__getitems__([0, 1])
    assert batch.atom_curves is not None
    assert torch.equal(batch.atom_curves[:2], torch.tensor(shares).float())
    some = batch.some_atoms(1, generator(0, "atoms"))
    assert some.curves[1].tolist() == [5.0, 6.0, 7.0]
    assert some.curves[0].tolist() in shares.tolist()
    config = TrainDOSConfig.resolve(flags={"atoms_per_structure": 1})
    sizes = AtomCSGNNHypers(level=1, channels=4, base_width=4, features=8, cutoff=4.0)
    network = DOSModel(AtomCSGNN(sizes, (6,)), 3, hidden=(8,))
    task = DOSTask(config, network, EnergyGrid(0.0, 0.5, 3))
    predicted = torch.ones(4, 3, requires_grad=True)
    loss, _ = task._losses(predicted, batch.atom_curves, None)
    loss.backward()
    assert predicted.grad is not None
    assert predicted.grad[2:].abs().max() == 0
    assert predicted.grad[:2].abs().max() > 0
    assert StructureBatches([without], 4.0).__getitems__([0]).atom_curves is None


def _records(known: str) -> list[DOSRecord]:
    records = []
    for index in range(4):
        curves: np.ndarray | None = np.ones((8, 3))
        if known == "none" or (known == "two structures lack them" and index < 2):
            curves = None
        atoms = bulk("C", "diamond", 3.5, cubic=True)
        records.append(DOSRecord(atoms, np.ones(3), f"crystal {index}", atom_dos=curves))
    return records


@pytest.mark.parametrize(
    ("known", "count", "lacking"),
    [
        ("none", 4, 4),
        ("none", 8, 0),  # all atoms of the structures
        ("none", None, 0),
        ("all", 4, 0),
        ("two structures lack them", 4, 2),
    ],
)
def test_structures_without_curves_of_atoms(known: str, count: int | None, lacking: int) -> None:
    lines = without_curves(_records(known), count)
    assert len(lines) == (lacking > 0)
    if lines:
        assert lines[0].startswith(f"{lacking} of 4 training structures, such as crystal 0,")


def test_a_training_tells_of_them(tmp_path: Path) -> None:
    data = write_dos_folder(tmp_path / "data", (6,), train=12, test=2)
    lines: list[str] = []
    options: dict[str, Any] = {"level": 1, "channels": 2, "base_width": 2, "features": 4}
    options |= {"hidden": [4], "cutoff": 4.0, "epochs": 1, "accelerator": "cpu"}
    options |= {"atoms_per_structure": 1, "data": data, "output": tmp_path / "run"}
    train(TrainDOSConfig.resolve(flags=options), lines.append)
    (told,) = [line for line in lines if "atoms_per_structure" in line]
    assert told.startswith("warning: ")
    assert "have no curves of their atoms" in told
