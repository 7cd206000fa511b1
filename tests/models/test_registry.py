"""Models by name: what cannot be found says why, and nothing is imported that nobody named."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csgnn_dgl.errors import CheckpointError, ConfigError
from csgnn_dgl.models import AGNI, AtomCSGNN, Hypers, PointNet, ShapeCSGNN, ShapeModel
from csgnn_dgl.models.contract import check_class
from csgnn_dgl.models.registry import (
    MODELS,
    find_class,
    find_hypers,
    is_users_own,
    name_of,
    permitted_name,
)
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.dos.config import TrainDOSConfig

GOOD = """
from torch import nn
from csgnn_dgl.models import Hypers, ShapeModel

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

class Colliding(Mean):
    class Hypers(Options):
        points: int = 3

class Outer:
    Inner = Mean

number = 3
"""
MODULES = {
    "good_models": GOOD,
    "raises_models": "1 / 0\n",
    "needs_models": "import a_package_that_is_nowhere\n",
    "broken_models": "def f(:\n",
    "exits_models": "raise SystemExit(3)\n",
}


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("modules")
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder


@pytest.mark.parametrize("domain", list(MODELS))
def test_all_that_are_listed_can_be_had(domain: Any) -> None:
    for name in MODELS[domain]:
        found = find_class(domain, name)
        assert check_class(found, domain, name) is found
        assert find_hypers(domain, name) is found.Hypers
        assert name_of(found) == name
        assert not is_users_own(name)


def test_classes_by_name() -> None:
    assert find_class("shapes", "csgnn") is ShapeCSGNN
    assert find_class("atoms", "csgnn") is AtomCSGNN
    assert find_class("shapes", "pointnet") is PointNet
    assert find_class("atoms", AGNI) is AGNI
    mean = find_class("shapes", "good_models:Mean")
    assert issubclass(mean, ShapeModel)
    assert name_of(mean) == "good_models:Mean"
    assert find_class("shapes", mean) is mean
    assert find_class("shapes", "good_models:Outer.Inner") is mean


def inside() -> type[ShapeModel]:
    class Local(ShapeModel):
        class Hypers(Hypers):
            """None."""

        def forward(self, points: Any) -> Any:
            return points

    return Local


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("pointnt", "unknown model 'pointnt': did you mean 'pointnet'"),
        ("nonsense", "unknown model 'nonsense': Known: csgnn, dgcnn, .*; or module:Class"),
        ("agni", "'agni' is a model of atoms, not of shapes"),
        ("good_models:Maen", "good_models has no class 'Maen': did you mean 'Mean'"),
        ("good_models:Outer.Iner", "good_models has no class 'Outer.Iner'"),
        ("good_models:number", "good_models:number is a int, not a class"),
        ("good_models:Outer", "Outer breaks the contract of models of shapes: it is not derived"),
        ("good_models:", "the model is 'good_models:', but your own must be named module:Class"),
        (":Mean", "the model is ':Mean', but your own must be named module:Class"),
        ("a:b:c", "the model is 'a:b:c', but your own must be named module:Class"),
        ("good_modles:Mean", "there is no module 'good_modles': install it, or put its folder on"),
        ("no.such.module:Mean", "there is no module 'no.such.module'"),
        ("raises_models:Mean", r"cannot be imported \(ZeroDivisionError: division by zero\)"),
        ("broken_models:Mean", r"cannot be imported \(SyntaxError"),
        ("exits_models:Mean", r"cannot be imported \(SystemExit: 3\)"),
        (
            "needs_models:Mean",
            "the module needs_models needs a_package_that_is_nowhere, which is not installed",
        ),
        (inside(), "the class inside.<locals>.Local is defined inside a function"),
        (7, "the model is 7, but it must be a name or a class"),
    ],
    ids=str,
)
def test_what_cannot_be_found(model: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_class("shapes", model)
    with pytest.raises(ConfigError, match=message):
        TrainModelNetConfig.resolve(flags={"model": model})


def test_a_module_beside_that_is_not_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lies_here.py").write_text(GOOD, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", ".")])
    with pytest.raises(ConfigError, match=r"is in this folder.*set PYTHONPATH=\."):
        find_class("shapes", "lies_here:Mean")


def test_options_that_the_training_has_too() -> None:
    with pytest.raises(ConfigError, match=r"options that the training has, too: points\..*rename"):
        TrainModelNetConfig.resolve(flags={"model": "good_models:Colliding"})


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"widht": 3}, "unknown key 'widht' in --widht: did you mean 'width'"),
        ({"hypers": {"widht": 3}}, "unknown key 'widht' in --set widht: did you mean 'width'"),
        ({"level": 3}, "level .* is an option of the model csgnn, not of good_models:Mean"),
        ({"hypers": {"level": 3}}, "level"),
        ({"width": "many"}, r"width = 'many' \(from --width\)"),
        ({"width": 3, "hypers": {"width": 4}}, "width is given twice in flags"),
        ({"hypers": [3]}, "must be 'key: value' lines"),
    ],
    ids=str,
)
def test_unknown_and_impossible_options(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainModelNetConfig.resolve(flags={"model": "good_models:Mean", **flags})


def test_presets_of_others() -> None:
    with pytest.raises(ConfigError, match="'so3' is a preset of csgnn, not of pointnet"):
        TrainModelNetConfig.resolve(preset="so3", flags={"model": "pointnet"})
    with pytest.raises(ConfigError, match="'crystals' is a preset of csgnn, not of agni"):
        TrainDOSConfig.resolve(preset="crystals", flags={"model": "agni"})
    with pytest.raises(ConfigError, match="unknown preset 'quik': did you mean 'quick'"):
        TrainModelNetConfig.resolve(preset="quik", flags={"model": "pointnet"})
    with pytest.raises(ConfigError, match="preset"):
        TrainModelNetConfig.resolve(preset="compact", flags={"model": "good_models:Mean"})
    # Models of one name have options of their own.
    config = TrainModelNetConfig.resolve(preset="quick", flags={"model": "pointnet"})
    assert (config.model, config.epochs, config.learning_rate) == ("pointnet", 20, 2e-3)


@pytest.mark.parametrize(
    ("name", "said", "message"),
    [
        ("a:B", None, "give --model a:B"),
        ("a:B", "a:C", "holds the model 'a:B', but 'a:C' was named"),
        ("a:B", PointNet, "holds the model 'a:B', but 'pointnet' was named"),
        ("csgnn", "pointnet", "holds the model 'csgnn', but 'pointnet' was named"),
        ("dgcnn2", None, "'dgcnn2', which this version of csgnn-dgl does not have; upgrade"),
    ],
)
def test_names_in_files(name: str, said: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        permitted_name(name, "shapes", said, "file")


def test_names_in_files_that_are_permitted() -> None:
    assert permitted_name("csgnn", "shapes", None, "file") == "csgnn"
    assert permitted_name("csgnn", "shapes", ShapeCSGNN, "file") == "csgnn"
    assert permitted_name("a:B", "shapes", "a:B", "file") == "a:B"


def test_names_need_no_torch() -> None:
    code = (
        "import sys; from csgnn_dgl.models.registry import find_hypers, name_of; "
        "find_hypers('shapes', 'csgnn'); find_hypers('atoms', 'csgnn'); "
        "print('torch' in sys.modules); find_hypers('shapes', 'pointnet'); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
