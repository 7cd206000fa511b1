"""Models and readers of other distributions: found, used, and harmless if they are broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from csgnn_dgl._plugins import PluginWarning, find_plugins
from csgnn_dgl.cli.main import main
from csgnn_dgl.datasets.atoms.structures import STRUCTURE_READERS, read_structures
from csgnn_dgl.datasets.isolation import read_each
from csgnn_dgl.datasets.kinds import data_kind
from csgnn_dgl.datasets.readers import plugin_readers, readers
from csgnn_dgl.errors import CheckpointError, ConfigError, DataError
from csgnn_dgl.models.registry import (
    find_class,
    find_entry,
    find_hypers,
    known_models,
    name_of,
    permitted_name,
)

MODELS = """
from torch import nn
from csgnn_dgl.models import Hypers, ShapeModel

class Options(Hypers):
    width: int = 4

class HexNet(ShapeModel):
    Hypers = Options

    def __init__(self, hypers):
        super().__init__(hypers)
        self.features = hypers.width
        self.linear = nn.Linear(3, hypers.width)

    def forward(self, points):
        return self.linear(points).mean(dim=1)

class Bare:
    pass
"""
READERS = """
from ase import Atoms
from csgnn_dgl.datasets.atoms.structure import Structure
from csgnn_dgl.datasets.readers import Reader

def load(path, occupancy):
    count = int(path.read_text())
    atoms = Atoms(f"He{count}", [[3.0 * i, 0, 0] for i in range(count)])
    return [Structure(atoms, str(path), "hexnets")]

helium = Reader("structure file", "helium", "*.he", lambda path: path.suffix == ".he", load)

def _raise(path):
    raise KeyError("nothing")

rude = Reader("structure file", "rude", "*.rude", _raise, load)
both = [helium, Reader("shape file", "he shape", "*.hes", lambda path: False, load)]
copy = Reader("structure file", "CIF", "*.cif", lambda path: True, load)
"""
Install = Callable[..., Path]


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """What one test installs, the next does not see."""

    def clear() -> None:
        find_plugins.cache_clear()
        plugin_readers.cache_clear()
        for name in ("hexnets", "hexnets.network", "hexnets.files", "others"):
            sys.modules.pop(name, None)

    clear()
    yield
    clear()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a distribution with these entry points in a folder on Python's path."""
    folder = tmp_path / "site"
    package = folder / "hexnets"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "network.py").write_text(MODELS)
    (package / "files.py").write_text(READERS)
    (package / "broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(folder)

    def call(
        groups: dict[str, dict[str, str]], name: str = "hexnets", version: str = "1.0"
    ) -> Path:
        place = folder / f"{name}-{version}.dist-info"
        place.mkdir()
        (place / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: networks of six\n"
        )
        lines = []
        for group, entries in groups.items():
            lines += [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
        (place / "entry_points.txt").write_text("\n".join(lines) + "\n")
        find_plugins.cache_clear()
        plugin_readers.cache_clear()
        return folder

    return call


def shapes(**entries: str) -> dict[str, dict[str, str]]:
    return {"csgnn_dgl.models.shapes": entries}


def of_readers(**entries: str) -> dict[str, dict[str, str]]:
    return {"csgnn_dgl.readers": entries}


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


def test_a_model_by_name(install: Install) -> None:
    assert find_entry("shapes", "hexnet") is None
    install(shapes(hexnet="hexnets.network:HexNet"))
    assert "hexnets.network" not in sys.modules
    entry = known_models("shapes")["hexnet"]
    assert "hexnets.network" not in sys.modules  # listed without being imported
    assert entry.plugin is not None
    assert (entry.summary, entry.plugin.origin) == ("networks of six", "hexnets 1.0")
    found = find_class("shapes", "hexnet")
    assert found.__name__ == "HexNet"
    assert find_hypers("shapes", "hexnet") is found.Hypers
    assert name_of(found) == "hexnet"
    assert permitted_name("hexnet", "shapes", None, "file") == "hexnet"
    with pytest.raises(ConfigError, match="'hexnet' is a model of shapes, not of atoms"):
        find_class("atoms", "hexnet")
    with pytest.raises(ConfigError, match="unknown model 'hexnt': did you mean 'hexnet'"):
        find_class("shapes", "hexnt")


def test_training_and_using_it(
    install: Install, clouds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(shapes(hexnet="hexnets.network:HexNet"))
    path = tmp_path / "run"
    words = ("--data", clouds, "--output", path, "--epochs", 1, "--points", 32, "--batch-size", 4)
    status, _, err = run(
        capsys, "train", "modelnet", "--model", "hexnet", "--set", "width=6", *words,
        *("--validation-fraction", 0.34, "--accelerator", "cpu"),
    )  # fmt: skip
    assert status == 0, err
    cloud = next(clouds.glob("rod/test/*.npy"))
    assert run(capsys, "predict", path, cloud)[0] == 0
    # Without the plug-in, the message says what is missing.
    for place in (tmp_path / "site").glob("*.dist-info"):
        (place / "entry_points.txt").write_text("")
    find_plugins.cache_clear()
    status, _, err = run(capsys, "predict", path, cloud)
    assert status == 2
    assert "needs the model 'hexnet', which this version" in err
    assert "install the plug-in" in err


def test_commands_say_where_models_come_from(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install(
        {**shapes(hexnet="hexnets.network:HexNet"), **of_readers(helium="hexnets.files:helium")}
    )
    status, out, _ = run(capsys, "models")
    assert status == 0
    assert "hexnet     shapes  networks of six (plug-in, from hexnets 1.0)" in out
    _, out, _ = run(capsys, "models", "hexnet")
    assert "hexnets 1.0" in out
    assert "width = 4" in out
    [entry] = json.loads(run(capsys, "models", "hexnet", "--json")[1])
    assert entry["from"] == "hexnets 1.0"
    [entry] = json.loads(run(capsys, "models", "pointnet", "--json")[1])
    assert entry["from"] == "csgnn-dgl"
    _, out, _ = run(capsys, "doctor")
    assert "ok      hexnet, a model of shapes: hexnets.network:HexNet from hexnets 1.0" in out
    assert "ok      helium, a reader: hexnets.files:helium from hexnets 1.0" in out


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("hexnets.broken:HexNet", r"cannot be loaded from hexnets.broken:HexNet \(ZeroDivision"),
        ("hexnets.gone:HexNet", r"cannot be loaded from .* \(ModuleNotFoundError"),
        ("hexnets.network:Gone", r"cannot be loaded from .* \(AttributeError"),
        ("hexnets.network:Bare", "breaks the contract of models of shapes"),
    ],
)
def test_a_broken_model_breaks_nothing_else(
    value: str, message: str, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install(shapes(hexnet=value))
    assert find_class("shapes", "pointnet").__name__ == "PointNet"
    with pytest.raises(ConfigError, match=message):
        find_class("shapes", "hexnet")
    with pytest.warns(PluginWarning, match="hexnet"):
        status, out, _ = run(capsys, "models")
    assert status == 0
    assert "pointnet" in out
    _, out, _ = run(capsys, "doctor")
    assert "MISSING hexnet, a model of shapes" in out
    assert "places:" in out


def test_names_that_are_taken(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(shapes(pointnet="hexnets.network:HexNet", hexnet="hexnets.network:HexNet"))
    install(shapes(hexnet="hexnets.network:Other"), "others", "2.0")
    # The package's own stays, and of two others none is chosen.
    assert find_class("shapes", "pointnet").__name__ == "PointNet"
    assert "hexnet" not in known_models("shapes")
    with pytest.raises(
        ConfigError, match=r"others 2.0 \(hexnets.network:Other\) offers another of this name"
    ):
        find_class("shapes", "hexnet")
    with pytest.warns(PluginWarning) as caught:
        run(capsys, "models")
    messages = [str(each.message) for each in caught]
    assert len(messages) == 3
    assert "csgnn-dgl itself has a model of shapes of this name" in messages[-1]


def test_one_distribution_that_is_found_twice(install: Install, tmp_path: Path) -> None:
    folder = install(shapes(hexnet="hexnets.network:HexNet"))
    sys.path.insert(0, str(folder))
    try:
        find_plugins.cache_clear()
        assert find_class("shapes", "hexnet").__name__ == "HexNet"
    finally:
        sys.path.remove(str(folder))


def test_readers(install: Install, tmp_path: Path) -> None:
    file = tmp_path / "three.he"
    file.write_text("3")
    count = len(readers("structure file", STRUCTURE_READERS))
    install(of_readers(several="hexnets.files:both"))
    table = readers("structure file", STRUCTURE_READERS)
    assert len(table) == count + 1
    assert table[0].name == "helium"
    [found] = read_structures(file)
    assert (len(found.atoms), found.reader) == (3, "hexnets")
    file.write_text("three")
    with pytest.raises(DataError, match=r"three.he: the plug-in several .* fails \(ValueError"):
        read_structures(file)
    assert data_kind(tmp_path) == "shapes"


def test_readers_in_workers(install: Install, tmp_path: Path) -> None:
    from csgnn_dgl.datasets.isolation import isolation

    install(of_readers(helium="hexnets.files:helium"))
    files = [tmp_path / f"{number}.he" for number in (1, 2)]
    for number, file in enumerate(files, 1):
        file.write_text(str(number))
    with isolation(True):
        contents = list(read_each(read_structures, files))
    assert [len(content[0].atoms) for content in contents] == [1, 2]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("hexnets.broken:helium", "cannot be loaded"),
        ("hexnets.files:load", "hexnets.files:load is a function, not a csgnn_dgl.datasets"),
        ("hexnets.files:copy", "there is another reader 'CIF' of the kind 'structure file'"),
    ],
)
def test_a_broken_reader_breaks_nothing_else(
    value: str, message: str, install: Install, tmp_path: Path
) -> None:
    file = tmp_path / "one.xyz"
    file.write_text("1\n\nHe 0 0 0\n")
    if "CIF" in message:
        message = message.replace(
            "'CIF'", repr(next(r.name for r in STRUCTURE_READERS if "cif" in r.layout.lower()))
        )
        text = (tmp_path / "site" / "hexnets" / "files.py").read_text()
        name = next(r.name for r in STRUCTURE_READERS if "cif" in r.layout.lower())
        (tmp_path / "site" / "hexnets" / "files.py").write_text(text.replace('"CIF"', repr(name)))
    install(of_readers(mine=value))
    with pytest.warns(PluginWarning, match=f"the plug-in mine .*from hexnets 1.0.*{message}"):
        assert len(read_structures(file)) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_structures(file)  # said once


def test_a_reader_that_fails_at_every_path(install: Install, tmp_path: Path) -> None:
    file = tmp_path / "one.xyz"
    file.write_text("1\n\nHe 0 0 0\n")
    install(of_readers(rude="hexnets.files:rude"))
    with pytest.warns(PluginWarning, match=r"the plug-in rude .* fails at .*one.xyz \(KeyError"):
        assert len(read_structures(file)) == 1


def test_the_command_itself(install: Install, tmp_path: Path) -> None:
    """As a user sees it: a line on the error stream, and the work is done."""
    folder = install(of_readers(mine="hexnets.broken:helium"))
    file = tmp_path / "one.extxyz"
    file.write_text('1\nProperties=species:S:1:pos:R:3 pbc="F F F"\nC 0 0 0\n')
    environment = {**os.environ}
    path = [str(folder), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(part for part in path if part)
    done = subprocess.run(
        [sys.executable, "-m", "csgnn_dgl", "describe-atoms", str(file)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1 atoms of 1 structures described" in done.stdout
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("warning: the plug-in mine (reader, from hexnets 1.0) cannot be")


@pytest.mark.parametrize("problem", ["", "Metadata-Version: 2.1\n"])
def test_damaged_distributions(problem: str, install: Install) -> None:
    folder = install(shapes(hexnet="hexnets.network:HexNet"))
    (folder / "hexnets-1.0.dist-info" / "METADATA").write_text(problem)
    find_plugins.cache_clear()
    [plugin] = find_plugins("csgnn_dgl.models.shapes")
    assert plugin.name == "hexnet"
    assert find_class("shapes", "hexnet").__name__ == "HexNet"


def test_files_of_weights_import_plugins_only(install: Install) -> None:
    install(shapes(hexnet="hexnets.network:HexNet"))
    with pytest.raises(CheckpointError, match="imported only if you name it"):
        permitted_name("hexnets.network:HexNet", "shapes", None, "file")


def test_plain_installations_have_none(capsys: pytest.CaptureFixture[str]) -> None:
    values: list[Any] = [find_plugins(f"csgnn_dgl.models.{kind}") for kind in ("shapes", "atoms")]
    if any(values) or plugin_readers():
        pytest.skip("plug-ins are installed here")
    assert "none; models and readers of other packages" in run(capsys, "doctor")[1]
