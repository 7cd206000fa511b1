"""Lightning's loggers: what they write, what is missing, and that nothing else changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import lightning.pytorch.loggers.mlflow as lightning_mlflow
import lightning.pytorch.loggers.wandb as lightning_wandb
import pandas as pd
import pytest
from lightning.pytorch.loggers import TensorBoardLogger

from csgnn_dgl.errors import CheckpointError, ConfigError, MissingDependencyError
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.train import resume, train
from csgnn_dgl.tasks.loggers import run_loggers
from csgnn_dgl.tasks.run_directory import RunDirectory

SMALL: dict[str, Any] = {
    "model": "pointnet",
    "preset": None,
    "points": 32,
    "batch_size": 4,
    "validation_fraction": 0.34,
    "accelerator": "cpu",
    "epochs": 2,
    "progress": False,
}


def small(clouds: Path, output: Path, **options: Any) -> TrainModelNetConfig:
    flags = {**SMALL, "data": clouds, "output": output, **options}
    flags.pop("preset")
    return TrainModelNetConfig.resolve(flags=flags)


class _Run:
    """A run at wandb, as far as Lightning looks at it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings, self.id = settings, settings["id"] or "made-up-id"
        self.rows: list[dict[str, float]] = []
        self.options: dict[str, Any] = {}
        self.finished = False
        self.config = SimpleNamespace(update=self._update)
        self.summary: dict[str, Any] = {}

    def _update(self, values: dict[str, Any], **_: Any) -> None:
        self.options.update(values)

    def log(self, row: dict[str, float]) -> None:
        self.rows.append(dict(row))

    def define_metric(self, *_: Any, **__: Any) -> None:
        pass

    def finish(self) -> None:
        self.finished = True


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> list[_Run]:
    """A stand-in for wandb that keeps all runs."""
    runs: list[_Run] = []

    def init(**settings: Any) -> _Run:
        runs.append(_Run(settings))
        return runs[-1]

    module, sdk, lib, inner = (
        ModuleType(name) for name in ("wandb", "wandb.sdk", "wandb.sdk.lib", "wandb.wandb_run")
    )
    module.__spec__ = SimpleNamespace(name="wandb")  # type: ignore[assignment]
    module.init, module.run = init, None  # type: ignore[attr-defined]
    lib.RunDisabled, inner.Run = type("RunDisabled", (), {}), _Run  # type: ignore[attr-defined]
    for part in (module, sdk, lib, inner):
        monkeypatch.setitem(sys.modules, part.__name__, part)
    monkeypatch.setattr(lightning_wandb, "_WANDB_AVAILABLE", True)
    return runs


class _Client:
    """A client of MLflow, as far as Lightning calls it."""

    def __init__(self, uri: str, kept: list[Any]) -> None:
        self.uri, self.kept = uri, kept

    def get_run(self, run_id: str) -> Any:
        self.kept.append(("get_run", run_id))
        return SimpleNamespace(info=SimpleNamespace(experiment_id="7"))

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id="7", lifecycle_stage="active", name=name)

    def create_run(self, experiment_id: str, tags: Any) -> Any:
        self.kept.append(("create_run", self.uri, dict(tags)))
        return SimpleNamespace(info=SimpleNamespace(run_id="run-1"))

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = ()) -> None:
        self.kept += [("metric", m.key, m.value) for m in metrics]
        self.kept += [("param", p.key, p.value) for p in params]

    def set_terminated(self, run_id: str, status: str) -> None:
        self.kept.append(("end", run_id, status))

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"MlflowClient.{name} is not part of the stand-in")


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A stand-in for MLflow that keeps what is sent to it."""
    kept: list[Any] = []
    modules = {
        "mlflow": {"set_tracking_uri": lambda uri: None},
        "mlflow.tracking": {"MlflowClient": lambda uri: _Client(uri, kept)},
        "mlflow.entities": {"Metric": SimpleNamespace, "Param": SimpleNamespace},
        "mlflow.utils": {},
        "mlflow.utils.mlflow_tags": {"MLFLOW_RUN_NAME": "mlflow.runName"},
        "mlflow.tracking.context": {},
        "mlflow.tracking.context.registry": {"resolve_tags": lambda tags: tags},
    }
    for name, content in modules.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        module.__spec__ = SimpleNamespace(name=name)  # type: ignore[assignment]
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(lightning_mlflow, "_MLFLOW_AVAILABLE", True)
    monkeypatch.setattr(lightning_mlflow, "_get_resolve_tags", lambda: lambda tags: tags)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return kept


def test_several_at_once(clouds: Path, tmp_path: Path) -> None:
    both = train(small(clouds, tmp_path / "both", logger=["csv", "tensorboard", "csv"]))
    one = train(small(clouds, tmp_path / "one"))
    assert list((one.path / "tensorboard").iterdir())
    assert not (one.path / "csv").exists()
    assert not one.loggers.exists()
    assert list((both.path / "tensorboard").iterdir())
    rows = pd.read_csv(both.path / "csv" / "version_0" / "metrics.csv")
    kept = pd.read_csv(both.metrics)
    assert sorted(set(rows["epoch"])) == kept["epoch"].tolist() == [1, 2]
    logged = rows.dropna(subset="validation_loss").groupby("epoch")["validation_loss"].last()
    assert logged.tolist() == pytest.approx(kept["validation_loss"].tolist())
    # Nothing else depends on them.
    same = [name for name in kept if "seconds" not in name]
    pd.testing.assert_frame_equal(kept[same], pd.read_csv(one.metrics)[same])
    assert TrainModelNetConfig.from_yaml(both.config).logger == ["csv", "tensorboard", "csv"]


def test_resuming_keeps_what_was_logged(
    clouds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(small(clouds, tmp_path / "run", logger=["csv"]))
    first = (run.path / "csv" / "version_0" / "metrics.csv").read_text()
    text = run.config.read_text(encoding="utf-8").replace("epochs: 2", "epochs: 3")
    run.config.write_text(text, encoding="utf-8")
    resume(run.path)
    assert (run.path / "csv" / "version_0" / "metrics.csv").read_text() == first
    later = pd.read_csv(run.path / "csv" / "version_1" / "metrics.csv")
    assert set(later["epoch"]) == {3}
    assert pd.read_csv(run.metrics)["epoch"].tolist() == [1, 2, 3]


def test_wandb(clouds: Path, tmp_path: Path, wandb: list[_Run]) -> None:
    run = train(small(clouds, tmp_path / "mine", logger=["wandb"], learning_rate=0.01))
    [seen] = wandb
    assert seen.settings["project"] == "csgnn-dgl"
    assert (seen.settings["name"], seen.settings["dir"]) == ("mine", str(run.path))
    assert seen.settings["resume"] == "allow"
    assert seen.options["learning_rate"] == 0.01
    assert seen.options["hypers"]
    assert seen.finished
    assert {row["epoch"] for row in seen.rows if "epoch" in row} == {1, 2}
    assert any("validation_loss" in row for row in seen.rows)
    assert run.metrics.is_file()
    assert not (run.path / "tensorboard").exists()
    # A resumed run goes on at the service.
    text = run.config.read_text(encoding="utf-8").replace("epochs: 2", "epochs: 3")
    run.config.write_text(text, encoding="utf-8")
    assert json.loads(run.loggers.read_text()) == {"wandb": "made-up-id"}
    resume(run.path)
    assert wandb[1].settings["id"] == "made-up-id"


def test_mlflow(clouds: Path, tmp_path: Path, mlflow: list[Any]) -> None:
    run = train(small(clouds, tmp_path / "mine", logger=["mlflow", "csv"]))
    [made] = [entry for entry in mlflow if entry[0] == "create_run"]
    assert made[1] == f"sqlite:///{(run.path / 'mlflow' / 'mlflow.db').resolve().as_posix()}"
    assert made[2]["mlflow.runName"] == "mine"
    assert ("param", "model", "pointnet") in mlflow
    assert {entry[2] for entry in mlflow if entry[:2] == ("metric", "epoch")} == {1, 2}
    assert mlflow[-1] == ("end", "run-1", "FINISHED")
    assert json.loads(run.loggers.read_text()) == {"mlflow": "run-1"}
    logged = [entry for entry in mlflow if entry[0] == "param"]
    with run_loggers(run, ["mlflow"], {"epochs": 3}):
        pass
    assert ("get_run", "run-1") in mlflow
    # MLflow refuses other values of an option.
    assert [entry for entry in mlflow if entry[0] == "param"] == logged


@pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed")
def test_wandb_itself_without_network(clouds: Path, tmp_path: Path) -> None:
    # In a process of its own: wandb starts others, and warns of what it imports.
    program = (
        "import sys, json\n"
        "from pathlib import Path\n"
        "from csgnn_dgl.tasks.classes.config import TrainModelNetConfig\n"
        "from csgnn_dgl.tasks.classes.train import train\n"
        "if __name__ == '__main__':\n"
        "    flags = json.loads(sys.argv[1])\n"
        "    train(TrainModelNetConfig.resolve(flags=flags))\n"
    )
    flags = {**SMALL, "data": str(clouds), "output": str(tmp_path / "run"), "logger": ["wandb"]}
    flags.pop("preset")
    places = {name: str(tmp_path) for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR")}
    subprocess.run(
        [sys.executable, "-c", program, json.dumps(flags)],
        check=True,
        timeout=240,
        env={**os.environ, **places, "WANDB_MODE": "offline", "WANDB_SILENT": "true"},
    )
    [folder] = (tmp_path / "run" / "wandb").glob("offline-run-*")
    assert list(folder.glob("*.wandb"))
    assert json.loads((tmp_path / "run" / "loggers.json").read_text())["wandb"] in folder.name


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_is_named_before_any_work(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    config = small(tmp_path / "gone", tmp_path / "run", logger=["csv", name])
    with pytest.raises(MissingDependencyError, match=rf"pip install 'csgnn-dgl\[{name}\]'"):
        train(config)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["wandbb"], "logger = .*did you mean 'wandb'"),
        ([], "logger = .*at least 1 item"),
        ("csv", "logger = 'csv'"),
    ],
)
def test_names_that_are_none(given: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        small(tmp_path, tmp_path / "run", logger=given)


def test_a_service_that_refuses(
    clouds: Path, tmp_path: Path, wandb: list[_Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**settings: Any) -> None:
        raise RuntimeError("api_key not configured (no-tty)")

    monkeypatch.setattr(sys.modules["wandb"], "init", refuse)
    with pytest.raises(
        ConfigError, match=r"wandb cannot be used \(RuntimeError: api_key.*WANDB_MODE=offline"
    ):
        train(small(clouds, tmp_path / "run", logger=["wandb"]))
    assert not (tmp_path / "run").exists()


def test_a_damaged_file_of_names(tmp_path: Path, wandb: list[_Run]) -> None:
    run = RunDirectory(tmp_path)
    for content in ("{", "[]"):
        run.loggers.write_text(content)
        with (
            pytest.raises(CheckpointError, match=r"loggers\.json"),
            run_loggers(run, ["wandb"], {}),
        ):
            pass


def test_epochs_in_tensorboard_count_from_one(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    with run_loggers(run, ["tensorboard"], {}) as [logger]:
        assert isinstance(logger, TensorBoardLogger)
        seen: list[Any] = []
        logger.experiment.add_scalar = lambda name, value, step: seen.append((name, value))
        logger.log_metrics({"epoch": 0.0, "loss": 2.0}, 0)
        assert seen == [("epoch", 1.0), ("loss", 2.0)]
