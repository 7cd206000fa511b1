"""The comparison of models of densities of states, with few data and one epoch."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from csgnn_dgl.tasks.targets import target_of
from csgnn_dgl.testing.commands import run_python
from csgnn_dgl.testing.samples import write_dos_folder

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "dos.py"
pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="not in a checkout")
SYSTEMS = [
    "concentric grid with exact invariants",
    "concentric grid",
    "concentric grid, C = 1",
    "AGNI-type fingerprint",
    "mean curve of the type",
]


def script(*words: Any) -> subprocess.CompletedProcess[str]:
    return run_python([SCRIPT, *words])


def test_systems_beside_each_other(tmp_path: Path) -> None:
    data = write_dos_folder(tmp_path / "data", (6, 14), train=10, test=4)
    output = tmp_path / "compared"
    done = script("--data", data, "--epochs", 1, "--votes", 2, "--output", output)
    assert done.returncode == 0, done.stderr
    found = json.loads((output / "results.json").read_text(encoding="utf-8"))
    assert list(found["tables"]) == SYSTEMS
    assert list(found["seconds"]) == SYSTEMS[:4]
    assert found["votes"] == 2
    for name, table in found["tables"].items():
        total = table[-1]
        assert (total["type"], total["structures"]) == ("all", 4), name
        assert total["dos_mae"] > 0, name
    # Each is a run that can be used like any other.
    systems = (("csgnn", "all"), ("csgnn", "none"), ("csgnn", "none"), ("agni", None))
    for index, (model, invariants) in enumerate(systems):
        run = output / f"model-{index}"
        assert target_of(run).kind == "dos"
        summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
        assert (summary["model"], summary["epochs"]) == (model, 1)
        options = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
        assert options["hypers"].get("invariants") == invariants
        assert summary["evaluation"][0]["votes"] == 2
    errors = pd.read_csv(output / "band-energy.csv")
    assert list(errors.columns[1:]) == SYSTEMS
    assert all(name in done.stdout for name in SYSTEMS)


def test_data_that_are_not_there(tmp_path: Path) -> None:
    missing = script("--data", tmp_path / "nothing", "--output", tmp_path / "other")
    assert missing.returncode != 0
    assert "there is no data at" in missing.stderr
    assert not (tmp_path / "other").exists()
