"""``csgnn-dgl models``: what there is, and what each can be told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from csgnn_dgl.models.registry import MODELS, find_hypers
from csgnn_dgl.tasks.shipped import shipped_models

OWN = """
from pathlib import Path
from pydantic import BaseModel
from csgnn_dgl.config import Preset, option
from csgnn_dgl.models import AtomModel, Hypers, ShapeModel

class Options(Hypers):
    presets = {"large": Preset("for a large machine", {"width": 64})}
    width: int = option(8, "Width of everything.", ge=1)
    bare: float = 0.5
    needed: str

class Shapes(ShapeModel):
    Hypers = Options

    def forward(self, points):
        return points

class Part(BaseModel):
    sizes: tuple[int, ...] = (1, 2)
    where: Path = Path("a/b")

class Nested(Hypers):
    layers: list[list[int]] = [[1, 2], [3]]
    part: Part = Part()
    kinds: frozenset[str] = frozenset({"a"})

class Deep(ShapeModel):
    Hypers = Nested

    def forward(self, points):
        return points

class Atoms(AtomModel):
    Hypers = Options

    def forward(self, neighbors):
        return neighbors

class Neither:
    pass
"""

Run = Callable[..., Any]


@pytest.fixture(scope="module", autouse=True)
def _module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("own")
    (folder / "listed_models.py").write_text(OWN, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


def test_the_list_has_weights_and_models(run: Run) -> None:
    result = run("models")
    assert result.status == 0
    weights, _, kinds = result.out.partition("Models to train")
    for name in shipped_models():
        assert f"{name}  (" in weights
    for domain, entries in MODELS.items():
        for name, entry in entries.items():
            assert f"{name:<10} {domain:<7} {entry.summary}" in kinds
    assert "module:Class" in kinds


def test_the_list_as_json(run: Run) -> None:
    result = run("models", "--json")
    assert result.status == 0
    assert [entry["name"] for entry in json.loads(result.out)] == list(shipped_models())


@pytest.mark.parametrize(
    ("domain", "name"), [(domain, name) for domain, entries in MODELS.items() for name in entries]
)
def test_options_of_each(run: Run, domain: Any, name: str) -> None:
    hypers = find_hypers(domain, name)
    result = run("models", name, "--for", domain, "--json")
    assert result.status == 0
    (entry,) = json.loads(result.out)
    assert (entry["name"], entry["for"]) == (name, domain)
    assert entry["summary"] == MODELS[domain][name].summary
    listed = {option["name"]: option["default"] for option in entry["options"]}
    assert listed == json.loads(hypers().model_dump_json())
    assert all(option["description"] for option in entry["options"])
    assert [preset["name"] for preset in entry["presets"]] == list(hypers.presets)
    text = run("models", name, "--for", domain).out
    assert text.startswith(f"{name}, a model of {domain}\n")
    for option in hypers.model_fields:
        assert f"{option} = " in text
    # What it says to type is a command that there is.
    words = text.splitlines()[-1].split("csgnn-dgl ")[1].split()
    assert words == ["train", entry["command"], "--model", name]
    assert run(*words, "--print-config").status == 0


def test_one_name_for_two_purposes(run: Run) -> None:
    entries = json.loads(run("models", "csgnn", "--json").out)
    assert [entry["for"] for entry in entries] == ["shapes", "atoms"]
    text = run("models", "csgnn").out
    assert "csgnn, a model of shapes" in text
    assert "\n\ncsgnn, a model of atoms" in text
    (entry,) = json.loads(run("models", "csgnn", "--for", "atoms", "--json").out)
    assert entry["for"] == "atoms"


@pytest.mark.parametrize(("name", "domain"), [("Shapes", "shapes"), ("Atoms", "atoms")])
def test_models_of_a_user(run: Run, name: str, domain: str) -> None:
    for words in ([], ["--for", domain]):
        result = run("models", f"listed_models:{name}", "--json", *words)
        assert result.status == 0, result.err
        (entry,) = json.loads(result.out)
        assert (entry["for"], entry["summary"]) == (domain, "")
        assert entry["options"] == [
            {"name": "width", "default": 8, "description": "Width of everything."},
            {"name": "bare", "default": 0.5, "description": None},
            {"name": "needed", "default": None, "description": None},
        ]
        values = {"width": 64}
        assert entry["presets"] == [
            {"name": "large", "description": "for a large machine", "values": values}
        ]
    text = run("models", f"listed_models:{name}").out
    assert "bare = 0.5\n" in text
    assert "preset     large: for a large machine" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pointnt"], "there is no model 'pointnt' to train: did you mean 'pointnet'?"),
        (["agni", "--for", "shapes"], "there is no model 'agni' to train"),
        (["csgnn", "--for", "graphs"], "'graphs' is not one of 'shapes', 'atoms'"),
        (["listed_models:Shaeps"], "listed_models has no class 'Shaeps': did you mean 'Shapes'?"),
        (["listed_models:Neither"], "Neither breaks the contract"),
        (
            ["listed_models:Atoms", "--for", "shapes"],
            "not derived from csgnn_dgl.models.ShapeModel",
        ),
        (["no_such_module:Model"], "there is no module 'no_such_module'"),
    ],
    ids=str,
)
def test_mistakes(run: Run, words: list[str], message: str) -> None:
    result = run("models", *words)
    assert result.status == 2
    assert message in result.err
    assert "Traceback" not in result.err


def test_the_list_needs_no_torch() -> None:
    code = (
        "import sys\nfrom csgnn_dgl.cli.main import main\n"
        "try: main(['models', 'csgnn'])\nexcept SystemExit: pass\n"
        "print('LOADED', 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "level = 4" in done.stdout
    assert done.stdout.splitlines()[-1] == "LOADED False"


def test_shipped_weights_are_listed_with_their_size(run: Run) -> None:
    for model in shipped_models().values():
        assert isinstance(model.path, Path)
        assert f"{model.path.stat().st_size / 1e6:.1f} MB" in run("models").out


def test_nested_defaults_as_json(run: Run) -> None:
    result = run("models", "listed_models:Deep", "--json")
    assert result.status == 0, result.err
    (entry,) = json.loads(result.out)
    defaults = {option["name"]: option["default"] for option in entry["options"]}
    assert defaults == {
        "layers": [[1, 2], [3]],
        "part": {"sizes": [1, 2], "where": "a/b"},
        "kinds": ["a"],
    }
