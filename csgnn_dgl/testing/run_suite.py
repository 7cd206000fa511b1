"""Tests that every model has to pass when it is trained and used. Needs pytest."""

from __future__ import annotations

import json
import math
import shutil
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
import torch
from torch import Tensor

from csgnn_dgl.errors import CheckpointError, ConfigError
from csgnn_dgl.models.registry import is_users_own, name_of
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.targets import TARGETS, Target, target_of
from csgnn_dgl.tasks.training import seed_weights, silent
from csgnn_dgl.tasks.use_config import EvaluateConfig, PredictConfig
from csgnn_dgl.tasks.weights import load_weights
from csgnn_dgl.testing.commands import run_in_two_processes
from csgnn_dgl.testing.model_suite import ModelSuite, Record

__all__ = ["RunSuite"]

EPOCHS = 3


class _InterruptedError(Exception):
    pass


class RunSuite(ModelSuite):
    """What is tested of every trained model; one run serves all tests of a class."""

    kind: ClassVar[str]
    #: Options of the suite's trainings, and what to change so that nothing in them is random.
    small: ClassVar[Mapping[str, Any]]
    not_random: ClassVar[Mapping[str, Any]]
    _data: ClassVar[Path]
    _run: ClassVar[RunDirectory]

    @property
    def target(self) -> Target:
        """What the model is trained for."""
        return TARGETS[self.kind]

    @abstractmethod
    def write_data(self, folder: Path) -> Path:
        """Write a data set with training and test split."""

    @abstractmethod
    def files_for_testing(self, data: Path) -> list[Path]:
        """Files of the test split."""

    @abstractmethod
    def load(self, weights: Path, model: Any) -> Any:
        """The trained network."""

    @abstractmethod
    def answers(self, trained: Any) -> Tensor:
        """What a trained network says of some samples."""

    @abstractmethod
    def check_prediction_against_evaluation(self, run: Path, data: Path, name: str) -> float:
        """Predict and evaluate the same files; gives the largest difference."""

    @abstractmethod
    def check_program(self, program: Path, trained: Any) -> float:
        """Compare a program with its network; gives the largest error."""

    # pytest has fixtures of classes, but is about to treat them in another way.
    @pytest.fixture
    def data(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The data set, written once for the class."""
        kind = type(self)
        if "_data" not in vars(kind):
            kind._data = self.write_data(tmp_path_factory.mktemp("suite") / "data")
        return kind._data

    @pytest.fixture
    def run(self, data: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
        """A finished run, made once for the class, which no test changes."""
        kind = type(self)
        if "_run" not in vars(kind):
            kind._run = self.train(data, tmp_path_factory.mktemp("suite") / "run")
        return kind._run

    def train(
        self, data: Path, output: Path, *, echo: Any = silent, hypers: Any = None, **changes: Any
    ) -> RunDirectory:
        """A training with the suite's options."""
        flags = {
            **self.small,
            **self.training,
            **changes,
            "model": self.model,
            "hypers": self.hypers if hypers is None else hypers,
            "data": data,
            "output": output,
        }
        return self.target.train(self.config_class.resolve(flags=flags), echo)

    def state(self, run: RunDirectory) -> dict[str, Tensor]:
        """The weights of a run."""
        return load_weights(run.model, self.kind)[1]

    # Training

    def test_trains(self, run: RunDirectory) -> None:
        table = pd.read_csv(run.metrics)
        assert list(table["epoch"]) == list(range(1, EPOCHS + 1))
        assert all(math.isfinite(loss) for loss in table["train_loss"])
        summary = run.read_summary()
        assert summary["model"] == name_of(self.model)
        assert target_of(run.path) is self.target
        header, state = load_weights(run.model, self.kind)
        assert header.model["name"] == name_of(self.model)
        for name, value in state.items():
            assert bool(value.isfinite().all()), f"{name} is not finite"
        # Every parameter has moved from where it began.
        model = self.load(run.path, self.model).model.model
        seed_weights(self.config_class.from_yaml(run.config, self.model).seed)
        begun = dict(self.construct(model.hypers).named_parameters())
        moved = {n: not torch.equal(p, begun[n]) for n, p in model.named_parameters()}
        assert all(moved.values()), f"not trained: {[n for n, yes in moved.items() if not yes]}"

    def test_an_interrupted_run_ends_with_the_same_weights(
        self, run: RunDirectory, data: Path, tmp_path: Path
    ) -> None:
        def stop(line: str) -> None:
            # The second epoch is done, and not yet saved.
            if line.startswith("epoch 2/"):
                raise _InterruptedError

        cut = tmp_path / "cut"
        with pytest.raises(_InterruptedError):
            self.train(data, cut, echo=stop)
        saved = torch.load(cut / "last.ckpt", weights_only=True)
        assert saved["epoch"] == 0
        resumed = self.state(self.target.resume(cut, silent, self.model))
        whole = self.state(run)
        assert resumed.keys() == whole.keys()
        for name, value in whole.items():
            assert torch.equal(resumed[name], value), f"{name} differs after resuming"

    def test_two_processes_train_as_one(self, data: Path, tmp_path: Path) -> None:
        if not self.several_processes or not torch.distributed.is_available():
            pytest.skip("not in several processes")
        hypers = {**self.hypers, **self.hypers_without_dropout}
        # In float64: Adam scales up what rounding leaves of gradients that are zero.
        options = {**self.not_random, "epochs": 1, "precision": "64-true", "select": "last"}
        one = self.train(data, tmp_path / "one", hypers=hypers, **options, batch_size=4)
        other = self.train(data, tmp_path / "other", hypers=hypers, **options, batch_size=2)
        begun = self.config_class.from_yaml(one.config, self.model)
        two = RunDirectory(tmp_path / "two")
        changed = {"batch_size": 2, "devices": "2", "output": two.path}
        config = tmp_path / "two.yaml"
        config.write_text(begun.model_copy(update=changed).to_yaml(), encoding="utf-8")
        words = ["-m", "csgnn_dgl.cli", "train", self.target.command]
        words += ["--config", str(config), "--model", name_of(self.model)]
        done = run_in_two_processes(words)
        assert [process.returncode for process in done] == [0, 0], [one.stderr for one in done]
        states = [self.state(run) for run in (one, two, other)]
        worst = 0.0
        for name, value in states[0].items():
            assert torch.allclose(states[1][name], value, rtol=1e-5, atol=1e-5), (
                f"{name} is another one in two processes"
            )
            difference = (states[2][name].double() - value.double()).abs().max()
            worst = max(worst, float(difference))
        # Control: half the batch trains otherwise.
        assert worst > 1e-4

    # Use

    def test_loads(self, run: RunDirectory, tmp_path: Path) -> None:
        expected = self.answers(self.load(run.path, self.model))
        assert bool(expected.isfinite().all())
        alone = Path(shutil.copy(run.model, tmp_path / "alone.safetensors"))
        assert torch.equal(self.answers(self.load(alone, self.model)), expected)

    def test_modules_are_imported_only_if_named(self, run: RunDirectory) -> None:
        name = name_of(self.model)
        if is_users_own(name):
            with pytest.raises(CheckpointError, match="imported only if you name it"):
                self.load(run.path, None)
            with pytest.raises(CheckpointError, match="imported only if you name it"):
                self.config_class.from_yaml(run.config)
        else:
            self.load(run.path, None)
        with pytest.raises((CheckpointError, ConfigError), match="was named"):
            self.load(run.path, "another_module:Model")

    def test_evaluates(self, run: RunDirectory, tmp_path: Path) -> None:
        copied = shutil.copytree(run.path, tmp_path / "run")
        config = EvaluateConfig(votes=2, model=name_of(self.model), progress=False)
        assert self.target.evaluate(copied, config)
        entries = json.loads((copied / "summary.json").read_text(encoding="utf-8"))["evaluation"]
        assert entries[0]["votes"] == 2

    def test_predicts_and_goes_on_after_a_bad_file(
        self, run: RunDirectory, data: Path, tmp_path: Path
    ) -> None:
        bad = tmp_path / "bad.npy"
        bad.write_bytes(b"nothing")
        files = [bad, *self.files_for_testing(data)]
        config = PredictConfig(model=name_of(self.model), progress=False)
        outcome = self.target.predict(run.path, files, config, lambda done: None)
        assert [error is not None for _, error in outcome.errors] == [True] + [False] * (
            len(files) - 1
        )
        assert len(outcome.content) == len(files)

    def test_prediction_is_evaluation(
        self, run: RunDirectory, data: Path, tmp_path: Path, record_property: Record
    ) -> None:
        copied = shutil.copytree(run.path, tmp_path / "run")
        error = self.check_prediction_against_evaluation(copied, data, name_of(self.model))
        record_property("prediction against evaluation", error)

    def test_exports(self, run: RunDirectory, tmp_path: Path, record_property: Record) -> None:
        if not self.exports:
            pytest.skip("not exported")
        program = tmp_path / "model.pt2"
        self.target.export(run.path, program, self.model)
        error = self.check_program(program, self.load(run.path, self.model))
        record_property("error of the program", error)
