"""The last layer fitted by least squares after a training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase.build import bulk

from csgnn_dgl.datasets.atoms.dos import DOSRecord
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.mapping.neighbors import find_neighbors
from csgnn_dgl.models import AtomCSGNN, AtomCSGNNHypers, DOSModel
from csgnn_dgl.models.dos import structure_mean
from csgnn_dgl.models.fitted_head import FittedHead
from csgnn_dgl.physics import EnergyGrid
from csgnn_dgl.tasks.dos import closing_fit as module
from csgnn_dgl.tasks.dos.closing_fit import closing_fit, held_out_loss
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.dos.evaluate import evaluate
from csgnn_dgl.tasks.dos.task import DOSTask, StructureBatches
from csgnn_dgl.tasks.dos.train import resume, train
from csgnn_dgl.tasks.dos.trained import load_dos_model
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.use_config import EvaluateConfig
from csgnn_dgl.tasks.weights import load_weights

GRID = EnergyGrid(-3.0, 0.5, 9, "eV", "vacuum level")


def records(count: int, seed: int, *, atoms: bool, gaps: bool = False) -> list[DOSRecord]:
    rng = np.random.default_rng(seed)
    found = []
    for index in range(count):
        cell = bulk("C", "diamond", rng.uniform(3.3, 3.9)) * (1, 1, 1 + index % 2)
        cell.rattle(0.1, rng=rng)
        own = rng.random((len(cell), GRID.size))
        curve = own.mean(axis=0)
        if gaps and index % 3 == 0:
            curve[-2:] = np.nan
        found.append(DOSRecord(cell, curve, f"{index}", atom_dos=own if atoms else None))
    return found


def task(members: int = 1, **options: Any) -> DOSTask:
    torch.manual_seed(0)
    config = TrainDOSConfig.resolve(flags={"batch_size": 4, **options})
    hypers = AtomCSGNNHypers(
        level=1, channels=4, base_width=4, features=6, cutoff=4.0, members=members
    )
    network = DOSModel(AtomCSGNN(hypers, (6,)), GRID.size, hidden=(5,)).double()
    return DOSTask(config, network, GRID)


def to_fit(found: DOSTask) -> DOSModel:
    """An untrained network like that of a task, whose heads are to be fitted."""
    model = AtomCSGNN(found.model.model.hypers, (6,))
    return DOSModel(model, GRID.size, hidden=(5,), fitted=True)


@pytest.mark.parametrize(("atoms", "gaps"), [(True, False), (False, False), (False, True)])
def test_it_is_the_least_squares_solution(
    atoms: bool, gaps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As numpy finds it for each bin, from rows of structures and of atoms with their weights."""
    monkeypatch.setattr(module, "RIDGES", (0.0,))
    found = task(atom_weight=0.7, rotate=False)
    training = records(40, 0, atoms=atoms, gaps=gaps)
    batches = StructureBatches(training, 4.0)
    fitted = to_fit(found)
    assert closing_fit(found, fitted, batches, batches).ridge == 0.0
    assert isinstance(fitted.head, FittedHead)
    neighbors = find_neighbors([r.atoms for r in training], 4.0).to("cpu", torch.float64)
    with torch.no_grad():
        rows = fitted.head.rows(found.model.describe(neighbors))
    rows = torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
    mean = structure_mean(rows, neighbors).numpy()
    for bin_ in range(GRID.size):
        curve = np.array([r.dos[bin_] for r in training])
        known = np.isfinite(curve)
        left = [mean[known] / known.sum() ** 0.5]
        right = [curve[known] / known.sum() ** 0.5]
        if atoms:
            own = np.concatenate([r.atom_dos for r in training if r.atom_dos is not None])
            left.append(rows.numpy() * (0.7 / len(rows)) ** 0.5)
            right.append(own[:, bin_] * (0.7 / len(rows)) ** 0.5)
        solution = np.linalg.lstsq(np.concatenate(left), np.concatenate(right))[0]
        expected = rows.numpy() @ solution
        linear = fitted.head.linear
        weight = torch.cat([linear.weight, linear.bias[:, None]], dim=1)
        np.testing.assert_allclose((rows @ weight[bin_].detach()).numpy(), expected, atol=1e-6)


def test_bins_that_no_structure_defines_are_zero() -> None:
    training = records(20, 0, atoms=False)
    for record in training:
        record.dos[-3:] = np.nan
    found, batches = task(rotate=False), StructureBatches(training, 4.0)
    fitted = to_fit(found)
    assert closing_fit(found, fitted, batches, batches).ridge is not None
    assert not fitted.head.linear.weight[-3:].any()
    assert fitted.head.linear.weight[:-3].any(dim=1).all()


def test_members_are_fitted_each() -> None:
    found = task(members=2, rotate=True)
    batches = StructureBatches(records(30, 0, atoms=True), 4.0)
    before = {name: value.clone() for name, value in found.model.state_dict().items()}
    fitted = to_fit(found)
    result = closing_fit(found, fitted, batches, batches)
    assert [type(head) for head in fitted.head.heads] == [FittedHead, FittedHead]
    good = [r for r, v in result.losses.items() if r and v <= 1.01 * min(result.losses.values())]
    assert result.ridge == max(good)
    loss, error = held_out_loss(found, fitted, batches)
    assert loss == pytest.approx(result.losses[result.ridge])
    assert error == pytest.approx(result.error)
    after = found.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_better_trained_layer_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RIDGES", (1e12,))
    found = task(rotate=False)
    batches = StructureBatches(records(12, 0, atoms=False), 4.0)
    found.model.eval().head.calibrate(batches.curves)
    # A layer that gives every held-out structure its own curve cannot be beaten by a mean.
    held_out = StructureBatches(records(4, 1, atoms=False), 4.0)
    with torch.no_grad():
        held_out.curves = torch.cat(
            [
                found.model(held_out.__getitems__([i]).neighbors.to("cpu", torch.float64))
                for i in range(4)
            ]
        )
    result = closing_fit(found, to_fit(found), batches, held_out)
    assert result.ridge is None
    assert result.loss == result.losses[None]
    assert result.error < 1e-6


@pytest.fixture(scope="module")
def fitted_run(
    curves_folder: Path, small_dos: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> RunDirectory:
    """A finished run with a closing fit, which no test changes."""
    output = tmp_path_factory.mktemp("fitted") / "run"
    flags = {**small_dos, "data": curves_folder, "output": output, "closing_fit": True}
    return train(TrainDOSConfig.resolve(flags=flags))


def test_a_run_with_a_closing_fit(fitted_run: RunDirectory, dos_run: RunDirectory) -> None:
    """Its figures are those of the fitted layer, and evaluation uses it."""
    header, state = load_weights(fitted_run.model, "dos")
    assert header.head["fitted"] is True
    assert "head.linear.weight" in state
    summary, before = fitted_run.read_summary(), dos_run.read_summary()
    assert summary["validation_loss"] < summary["closing_fit"]["validation_loss_before"]
    assert summary["validation_error"] < before["validation_error"]
    found = evaluate(fitted_run.path, EvaluateConfig(split="validation"))
    mean = found.structures["dos_mae"].mean()
    assert mean == pytest.approx(summary["validation_error"], rel=1e-4)


def test_resuming_a_finished_run_changes_nothing(fitted_run: RunDirectory, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(fitted_run.path, copy)
    before = json.loads((copy / "summary.json").read_text())
    resume(copy)
    old, new = (
        load_weights(path, "dos")[1] for path in (fitted_run.model, copy / "model.safetensors")
    )
    assert old.keys() == new.keys()
    assert all(torch.equal(old[name], new[name]) for name in old)
    after = json.loads((copy / "summary.json").read_text())
    assert after["closing_fit"] == before["closing_fit"]
    assert after["validation_loss"] == pytest.approx(before["validation_loss"])


@pytest.fixture
def same_training(fitted_run: RunDirectory, tmp_path: Path) -> TrainDOSConfig:
    """Options of the finished run, for another folder."""
    config = TrainDOSConfig.from_yaml(fitted_run.config)
    return config.model_copy(update={"output": tmp_path / "run"})


def test_a_finished_run_that_kept_its_layer_can_be_fitted(
    fitted_run: RunDirectory, same_training: TrainDOSConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was learned of the trained layer gives way to what is learned of the fitted one."""
    with monkeypatch.context() as patch:
        patch.setattr(module, "RIDGES", ())  # no fit is better
        run = train(same_training)
    before, summary = load_weights(run.model, "dos")[0], run.read_summary()
    assert "fitted" not in before.head
    assert summary["closing_fit"]["ridge"] is None
    assert summary["validation_loss"] == summary["closing_fit"]["validation_loss_before"]
    resume(run.path)
    after = load_weights(run.model, "dos")
    whole = load_weights(fitted_run.model, "dos")
    assert after[0].head == whole[0].head
    assert after[0].domain == whole[0].domain
    assert not [name for name in whole[1] if not torch.equal(after[1][name], whole[1][name])]


def test_an_interrupted_run_ends_with_the_same_fit(
    fitted_run: RunDirectory, same_training: TrainDOSConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it was interrupted during the fit: the trained layer is what a reader finds then."""

    def broken(*args: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("csgnn_dgl.tasks.dos.train.closing_fit", broken)
        with pytest.raises(MemoryError):
            train(same_training)
    output = same_training.output
    assert output is not None
    assert "fitted" not in load_dos_model(output).header.head
    resumed = load_weights(resume(output).model, "dos")[1]
    whole = load_weights(fitted_run.model, "dos")[1]
    assert resumed.keys() == whole.keys()
    assert not [name for name in whole if not torch.equal(resumed[name], whole[name])]


def test_not_with_shares() -> None:
    with pytest.raises(ConfigError, match="apart and closing_fit are both on"):
        TrainDOSConfig.resolve(flags={"apart": True, "closing_fit": True})
