"""Pages of runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.targets import target_of
from csgnn_dgl.tasks.use_config import EvaluateConfig

Pages = Callable[..., Any]
Run = Callable[..., Any]


def test_a_classifier(page: Pages, class_run: Path) -> None:
    words = ("--votes", 2, "--rotation", "z", "--worst", 5)
    found = page("report", class_run, *words)
    config = EvaluateConfig(votes=2, rotation="z", progress=False)
    expected = target_of(class_run).evaluate(class_run, config)
    counts = found.data["confusion"]["counts"]
    assert found.data["confusion"]["names"] == ["ball", "disc", "rod"]
    assert sum(map(sum, counts)) == expected.result.shapes == 18
    right = sum(counts[i][i] for i in range(3))
    assert right / 18 == pytest.approx(expected.result.accuracy)
    assert f"{100 * expected.result.accuracy:.1f} % of 18 test shapes are right" in found.text
    assert found.text.count("<figure>") == 5
    assert found.data["epochs"] == [1, 2]
    titles = [panel["title"] for panel in found.data["curves"]]
    assert titles == ["Loss", "Accuracy", "Learning rate"]
    assert all(series["values"] for panel in found.data["curves"] for series in panel["series"])
    # Protocol, options, versions and baseline.
    for text in ("tested with rotations", "hypers.base_width", "learning_rate", "torch", "always "):
        assert text in found.text
    # It is a test like others.
    entries = RunDirectory.open(class_run).read_summary()["evaluation"]
    assert any(entry["votes"] == 2 and entry["rotation"] == "z" for entry in entries)


def test_the_worst_are_wrong_answers_first(page: Pages, class_run: Path) -> None:
    found = page("report", class_run, "--worst", 18)
    captions = [part.split("</figcaption>")[0] for part in found.text.split("<figcaption>")[1:]]
    wrong = ["taken for" in caption for caption in captions]
    assert len(wrong) == 18
    assert wrong == sorted(wrong, reverse=True)
    counts = found.data["confusion"]["counts"]
    assert sum(wrong) == 18 - sum(counts[i][i] for i in range(3))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_page_names_the_split_of_shapes(split: Any, page: Pages, class_run: Path) -> None:
    found = page("report", class_run, "--split", split, "--worst", 0)
    expected = target_of(class_run).evaluate(class_run, EvaluateConfig(split=split, progress=False))
    assert expected.result.split == split
    headline = f"{100 * expected.result.accuracy:.1f} % of {expected.result.shapes} {split} shapes"
    assert f"{headline} are right" in found.text
    assert f"{headline} are right" in found.out
    other = {"validation": "test", "test": "validation"}[split]
    assert f"{split} shapes<" in found.text
    assert f"{other} shapes<" not in found.text


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_page_names_the_split_of_structures(
    split: Any, page: Pages, dos_run: RunDirectory
) -> None:
    found = page("report", dos_run.path, "--split", split, "--worst", 0)
    config = EvaluateConfig(split=split, progress=False)
    expected = target_of(dos_run.path).evaluate(dos_run.path, config)
    assert f"on {len(expected.structures)} {split} structures" in found.text


def test_densities_of_states(page: Pages, dos_run: RunDirectory) -> None:
    found = page("report", dos_run.path, "--worst", 3)
    expected = target_of(dos_run.path).evaluate(dos_run.path, EvaluateConfig(progress=False))
    error = float(expected.table["dos_mae"].iloc[-1])
    assert f"mean absolute error {error:.3g} [states/eV/atom] on 4 test structures" in found.text
    assert found.text.count("<figure>") == 3
    assert "confusion" not in found.data
    (group,) = found.data["parity"]["groups"]
    known = expected.structures.dropna(subset=["band_energy", "predicted_band_energy"])
    assert group["predicted"] == known["predicted_band_energy"].tolist()
    worst = expected.structures["dos_mae"].max()
    first = found.text.split("<figcaption>")[1]
    assert f"mean absolute error {worst:.3g}" in first
    for text in ("Fermi level", "mean curve", "zero: vacuum level"):
        assert text in found.text


def test_by_default_the_page_lies_in_the_run(run: Run, class_run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(class_run, tmp_path / "run")
    done = run("report", copy, "--worst", 0)
    assert (done.status, done.err) == (0, "")
    assert f"page: {copy / 'report.html'}" in done.out
    assert "None are shown." in (copy / "report.html").read_text()


def test_without_the_data_the_page_says_so(
    run: Run, page: Pages, class_run: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(class_run, tmp_path / "run")
    text = (copy / "config.yaml").read_text().splitlines()
    gone = [f"data: {tmp_path / 'gone'}" if line.startswith("data:") else line for line in text]
    (copy / "config.yaml").write_text("\n".join(gone))
    found = page("report", copy)
    assert "warning: not tested: there is no data at" in found.out
    assert "not tested" in found.text
    assert "confusion" not in found.data
    assert found.data["epochs"] == [1, 2]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "metrics.csv").write_text("epoch,loss\n1,x\n"), "metrics.csv"),
        (lambda run: (run / "metrics.csv").write_text("a,b\n1,2\n"), "has no column 'epoch'"),
        (lambda run: (run / "summary.json").write_text("{"), "summary.json"),
        (lambda run: (run / "model.safetensors").unlink(), "model.safetensors"),
    ],
)
def test_damaged_runs(
    damage: Callable[[Path], object], message: str, run: Run, class_run: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(class_run, tmp_path / "run")
    damage(copy)
    done = run("report", copy)
    assert done.status == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert not (copy / "report.html").exists()


def test_odd_summaries_are_shown_as_they_are(page: Pages, class_run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(class_run, tmp_path / "run")
    summary = json.loads((copy / "summary.json").read_text())
    odd = {"data": 3, "parameters": "many", "seconds_of_training": None}
    (copy / "summary.json").write_text(json.dumps({**summary, **odd}))
    assert "Worst examples" in page("report", copy).text
