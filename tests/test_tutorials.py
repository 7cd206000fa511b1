"""The tutorials name what exists, and the model of one of them keeps its contract.

``make docs`` runs them from beginning to end.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

FOLDER = Path(__file__).parents[1] / "docs" / "tutorials"
FILES = sorted(FOLDER.glob("*.py"))
MODULES = ("my_models", "vasp_stand_in")
TUTORIALS = [path for path in FILES if path.stem not in MODULES]


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The modules of the tutorials can be imported."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


def imported(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("csgnn_dgl"):
            yield from ((str(node.module), alias.name) for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_imported_exists(path: Path) -> None:
    names = list(imported(path))
    assert names
    for module, name in names:
        assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_tutorials_have_a_title_and_say_what_real_work_needs(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    title, line, *_ = text.removeprefix('"""\n').split("\n")
    assert line == "=" * len(title)
    assert "# For real work\n" in text or "# In your own tests\n" in text


def test_six_tutorials() -> None:
    assert len(TUTORIALS) == 6


def test_the_model_has_50_lines_and_keeps_the_contract(beside: None) -> None:
    from my_models import RelationNet

    from csgnn_dgl.models import Classifier
    from csgnn_dgl.models.contract import check_class
    from csgnn_dgl.testing import assert_gradients_reach_all, assert_rotation_invariant

    lines = (FOLDER / "my_models.py").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip()]) <= 50
    model = check_class(RelationNet, "shapes", "RelationNet")
    torch.manual_seed(0)
    network = Classifier(model(model.Hypers(level=1, n_spheres=3, width=4)), 3, hidden=(8,))
    clouds = torch.randn(4, 60, 3, dtype=torch.float64) / 4
    assert network.double()(clouds).shape == (4, 3)
    assert_gradients_reach_all(network, clouds)
    assert assert_rotation_invariant(network.eval(), clouds) < 1e-10


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_compiled_model_gives_the_same(beside: None) -> None:
    from my_models import RelationNet

    network = RelationNet(RelationNet.Hypers(level=1, n_spheres=3, width=4)).eval()
    clouds = torch.rand(4, 60, 3) / 2
    torch._dynamo.reset()
    with torch.no_grad():
        expected = network(clouds)
        found = torch.compile(network, backend="eager")(clouds)
    torch.testing.assert_close(found, expected)


def test_the_stand_in_for_vasp_is_read(beside: None, tmp_path: Path) -> None:
    from ase.build import bulk
    from vasp_stand_in import write_vasprun

    from csgnn_dgl.datasets.atoms.vasp import read_run

    crystal = bulk("C", "diamond", 3.57)
    write_vasprun(crystal, tmp_path / "run")
    run = read_run(tmp_path / "run" / "vasprun.xml")
    assert run.atoms.get_chemical_formula() == "C2"
    assert run.electrons == 8
    assert run.gap == pytest.approx(6, abs=0.5)
    assert run.begins_empty
    below = run.dos[run.grid.energies <= run.fermi_level].sum() * run.grid.step
    assert below == pytest.approx(8, abs=0.05)
