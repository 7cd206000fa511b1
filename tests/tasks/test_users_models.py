"""Files never make anybody's module be imported: a user has to name it, every time."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from csgnn_dgl.cli.main import main
from csgnn_dgl.errors import CheckpointError, CSGNNError
from csgnn_dgl.export import export_model
from csgnn_dgl.shapes import ShapeClassifier
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.evaluate import evaluate
from csgnn_dgl.tasks.classes.predict import predict
from csgnn_dgl.tasks.classes.train import resume
from csgnn_dgl.tasks.classes.trained import load_classifier
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.dos.trained import load_dos_model
from csgnn_dgl.tasks.use_config import DescribeConfig, EvaluateConfig, PredictConfig
from csgnn_dgl.testing.samples import write_dos_folder, write_shape_folder

# It leaves a mark when it is imported.
MARKED = """
from pathlib import Path
import torch
from torch import nn
from csgnn_dgl.models import AtomModel, Hypers, ShapeModel

Path(__file__).with_name("imported").touch()

class Options(Hypers):
    width: int = 4

class Mean(ShapeModel):
    Hypers = Options

    def __init__(self, hypers):
        super().__init__(hypers)
        self.features = hypers.width
        self.linear = nn.Linear(3, hypers.width)

    def forward(self, points):
        return self.linear(points).mean(dim=1)

class Other(Mean):
    pass

class Fails(Mean):
    def forward(self, points):
        raise RuntimeError("at fault")

class Counts(AtomModel):
    Hypers = Options
    cutoff = 3.0

    def __init__(self, hypers, elements):
        super().__init__(hypers, elements)
        self.features = hypers.width
        self.linear = nn.Linear(1, hypers.width)

    def forward(self, neighbors):
        ones = torch.ones_like(neighbors.displacements[:, 0])
        sums = ones.new_zeros(neighbors.n_atoms).index_add(0, neighbors.centres, ones)
        return self.linear(sums[:, None])
"""
NAME, ATOMS = "marked_models:Mean", "marked_models:Counts"
SMALL = ["--hidden", "4", "--epochs", "1", "--batch-size", "4", "--accelerator", "cpu"]
SMALL += ["--validation-fraction", "0.34", "--no-progress"]


def call(*words: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """With the module, data, and a run of each target."""
    folder = tmp_path_factory.mktemp("marked")
    (folder / "marked_models.py").write_text(MARKED, encoding="utf-8")
    write_shape_folder(folder / "clouds", points=32)
    write_dos_folder(folder / "curves", (6,), train=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        shapes = ["--data", folder / "clouds", "--points", 32, "--output", folder / "shapes"]
        assert call("train", "modelnet", "--model", NAME, *shapes, *SMALL) == 0
        curves = ["--data", folder / "curves", "--output", folder / "atoms"]
        assert call("train", "dos", "--model", ATOMS, "--calibrate", *curves, *SMALL) == 0
        assert (folder / "imported").exists()
        yield folder


@pytest.fixture
def marked(folder: Path) -> Iterator[Path]:
    """As a fresh process has it: the module is not imported yet."""
    (folder / "imported").unlink(missing_ok=True)
    sys.modules.pop("marked_models", None)
    yield folder
    sys.modules.pop("marked_models", None)


def cloud(folder: Path) -> Path:
    return folder / "clouds" / "rod" / "test" / "rod-0.npy"


CALLS: dict[str, Callable[[Path, Any], object]] = {
    "load": lambda f, m: load_classifier(f / "shapes", model=m),
    "load the file": lambda f, m: load_classifier(f / "shapes" / "model.safetensors", model=m),
    "classifier": lambda f, m: ShapeClassifier(f / "shapes", model=m),
    "evaluate": lambda f, m: evaluate(f / "shapes", EvaluateConfig(model=m)),
    "predict": lambda f, m: predict(f / "shapes", [cloud(f)], PredictConfig(model=m)),
    "export": lambda f, m: export_model(f / "shapes", f / "model.pt2", model=m),
    "resume": lambda f, m: resume(f / "shapes", model=m),
    "options": lambda f, m: TrainModelNetConfig.from_yaml(f / "shapes" / "config.yaml", m),
    "load atoms": lambda f, m: load_dos_model(f / "atoms", model=m and ATOMS),
    "options of atoms": lambda f, m: TrainDOSConfig.from_yaml(
        f / "atoms" / "config.yaml", m and ATOMS
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls(name: str, marked: Path) -> None:
    with pytest.raises(CheckpointError, match=r"imported only if you name it: give --model"):
        CALLS[name](marked, None)
    assert not (marked / "imported").exists()
    assert "marked_models" not in sys.modules
    # Named, it does what it was asked for.
    CALLS[name](marked, NAME)
    assert (marked / "imported").exists()


COMMANDS: dict[str, list[str]] = {
    "evaluate": ["evaluate", "{f}/shapes"],
    "predict": ["predict", "{f}/shapes", "{f}/clouds/rod/test/rod-0.npy"],
    "export": ["export", "{f}/shapes", "-o", "{f}/program.pt2"],
    "resume": ["train", "modelnet", "--resume", "{f}/shapes"],
    "print": ["train", "modelnet", "--config", "{f}/shapes/config.yaml", "--print-config"],
    "evaluate atoms": ["evaluate", "{f}/atoms"],
    "predict atoms": ["predict", "{f}/atoms", "{f}/curves/test.extxyz"],
    "describe": ["describe-atoms", "{f}/curves/test.extxyz", "--weights", "{f}/atoms"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands(name: str, marked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [word.format(f=marked) for word in COMMANDS[name]]
    model = ATOMS if "atoms" in " ".join(words[:4]) or name == "describe" else NAME
    assert call(*words) == 2
    said = capsys.readouterr().err
    assert "A module is imported only if you name it" in said
    assert f"--model {model}" in said
    assert "Traceback" not in said
    assert not (marked / "imported").exists()
    assert call(*words, "--model", model) == 0, capsys.readouterr().err
    assert (marked / "imported").exists()


def test_a_configuration_is_repeated_if_its_model_is_named(
    marked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "modelnet", "--config", marked / "shapes" / "config.yaml"]
    words += ["--output", tmp_path / "again"]
    assert call(*words) == 2
    assert "config.yaml needs the model marked_models:Mean" in capsys.readouterr().err
    assert not (marked / "imported").exists()
    assert call(*words, "--model", NAME) == 0
    weights = [run / "model.safetensors" for run in (marked / "shapes", tmp_path / "again")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.parametrize("name", ["evaluate", "predict", "describe"])
def test_a_file_of_options_names_nobody(
    name: str, marked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever sends weights may send options along: these are not the user's word."""
    model = ATOMS if name == "describe" else NAME
    options = tmp_path / "options.yaml"
    options.write_text(f"model: {model}\n", encoding="utf-8")
    words = [word.format(f=marked) for word in COMMANDS[name]] + ["--config", options]
    assert call(*words) == 2
    assert f"options.yaml names the model {model}" in capsys.readouterr().err
    assert not (marked / "imported").exists()
    assert call(*words, "--model", model) == 0


def test_a_model_that_fails_leaves_no_run(marked: Path, tmp_path: Path) -> None:
    words = ["modelnet", "--model", "marked_models:Fails", "--data", marked / "clouds"]
    words = ["train", *words, "--points", 32, "--output", tmp_path / "run", *SMALL]
    with pytest.raises(RuntimeError, match="at fault"):
        main([str(word) for word in words])
    assert not (tmp_path / "run").exists()


def test_a_run_of_another_model(marked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for other in ("pointnet", "csgnn", "marked_models:Other"):
        assert call("evaluate", marked / "shapes", "--model", other) == 2
        said = capsys.readouterr().err
        assert f"holds the model 'marked_models:Mean', but {other!r} was named" in said
        assert not (marked / "imported").exists()
        assert call("train", "modelnet", "--resume", marked / "shapes", "--model", other) == 2
        assert f"but {other!r} was named" in capsys.readouterr().err


def test_where_the_module_is_missing(
    marked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    run = shutil.copytree(marked / "shapes", tmp_path / "run")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(marked)])
    assert call("predict", run, cloud(marked), "--model", NAME) == 2
    assert "there is no module 'marked_models': install it" in capsys.readouterr().err


def test_a_model_of_another_kind(marked: Path) -> None:
    with pytest.raises(CSGNNError, match=r"not derived from csgnn_dgl\.models\.ShapeModel"):
        TrainModelNetConfig.resolve(flags={"model": ATOMS})
    with pytest.raises(CheckpointError, match="needs one of the kind"):
        load_classifier(marked / "atoms", model=ATOMS)
    with pytest.raises(CheckpointError, match="needs one of the kind"):
        load_dos_model(marked / "shapes", model=NAME)
    assert DescribeConfig(model=ATOMS).model == ATOMS


def test_what_is_written_of_a_model(marked: Path) -> None:
    content = yaml.safe_load((marked / "shapes" / "config.yaml").read_text(encoding="utf-8"))
    assert content["model"] == NAME
    assert content["hypers"] == {"width": 4}
    assert "level" not in content
