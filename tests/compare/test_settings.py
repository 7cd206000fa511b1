"""What can be compared: tables, cells, their numbers, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from csgnn_dgl.compare.recipes import training_values
from csgnn_dgl.compare.settings import SIZES, Cell, Settings
from csgnn_dgl.compare.tables import TABLES, Row
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.models.registry import MODELS
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.dos.config import TrainDOSConfig


@pytest.mark.parametrize("table", TABLES)
def test_cells_have_names_of_their_own(table: str) -> None:
    cells = Settings(table, seeds=(0, 1)).cells()
    assert len({cell.name for cell in cells}) == len(cells) > 4


@pytest.mark.parametrize(
    ("table", "text", "rows"),
    [
        ("table1", "csgnn", ["csgnn"]),
        ("table1", "csgnn improved,dgcnn", ["dgcnn", "csgnn improved"]),
        ("table1", "csgnn-improved, csgnn", ["csgnn", "csgnn improved"]),
        ("table2", "csgnn, C = 1", ["csgnn, C = 1"]),
        ("table2", "agni,csgnn,C=1,csgnn", ["agni", "csgnn, C = 1", "csgnn"]),
        ("table2", "csgnn-c-1,", ["csgnn, C = 1"]),
        ("table3", "R = 16, K = 3,R = 1, C = 1", ["R = 1, C = 1", "R = 16, K = 3"]),
        ("table3", "r-16-k-3,r-1-c-8", ["R = 1, C = 8", "R = 16, K = 3"]),
        ("table3", "csgnn", [row.name for row in TABLES["table3"].rows]),
        ("table4", "R = 1,R = 16", ["R = 1", "R = 16"]),
    ],
)
def test_systems_are_chosen_by_the_names_of_rows(table: str, text: str, rows: list[str]) -> None:
    """Also by those with commas, and a row's own name is of that row alone."""
    found = TABLES[table]
    names = found.names(text)
    assert [row.name for row in found.select(names)] == rows
    # What a folder keeps does not depend on how the names were written.
    assert set(names) <= {row.name for row in found.rows} | {"csgnn"}
    short = [row.short for row in found.select(names)]
    assert [row.name for row in found.select(short)] == rows


@pytest.mark.parametrize("text", ["csgnn,improved", "csgnn, C = 2", "module:Class", "r-16-k-3"])
def test_systems_that_are_no_rows(text: str) -> None:
    table = TABLES["table2"]
    with pytest.raises(ConfigError, match=r"table2 has no system.*csgnn improved, csgnn-c-1"):
        table.select(table.names(text))


def test_every_registered_system_is_in_a_table() -> None:
    """A model that is added is compared, too."""
    listed = {row.model for name in ("table1", "table2") for row in TABLES[name].rows}
    assert listed >= set(MODELS["shapes"]) | set(MODELS["atoms"])


@pytest.mark.parametrize("table", ["table1", "table2", "table3"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("recipe", ["ours", "own"])
def test_every_cell_can_be_trained(table: str, size: str, recipe: str) -> None:
    settings = Settings(table, size=size, recipes=(recipe,))
    kind: Any = TrainModelNetConfig if settings.found.kind == "shapes" else TrainDOSConfig
    for cell in settings.cells():
        if cell.row.model in MODELS[kind.domain]:
            values = training_values(kind, cell, size, None)
            config = kind.resolve(flags={**values, "model": cell.row.model})
            for name, value in cell.row.options.items():
                place = config.hypers if name in type(config.hypers).model_fields else config
                assert getattr(place, name) == value


def test_own_recipe_ends_with_the_training() -> None:
    """A schedule of steps keeps its course, in whatever time."""

    def last_rate(epochs: int) -> float:
        cell = Cell(Row("kpconv", "kpconv"), "so3", "own", 0, ())
        values = training_values(TrainModelNetConfig, cell, "quick", epochs)
        falls = (epochs - 1) // values["step_epochs"]
        return float(values["step_factor"] ** falls)

    assert last_rate(250) == pytest.approx(0.1**2.5, rel=0.1)
    assert last_rate(50) == pytest.approx(0.1**2.5, rel=0.2)
    cell = Cell(Row("pointnet", "pointnet"), "z", "own", 0, ())
    assert training_values(TrainModelNetConfig, cell, "paper", 125)["step_epochs"] == 10
    ours = training_values(
        TrainModelNetConfig, Cell(Row("pointnet", "pointnet"), "z", "ours", 0, ()), "paper", 125
    )
    assert ours["schedule"] == "one-cycle"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"table": "tabel1"}, "did you mean 'table1'"),
        ({"models": ("dgccn",)}, "did you mean 'dgcnn'"),
        ({"protocols": ("so4",)}, "no protocol 'so4'"),
        ({"recipes": ("theirs",)}, "no recipe 'theirs'"),
        ({"size": "huge"}, "no size 'huge'"),
        ({"seeds": ()}, r"seeds is \[\]"),
        ({"seeds": (1, 1)}, "each once"),
        ({"seeds": (-1,)}, "from 0 to 4294967295"),
        ({"seeds": (2**32,)}, "from 0 to 4294967295"),
        ({"budget": 0.0}, "budget is 0"),
        ({"budget": float("nan")}, "budget is nan"),
        ({"budget": 1.0, "epochs": 2}, "leave one of them out"),
        ({"up_axis": "w"}, "x, y or z"),
        ({"table": "table4", "epochs": 3}, "no epochs"),
    ],
)
def test_settings_that_are_refused(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        Settings(**{"table": "table1", **changes})


@pytest.mark.parametrize("number", ["7", "0/22", "23/22", "1/21", "a/b", "1/" + "9" * 5000, "²/22"])
def test_numbers_of_no_cell(number: str) -> None:
    settings = Settings("table1")
    assert settings.cell("22/22") == settings.cells()[-1]
    with pytest.raises(ConfigError, match=r"1/22|7/22"):
        settings.cell(number)


def test_settings_survive_json() -> None:
    settings = Settings("table1", data="x", models=("dgcnn",), seeds=(3, 4), budget=2.5)
    path = Path("compare.json")
    assert Settings.from_json(json.loads(json.dumps(settings.to_json())), path) == settings
    for content in (None, [], {}, {"table": "table1", "other": 1}, {"table": "table1", "seeds": 3}):
        with pytest.raises(ConfigError, match=r"compare\.json"):
            Settings.from_json(content, path)


def test_the_published_size_is_the_default_of_a_model_without_presets_for_it() -> None:
    cell = Cell(Row("csgnn", "csgnn", {"channels": 32}), "structures", "ours", 0, ())
    values = training_values(TrainDOSConfig, cell, "paper", 3)
    made = TrainDOSConfig.resolve(flags={**values, "model": "csgnn"}).hypers
    assert made == TrainDOSConfig.resolve(flags={"model": "csgnn"}).hypers
    quick = training_values(TrainDOSConfig, cell, "quick", 3)
    assert TrainDOSConfig.resolve(flags={**quick, "model": "csgnn"}).hypers != made


@pytest.mark.parametrize("table", ["table1", "table2", "table3", "table4"])
def test_only_the_improved_row_differs_from_the_paper(table: str) -> None:
    """Presets may change; what the rows of the paper's network are may not."""
    shapes = TABLES[table].kind != "atoms"
    config: Any = TrainModelNetConfig if shapes else TrainDOSConfig
    paper = config.resolve(flags={"model": "csgnn"}).hypers
    later = {"filter_order", "gradients", "readout", "point_features"}
    later |= {"invariants", "passes", "members", "block_norm"}
    for row in TABLES[table].rows:
        if row.model == "csgnn":
            hypers = config.resolve(preset="quick", flags={**row.options}).hypers
            same = all(
                getattr(hypers, name) == getattr(paper, name)
                for name in later & set(type(hypers).model_fields)
            )
            assert same == (row.name != "csgnn improved"), row.name
