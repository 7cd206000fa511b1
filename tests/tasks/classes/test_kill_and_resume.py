"""A run killed in the middle of an epoch and resumed ends as one that was left alone."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path

import pandas as pd
import pytest
import safetensors.torch
import torch

from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.weights import load_weights
from csgnn_dgl.testing.commands import FORKS, Command, start_python

FLAGS = [
    *("--level", "2", "--n-spheres", "4", "--channels", "2", "--base-width", "8"),
    *("--hidden", "16", "--points", "96", "--batch-size", "2", "--validation-fraction", "0.34"),
    *("--accelerator", "cpu", "--epochs", "8", "--learning-rate", "0.01", "--ema-decay", "0.9"),
    *("--dropout", "0.2", "--schedule", "one-cycle", "--select", "last"),
]


def start(*words: object, largest_file: int | None = None) -> Command:
    # One thread: how sums are split among threads is part of what must be equal.
    command = ["-m", "csgnn_dgl.cli", "train", "modelnet", *words]
    return start_python(command, largest_file=largest_file)


def epochs_done(path: Path) -> int:
    try:
        return len(pd.read_csv(path / "metrics.csv"))
    except FileNotFoundError:
        return 0


def check_that_files_are_whole(path: Path) -> None:
    TrainModelNetConfig.from_yaml(path / "config.yaml")
    load_weights(path / "model.safetensors", "classifier")
    torch.load(path / "last.ckpt", weights_only=True)
    if (path / "summary.json").exists():
        json.loads((path / "summary.json").read_text())


def test_killed_and_resumed(few_clouds: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    uninterrupted = start("--data", few_clouds, "--output", whole, *FLAGS)
    process = start("--data", few_clouds, "--output", cut, *FLAGS)
    kills = []
    # Killed twice: in the epoch after the second, and in that after the fifth.
    for target in (2, 5):
        deadline = time.monotonic() + 120
        while epochs_done(cut) < target:
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(0.03)
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
        kills.append(epochs_done(cut))
        check_that_files_are_whole(cut)
        process = start("--resume", cut)
    assert process.wait(timeout=120) == 0
    assert uninterrupted.wait(timeout=120) == 0
    assert all(2 <= epochs < 8 for epochs in kills)
    weights = [safetensors.torch.load_file(p / "model.safetensors") for p in (whole, cut)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert (whole / "model.safetensors").read_bytes() == (cut / "model.safetensors").read_bytes()
    tables = [
        pd.read_csv(p / "metrics.csv").drop(columns=["seconds", "processor_seconds"])
        for p in (whole, cut)
    ]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert not [p for p in cut.rglob("*") if ".partial" in p.name], "leftovers are removed"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_says_how_to_go_on(number: signal.Signals, few_clouds: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    process = start("--data", few_clouds, "--output", path, *FLAGS, "--epochs", 2000)
    deadline = time.monotonic() + 120
    while epochs_done(path) < 2:
        assert process.poll() is None, "it ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    done = process.finish(60)
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    found = re.fullmatch(
        r"error: stopped in epoch (\d+); all complete epochs are saved; "
        rf"resume with: csgnn-dgl train modelnet --resume {re.escape(str(path))}",
        last,
    )
    assert found, last
    check_that_files_are_whole(path)
    saved = torch.load(path / "last.ckpt", weights_only=True)["epoch"] + 1
    # The stop may come just after an epoch was saved and before the next is counted.
    assert 0 <= saved - (int(found[1]) - 1) <= 1


@pytest.mark.skipif(not FORKS, reason="only forks are limited")
def test_a_disk_that_refuses_loses_nothing(few_clouds: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    flags = ["--data", few_clouds, *FLAGS, "--epochs", 3]
    assert start("--output", whole, *flags).wait(timeout=120) == 0
    # The weights fit, the larger checkpoint does not.
    limit = (whole / "model.safetensors").stat().st_size + 10_000
    assert limit < (whole / "last.ckpt").stat().st_size
    refused = start("--output", cut, *flags, largest_file=limit).finish(120)
    assert refused.returncode == 2, refused.stderr
    assert "Traceback" not in refused.stderr
    assert "last.ckpt: it would be larger than the system allows" in refused.stderr
    assert f"--resume {cut}" in refused.stderr
    assert not (cut / "last.ckpt").exists()
    assert not [p for p in cut.rglob("*") if ".partial" in p.name]
    assert start("--resume", cut).wait(timeout=120) == 0
    assert (whole / "model.safetensors").read_bytes() == (cut / "model.safetensors").read_bytes()
