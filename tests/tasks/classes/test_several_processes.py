"""Two processes on a CPU train as one does with the whole batch."""

from __future__ import annotations

import os
import socket
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


def command_for(clouds: Path, output: Path, *words: str) -> list[str]:
    command = [sys.executable, "-m", "csgnn_dgl.cli", "train", "modelnet"]
    return [*command, "--data", str(clouds), "--output", str(output), *OPTIONS, *words]


def trained(clouds: Path, output: Path, *words: str) -> dict[str, torch.Tensor]:
    done = subprocess.run(
        command_for(clouds, output, *words),
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return load_weights(output / "model.safetensors", "classifier")[1]


def trained_by_slurm(clouds: Path, output: Path, *words: str) -> dict[str, torch.Tensor]:
    """Train in two processes that are started and told of each other as by ``srun``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    job = {
        "OMP_NUM_THREADS": "1",
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NAME": "train",
        "SLURM_NNODES": "2",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_LOCALID": "0",
        "SLURM_NODELIST": "127.0.0.1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    tasks = [
        subprocess.Popen(
            command_for(clouds, output, *words),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **job, "SLURM_PROCID": str(rank), "SLURM_NODEID": str(rank)},
        )
        for rank in range(2)
    ]
    try:
        printed = [task.communicate(timeout=300)[0] for task in tasks]
    finally:
        for task in tasks:
            task.kill()
    assert [task.returncode for task in tasks] == [0, 0], printed
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


@pytest.mark.skipif(not torch.distributed.is_available(), reason="no torch.distributed")
def test_two_machines_of_slurm_equal_one(clouds: Path, tmp_path: Path) -> None:
    one = trained(clouds, tmp_path / "one", "--devices", "1", "--batch-size", "4")
    words = ("--num-nodes", "2", "--devices", "1", "--batch-size", "2")
    two = trained_by_slurm(clouds, tmp_path / "two", *words)
    assert one.keys() == two.keys()
    for name, values in one.items():
        torch.testing.assert_close(two[name], values, rtol=1e-5, atol=1e-5, msg=name)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()].count("two") == 1
