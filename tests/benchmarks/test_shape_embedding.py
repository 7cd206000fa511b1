"""Probes of embeddings, on data of three classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.train import train
from csgnn_dgl.testing.commands import run_python
from tests.conftest import make_clouds

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "shape_embedding.py"
pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="not in a checkout")


def test_probes_and_fine_tuning(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    data = make_clouds(tmp_path / "data", per_class=10)
    flags = {
        "level": 0,
        "n_spheres": 2,
        "channels": 2,
        "base_width": 2,
        "hidden": [8],
        "points": 64,
        "epochs": 1,
        "batch_size": 4,
        "accelerator": "cpu",
        "data": data,
    }
    run = train(TrainModelNetConfig.resolve(flags={**flags, "output": tmp_path / "run"}))
    output = tmp_path / "found.json"
    words = ["--weights", run.path, "--shrec11", data, "--votes", "2", "--output", output]
    words += ["--fine-tune", "--shots", "2", "--repeats", "1"]
    done = run_python([SCRIPT, *words])
    assert done.returncode == 0, done.stderr
    (entry,) = json.loads(output.read_text(encoding="utf-8"))["data"].values()
    for which in ("trained", "untrained"):
        found = entry[which]
        # Rods, discs and balls are told apart by nearly anything.
        assert found["linear"]["accuracy"] > 0.5
        assert 0 <= found["nearest"] <= 1
        assert found["retrieval_all"]["random"] < found["retrieval_all"]["mean_average_precision"]
    assert set(entry["fine_tuned"]["2 per class"]) == {
        "from_weights",
        "from_scratch",
        "spread",
        "repeats",
    }
    assert "2 per class" in done.stdout
