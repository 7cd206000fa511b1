"""Files of a run, damaged at random: a clear error or the same result, never anything else.

``CSGNN_DAMAGE=5000 pytest tests/tasks/test_damaged_runs.py`` tries more.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from csgnn_dgl.cli.main import main
from csgnn_dgl.errors import CSGNNError
from csgnn_dgl.tasks.checkpoint_io import AtomicCheckpointIO
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.trained import load_classifier
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.dos.trained import load_dos_model
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.weights import load_weights, save_weights

OLD = Path(__file__).with_name("old")
COUNT = int(os.environ.get("CSGNN_DAMAGE", "320"))
DATA = {"modelnet": OLD / "clouds", "dos": OLD / "diamonds"}
NAMES = ("model.safetensors", "last.ckpt", "config.yaml", "summary.json")
TOKENS = [
    *(
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"-1",
        b"1e9",
        b"null",
        b"{}",
        b"[",
        b"[" * 3000,
        b"9" * 5000,
    ),
    *(b"!!timestamp x", b"&a [*a]", b"2001-13-45", b"\x1b[2J", b"\xff\xfe", b"\0", b"true", b'"'),
]
SMALL = {
    "modelnet": ["--level", "1", "--n-spheres", "2", "--channels", "2", "--points", "24"],
    "dos": ["--level", "1", "--channels", "4", "--features", "8", "--cutoff", "4"],
}


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    assert isinstance(stop.value.code, int)
    return stop.value.code


@pytest.fixture(scope="module", params=["modelnet", "dos"])
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of each kind, with an evaluation."""
    kind = request.param
    path = tmp_path_factory.mktemp(kind) / "run"
    words = ["--base-width", "4", "--hidden", "8", "--epochs", "2", "--batch-size", "4"]
    words += ["--accelerator", "cpu", "--validation-fraction", "0.34", "--schedule", "one-cycle"]
    assert run("train", kind, "--data", DATA[kind], "--output", path, *words, *SMALL[kind]) == 0
    assert run("evaluate", path, "--device", "cpu") == 0
    return path


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Change the bytes of a file: most often in its first part, where its structure is."""
    found = bytearray(content)
    end = rng.choice([16, 256, 2048, len(found)])
    place = rng.randrange(min(end, len(found)))
    size = rng.choice([1, 2, 8, 64])
    how = rng.randrange(7)
    if how <= 1:
        found[place] ^= 1 << rng.randrange(8)
    elif how == 2:
        found[place] = rng.choice([0, 9, 45, 48, 57, 255])
    elif how == 3:
        del found[place : place + size]
    elif how == 4:
        found[place:place] = found[place : place + size] * rng.choice([1, 3])
    elif how == 5:
        found[place : place + rng.choice([0, 1, 2, 4])] = rng.choice(TOKENS)
    else:
        del found[place:]
    return bytes(found)


def equal(a: Any, b: Any) -> bool:
    """Whether two nested values are the same, bit for bit."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and (a == b or a != a)


def read_model(run: RunDirectory) -> Any:
    trained: Any = (load_dos_model if "dos" in str(run.path) else load_classifier)(run.path)
    return [asdict(trained.header), dict(trained.model.state_dict())]


def read_checkpoint(run: RunDirectory) -> Any:
    return AtomicCheckpointIO().load_checkpoint(run.last_checkpoint)


def read_config(run: RunDirectory) -> Any:
    kind: Any = TrainDOSConfig if "dos" in str(run.path) else TrainModelNetConfig
    return kind.from_yaml(run.config)


def read_summary(run: RunDirectory) -> Any:
    run.record_evaluation({"votes": 1, "seed": 0}, ["votes", "seed"])
    return run.read_summary()


READERS: dict[str, Callable[[RunDirectory], Any]] = {
    "model.safetensors": read_model,
    "last.ckpt": read_checkpoint,
    "config.yaml": read_config,
    "summary.json": read_summary,
}


def assert_fit_for_a_terminal(message: str) -> None:
    assert len(message) < 1500, message
    assert message.isprintable(), message
    assert "weights_only" not in message


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files(finished: Path, name: str, tmp_path: Path) -> None:
    copy = RunDirectory(shutil.copytree(finished, tmp_path / f"{finished.parent.name}-run"))
    content = (copy.path / name).read_bytes()
    expected = READERS[name](copy)
    rng = random.Random(f"{finished.parent.name[:3]} {name}")
    refused = 0
    for _ in range(COUNT // len(NAMES)):
        changed = damaged(content, rng)
        (copy.path / name).write_bytes(changed)
        try:
            found = READERS[name](copy)
        except CSGNNError as error:
            refused += 1
            assert_fit_for_a_terminal(str(error))
            continue
        # A user may change the options, and add to the summary. Weights are never other ones.
        if name in ("model.safetensors", "last.ckpt"):
            assert equal(found, expected), (changed[:200], len(changed))
    assert refused > COUNT // len(NAMES) // 3


@pytest.mark.parametrize("seed", range(max(2, COUNT // 160)))
def test_commands_on_damaged_runs(
    finished: Path, seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = "dos" if "dos" in str(finished) else "modelnet"
    example = sorted(DATA[kind].rglob("*.npy" if kind == "modelnet" else "test.extxyz"))[0]
    rng = random.Random(seed)
    for name in (*NAMES, "metrics.csv"):
        copy = shutil.copytree(finished, tmp_path / name)
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(damaged(content, rng))
        for words in (
            ("predict", copy, example, "--device", "cpu"),
            ("evaluate", copy, "--device", "cpu"),
            ("export", copy, "-o", tmp_path / "out.pt2"),
            ("train", kind, "--resume", copy),
        ):
            if words[0] == "export" and name != "model.safetensors":
                continue  # it reads nothing else
            capsys.readouterr()
            status = run(*words)
            out, err = capsys.readouterr()
            assert status in (0, 2), (name, words, err)
            assert "Traceback" not in err
            if status == 2:
                assert err.splitlines()[-1].startswith("error: "), err
            elif words[0] == "predict":
                run("predict", finished, example, "--device", "cpu")
                expected = capsys.readouterr().out
                assert expected.replace(str(finished), "RUN") == out.replace(str(copy), "RUN")


class TestEntries:
    """Single entries that are missing or of another type."""

    def test_of_checkpoints(self, finished: Path, tmp_path: Path) -> None:
        copy = RunDirectory(shutil.copytree(finished, tmp_path / "run"))
        kind = "dos" if "dos" in str(finished) else "modelnet"
        content = torch.load(copy.last_checkpoint, weights_only=True)
        assert run("train", kind, "--resume", copy.path) == 0
        for name in [name for name in content if name != "hyper_parameters"]:
            for value in (None, 5, "words", {}, [1], {"a": 1}):
                changed = {**content, name: value}
                if value is None:
                    del changed[name]
                torch.save(changed, copy.last_checkpoint)
                status = run("train", kind, "--resume", copy.path)
                # Another number of steps is a number, too.
                assert status in ((0, 2) if type(value) is type(content[name]) else (2,))

    def test_of_callbacks(self, finished: Path, tmp_path: Path) -> None:
        copy = RunDirectory(shutil.copytree(finished, tmp_path / "run"))
        kind = "dos" if "dos" in str(finished) else "modelnet"
        content = torch.load(copy.last_checkpoint, weights_only=True)
        for name, state in content["callbacks"].items():
            for value in (None, 5, [], {}, {**state, "rows": 5, "best": "a", "epoch": []}):
                changed = {**content, "callbacks": {**content["callbacks"], name: value}}
                torch.save(changed, copy.last_checkpoint)
                own = name in ("History", "KeepWeights")
                status = run("train", kind, "--resume", copy.path)
                assert status in ((2,) if own or not isinstance(value, dict) else (0, 2))

    def test_of_rows(self, finished: Path, tmp_path: Path) -> None:
        copy = RunDirectory(shutil.copytree(finished, tmp_path / "run"))
        content = torch.load(copy.last_checkpoint, weights_only=True)
        rows = content["callbacks"]["History"]["rows"]
        less = {name: value for name, value in rows[0].items() if name != "epoch"}
        for wrong in ([], [less, less], [rows[0], less], [{**rows[0], "epoch": "a"}], [5], [{}]):
            content["callbacks"]["History"]["rows"] = wrong
            torch.save(content, copy.last_checkpoint)
            with pytest.raises(CSGNNError, match=r"History\.rows"):
                read_checkpoint(copy)


def test_weights_that_are_not_finite(finished: Path, tmp_path: Path) -> None:
    """A checksum cannot tell: these were written so."""
    copy = RunDirectory(shutil.copytree(finished, tmp_path / "run"))
    kind = "dos" if "dos" in str(finished) else "classifier"
    load = load_dos_model if kind == "dos" else load_classifier
    header, state = load_weights(copy.model, kind)
    name = next(name for name in state if state[name].dim() == 2)
    good = state[name].clone()
    for dtype, value in (
        (torch.float32, float("nan")),
        (torch.float32, float("-inf")),
        (torch.float16, 1e6),
        (torch.bfloat16, float("inf")),
        (torch.float64, 1e300),
    ):
        wrong = good.double()
        wrong[0, 0] = value
        save_weights(copy.model, {**state, name: wrong.to(dtype)}, header)
        with pytest.raises(CSGNNError, match=r"NaN or infinite|too large for the precision"):
            load(copy.path)
        for words in (
            ("predict", copy.path, __file__),
            ("export", copy.path),
            ("evaluate", copy.path),
        ):
            assert run(*words) == 2
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        save_weights(copy.model, {**state, name: good.to(dtype)}, header)
        load(copy.path)
    for dtype in (torch.int32, torch.bool, torch.complex64):
        save_weights(copy.model, {**state, name: good.to(dtype)}, header)
        with pytest.raises(CSGNNError, match=f"{name} holds {dtype} instead of torch.float32"):
            load(copy.path)


def test_predictions_that_are_not_finite(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Finite weights whose products overflow: an error of the file, never printed as nan."""
    copy = RunDirectory(shutil.copytree(finished, tmp_path / "run"))
    kind = "dos" if "dos" in str(finished) else "classifier"
    header, state = load_weights(copy.model, kind)
    huge = {n: t * 0 + 3e38 if t.is_floating_point() and t.dim() else t for n, t in state.items()}
    save_weights(copy.model, huge, header)
    example = sorted(OLD.glob("clouds/*/test/*" if kind != "dos" else "diamonds/test.extxyz"))[0]
    for words in (("predict", copy.path, example), ("evaluate", copy.path)):
        capsys.readouterr()
        assert run(*words, "--device", "cpu") == 2
        out, err = capsys.readouterr()
        assert "nan" not in out
        assert "not a finite number" in err


def test_checkpoints_that_are_not_finite(finished: Path, tmp_path: Path) -> None:
    copy = RunDirectory(shutil.copytree(finished, tmp_path / "run"))
    content = torch.load(copy.last_checkpoint, weights_only=True)
    name = next(name for name in content["state_dict"] if content["state_dict"][name].dim() == 2)
    content["state_dict"][name][0, 0] = np.nan
    torch.save(content, copy.last_checkpoint)
    with pytest.raises(CSGNNError, match=f"NaN or infinite: {name} "):
        read_checkpoint(copy)


def test_odd_summaries(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = RunDirectory(shutil.copytree(finished, tmp_path / "run"))
    work: list[Any] = []
    for name in ("classes.evaluate.vote", "dos.evaluate.average_curves"):
        monkeypatch.setattr(f"csgnn_dgl.tasks.{name}", lambda *args, **options: work.append(args))
    for content in (
        '{"evaluation":[1]}',
        '{"retrieval":5}',
        '{"evaluation":5}',
        '{"evaluation":null}',
        '{"evaluation":{}}',
        "[1]",
        "5",
        "[" * 100_000,
        '{"a": ' + "9" * 5000 + "}",
        '{"seconds": NaN}',
        '{"seconds": 1e999, "x": -Infinity}',
        '{"a": "\\ud800"',
        "",
        "\x1b[2J",
    ):
        copy.summary.write_text(content)
        assert run("evaluate", copy.path, "--device", "cpu") == 2
        assert copy.summary.read_text() == content
    copy.summary.unlink()
    copy.summary.mkdir()
    assert run("evaluate", copy.path, "--device", "cpu") == 2
    copy.summary.rmdir()
    assert not work, "a summary is refused before the work whose result goes there"
    monkeypatch.undo()
    copy.summary.write_text(json.dumps({"evaluation": [{"other": 1}], "mine": [1, "2"]}))
    assert run("evaluate", copy.path, "--device", "cpu") == 0
    assert json.loads(copy.summary.read_text())["mine"] == [1, "2"]


@pytest.mark.parametrize("name", [*NAMES, "metrics.csv", ".lock", ".lock-owner"])
@pytest.mark.parametrize("what", ["folder", "dangling link", "pipe"])
def test_things_in_place_of_files(finished: Path, name: str, what: str, tmp_path: Path) -> None:
    copy = shutil.copytree(finished, tmp_path / "run")
    kind = "dos" if "dos" in str(finished) else "modelnet"
    (copy / name).unlink(missing_ok=True)
    if what == "folder":
        (copy / name).mkdir()
    elif what == "pipe":
        os.mkfifo(copy / name)
    else:
        (copy / name).symlink_to(tmp_path / "absent")
    for words in (("evaluate", copy, "--device", "cpu"), ("train", kind, "--resume", copy)):
        assert run(*words) in (0, 2)


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "plateau", "constant"])
def test_a_run_with_more_epochs_than_it_was_begun_with(
    schedule: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A schedule over all steps cannot be continued; the others can."""
    path = tmp_path / "run"
    words = ["--base-width", "4", "--hidden", "8", "--epochs", "2", "--batch-size", "4"]
    words += ["--accelerator", "cpu", "--validation-fraction", "0.34", "--schedule", schedule]
    data = DATA["modelnet"]
    assert (
        run("train", "modelnet", "--data", data, "--output", path, *words, *SMALL["modelnet"]) == 0
    )
    config = (path / "config.yaml").read_text()
    (path / "config.yaml").write_text(config.replace("epochs: 2", "epochs: 4"))
    capsys.readouterr()
    status = run("train", "modelnet", "--resume", path)
    out, err = capsys.readouterr()
    if schedule in ("plateau", "constant"):
        assert status == 0, err
        assert "epoch 4/4" in err + out
    else:
        assert status == 2
        assert f"The schedule {schedule} is planned for all steps of a run" in err
    (path / "config.yaml").write_text(config.replace("epochs: 2", "epochs: 1"))
    assert run("train", "modelnet", "--resume", path) == 2
    assert "epochs" in capsys.readouterr().err
    (path / "config.yaml").write_text(config.replace("epochs: 2", "epochs: 2"))
