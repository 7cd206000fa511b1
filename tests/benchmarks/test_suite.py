"""The suite runs, section by section, and keeps what it measured before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import csgnn_dgl
from csgnn_dgl.benchmarks.report import plot_scaling, table
from csgnn_dgl.benchmarks.sections import SECTIONS, exponent
from csgnn_dgl.benchmarks.settings import Settings
from csgnn_dgl.benchmarks.suite import run
from csgnn_dgl.benchmarks.timing import interleaved
from csgnn_dgl.benchmarks.worker import Worker
from csgnn_dgl.errors import ConfigError, CSGNNError, DataError

QUICK = Settings(threads=1, repeats=1, clock="cpu", quick=True)


def test_sections_add_up(tmp_path: Path) -> None:
    lines: list[str] = []
    run(tmp_path, QUICK, ["machine"], lambda line: lines.append(str(line)))
    run(tmp_path, QUICK, ["step"], lambda line: lines.append(str(line)))
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results["sections"]) == ["machine", "step"]
    step = results["sections"]["step"]
    assert step["largest_difference"]["plain-dgl"] < 1e-4
    assert step["ratios"]["train"]["toolkit / floor"] > 0
    assert "QUICK SIZES" in lines[-2]
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_kept_sections_keep_their_origin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run(tmp_path, QUICK, ["machine"], lambda line: None)
    path = tmp_path / "results.json"
    # As earlier versions wrote it: once, for all sections.
    old = json.loads(path.read_text())
    origin = {"csgnn_dgl": "0.0.1", "torch": "1.0", "processor": "an older one"}
    for key, value in origin.items():
        old[key] = value
        del old["sections"]["machine"]["settings"][key]
    path.write_text(json.dumps(old))
    assert "machine (1 thread(s), median of 1, cpu time, QUICK" in table(old)
    atoms = {"atoms_per_second": {"train": 1.0}}
    monkeypatch.setitem(SECTIONS, "atoms", lambda settings, echo: dict(atoms))
    lines: list[str] = []
    for _ in range(2):  # an old file, and a new one
        run(tmp_path, QUICK, ["atoms"], lambda line: lines.append(str(line)))
        found = json.loads(path.read_text())
        assert {key: found["sections"]["machine"]["settings"][key] for key in origin} == origin
        settings = found["sections"]["atoms"]["settings"]
        assert {key: settings[key] for key in origin} == {key: found[key] for key in origin}
        assert found["csgnn_dgl"] == csgnn_dgl.__version__
        assert ", an older one, torch 1.0, csgnn-dgl 0.0.1, QUICK SIZES" in lines[-2]
        assert "atoms (1 thread(s), median of 1, cpu time, QUICK SIZES" in lines[-2]


def test_kernels_and_atoms(tmp_path: Path) -> None:
    results = run(tmp_path, QUICK, ["kernels", "atoms"], lambda line: None)["sections"]
    assert results["kernels"]["neighbor_sum"]["forward"]["dgl"]["ratio"] > 0
    assert results["atoms"]["atoms_per_second"]["train"] > 0


def test_scaling_runs(tmp_path: Path) -> None:
    found = run(tmp_path, QUICK, ["scaling"], lambda line: None)["sections"]["scaling"]
    assert [row["R"] for row in found["R"]["points"]] == [1, 2]
    assert all(row["train_MiB"] > 0 for row in found["V"]["points"])


def test_scaling_is_drawn(tmp_path: Path) -> None:
    rows: Callable[[str], list[dict[str, Any]]] = lambda name: [  # noqa: E731
        {
            name: size,
            "train_seconds": 2.0 * size,
            "infer_seconds": size,
            "train_MiB": size,
            "infer_MiB": size,
        }
        for size in (1.0, 2.0, 4.0)
    ]
    section = {
        name: {"points": rows(name), "fitted_from": 1, "exponents": {"train_seconds": 1.0}}
        for name in ("R", "V")
    }
    plot_scaling(section, tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")
    settings = {"threads": 1, "repeats": 1, "clock": "cpu", "quick": False}
    text = table(
        {"processor": "x", "torch": "y", "sections": {"scaling": {**section, "settings": settings}}}
    )
    assert "exponents in R from R = 1: train seconds 1.000" in text


def test_exponent() -> None:
    assert exponent([1, 2, 4], [5, 10, 20]) == pytest.approx(1)


def test_times_of_unknown_clocks() -> None:
    with pytest.raises(ConfigError, match="but it must be one of"):
        interleaved({"a": lambda: None}, 1, clock="sun")  # type: ignore[arg-type]


def test_unknown_section(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'step'"):
        run(tmp_path, QUICK, ["stepp"])
    assert "step" in SECTIONS


def test_foreign_results(tmp_path: Path) -> None:
    top = {"csgnn_dgl": "0", "torch": "1", "processor": "x"}
    for content in ([], {**top, "sections": []}, {**top, "sections": {"machine": {}}}):
        (tmp_path / "results.json").write_text(json.dumps(content))
        with pytest.raises(DataError, match="holds no results of this suite"):
            run(tmp_path, QUICK, ["machine"])


def test_a_worker_that_cannot_start() -> None:
    with pytest.raises(CSGNNError, match=r"toolkit: .*level"):
        Worker(writing="toolkit", level=-1)
