"""Two processes on a CPU train as one does with the whole batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from csgnn_dgl.tasks.weights import load_weights

# Nothing random but the order: random streams are each process's own. In float64, because Adam
# scales up whatever rounding leaves of gradients that are zero, such as that of a bias which batch
# norm takes away again.
OPTIONS = [
    *("--level", "1", "--n-spheres", "2", "--channels", "2", "--base-width", "4"),
    *("--hidden", "16", "--points", "64", "--epochs", "2", "--select", "last"),
    *("--validation-fraction", "0.34", "--learning-rate", "0.01", "--accelerator", "cpu"),
    *("--train-rotation", "none", "--scale", "0", "--translation", "0", "--jitter", "0"),
    *("--no-resample", "--precision", "64-true", "--no-progress"),
]


def trained(clouds: Path, output: Path, *words: str) -> dict[str, torch.Tensor]:
    command = [sys.executable, "-m", "csgnn_dgl.cli", "train", "modelnet"]
    command += ["--data", str(clouds), "--output", str(output), *OPTIONS, *words]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return load_weights(output / "model.safetensors", "classifier")[1]


@pytest.mark.skipif(not torch.distributed.is_available(), reason="no torch.distributed")
def test_two_processes_equal_one(clouds: Path, tmp_path: Path) -> None:
    one = trained(clouds, tmp_path / "one", "--devices", "1", "--batch-size", "4")
    two = trained(clouds, tmp_path / "two", "--devices", "2", "--batch-size", "2")
    other = trained(clouds, tmp_path / "other", "--devices", "1", "--batch-size", "2")
    assert one.keys() == two.keys()
    for name, values in one.items():
        torch.testing.assert_close(two[name], values, rtol=1e-5, atol=1e-5, msg=name)
    # The comparison can fail: half the batch trains otherwise.
    assert any(
        not torch.allclose(other[name].double(), values.double(), rtol=1e-5, atol=1e-5)
        for name, values in one.items()
    )
