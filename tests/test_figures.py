"""The figures in the documents are those of the committed JSON."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
_DECIMAL = re.compile(r"\d\.\d")
# Tables of a GPU, which come from results.json of another script and are not compared yet.
_NOT_COMPARED = (
    "| R | paper, s per epoch",
    "| R = 16 | training step",
    "| kernel | PyTorch, float32",
)
# Tables with decimal numbers that are no results.
_NO_RESULTS = (
    "| system | parameters",
    "| preset |",
    "| CPython 3.10",
    "| `quick`",
    "| name | rotation |",
    "| message | reason |",
)


def _script() -> ModuleType:
    path = ROOT / "benchmarks" / "results.py"
    spec = importlib.util.spec_from_file_location("csgnn_results", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


RESULTS = _script()


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    found: dict[str, Any] = RESULTS.load_figures()
    return found


@pytest.mark.parametrize("path", RESULTS.DOCUMENTS, ids=lambda path: path.name)
def test_documents_hold_the_committed_figures(path: Path, figures: dict[str, Any]) -> None:
    text = path.read_text(encoding="utf-8")
    assert text == RESULTS.rewritten(text, figures), "run: python benchmarks/results.py --write"


def test_a_drifted_figure_is_found(figures: dict[str, Any]) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = f"{figures['demo']['accuracy']:.1f}"
    block = re.search(r"<!-- figures: shapes -->.*?<!-- /figures -->", text, re.DOTALL)
    assert block is not None
    assert shown in block[0]
    drifted = text.replace(block[0], block[0].replace(shown, "99.9"))
    assert drifted != RESULTS.rewritten(drifted, figures)


def test_every_table_of_results_is_checked() -> None:
    blocks = re.compile(r"<!-- figures: [\w-]+ -->.*?<!-- /figures -->", re.DOTALL)
    for path in RESULTS.DOCUMENTS:
        rest = blocks.sub("", path.read_text(encoding="utf-8"))
        for table in re.findall(r"(?:^\|.*\n)+", rest, re.MULTILINE):
            if any(mark in table for mark in (*_NO_RESULTS, *_NOT_COMPARED)):
                continue
            assert not _DECIMAL.search(table), f"{path.name}: {table[:200]}"


def test_every_block_and_template_is_used() -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in RESULTS.DOCUMENTS)
    used = set(re.findall(r"<!-- figures: ([\w-]+) -->", texts))
    templates = {path.stem for path in RESULTS.TABLES.glob("*.md")}
    tables = {f"compare-{path.name}" for path in RESULTS.compared.COMPARED.glob("*")}
    assert used == templates | tables


@pytest.mark.parametrize(
    "folder", sorted(RESULTS.compared.COMPARED.glob("*")), ids=lambda path: path.name
)
def test_tables_of_comparisons_are_those_of_their_cells(folder: Path) -> None:
    """Each result of each cell stands in the row of its system, and no path of a machine."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    lines = RESULTS.compared.table(folder.name).splitlines()
    header = [cell.strip() for cell in lines[0].strip("|").split("|")]
    rows = {}
    for line in lines[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        rows[cells[0].removesuffix(" (reconstructed)")] = dict(zip(header, cells, strict=True))
    several = len(report["settings"]["seeds"]) > 1 or len(report["settings"]["recipes"]) > 1
    for cell in report["cells"]:
        for test, value in () if several else cell["tests"].items():
            shown = f"{value:.4f}" if abs(value) < 1 else f"{value:.1f}"
            assert rows[cell["row"]][test] == shown, (cell["row"], test)
    for path in folder.glob("report.*"):
        if path.suffix != ".png":
            assert not re.search(r"[\s\"'](/|[A-Z]:\\)\w+[/\\]\w", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", sorted(RESULTS.FIGURES.glob("*.json")), ids=lambda path: path.stem)
def test_every_entry_says_where_it_comes_from(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["entry"] == path.stem
    assert content["figures"]
    assert content["commands"]
    assert content["versions"]["csgnn-dgl"]
    if path.stem.endswith("-taken-over"):
        assert "as measured with" in content["origin"]
    else:
        assert content["origin"] == "measured"
        assert {"date", "device", "seconds"} <= content.keys()
    assert not re.search(r"[\"' ]/(?!\s)\w+/", json.dumps(content["commands"])), "a machine's path"


@pytest.mark.parametrize("name", ["carbon-all", "carbon-tb", "phonon-dos", "phonon-dos-4"])
def test_shipped_figures_are_the_measured_ones(name: str, figures: dict[str, Any]) -> None:
    shipped = figures["shipped"][name]
    measured = figures[name.replace("-", "_")][f"votes_{shipped['votes']}"]["model"]["all"]
    errors = {key: value for key, value in measured.items() if key != "type"}
    assert errors.keys() <= shipped.keys()
    for key, value in errors.items():
        assert shipped[key] == pytest.approx(value, abs=6e-5), key


@pytest.mark.parametrize("name", ["carbon-all", "carbon-tb", "phonon-dos", "phonon-dos-4"])
def test_shipped_models_are_compared_with_the_mean_curve(
    name: str, figures: dict[str, Any]
) -> None:
    """Their headers hold it, so the errors of the mean curve are there whatever data are used."""
    measured = figures[name.replace("-", "_")]
    for votes in measured.values():
        assert votes["mean_curve"].keys() == votes["model"].keys()


def test_entries_that_were_measured_are_not_measured_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("torch")  # its version is recorded
    monkeypatch.setattr(RESULTS, "FIGURES", tmp_path)
    assert not RESULTS.is_measured("demo")
    version = RESULTS._versions()["csgnn-dgl"]
    content: dict[str, Any] = {"origin": "measured", "versions": {"csgnn-dgl": version}}
    content["commands"] = RESULTS._shown_commands(RESULTS.ENTRIES["demo"])
    (tmp_path / "demo.json").write_text(json.dumps(content))
    assert RESULTS.is_measured("demo")
    other = {**content, "commands": [*content["commands"], "csgnn-dgl evaluate runs/demo"]}
    (tmp_path / "demo.json").write_text(json.dumps(other))
    assert not RESULTS.is_measured("demo")
    content["versions"]["csgnn-dgl"] = "0.0.1"
    (tmp_path / "demo.json").write_text(json.dumps(content))
    assert not RESULTS.is_measured("demo")
