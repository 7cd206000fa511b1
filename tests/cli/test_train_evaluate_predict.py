"""The main job by the command line, from data to predictions."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csgnn_dgl.cli.main import main

SMALL_FLAGS = ["--preset", "quick", "--level", "1", "--points", "64", "--epochs", "2"]
SMALL_FLAGS += ["--batch-size", "4", "--validation-fraction", "0.34", "--accelerator", "cpu"]

Run = Callable[..., Any]


def test_training_reports_what_it_did(trained: Path) -> None:
    summary = json.loads((trained / "summary.json").read_text())
    assert summary["epochs"] == 2


def test_solids_are_the_default_and_it_says_so(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(
        *("train", "modelnet", "--level", 0, "--n-spheres", 2, "--channels", 2, "--points", 64),
        *("--base-width", 2, "--hidden", 8, "--epochs", 1, "--accelerator", "cpu"),
    )
    assert result.status == 0
    assert "training on the built-in solids" in result.err
    # Without --output the run is runs/modelnet-001, then -002.
    assert "runs/modelnet-001" in result.out
    assert (tmp_path / "runs" / "modelnet-001" / "model.safetensors").is_file()


def test_evaluate_adds_to_the_summary(run: Run, trained: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(trained, tmp_path / "run")
    first = run("evaluate", copy)
    assert first.status == 0
    assert "18 test shapes" in first.out
    assert run("evaluate", copy, "--rotation", "z", "--votes", 5).status == 0
    assert run("evaluate", copy).out.split("accuracy")[1] != ""
    entries = json.loads((copy / "summary.json").read_text())["evaluation"]
    # The second run of a protocol replaces the first.
    assert [(e["rotation"], e["votes"]) for e in entries] == [("z", 5), ("so3", 1)]
    assert all(0 <= e["accuracy"] <= 1 for e in entries)
    assert (copy / "confusion-test-z-5-votes.png").read_bytes().startswith(b"\x89PNG")


def test_evaluate_on_what_was_held_out(
    run: Run, trained: Path, clouds: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(trained, tmp_path / "run")
    summary = json.loads((copy / "summary.json").read_text())
    result = run("evaluate", copy, "--split", "validation")
    assert result.status == 0
    assert f"{summary['data']['validation_shapes']} validation shapes" in result.out
    assert (copy / "confusion-validation-so3-1-votes.png").is_file()
    assert run("evaluate", copy, "--split", "test").status == 0
    entries = json.loads((copy / "summary.json").read_text())["evaluation"]
    assert [e["split"] for e in entries] == ["validation", "test"]
    # An evaluation of before, which named no split, is one of the test split.
    for entry in entries:
        entry.pop("split")
    (copy / "summary.json").write_text(json.dumps({**summary, "evaluation": entries[1:]}))
    assert run("evaluate", copy).status == 0
    assert len(json.loads((copy / "summary.json").read_text())["evaluation"]) == 1
    # The weights alone know what was held out of their own data, and of no others.
    words = ("evaluate", copy / "model.safetensors", "--split", "validation", "--data")
    alone = run(*words, clouds)
    assert alone.status == 0
    assert alone.out.split("accuracy ")[1].split(" on ")[0] in result.out
    other = shutil.copytree(clouds, tmp_path / "data")
    np.save(other / "rod" / "test" / "rod0.npy", np.random.default_rng(1).normal(size=(96, 3)))
    refused = run(*words, other)
    assert refused.status == 2
    assert "nothing of them was held out" in refused.err


def test_evaluate_refuses_changed_data(
    run: Run, trained: Path, clouds: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(trained, tmp_path / "run")
    data = shutil.copytree(clouds, tmp_path / "data")
    config = copy / "config.yaml"
    config.write_text(config.read_text().replace(str(clouds), str(data)))
    assert run("evaluate", copy).status == 0  # the same data in another place are the same data
    np.save(data / "rod" / "test" / "rod0.npy", np.random.default_rng(1).normal(size=(96, 3)))
    changed = run("evaluate", copy)
    assert changed.status == 2
    assert "has changed since" in changed.err
    assert run("evaluate", copy, "--data", data).status == 0


def test_evaluate_refuses_other_classes(
    run: Run, trained: Path, clouds: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(clouds, tmp_path / "data")
    (data / "rod").rename(data / "tube")
    result = run("evaluate", trained, "--data", data)
    assert result.status == 2
    assert "unknown to the model ['tube']" in result.err
    assert "missing in the data ['rod']" in result.err


def test_predict_prints_a_table_or_json(run: Run, trained: Path, clouds: Path) -> None:
    files = [clouds / "rod" / "test" / "rod0.npy", clouds / "ball" / "test" / "ball1.npy"]
    table = run("predict", trained, *files, "--top", 3)
    assert table.status == 0
    first, second, note = table.out.splitlines()
    assert all(name in first for name in ("rod0.npy", "disc", "%", "not calibrated"))
    assert "ball1.npy" in second
    # It was trained on too few shapes to know what it knows.
    assert "warning:" in note
    as_json = run("predict", trained, *files, "--top", 3, "--json")
    content = json.loads(as_json.out)
    assert [entry["file"] for entry in content] == [str(file) for file in files]
    for entry in content:
        shares = [c["probability"] for c in entry["classes"]]
        assert sum(shares) == pytest.approx(1)
        assert shares == sorted(shares, reverse=True)
        assert entry["error"] is None


def test_predict_goes_on_after_a_bad_file(
    run: Run, trained: Path, clouds: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.npy"
    bad.write_bytes(b"not an array")
    good = clouds / "rod" / "test" / "rod0.npy"
    result = run("predict", trained, bad, good, tmp_path / "gone.off", "--json")
    assert result.status == 1
    entries = json.loads(result.out)
    assert [bool(e["classes"]) for e in entries] == [False, True, False]
    assert "2 of 3 files cannot be used" in result.err
    assert str(bad) in result.err
    assert "gone.off does not exist" in result.err


def test_predict_says_what_is_doubtful(run: Run, trained: Path, tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(96, 3))
    points[:3] = 70
    np.save(tmp_path / "a.npy", points)
    table = run("predict", trained, tmp_path / "a.npy")
    assert table.status == 0
    assert "  warning: a.npy: " in table.out
    (entry,) = json.loads(run("predict", trained, tmp_path / "a.npy", "--json").out)
    assert "more than 10 times as far from the middle" in entry["warnings"][0]


def test_predict_survives_every_kind_of_path(
    run: Run, trained: Path, clouds: Path, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe.off")
    (tmp_path / "zero.npy").symlink_to("/dev/zero")
    bad = [tmp_path / "pipe.off", tmp_path / "zero.npy", tmp_path, tmp_path / ("a" * 5000 + ".off")]
    result = run("predict", trained, *bad, clouds / "rod" / "test" / "rod0.npy", "--json")
    assert result.status == 1
    assert [bool(entry["classes"]) for entry in json.loads(result.out)] == [False] * 4 + [True]
    assert "4 of 5 files cannot be used" in result.err


def corrupt_schema(run_path: Path) -> None:
    weights = run_path / "model.safetensors"
    content = weights.read_bytes()
    changed = content.replace(b'\\"schema\\": 4', b'\\"schema\\": 9')
    assert changed != content
    weights.write_bytes(changed)


def change_kind(run_path: Path) -> None:
    weights = run_path / "model.safetensors"
    content = weights.read_bytes()
    changed = content.replace(b'\\"kind\\": \\"classifier\\"', b'\\"kind\\": \\"dispersion\\"')
    assert changed != content
    weights.write_bytes(changed)


def remove_weights(run_path: Path) -> None:
    (run_path / "model.safetensors").unlink()


def truncate_weights(run_path: Path) -> None:
    weights = run_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def foreign_tensors(run_path: Path) -> None:
    import safetensors.torch
    import torch

    safetensors.torch.save_file({"a": torch.zeros(2)}, run_path / "model.safetensors")


def another_model(run_path: Path) -> None:
    weights = run_path / "model.safetensors"
    content = weights.read_bytes()
    changed = content.replace(b'\\"base_width\\": 4', b'\\"base_width\\": 5')
    assert changed != content
    weights.write_bytes(changed)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            corrupt_schema,
            "has schema version 9, and this version of csgnn-dgl reads versions 1 to 4",
        ),
        (change_kind, "holds a model of the kind 'dispersion'"),
        (remove_weights, "there are no weights"),
        (truncate_weights, "is damaged or not a safetensors file"),
        (foreign_tensors, "not the header that csgnn-dgl writes"),
        (another_model, "its weights and its header are not those that were written"),
        (shutil.rmtree, "there is no run"),
    ],
)
@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_unusable_weights_are_named(
    command: str,
    damage: Callable[[Path], None],
    message: str,
    run: Run,
    trained: Path,
    clouds: Path,
    tmp_path: Path,
) -> None:
    copy = shutil.copytree(trained, tmp_path / "run")
    damage(copy)
    files = [clouds / "rod" / "test" / "rod0.npy"] if command == "predict" else []
    result = run(command, copy, *files)
    assert result.status == 2
    assert message in result.err
    assert "Traceback" not in result.err


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_place_is_named(run: Run, clouds: Path, tmp_path: Path) -> None:
    place = tmp_path / "locked"
    place.mkdir(mode=0o555)
    result = run("train", "modelnet", "--data", clouds, "--output", place / "run")
    assert result.status == 2
    assert "permission denied" in result.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_named_and_loses_nothing(
    run: Run, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(trained, tmp_path / "run")
    before = (copy / "summary.json").read_bytes()
    import csgnn_dgl._files as files

    real = files._open

    def full(path: Any, mode: str) -> Any:
        return open("/dev/full", mode.replace("x", "w")) if "x" in mode else real(path, mode)

    monkeypatch.setattr(files, "_open", full)
    result = run("evaluate", copy)
    assert result.status == 2
    assert "the disk is full" in result.err
    assert (copy / "summary.json").read_bytes() == before


def test_two_processes_train_one_model(few_clouds: Path, tmp_path: Path) -> None:
    pytest.importorskip("lightning")  # which the processes need, and this one does not import
    from csgnn_dgl.testing.commands import run_python

    words = ["train", "modelnet", "--data", few_clouds, "--output", tmp_path / "run", *SMALL_FLAGS]
    words += ["--devices", "2"]
    done = run_python(["-m", "csgnn_dgl.cli", *words])
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    # The first process alone speaks.
    assert done.stderr.count("epoch 2/2") == 1
    assert len(done.stdout.splitlines()) == 3
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["epochs"] == 2


def test_main_returns_zero_on_success(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert "csgnn-dgl" in capsys.readouterr().out
