"""Two processes on a CPU train as one does with the whole batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from csgnn_dgl.tasks.weights import load_weights
from csgnn_dgl.testing.commands import run_python, run_together

State = dict[str, torch.Tensor]
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


def words_for(clouds: Path, output: Path, *words: str) -> list[str]:
    command = ["-m", "csgnn_dgl.cli", "train", "modelnet"]
    return [*command, "--data", str(clouds), "--output", str(output), *OPTIONS, *words]


def trained(clouds: Path, output: Path, *words: str) -> State:
    done = run_python(words_for(clouds, output, *words))
    assert done.returncode == 0, done.stderr
    return load_weights(output / "model.safetensors", "classifier")[1]


def trained_by_slurm(clouds: Path, output: Path, *words: str) -> State:
    """Train in two processes that are started and told of each other as by ``srun``."""
    job = {
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NAME": "train",
        "SLURM_NNODES": "2",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_LOCALID": "0",
        "SLURM_NODELIST": "127.0.0.1",
    }
    ranks = [{**job, "SLURM_PROCID": rank, "SLURM_NODEID": rank} for rank in "01"]
    done = run_together(words_for(clouds, output, *words), ranks)
    assert [task.returncode for task in done] == [0, 0], [task.stderr for task in done]
    return load_weights(output / "model.safetensors", "classifier")[1]


@pytest.fixture(scope="module")
def one(few_clouds: Path, tmp_path_factory: pytest.TempPathFactory) -> State:
    """What one process learns."""
    output = tmp_path_factory.mktemp("one") / "run"
    return trained(few_clouds, output, "--devices", "1", "--batch-size", "4")


@pytest.mark.skipif(not torch.distributed.is_available(), reason="no torch.distributed")
def test_two_processes_equal_one(few_clouds: Path, one: State, tmp_path: Path) -> None:
    two = trained(few_clouds, tmp_path / "two", "--devices", "2", "--batch-size", "2")
    other = trained(few_clouds, tmp_path / "other", "--devices", "1", "--batch-size", "2")
    assert one.keys() == two.keys()
    for name, values in one.items():
        torch.testing.assert_close(two[name], values, rtol=1e-5, atol=1e-5, msg=name)
    # The comparison can fail: half the batch trains otherwise.
    assert any(
        not torch.allclose(other[name].double(), values.double(), rtol=1e-5, atol=1e-5)
        for name, values in one.items()
    )


@pytest.mark.skipif(not torch.distributed.is_available(), reason="no torch.distributed")
def test_two_machines_of_slurm_equal_one(few_clouds: Path, one: State, tmp_path: Path) -> None:
    words = ("--num-nodes", "2", "--devices", "1", "--batch-size", "2")
    two = trained_by_slurm(few_clouds, tmp_path / "two", *words)
    assert one.keys() == two.keys()
    for name, values in one.items():
        torch.testing.assert_close(two[name], values, rtol=1e-5, atol=1e-5, msg=name)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()].count("two") == 1
