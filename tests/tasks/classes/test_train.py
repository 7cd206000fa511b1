"""Training a small classifier, and what its run directory holds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from csgnn_dgl.errors import CheckpointError, ConfigError, CSGNNError, DataError, ResourceError
from csgnn_dgl.tasks.classes.clouds import reader_of
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.evaluate import find_shapes
from csgnn_dgl.tasks.classes.train import resume, train
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.use_config import EvaluateConfig
from csgnn_dgl.tasks.weights import load_weights
from tests.conftest import make_clouds


def trained(small: dict[str, Any], output: Path, **others: Any) -> RunDirectory:
    return train(TrainModelNetConfig.resolve(flags={**small, "output": output, **others}))


def weights(run: RunDirectory) -> dict[str, torch.Tensor]:
    return load_weights(run.model, "classifier")[1]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_run_directory_is_complete(small_run: RunDirectory) -> None:
    config = TrainModelNetConfig.from_yaml(small_run.config)
    assert config.hypers.level == 1  # type: ignore[attr-defined]
    table = pd.read_csv(small_run.metrics)
    assert list(table["epoch"]) == [1, 2, 3]
    assert {"train_loss", "validation_accuracy", "learning_rate", "seconds"} <= set(table.columns)
    for name in ("curves", "confusion-validation"):
        assert small_run.figure(name).read_bytes().startswith(b"\x89PNG")
    summary = json.loads(small_run.summary.read_text())
    assert summary["rotation"] == {"train": "so3", "validation": "so3"}
    assert summary["data"]["training_shapes"] == 12
    assert summary["data"]["validation_shapes"] == 6
    assert len(summary["data"]["fingerprint"]) == 64
    assert summary["votes"] == 1
    assert summary["seconds_per_epoch"] > 0
    state = weights(small_run)
    learned = sum(
        t.numel()
        for k, t in state.items()
        if not k.endswith(("mean", "var", "num_batches_tracked"))
    )
    assert summary["parameters"] == learned
    assert list((small_run.path / "tensorboard").iterdir())
    assert not [p for p in small_run.path.rglob("*") if p.name.startswith(".tmp")]


def test_a_seed_decides_everything(small: dict[str, Any], tmp_path: Path) -> None:
    runs = [
        trained(small, tmp_path / str(i), epochs=2, seed=seed) for i, seed in enumerate((0, 0, 1))
    ]
    assert same(weights(runs[0]), weights(runs[1]))
    assert not same(weights(runs[0]), weights(runs[2]))


@pytest.mark.parametrize("schedule", ["plateau", "one-cycle", "cosine", "constant"])
def test_resuming_gives_the_same_weights(
    schedule: str, small: dict[str, Any], tmp_path: Path
) -> None:
    options = {"schedule": schedule, "epochs": 4, "ema_decay": 0.5, "select": "last"}
    if schedule == "plateau":
        options |= {"plateau_patience": 0, "plateau_threshold": 0.9, "min_learning_rate": 0.0}
    whole = trained(small, tmp_path / "whole", **options)
    # The state after two epochs, as a run that was stopped there would have left it.
    kept: dict[str, bytes] = {}

    def keep(line: str) -> None:
        if line.startswith("epoch 3/"):
            kept.update(
                {p.name: p.read_bytes() for p in (tmp_path / "cut").glob("*.*") if p.is_file()}
            )

    config = TrainModelNetConfig.resolve(flags={**small, **options, "output": tmp_path / "cut"})
    cut = train(config, echo=keep)
    shutil.rmtree(cut.path)
    cut.path.mkdir()
    for name, content in kept.items():
        (cut.path / name).write_bytes(content)
    assert torch.load(cut.last_checkpoint, weights_only=True)["epoch"] < 3
    assert not same(weights(cut), weights(whole))
    assert same(weights(resume(cut.path)), weights(whole))
    rows = [
        pd.read_csv(run.metrics).drop(columns=["seconds", "processor_seconds"])
        for run in (cut, whole)
    ]
    pd.testing.assert_frame_equal(rows[0], rows[1])


def test_resuming_a_finished_run_changes_no_weights(
    small_run: RunDirectory, tmp_path: Path
) -> None:
    before = {p: p.read_bytes() for p in small_run.path.iterdir() if p.is_file()}
    shutil.copytree(small_run.path, tmp_path / "copy")
    again = resume(tmp_path / "copy")
    assert {p: p.read_bytes() for p in before} == before
    assert same(weights(again), weights(small_run))
    assert len(pd.read_csv(again.metrics)) == 3


def test_plateau_stops_early(small: dict[str, Any], tmp_path: Path) -> None:
    run = trained(small, tmp_path / "run", epochs=30, plateau_patience=0, plateau_threshold=0.99)
    table = pd.read_csv(run.metrics)
    assert len(table) < 10
    assert table["learning_rate"].iloc[-1] == pytest.approx(1e-5)  # the next would be below


def test_best_epoch_is_kept(small: dict[str, Any], tmp_path: Path) -> None:
    run = trained(small, tmp_path / "run", epochs=5, select="best")
    table = pd.read_csv(run.metrics)
    best = table.sort_values(["validation_accuracy", "validation_loss"], ascending=[False, True])
    assert run.read_summary()["kept_epoch"] == best["epoch"].iloc[0]


def test_an_existing_run_is_never_overwritten(
    small: dict[str, Any], small_run: RunDirectory
) -> None:
    before = {p: p.read_bytes() for p in small_run.path.iterdir() if p.is_file()}
    with pytest.raises(CSGNNError, match="exists and holds a run; nothing was changed"):
        trained(small, small_run.path)
    assert {p: p.read_bytes() for p in before} == before


def test_a_folder_with_other_things_is_left_alone(small: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(CSGNNError, match="is not empty"):
        trained(small, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_changed_data_are_noticed(small_run: RunDirectory, tmp_path: Path, clouds: Path) -> None:
    data = shutil.copytree(clouds, tmp_path / "data")
    shutil.copytree(small_run.path, tmp_path / "run")
    config = TrainModelNetConfig.from_yaml(small_run.config).model_copy(update={"data": data})
    (tmp_path / "run" / "config.yaml").write_text(config.to_yaml())
    np.save(data / "rod" / "train" / "rod0.npy", np.random.default_rng(9).normal(size=(96, 3)))
    with pytest.raises(CheckpointError, match="the data have changed"):
        resume(tmp_path / "run")


def test_weights_know_the_seed_of_their_split(small: dict[str, Any], tmp_path: Path) -> None:
    for seed in (0, 3):
        run = trained(small, tmp_path / f"run{seed}", seed=seed, epochs=1)
        assert load_weights(run.model, "classifier")[0].data["seed"] == seed


def test_divergence_is_named(small: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CSGNNError, match=r"training diverged.*--learning-rate"):
        trained(
            small,
            tmp_path / "run",
            learning_rate=1e30,
            schedule="constant",
            epochs=6,
            weight_decay=1e30,
        )


def test_two_processes_cannot_train_in_one_run(small_run: RunDirectory, tmp_path: Path) -> None:
    copy = shutil.copytree(small_run.path, tmp_path / "copy")
    with RunDirectory.open(copy).locked(), pytest.raises(CSGNNError, match="is training in"):
        resume(copy)


def test_impossible_sizes_say_what_they_need(small: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"GiB"):
        trained(small, tmp_path / "run", level=12, n_spheres=64)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("accelerator", "devices"), [("warp", "auto"), ("cpu", "some"), ("cpu", "-1"), ("gpu", "99")]
)
def test_unusable_devices_are_named(
    accelerator: str, devices: str, small: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"accelerator '{accelerator}' with devices '{devices}'"):
        trained(small, tmp_path / "run", accelerator=accelerator, devices=devices)


def test_a_class_of_one_shape_is_named(small: dict[str, Any], tmp_path: Path, clouds: Path) -> None:
    data = shutil.copytree(clouds, tmp_path / "data")
    for extra in sorted((data / "rod" / "train").iterdir())[1:]:
        extra.unlink()
    with pytest.raises(DataError, match="class 'rod' has one training shape only"):
        train(
            TrainModelNetConfig.resolve(flags={**small, "data": data, "output": tmp_path / "run"})
        )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged or not a checkpoint"),
        (b"not a checkpoint at all", "damaged or not a checkpoint"),
    ],
)
def test_a_damaged_checkpoint_is_named(
    content: bytes, message: str, small_run: RunDirectory, tmp_path: Path
) -> None:
    copy = RunDirectory.open(shutil.copytree(small_run.path, tmp_path / "copy"))
    copy.last_checkpoint.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        resume(copy.path)


def test_a_refusal_before_the_first_epoch_leaves_the_place_free(
    small: dict[str, Any], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(small["data"], data)
    for path in list((data / "rod" / "train").iterdir())[1:]:
        path.unlink()
    output = tmp_path / "run"
    with pytest.raises(DataError, match="has one training shape only"):
        trained({**small, "data": data}, output)
    assert not output.exists()


def test_a_taken_place_is_refused_before_the_data_are_read(
    small: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "something").write_text("mine")
    with pytest.raises(CSGNNError, match="exists and is not empty"):
        trained({**small, "data": tmp_path / "absent"}, tmp_path)


def test_data_are_found_from_any_folder(
    small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small["data"].parent)
    run = trained({**small, "epochs": 1, "data": Path(small["data"].name)}, tmp_path / "run")
    assert TrainModelNetConfig.from_yaml(run.config).data == small["data"].resolve()


def test_the_axis_of_a_training_is_not_that_of_other_data(
    small: dict[str, Any], tmp_path: Path
) -> None:
    flags = {**small, "epochs": 1, "pool": None, "up_axis": "y", "output": tmp_path / "run"}
    weights = train(TrainModelNetConfig.resolve(flags=flags)).model
    other = make_clouds(tmp_path / "other", seed=1)
    for data, axis in ((small["data"], "y"), (other, "z")):
        config = EvaluateConfig(data=data, progress=False)
        assert find_shapes(weights, config).data.up_axis == axis


@pytest.mark.parametrize("pool", [None, 80])
def test_weights_without_their_run_take_the_same_points(
    small: dict[str, Any], tmp_path: Path, pool: int | None
) -> None:
    flags = {**small, "epochs": 1, "pool": pool, "output": tmp_path / "run"}
    run = train(TrainModelNetConfig.resolve(flags=flags))
    config = EvaluateConfig(data=small["data"], progress=False)
    wanted = find_shapes(run.path, config)
    found = find_shapes(run.model, config)
    assert torch.equal(found.data.test.points, wanted.data.test.points)
    assert found.trained.was_trained_on(found.data)
    # Files of clouds are read by the same rule.
    read = reader_of(found.trained, found.options.seed)
    (cloud,) = read(Path(small["data"]) / "ball" / "test" / "ball0.npy")
    names = found.data.test.names
    index = next(i for i, name in enumerate(names) if name.endswith("ball0.npy"))
    assert torch.equal(cloud, wanted.data.test.points[index, : found.trained.points])
