"""``csgnn-dgl compare`` on small data: what is done is kept, what is missing is done."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from csgnn_dgl.compare import runner
from csgnn_dgl.compare.report import collect, summarise, write_report
from csgnn_dgl.compare.settings import Cell, Settings
from csgnn_dgl.compare.store import Store
from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.testing.commands import run_python
from csgnn_dgl.testing.samples import write_dos_folder, write_shape_folder

TINY = ("--models", "pointnet", "--protocols", "so3", "--epochs", "1")


def compare(*words: object) -> subprocess.CompletedProcess[str]:
    return run_python(["-m", "csgnn_dgl.cli", "compare", *words])


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shape_folder(tmp_path_factory.mktemp("shapes"), points=1024)


@pytest.fixture(scope="module")
def done(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A comparison of one cell, with what the command printed."""
    folder = tmp_path_factory.mktemp("compared") / "table1"
    found = compare("table1", "--data", shapes, *TINY, "--output", folder)
    assert found.returncode == 0, found.stderr
    return folder, found.stdout, found.stderr


def test_a_table(done: tuple[Path, str, str]) -> None:
    folder, out, err = done
    assert "| pointnet | 0." in out
    assert "84.9" in out  # the published number
    assert "1/1 pointnet-so3-ours-0" in err
    for suffix in ("md", "csv", "tex", "json", "png"):
        assert (folder / f"report.{suffix}").stat().st_size > 100
    assert (folder / "learning.png").stat().st_size > 1000
    rows = pd.read_csv(folder / "report.csv")
    assert list(rows["test"]) == ["so3/so3", "so3/so3, 5 votes"]
    content = json.loads((folder / "report.json").read_text())
    (cell,) = content["cells"]
    assert cell["tests"] == dict(zip(rows["test"], rows["value"], strict=True))
    assert cell["epochs"] == 1
    assert cell["peak_memory_bytes"] > 1e8


def test_a_cell_is_an_ordinary_run(done: tuple[Path, str, str]) -> None:
    run = done[0] / "cells" / "pointnet-so3-ours-0" / "run"
    summary = json.loads((run / "summary.json").read_text())
    result = json.loads((run.parent / "cell.json").read_text())
    accuracy = {entry["votes"]: 100 * entry["accuracy"] for entry in summary["evaluation"]}
    assert accuracy == {1: result["tests"]["so3/so3"], 5: result["tests"]["so3/so3, 5 votes"]}


def test_what_is_done_is_not_done_again(done: tuple[Path, str, str], shapes: Path) -> None:
    folder = done[0]
    weights = folder / "cells" / "pointnet-so3-ours-0" / "run" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    again = compare("table1", "--output", folder)  # the settings are those of the folder
    assert again.returncode == 0, again.stderr
    assert again.stdout == done[1]
    assert weights.stat().st_mtime_ns == before
    listed = compare("table1", "--output", folder, "--list")
    assert listed.stdout == "1/1 pointnet-so3-ours-0: done\n"
    other = compare("table1", *TINY, "--output", folder, "--list")  # of other data
    assert other.returncode == 2
    assert "other settings: data is" in other.stderr


def test_other_settings_are_refused(done: tuple[Path, str, str], shapes: Path) -> None:
    other = compare("table1", "--data", shapes, *TINY, "--seeds", "1", "--output", done[0])
    assert other.returncode == 2
    assert "seeds is [0] there and [1] here" in other.stderr
    other = compare("table3", "--output", done[0])
    assert other.returncode == 2
    assert "holds table1, not table3" in other.stderr


def test_a_cell_that_was_interrupted_goes_on(shapes: Path, tmp_path: Path) -> None:
    """After the training was done, only the tests are missing."""
    from csgnn_dgl.compare.cells import run_cell

    settings = Settings("table1", str(shapes), models=("pointnet",), protocols=("so3",), epochs=1)
    store = Store.create(tmp_path / "new", settings)
    (cell,) = settings.cells()
    with store.claimed(cell):
        first = run_cell(store, cell, lambda line: None)
    (store.folder(cell) / "cell.json").unlink()
    weights = store.folder(cell) / "run" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    with store.claimed(cell):
        second = run_cell(store, cell, lambda line: None)
    assert weights.stat().st_mtime_ns == before
    assert second["tests"] == first["tests"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    settings = Settings("table1", models=("dgcnn", "riconv"), protocols=("so3",), seeds=(0, 1))
    return Store.create(tmp_path / "compared", settings)


def _result(cell: Cell, value: float, score: float = 0.5, **further: Any) -> dict[str, Any]:
    tests = {"so3/so3": value, "so3/so3, 5 votes": value + 1}
    common = {"row": cell.row.name, "model": cell.row.model, "recipe": cell.recipe}
    costs = {"parameters": 1e6, "epochs": 2, "seconds_per_epoch": 3.0, "seconds_of_training": 6.0}
    return {
        **common,
        **costs,
        "protocol": cell.protocol,
        "seed": cell.seed,
        "tests": tests,
        "validation_score": score,
        "device": "CPU",
        "threads": 2,
        **further,
    }


def test_a_claimed_cell_is_left_to_its_process(store: Store) -> None:
    cell = store.settings.cells()[0]
    with store.claimed(cell) as mine:
        assert mine
        script = (
            "import sys; from pathlib import Path; from csgnn_dgl.compare.store import Store\n"
            "store = Store.open(Path(sys.argv[1]))\n"
            "with store.claimed(store.settings.cells()[0]) as mine: print(mine)\n"
        )
        assert run_python(["-c", script, store.path]).stdout == "False\n"
    assert run_python(["-c", script, store.path]).stdout == "True\n"


def test_a_failed_cell_does_not_stop_the_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = store.settings.cells()

    def in_a_process(store: Store, cell: Cell, number: str) -> int:
        if cell.seed == 1:
            return -9
        store.write(cell, _result(cell, 90.0))
        return 0

    monkeypatch.setattr(runner, "_in_a_process", in_a_process)
    lines: list[str] = []
    failures = runner.do_missing(store, lines.append)
    assert len(failures) == 2
    assert "SIGKILL (out of memory?)" in failures[0]
    assert store.failure(cells[1]) is not None
    report = write_report(store)[0].read_text()
    assert "2 of 4 cells are missing" in report
    assert "SIGKILL" in report


def test_cells_of_another_process_have_not_failed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither those that it had from the start, nor one that it claimed a moment sooner."""
    cells = store.settings.cells()
    begun: list[Cell] = []
    with contextlib.ExitStack() as other:

        def in_a_process(store: Store, cell: Cell, number: str) -> int:
            begun.append(cell)
            if cell == cells[1]:
                assert other.enter_context(store.claimed(cell))
                return 1
            if cell == cells[2]:
                store.write(cell, _result(cell, 90.0))  # by the other one, which is done
                return 1
            return 1

        monkeypatch.setattr(runner, "_in_a_process", in_a_process)
        assert other.enter_context(store.claimed(cells[0]))
        lines: list[str] = []
        failures = runner.do_missing(store, lines.append)
    assert begun == cells[1:]
    for cell in cells[:2]:
        assert any(cell.name in line and "another process is at it" in line for line in lines)
    assert [failure.split()[1] for failure in failures] == [f"{cells[3].name}:"]


def test_errors_of_a_cell_are_recorded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from csgnn_dgl.compare import cells as module

    def refuse(*given: Any) -> None:
        raise DataError("no such data")

    monkeypatch.setattr(module, "run_cell", refuse)
    cell = store.settings.cells()[0]
    with pytest.raises(DataError):
        runner.do_cell(store, cell, lambda line: None)
    assert store.failure(cell) == "no such data"
    store.write(cell, _result(cell, 1.0))
    assert store.failure(cell) is None


def test_means_over_seeds_and_the_better_recipe(tmp_path: Path) -> None:
    settings = Settings(
        "table1", models=("dgcnn",), protocols=("so3",), seeds=(0, 1), recipes=("ours", "own")
    )
    store = Store.create(tmp_path / "compared", settings)
    values = {("ours", 0): 80.0, ("ours", 1): 84.0, ("own", 0): 99.0, ("own", 1): 99.0}
    for cell in settings.cells():
        # "own" is better on the test split, which must not matter.
        score = 0.9 if cell.recipe == "ours" else 0.8
        store.write(cell, _result(cell, values[cell.recipe, cell.seed], score))
    (row,) = summarise(store, collect(store)).to_dict("records")
    assert row["so3/so3"] == 82
    assert row["so3/so3 ±"] == pytest.approx(8**0.5)
    assert row["so3/so3 published"] == 89.0
    assert row["recipe"] == "ours"
    text = write_report(store)[0].read_text()
    assert "82.0 ± 2.8" in text


def test_cells_of_different_data_are_not_compared_in_silence(store: Store) -> None:
    cells = store.settings.cells()
    for cell in cells:
        store.write(cell, _result(cell, 90.0, data={"fingerprint": "a"}))
    assert "Warning" not in write_report(store)[0].read_text()
    store.write(cells[0], _result(cells[0], 90.0, data={"fingerprint": "b"}))
    assert "2 different data" in write_report(store)[0].read_text()


def test_data_may_depend_on_the_seed(store: Store) -> None:
    for cell in store.settings.cells():
        store.write(cell, _result(cell, 90.0, data={"fingerprint": f"of seed {cell.seed}"}))
    assert "different data" not in write_report(store)[0].read_text()


def test_random_and_designed_votes_are_not_compared_in_silence(store: Store) -> None:
    first, *others = store.settings.cells()
    store.write(first, _result(first, 90.0))  # from before there were designed ones
    for cell in others:
        store.write(cell, _result(cell, 90.0, vote_set="designed"))
    assert "2 different sets of votes" in write_report(store)[0].read_text()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("tabel1",), "did you mean 'table1'"),
        ((), "name a table: table1"),
        (("--report", "absent"), "is not there"),
        (("--report", "absent", "--seeds", "1", "--epochs", "2"), "takes no --seeds, --epochs"),
        (("--report", "absent", "--models", "x", "--list"), "takes no --models, --list"),
        (("table1", "--report", "absent", "--preset", "quick"), "takes no TABLE, --preset"),
        (("table2", "--models", "csgnn, C = 2"), "no system 'C = 2'"),
        (("table2", "--data", "{phonons}"), "but table2 compares band energies"),
        (("table1", "--list", "--output", "{shapes}"), "holds other files"),
        (("table1", "--models", "dgccn"), "did you mean 'dgcnn'"),
        (("table1", "--seeds", "0,²"), "whole numbers"),
        (("table1", "--only", "7/3"), "1/22 to 22/22"),
        (("table1", "--data", "{shapes}"), "give --up-axis"),
    ],
)
def test_bad_input(
    words: tuple[str, ...], what: str, shapes: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    from csgnn_dgl.cli.main import main

    phonons = write_dos_folder(tmp_path / "phonons", [6])
    grid = json.loads((phonons / "grid.json").read_text())
    grid["quantity"] = "phonon density of states"
    (phonons / "grid.json").write_text(json.dumps(grid))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["compare", *(word.format(shapes=shapes, phonons=phonons) for word in words)])
    assert stop.value.code == 2
    assert what in capsys.readouterr().err
    assert not (tmp_path / "results").exists()  # so the command can be corrected


def test_nothing_is_made_by_listing(tmp_path: Path, capsys: Any) -> None:
    from csgnn_dgl.cli.main import main

    with pytest.raises(SystemExit) as stop:
        main(["compare", "table4", "--list", "--output", str(tmp_path / "new")])
    assert stop.value.code == 0
    assert "1/5 r-1-random-clouds-ours-0: missing" in capsys.readouterr().out
    assert not (tmp_path / "new").exists()


def test_why_there_is_no_table_yet(store: Store) -> None:
    with pytest.raises(ConfigError, match=r"none of the 4 cells in .* is done; do them: csgnn-dgl"):
        write_report(store)
    first, second = store.settings.cells()[:2]
    store.write_failure(first, "no such data")
    with pytest.raises(ConfigError, match=r"is done, and 1 failed; why: .* --list"):
        write_report(store)
    with (
        store.claimed(second),
        pytest.raises(ConfigError, match=f"another process is at {second.name}: wait for it"),
    ):
        write_report(store)


def test_failures_are_shown_when_there_is_no_table(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from csgnn_dgl.cli.main import main

    monkeypatch.setattr(runner, "do_missing", lambda store, echo: ["1/4 a: no such data"])
    with pytest.raises(SystemExit) as stop:
        main(["compare", "table1", "--output", str(store.path)])
    assert stop.value.code == 2
    shown = capsys.readouterr().err
    assert shown.index("1 of 4 cells failed:\n  1/4 a: no such data") < shown.index("none of the 4")


def test_folders_that_are_no_comparison(tmp_path: Path) -> None:
    (tmp_path / "file.txt").touch()
    with pytest.raises(ConfigError, match="holds other files"):
        Store.create(tmp_path, Settings("table1"))
    (tmp_path / "compare.json").write_text('{"table": "table1", "odd": 1}')
    with pytest.raises(ConfigError, match="does not hold the settings"):
        Store.open(tmp_path)
    (tmp_path / "compare.json").write_text("[" * 100_000)
    with pytest.raises(ConfigError, match="cannot be read"):
        Store.open(tmp_path)


def test_long_paths_are_cut_in_messages(tmp_path: Path) -> None:
    found = compare("table1", "--data", "x" * 3000, "--output", tmp_path / "new", "--epochs", "1")
    assert found.returncode == 2
    assert len(found.stderr) < 700
