"""Headers of weights whose values are of other types, and networks that answer with NaN."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import yaml

from csgnn_dgl.errors import CheckpointError, CSGNNError
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.trained import load_classifier
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.targets import target_of
from csgnn_dgl.tasks.votes import average_over_votes, vote_rotations
from csgnn_dgl.tasks.weights import load_weights, save_weights

OLD = Path(__file__).with_name("old")
WEIGHTS = OLD / "classifier-schema-1.safetensors"


def rewritten(path: Path, **changes: Any) -> Path:
    """Weights of the present schema with some entries of the header changed."""
    header, state = load_weights(WEIGHTS, "classifier")
    save_weights(path, state, header)
    with safetensors.safe_open(path, framework="pt") as file:
        content = json.loads(file.metadata()["csgnn_dgl"])
    # Such a file was not damaged, but written with these entries.
    del content["checksum"]
    for place, value in changes.items():
        *outer, last = place.split("__")
        inner = content
        for key in outer:
            inner = inner[key]
        inner[last] = value
    safetensors.torch.save_file(state, path, metadata={"csgnn_dgl": json.dumps(content)})
    return path


def test_control(tmp_path: Path) -> None:
    path = rewritten(tmp_path / "model.safetensors")
    assert target_of(path).kind == "classifier"
    assert load_classifier(path).class_names


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": 5},
        {"kind": None},
        {"kind": ["classifier"]},
        {"schema": True},
        {"model": 5},
        {"model": []},
        {"model": {}},
        {"model__name": ["csgnn"]},
        {"model__name": "os:system"},
        {"model__name": "csgnn_dgl.cli.main:main"},
        {"model__name": ".relative:Net"},
        {"model__name": "csgnn\0"},
        {"model__hypers": 5},
        {"model__hypers": {"_written": [1], "level": -1}},
        {"class_names": 5},
        {"class_names": None},
        {"class_names": [1, 2]},
        {"class_names": "abc"},
        {"head": 5},
        {"head": {"hidden": "abc"}},
        {"data": 5},
        {"data": {}},
        {"data__points": "many"},
        {"data__points": -3},
        {"data__up_axis": "q"},
        {"versions": 5},
    ],
    ids=str,
)
def test_values_of_other_types(changes: dict[str, Any], tmp_path: Path) -> None:
    path = rewritten(tmp_path / "model.safetensors", **changes)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_classifier(path)
    if "kind" in changes:
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            target_of(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_answers_that_are_no_numbers(value: float) -> None:
    turns = vote_rotations(2, seed=0)
    assert average_over_votes(lambda turn: [torch.ones(3)], turns)[0].tolist() == [1, 1, 1]
    with pytest.raises(CSGNNError, match="not a finite number"):
        average_over_votes(lambda turn: [torch.tensor([0.0, value])], turns)


def test_runs_of_version_0_1_may_have_unused_options(tmp_path: Path) -> None:
    """They were no errors when these runs were begun; in a new file they are."""
    for name, options in (
        ("modelnet", {"schedule": "cosine", "plateau_patience": 9, "warmup": 0.3}),
        ("dos", {"schedule": "constant", "warmup": 0.3, "kernel_size": 5}),
    ):
        config: Any = {"modelnet": TrainModelNetConfig, "dos": TrainDOSConfig}[name]
        path = Path(shutil.copy(OLD / name / "config.yaml", tmp_path / f"{name}.yaml"))
        content = yaml.safe_load(path.read_text())
        assert config.resolve(yaml_path=path) == config.from_yaml(path)
        path.write_text(yaml.safe_dump({**content, **options}))
        assert config.from_yaml(path).warmup == 0.3
        with pytest.raises(CSGNNError, match=r"means? nothing|no radial"):
            config.resolve(yaml_path=path)
