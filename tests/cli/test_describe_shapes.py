"""``describe-shapes``, ``evaluate --retrieval`` and ``predict -o`` for shapes, as commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

Run = Callable[..., Any]


@pytest.fixture
def files(clouds: Path) -> list[Path]:
    return sorted(clouds.glob("*/test/*.npy"))


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.npy"
    np.save(path, np.full((96, 3), np.nan))
    return path


def test_files_are_described_and_written(
    run: Run, trained: Path, files: list[Path], tmp_path: Path
) -> None:
    output = tmp_path / "shapes.npz"
    words = ("describe-shapes", *files, "--weights", trained, "--votes", 2)
    result = run(*words, "-o", output, "--nearest", 2)
    assert result.status == 0, result.err
    assert f"18 shapes described by {trained}, written to {output}" in result.out
    with np.load(output) as written:
        features = written["features"]
    assert features.shape == (18, 24)
    shown = run(*words).out
    assert f"{files[0]}: 24 numbers" in shown
    assert "write all of them with -o FILE" in shown
    listed = json.loads(run(*words, "--json", "--nearest", 1).out)
    np.testing.assert_allclose(listed[3]["features"], features[3], rtol=1e-6)
    assert listed[3]["nearest"][0]["file"] in map(str, files)


def test_one_bad_file_does_not_stop_the_others(
    run: Run, trained: Path, clouds: Path, bad: Path, tmp_path: Path
) -> None:
    output = tmp_path / "shapes.csv"
    words = ("describe-shapes", clouds, bad, "--weights", trained, "-o", output)
    result = run(*words)
    assert result.status == 1
    assert "1 of 37 files cannot be used" in result.err
    assert "bad.npy: 96 points have NaN or infinite coordinates" in result.err
    assert len(pd.read_csv(output)) == 36
    output.write_text("old")
    strict = run(*words, "--strict")
    assert strict.status == 2
    assert output.read_text() == "old"
    alone = run("describe-shapes", bad, "--weights", trained, "-o", output)
    assert alone.status == 2
    assert output.read_text() == "old"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--weights", "carbon-tb"], "carbon-tb predicts densities of states, but embeddings of"),
        (["--weights", "shape"], "did you mean 'shapes'"),
        (["--nearest", "18"], "nearest is 18, but 18 files are given, so each has 17 others"),
        (["--nearest", "0"], "nearest"),
        (["-o", "shapes.png"], "cannot write shapes.png as .png"),
        (["-o", "shapes"], "cannot write shapes as nothing"),
        (["--vote-set", "random"], "one vote is no set of votes"),
        (["--votes", "0"], "votes"),
        (["--batch-size", "0"], "batch_size"),
        (["--device", "cuda:77"], "cuda:77"),
    ],
    ids=str,
)
def test_mistakes(
    words: list[str], message: str, run: Run, trained: Path, files: list[Path]
) -> None:
    weights = [] if "--weights" in words else ["--weights", trained]
    result = run("describe-shapes", *files, *weights, *words)
    assert result.status == 2
    assert message in result.err
    assert result.err.count("\n") <= 2
    assert not Path("shapes.png").exists()


def test_an_empty_folder(run: Run, trained: Path, tmp_path: Path) -> None:
    result = run("describe-shapes", tmp_path, "--weights", trained)
    assert result.status == 2
    assert "holds no file that can be read" in result.err
    absent = run("describe-shapes", tmp_path / "absent", "--weights", trained)
    assert absent.status == 2
    assert "absent" in absent.err


def test_weights_of_shapes_do_not_describe_atoms(run: Run, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("1\n\nC 0 0 0\n")
    result = run("describe-atoms", tmp_path / "a.xyz", "--weights", trained)
    assert result.status == 2
    assert "of the kind 'classifier'" in result.err


def test_probabilities_of_all_classes_are_written(
    run: Run, trained: Path, files: list[Path], bad: Path, tmp_path: Path
) -> None:
    words = ("predict", trained, *files, bad, "--votes", 2)
    shown = json.loads(run(*words, "--json", "--top", 3).out)
    for ending in (".npz", ".csv", ".parquet"):
        if ending == ".parquet":
            pytest.importorskip("pyarrow")
        output = tmp_path / f"classes{ending}"
        result = run(*words, "-o", output)
        assert result.status == 1
        assert f"probabilities of 18 shapes written to {output}" in result.out
        if ending == ".npz":
            with np.load(output) as written:
                names = written["class_names"].tolist()
                shares, best = written["probabilities"], written["class"].tolist()
                assert written["source_file"].tolist() == [str(file) for file in files]
                assert written["score"].shape == (18,)
                assert json.loads(str(written["metadata"]))["votes"] == 2
        else:
            table = pd.read_csv(output) if ending == ".csv" else pd.read_parquet(output)
            shares, best = table[[f"p_{name}" for name in names]].to_numpy(), list(table["class"])
            assert table["file"].tolist() == [str(file) for file in files]
        np.testing.assert_allclose(shares.sum(axis=1), 1)
        for entry, row, name in zip(shown, shares, best, strict=False):
            assert entry["classes"][0]["class"] == name
            for found in entry["classes"]:
                assert row[names.index(found["class"])] == pytest.approx(found["probability"])
    refused = run(*words, "-o", tmp_path / "classes.xlsx")
    assert refused.status == 2
    assert "cannot write" in refused.err


def test_retrieval(run: Run, trained: Path, clouds: Path) -> None:
    words = ("evaluate", trained, "--retrieval", "--votes", 2)
    result = run(*words)
    assert result.status == 0, result.err
    assert "mean average precision" in result.out
    assert "a random order" in result.out
    content = json.loads(run(*words, "--json").out)
    assert content["shapes"] == 18
    assert {entry["class"] for entry in content["classes"]} == {"ball", "disc", "rod"}
    refused = run("evaluate", "carbon-tb", "--retrieval", "--data", clouds)
    assert refused.status == 2
    assert "predicts densities of states, so --retrieval means nothing here" in refused.err


def test_built_in_families_are_described(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from csgnn_dgl.datasets.shapes.families import load_families

    few = {"families": partial(load_families, train_per_class=1, test_per_class=1)}
    monkeypatch.setattr("csgnn_dgl.datasets.shapes.loading.BUILT_IN", few)
    result = run("data", "info", "families", "--points", 16)
    assert result.status == 0, result.err
    assert "quadruped" in result.out
    unknown = run("data", "info", "familes")
    assert unknown.status == 2
