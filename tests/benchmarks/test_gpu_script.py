"""What the GPU script can do without a GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from csgnn_dgl.testing.commands import run_python

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


@pytest.mark.skipif(not SCRIPT.is_file(), reason="not in a checkout")
def test_quick_on_a_cpu(tmp_path: Path) -> None:
    output = tmp_path / "gpu.json"
    done = run_python([SCRIPT, "--device", "cpu", "--quick", "--output", output])
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(output.read_text())
    assert found["failed"] == {}
    assert {"neighbor_sum", "neighborhood_max", "classifier", "bf16"} <= found["checks"].keys()
    assert "step, default" in found["times"]
