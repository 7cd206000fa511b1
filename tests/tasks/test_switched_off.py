"""Layers that a training has switched off are told of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from csgnn_dgl.models import AtomCSGNN
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.dos.train import DOSJob, train
from csgnn_dgl.tasks.dos.trained import TrainedDOS
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.switched_off import layers_switched_off, switched_off_warning
from csgnn_dgl.testing.samples import write_dos_folder


@pytest.mark.parametrize(("lost", "expected"), [(0, []), (4, []), (5, ["1"]), (8, ["1"])])
def test_more_than_half_of_the_channels(lost: int, expected: list[str]) -> None:
    layers = nn.Sequential(
        nn.Linear(2, 8), nn.BatchNorm1d(8), nn.LayerNorm(8), nn.BatchNorm1d(8, affine=False)
    )
    norm = layers[1]
    assert isinstance(norm, nn.BatchNorm1d)
    norm.weight.detach()[:lost] = -1e-6
    assert layers_switched_off(layers) == (expected, 2)
    warning = switched_off_warning(layers, 1e-6)
    assert len(warning) == len(expected)
    if warning:
        assert warning[0].startswith("1 of the 2 norms of the model, such as 1, ")
        assert "smaller --weight-decay than 1e-06" in warning[0]
        assert "--learning-rate" in switched_off_warning(layers, 0.0)[0]


def test_models_without_norms() -> None:
    assert layers_switched_off(nn.Linear(2, 3)) == ([], 0)


@pytest.mark.parametrize("lost", [False, True])
def test_a_training_tells_it(lost: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = DOSJob.load_trained

    def load_with_lost_channels(job: DOSJob, run: RunDirectory) -> TrainedDOS:
        trained = load(job, run)
        network = trained.model.model
        assert isinstance(network, AtomCSGNN)
        assert isinstance(network.norm, nn.BatchNorm1d)
        nn.init.constant_(network.norm.weight, 1e-9)
        return trained

    if lost:
        monkeypatch.setattr(DOSJob, "load_trained", load_with_lost_channels)
    data = write_dos_folder(tmp_path / "data", (6,), train=12, test=2)
    lines: list[str] = []
    options: dict[str, Any] = {"level": 1, "channels": 2, "base_width": 2, "features": 4}
    options |= {"hidden": [4], "cutoff": 4.0, "epochs": 1, "accelerator": "cpu"}
    options |= {"weight_decay": 0.5, "data": data, "output": tmp_path / "run"}
    train(TrainDOSConfig.resolve(flags=options), lines.append)
    told = [line for line in lines if "norms of the model" in line]
    assert len(told) == lost
    if told:
        assert told[0].startswith("warning: 1 of the ")
        assert "such as norm, " in told[0]
        assert "smaller --weight-decay than 0.5 " in told[0]
