"""Training and evaluating small models of densities of states."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from ase.build import bulk

from csgnn_dgl.cli.main import main
from csgnn_dgl.datasets.atoms.dos import DOSRecord
from csgnn_dgl.errors import CheckpointError, ConfigError, DataError
from csgnn_dgl.mapping.neighbors import find_neighbors
from csgnn_dgl.models import AtomCSGNN, AtomCSGNNHypers, DOSModel
from csgnn_dgl.models.heads import CurveHeads
from csgnn_dgl.nn.site_norm import Norm
from csgnn_dgl.physics import EnergyGrid, density_of_states, find_levels
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.dos.errors import compare_curves, summarize
from csgnn_dgl.tasks.dos.evaluate import evaluate
from csgnn_dgl.tasks.dos.learn import absolute_errors
from csgnn_dgl.tasks.dos.task import (
    DOSBatch,
    DOSTask,
    StructureBatches,
    fermi_levels,
    random_turns,
)
from csgnn_dgl.tasks.dos.train import resume, train
from csgnn_dgl.tasks.dos.trained import load_dos_model
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.seeds import generator
from csgnn_dgl.tasks.training import fit
from csgnn_dgl.tasks.use_config import EvaluateConfig
from csgnn_dgl.tasks.weights import load_weights, save_weights


def _weights(run: RunDirectory) -> dict[str, torch.Tensor]:
    return load_weights(run.model, "dos")[1]


def test_run_directory_is_complete(dos_run: RunDirectory) -> None:
    assert list(pd.read_csv(dos_run.metrics)["epoch"]) == [1, 2, 3]
    for name in ("curves", "examples-validation"):
        assert dos_run.figure(name).read_bytes().startswith(b"\x89PNG")
    summary = json.loads(dos_run.summary.read_text())
    assert summary["data"]["training_structures"] == 12
    assert summary["data"]["validation_structures"] == 4
    assert summary["data"]["grid"]["unit"] == "eV"
    assert summary["validation_error"] > 0
    trained = load_dos_model(dos_run.path)
    assert trained.grid.size == 41
    assert trained.elements == (6,)
    assert trained.dos_unit == "states/eV/atom"


def test_an_interrupted_run_ends_with_the_same_weights(
    curves_folder: Path,
    dos_run: RunDirectory,
    small_dos: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = 0
    step = DOSTask.training_step

    def broken(self: DOSTask, batch: DOSBatch, batch_idx: int) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 5:  # in the middle of the second epoch
            raise MemoryError
        return step(self, batch, batch_idx)

    output = tmp_path / "run"
    options = TrainDOSConfig.resolve(flags={**small_dos, "data": curves_folder, "output": output})
    with monkeypatch.context() as patch:
        patch.setattr(DOSTask, "training_step", broken)
        with pytest.raises(MemoryError):
            train(options)
    resumed = _weights(resume(output))
    whole = _weights(dos_run)
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[key], whole[key]) for key in whole)


def test_evaluate(dos_run: RunDirectory, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(dos_run.path, copy)
    result = evaluate(copy, EvaluateConfig(votes=2))
    assert result.split == "test"
    assert len(result.structures) == 4
    assert {"dos_mae", "fdos_mae", "band_energy_mae", "fermi_level_mae"} <= set(result.table)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in result.pictures)
    assert any("band energies in eV/atom" in line for line in result.lines)
    assert len(pd.read_csv(copy / "evaluation-test.csv")) == 4
    evaluate(copy, EvaluateConfig(votes=2))
    entries = json.loads((copy / "summary.json").read_text())["evaluation"]
    assert len(entries) == 1  # in place of the earlier one


def test_another_unit_is_said(dos_run: RunDirectory, tmp_path: Path) -> None:
    """Numbers of two units would be compared without a word."""
    header, state = load_weights(dos_run.model, "dos")
    data = TrainDOSConfig.from_yaml(dos_run.config).data
    lines = {}
    for unit in (header.data["dos_unit"], "1 at the maximum"):
        path = tmp_path / "other.safetensors"
        save_weights(path, state, replace(header, data={**header.data, "dos_unit": unit}))
        found = evaluate(path, EvaluateConfig(data=data))
        lines[unit] = [line for line in found.lines if "is it the same unit?" in line]
    assert lines[header.data["dos_unit"]] == []
    (warning,) = lines["1 at the maximum"]
    assert "predicts '1 at the maximum'" in warning


def test_weights_know_the_seed_of_their_split(dos_run: RunDirectory, tmp_path: Path) -> None:
    config = TrainDOSConfig.from_yaml(dos_run.config)
    config = config.model_copy(update={"seed": 3, "output": tmp_path / "run", "epochs": 1})
    run = train(config)
    assert load_weights(run.model, "dos")[0].data["seed"] == 3
    assert load_weights(dos_run.model, "dos")[0].data["seed"] == 0


def test_changed_data_are_refused(
    curves_folder: Path, dos_run: RunDirectory, tmp_path: Path, more_diamonds: Any
) -> None:
    moved = tmp_path / "data"
    shutil.copytree(curves_folder, moved)
    copy = tmp_path / "run"
    shutil.copytree(dos_run.path, copy)
    config = copy / "config.yaml"
    config.write_text(config.read_text().replace(str(curves_folder), str(moved)))
    more_diamonds(moved, "test.extxyz", 4, 7)
    with pytest.raises(DataError, match="has changed since"):
        evaluate(copy, EvaluateConfig())
    with pytest.raises(CheckpointError, match="the data have changed since"):
        resume(copy)


def _task(*, members: int = 1, **options: Any) -> DOSTask:
    config = TrainDOSConfig.resolve(flags=options)
    sizes = AtomCSGNNHypers(
        level=1, channels=4, base_width=4, features=8, cutoff=4.0, members=members
    )
    return DOSTask(
        config, DOSModel(AtomCSGNN(sizes, (6,)), 3, hidden=(8,)), EnergyGrid(0.0, 0.5, 3)
    )


def test_loss_is_that_of_the_paper() -> None:
    predicted, curves = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.0, 2.0, 5.0]])
    loss, error = _task(dos_weight=0.1)._losses(predicted, curves, None)
    # Differences 1, 0, −2; their sums, times the step: 0.5, 0.5, −0.5.
    assert float(loss) == pytest.approx(0.1 * 5 / 3 + 0.9 * 0.75 / 3)
    assert float(error) == pytest.approx(1.0)
    loss, _ = _task(dos_weight=0.1, loss="absolute")._losses(predicted, curves, None)
    assert float(loss) == pytest.approx(0.1 * 1.0 + 0.9 * 0.5)


@torch.no_grad()
def test_each_member_has_a_loss_of_its_own() -> None:
    task = _task(members=2, loss="absolute")
    records = [DOSRecord(bulk("C", "diamond", a), np.full(3, a), str(a)) for a in (3.4, 3.6)]
    batch = StructureBatches(records, 4.0).__getitems__([0, 1])
    for module in task.modules():
        # Batch norm would let the two modes differ by more than their losses.
        if isinstance(module, torch.nn.BatchNorm1d):
            module.forward = lambda values: values  # type: ignore[method-assign]
    assert isinstance(task.model.head, CurveHeads)
    for number, head in enumerate(task.model.head.heads):
        head.smooth.bias.fill_(1.0 + number)  # type: ignore[union-attr, operator]
    losses = [
        float(task.loss_of_atoms(curves, batch.neighbors, batch)[0])
        for curves in task.model.per_head(batch.neighbors)
    ]
    assert abs(losses[0] - losses[1]) > 1e-4
    in_training, error = task.train()._compare(batch)
    assert float(in_training) == pytest.approx(sum(losses) / 2, rel=1e-5)
    # What is validated, and the error that is printed, are of the mean curve.
    in_validation, same = task.eval()._compare(batch)
    curves = task.model.per_atom(batch.neighbors)
    expected = task.loss_of_atoms(curves, batch.neighbors, batch)[0]
    assert float(in_validation) == pytest.approx(float(expected), rel=1e-5)
    assert float(error) == pytest.approx(float(same), rel=1e-5)


def test_the_loss_of_band_energies() -> None:
    predicted, curves = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.0, 2.0, 5.0]])
    fermi = torch.tensor([0.75])
    # Two of the energies lie below the level: 0.5 · (1 · (0 − 0.75) + 0 · (0.5 − 0.75)).
    for kind, expected in (("squared", 0.375**2), ("absolute", 0.375)):
        task = _task(band_weight=2.0, loss=kind)
        more = task._losses(predicted, curves, fermi)[0] - task._losses(predicted, curves, None)[0]
        assert float(more) == pytest.approx(2 * expected)
        # Where the level or a bin is not known, there is no such loss.
        for unknown in (
            (fermi * torch.nan, curves),
            (fermi, curves.index_fill(1, torch.tensor(2), torch.nan)),
        ):
            with_level, without = (
                task._losses(predicted, unknown[1], level)[0] for level in (unknown[0], None)
            )
            assert float(with_level) == pytest.approx(float(without))


def test_the_loss_of_band_energies_is_that_of_band_energies() -> None:
    grid = EnergyGrid(-5.0, 0.1, 101)
    curve = density_of_states([-3.0, -2.0, -0.5, 1.0], grid, width=0.3)
    other = density_of_states([-3.02, -1.97, -0.58, 1.0], grid, width=0.3)
    fermi = fermi_levels([DOSRecord(bulk("C"), curve, "x", electrons=6.0)], grid)
    config = TrainDOSConfig.resolve(flags={"band_weight": 1.0, "loss": "absolute"})
    sizes = AtomCSGNNHypers(level=0, channels=2, base_width=2, features=4)
    task = DOSTask(config, DOSModel(AtomCSGNN(sizes, (6,)), 101, hidden=(4,)), grid)
    difference = torch.from_numpy(other - curve)[None].float()
    loss = task._band_loss(difference, torch.ones(1, 101, dtype=torch.bool), fermi)
    a, b = (find_levels(c, grid, 6.0).band_energy for c in (curve, other))
    assert abs(a - b) > 0.1
    assert float(loss) == pytest.approx(abs(a - b), abs=2e-3)


def test_band_energies_need_electrons() -> None:
    records = [DOSRecord(bulk("C"), np.ones(11), "x")]
    with pytest.raises(ConfigError, match="band_weight"):
        StructureBatches(records, 4.0, grid=EnergyGrid(0.0, 0.1, 11))


def test_undefined_bins_count_in_neither_part() -> None:
    predicted = torch.tensor([[1.0, 7.0, 3.0]], requires_grad=True)
    curves = torch.tensor([[0.0, float("nan"), 5.0]])
    loss, error = _task()._losses(predicted, curves, None)
    assert float(error) == pytest.approx(1.5)
    loss.backward()
    assert predicted.grad is not None
    assert predicted.grad[0, 1] == 0
    assert torch.isfinite(predicted.grad).all()


def test_batches_are_the_structures() -> None:
    records = [DOSRecord(bulk("C", "diamond", a), np.full(3, a), str(a)) for a in (3.4, 3.5, 3.6)]
    batches = StructureBatches(records, 4.0)
    batch = batches.__getitems__([2, 0])
    expected = find_neighbors([records[2].atoms, records[0].atoms], 4.0)
    assert torch.equal(batch.neighbors.centres, expected.centres)
    assert torch.equal(batch.neighbors.structures, expected.structures)
    torch.testing.assert_close(batch.neighbors.displacements, expected.displacements.float())
    assert batch.curves[:, 0].tolist() == pytest.approx([3.6, 3.4])


def test_turns_keep_lengths_and_angles_of_each_atom() -> None:
    found = find_neighbors([bulk("C", "diamond", 3.5)], 4.0)
    turned = random_turns(found, generator(0, "turns"))
    assert not torch.allclose(turned.displacements, found.displacements)
    for atom in range(2):
        before = found.displacements[found.centres == atom]
        after = turned.displacements[turned.centres == atom]
        torch.testing.assert_close(before @ before.T, after @ after.T)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_calibrated_models_start_with_curves_of_the_right_kind(norm: Norm, apart: bool) -> None:
    sizes = AtomCSGNNHypers(level=1, channels=4, base_width=4, features=64, cutoff=4.0)
    torch.manual_seed(0)
    model = DOSModel(AtomCSGNN(sizes, (6,)), 41, hidden=(64,), norm=norm, apart=apart)
    # Curves that vary in one way only.
    mean, mode = torch.sin(torch.linspace(0, 3, 41)) + 2, torch.cos(torch.linspace(0, 6, 41))
    model.head.calibrate(mean + 0.1 * torch.randn(200, 1) * mode)
    rattled = []
    for seed in range(20):
        atoms = bulk("C", "diamond", 3.5)
        atoms.rattle(0.1, seed=seed)
        rattled.append(atoms)
    curves = model(find_neighbors(rattled, 4.0).to("cpu", torch.float32)).detach()
    torch.testing.assert_close(curves.mean(dim=0)[1:-1], mean[1:-1], atol=0.15, rtol=0)
    centred = (curves - curves.mean(dim=0))[:, 1:-1]
    along = (centred @ mode[1:-1]).square().sum() / mode[1:-1].square().sum()
    assert along > 0.8 * centred.square().sum()


def test_levels_of_a_perfect_prediction() -> None:
    grid = EnergyGrid(0.0, 0.1, 101)
    curve = np.full(101, 2.0)
    record = DOSRecord(bulk("C"), curve, "x", electrons=5.0, band_energy=5.75)
    table = compare_curves([record], curve[None], grid)
    # The first bin begins at −0.05, so 5 electrons fill up to 2.45: 2.45² − 0.05².
    assert table["band_energy"][0] == pytest.approx(6.0)
    assert table["band_energy_error"][0] == 0
    assert table["exact_band_energy_error"][0] == pytest.approx(0.25)
    empty = summarize(compare_curves([record], np.zeros((1, 101)), grid)).iloc[-1]
    assert empty["without_level"] == 1  # too few states: counted, not an error of zero


def test_levels_that_the_energies_do_not_contain() -> None:
    """A gap that the energies cut has no width and no middle; neither counts as right."""
    grid = EnergyGrid(-8.0, 0.1, 101)
    narrow, wide = (density_of_states([-5.0, top], grid, width=0.2) for top in (-2.0, 9.0))
    records = [
        DOSRecord(bulk("C"), curve, name, name, electrons=2.0)
        for name, curve in (("narrow", narrow), ("wide", wide))
    ]
    table = compare_curves(records, np.stack([wide, narrow]), grid)
    assert table["gap"].isna().tolist() == [False, True]
    assert table["fermi_level_error"].isna().tolist() == [False, True]
    # A predicted bound counts as what it says: at least 6 eV, where there are 2.
    assert table["gap_error"][0] > 3
    assert abs(table["band_energy_error"]).max() < 0.01
    errors = absolute_errors(records, np.stack([wide, narrow]), grid)
    for name, values in errors.items():
        column = table["dos_mae"] if name == "dos" else table[f"{name}_error"].abs()
        np.testing.assert_allclose(values, column)
    by_type = summarize(table).set_index("type")
    assert by_type["structures"].tolist() == [1, 1, 2]
    assert by_type["with_gap"].tolist() == by_type["with_fermi_level"].tolist() == [1, 0, 1]
    assert np.isnan(by_type["gap_mae"]["wide"])
    assert by_type["gap_mae"]["all"] == by_type["gap_mae"]["narrow"]
    assert "with_band_energy" not in by_type  # known of all
    assert "with_gap" not in summarize(table.head(1))


def test_electrons_beyond_the_window_are_named() -> None:
    record = DOSRecord(bulk("C"), np.full(101, 2.0), "file.vasp", electrons=50.0)
    with pytest.raises(DataError, match=r"file\.vasp: the density of states holds 20"):
        compare_curves([record], np.full((1, 101), 2.0), EnergyGrid(0.0, 0.1, 101))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 2}, "kernel_size is 2, but it must be odd"),
        ({"r_min": 5.0, "cutoff": 4.0}, "no shells between r_min = 5.0 Å and cutoff = 4.0 Å"),
        ({"hidden": [0]}, "hidden = .* greater than 0"),
    ],
)
def test_impossible_sizes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainDOSConfig.resolve(flags=options)


def test_the_paper_preset_has_its_parameters() -> None:
    config = TrainDOSConfig.resolve(preset="paper")
    assert isinstance(config.hypers, AtomCSGNNHypers)
    model = DOSModel(AtomCSGNN(config.hypers, (6,)), 310, hidden=config.hidden)
    assert sum(p.numel() for p in model.parameters()) == 1_061_998


def test_the_command_line(
    curves_folder: Path,
    small_dos: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = [
        part
        for key, value in small_dos.items()
        for part in (
            [f"--{key.replace('_', '-')}"] if value is True else
            [f"--{key.replace('_', '-')}", str(value).strip("[]")]
        )
    ]  # fmt: skip

    def call(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(list(words))
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    run = tmp_path / "run"
    status, out, err = call(
        "train", "dos", "--data", str(curves_folder), "--output", str(run), *flags
    )
    assert status == 0, err
    assert "mean absolute validation error" in out
    assert "states/eV/atom" in out
    status, out, err = call("evaluate", str(run))
    assert status == 0, err
    assert "band_energy_mae" in out
    status, _, err = call("evaluate", str(run), "--rotation", "z")
    assert status == 2
    assert "--rotation means nothing here" in err
    status, _, err = call("train", "modelnet", "--resume", str(run))
    assert status == 2
    assert "unknown key" in err or "another kind" in err


def test_fit_refuses_weights_of_other_data(
    dos_run: RunDirectory, tmp_path: Path, curves_folder: Path
) -> None:
    header, _ = load_weights(dos_run.model, "dos")
    other = header.__class__(**{**header.__dict__, "data": {**header.data, "fingerprint": "x"}})
    never: Callable[[int, int], tuple[Any, Any]] = lambda rank, size: ([], [])  # noqa: E731
    with pytest.raises(CheckpointError, match="the data have changed"):
        fit(dos_run, _task(), other, never, command="dos")
