"""Trainings that start from other weights, and trainings with few shapes of each class."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from csgnn_dgl.errors import CheckpointError, ConfigError
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.train import ClassifierJob, load_run_data, train
from csgnn_dgl.tasks.classes.trained import load_classifier
from csgnn_dgl.tasks.run_directory import RunDirectory

TRAINING = ("points", "pool", "batch_size", "learning_rate", "validation_fraction", "accelerator")


@pytest.fixture
def flags(small: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """Options of the training alone, without those of the model."""
    chosen = {name: small[name] for name in TRAINING}
    return {**chosen, "data": small["data"], "output": tmp_path / "run", "epochs": 1}


def test_the_model_comes_from_the_weights(small_run: RunDirectory, flags: dict[str, Any]) -> None:
    # A rate this low changes nothing that can be seen.
    given = {**flags, "init_from": str(small_run.path), "learning_rate": 1e-12, "hidden": [8]}
    config = TrainModelNetConfig.resolve(flags=given)
    assert config.hypers == TrainModelNetConfig.from_yaml(small_run.config).hypers
    run = train(config)
    before, after = load_classifier(small_run.path).model, load_classifier(run.path).model
    old = dict(before.model.named_parameters())
    for name, tensor in after.model.named_parameters():
        torch.testing.assert_close(tensor, old[name], atol=1e-6, rtol=0)
    assert before.head[1].weight.shape != after.head[1].weight.shape
    # Control: without the weights, the network is another one.
    own = {"level": 1, "n_spheres": 2, "channels": 2, "base_width": 4}
    other = train(
        TrainModelNetConfig.resolve(
            flags={**flags, **own, "output": run.path.with_name("other"), "learning_rate": 1e-12}
        )
    )
    scratch = dict(load_classifier(other.path).model.model.named_parameters())
    assert max(float((scratch[k] - old[k]).detach().abs().max()) for k in old) > 0.01


def test_the_run_can_be_repeated_and_read_without_the_weights(
    small_run: RunDirectory, flags: dict[str, Any], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(small_run.path, copy)
    run = train(TrainModelNetConfig.resolve(flags={**flags, "init_from": str(copy)}))
    again = TrainModelNetConfig.resolve(yaml_path=run.config)
    assert again.init_from == str(copy)
    shutil.rmtree(copy)
    assert TrainModelNetConfig.from_yaml(run.config).hypers == again.hypers
    with pytest.raises(CheckpointError, match="copy"):
        TrainModelNetConfig.resolve(yaml_path=run.config)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"level": 2}, ConfigError, "level is 1 there and 2 here"),
        ({"base_width": 6, "pooling": "mean"}, ConfigError, "pooling is 'max' there and 'mean'"),
        ({"preset": "quick", "channels": 3}, ConfigError, "channels is 2 there and 3 here"),
        ({"model": "pointnet"}, ConfigError, "whose model is 'csgnn', but pointnet is to be"),
        ({"init_from": "carbon-tb"}, CheckpointError, "a model of the kind 'dos'"),
        ({"init_from": "nowhere"}, CheckpointError, "there is no run nowhere"),
    ],
    ids=str,
)
def test_other_weights_are_refused(
    options: dict[str, Any],
    error: type[Exception],
    message: str,
    small_run: RunDirectory,
    flags: dict[str, Any],
) -> None:
    preset = options.get("preset")
    given = {"init_from": str(small_run.path), **flags, **options}
    given.pop("preset", None)
    with pytest.raises(error, match=message):
        train(TrainModelNetConfig.resolve(preset=preset, flags=given))
    assert not flags["output"].exists()


def test_weights_go_before_the_network_of_a_preset(
    small_run: RunDirectory, flags: dict[str, Any]
) -> None:
    given = {**flags, "init_from": str(small_run.path)}
    config = TrainModelNetConfig.resolve(preset="quick", flags=given)
    assert config.schedule == "one-cycle"
    assert config.hypers.level == 1


@pytest.mark.parametrize("most", [1, 3])
def test_few_shapes_of_each_class(most: int, flags: dict[str, Any]) -> None:
    own = {"level": 0, "n_spheres": 2, "channels": 2, "base_width": 2, "hidden": [8]}
    config = TrainModelNetConfig.resolve(flags={**flags, **own, "shapes_per_class": most})
    job = ClassifierJob(config, None)
    # The model is not asked for its attributes here.
    job.load_data = lambda: load_run_data(config)  # type: ignore[method-assign]
    job.load()
    assert torch.bincount(job.training.labels).tolist() == [most] * 3
    everything = ClassifierJob(config.model_copy(update={"shapes_per_class": None}), None)
    everything.load_data = job.load_data  # type: ignore[method-assign]
    everything.load()
    assert job.validation.names == everything.validation.names
    assert set(job.training.names) < set(everything.training.names)
    run = train(config)
    assert run.read_summary()["data"]["training_shapes"] == 3 * most
    assert run.read_summary()["data"]["test_shapes"] == 18


def test_members_of_built_in_data(flags: dict[str, Any]) -> None:
    given = {**flags, "data": Path("solids"), "shapes_per_class": 4, "points": 16, "pool": None}
    config = TrainModelNetConfig.resolve(flags=given)
    assert len(load_run_data(config).train) == 4 * 16
    assert config.place_of_data == Path("solids")
    others = TrainModelNetConfig.resolve(flags=flags)
    assert others.place_of_data == flags["data"].resolve()
    with pytest.raises(ConfigError, match="shapes_per_class"):
        TrainModelNetConfig.resolve(flags={**flags, "shapes_per_class": 0})
