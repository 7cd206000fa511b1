"""The benchmarks of spheres of different levels, with few clouds and one epoch."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from csgnn_dgl.testing.commands import run_python

FOLDER = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="not in a checkout")


def script(name: str, *words: Any) -> subprocess.CompletedProcess[str]:
    return run_python([FOLDER / name, *words])


def test_steps(tmp_path: Path) -> None:
    output = tmp_path / "steps.json"
    done = script("levels.py", "--levels", "0,2,3", "--batch", 2, "--rounds", 1, "--json", output)
    assert done.returncode == 0, done.stderr
    rows = json.loads(output.read_text())["settings"]
    assert rows["uniform"]["time_ratio"] == rows["uniform"]["memory_ratio"] == 1
    assert rows["0,2,3"]["sites"] == 12 + 162 + 642
    assert rows["0,2,3"]["seconds"] > 0
    assert rows["0,2,3"]["memory_mib"] > 0


def test_accuracy_and_picture(few_clouds: Path, tmp_path: Path) -> None:
    output, picture = tmp_path / "resolution.json", tmp_path / "resolution.png"
    small = ["points=64", "pool=96", "batch_size=4", "validation_fraction=0.34", "base_width=2"]
    # Without names, only the uniform network.
    words = ["--data", few_clouds, "--epochs", 1, "--only", "--batch", 2, "--rounds", 1, "--test"]
    words += ["--set", *small, "accelerator=cpu", "--json", output, "--picture", picture]
    done = script("resolution.py", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(output.read_text())
    assert set(found["runs"]) == set(found["settings"]) == {"uniform"}
    assert 0 <= found["runs"]["uniform"]["0"]["test"] <= 100
    assert picture.read_bytes().startswith(b"\x89PNG")
