"""Rotation curves: invariant systems keep their answers, others do not; same path as evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from csgnn_dgl.cli.main import main
from csgnn_dgl.compare import curve as module
from csgnn_dgl.compare.cells import run_cell
from csgnn_dgl.compare.curve import ANGLES, CurveOptions, measure, turned
from csgnn_dgl.compare.pictures import draw_curve
from csgnn_dgl.compare.settings import Cell, Settings
from csgnn_dgl.compare.store import Store
from csgnn_dgl.errors import CheckpointError, ConfigError, DataError
from csgnn_dgl.tasks.classes.evaluate import evaluate
from csgnn_dgl.tasks.use_config import EvaluateConfig
from csgnn_dgl.testing.samples import write_shape_folder


class Scores(nn.Module):
    """Two scores of a cloud from a number per point."""

    model = SimpleNamespace(attributes=())

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
        self.kind = kind

    def forward(self, points: Tensor) -> Tensor:
        values = {
            "distance": points.norm(dim=-1) - 0.5,
            "height": points[..., 2],
            "nan": points[..., 2] / 0,
        }[self.kind]
        mean = self.weight * values.mean(dim=1, keepdim=True)
        return torch.cat([mean, -mean], dim=1)


def clouds() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(7, 50, 3, generator=generator, dtype=torch.float64) - 0.5
    points[..., 2] += torch.tensor([1.0, -1, 1, -1, 1, -1, 1])[:, None]
    return points, torch.tensor([0, 1, 0, 1, 0, 1, 0])


def answers(kind: str, **options: Any) -> pd.DataFrame:
    points, labels = clouds()
    model: Any = Scores(kind)
    return pd.DataFrame(
        turned(model, points, labels, up_axis="z", options=CurveOptions(batch_size=3, **options))
    )


def test_an_invariant_system_keeps_its_answers() -> None:
    found = answers("distance")
    assert list(found["angle"]) == 2 * list(ANGLES)
    assert (found["agreement"] == 1).all()
    assert found["largest_change"].max() < 1e-12


def test_a_system_that_looks_at_the_height_does_not() -> None:
    found = answers("height").set_index(["axes", "angle"])
    # Upside down about a horizontal axis, every height has the opposite sign.
    for value in ("agreement", "accuracy"):
        assert found.loc[("horizontal", 0), value] == 1
        assert found.loc[("horizontal", 180), value] == 0
    assert found.loc[("horizontal", 180), "change"] == pytest.approx(2)
    assert float(found["change"].loc[("uniform", 180)]) < 2
    assert set(found["classes"]) == {2}


def test_turns_depend_on_the_seed_alone() -> None:
    assert answers("height").equals(answers("height"))
    assert not answers("height").equals(answers("height", seed=1))
    one = answers("height", axes=("uniform",))
    both = answers("height")
    assert one.equals(both[both["axes"] == "uniform"].reset_index(drop=True))


def test_an_answer_that_is_no_number() -> None:
    with pytest.raises(DataError, match="not a finite number"):
        answers("nan")


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"shapes": 0}, "shapes is 0"),
        ({"rotations": 0}, "rotations is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"axes": ("vertical",)}, "unknown axes 'vertical'"),
        ({"axes": ()}, r"axes is \[\]"),
        ({"axes": ("uniform", "uniform")}, "each once"),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        CurveOptions(**options)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A comparison of two systems, of which one is done."""
    place = tmp_path_factory.mktemp("curve")
    data = write_shape_folder(place / "shapes", points=1024, per_class=3, tested=3)
    settings = Settings(
        "table1",
        str(data),
        models=("pointnet", "riconv"),
        protocols=("z",),
        epochs=1,
        up_axis="z",
        device="cpu",
    )
    store = Store.create(place / "table1", settings)
    with store.claimed(settings.cells()[0]):
        run_cell(store, settings.cells()[0], lambda line: None)
    return store


def test_upright_shapes_are_those_of_evaluate(store: Store) -> None:
    curve = measure(store, options=CurveOptions(device="cpu"))
    assert curve.missing == ("riconv-z-ours-0",)
    assert (curve.protocol, curve.shapes, len(curve.fingerprints)) == ("z", 9, 1)
    run = store.folder(store.settings.cells()[0]) / "run"
    expected = evaluate(run, EvaluateConfig(rotation="none", device="cpu", progress=False))
    upright = curve.table[curve.table["angle"] == 0]
    assert set(upright["accuracy"]) == {expected.result.accuracy}
    assert set(upright["agreement"]) == {1.0}
    assert curve.table[curve.table["angle"] == 90]["change"].min() > 0


def test_the_command(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["compare", "curve", str(store.path), "--shapes", "4", "--axes", "horizontal"])
    assert stop.value.code == 0
    out, err = capsys.readouterr()
    assert "pointnet" in out
    assert "not done: riconv-z-ours-0" in err
    content = json.loads((store.path / "curve-z.json").read_text())
    rows = pd.read_csv(store.path / "curve-z.csv")
    assert rows.to_dict("records") == content["rows"]
    assert (content["shapes"], content["axes"]) == (4, ["horizontal"])
    assert (content["seed"], content["rotations"], content["angles"]) == (0, 1, list(ANGLES))
    assert (store.path / "curve-z.png").read_bytes().startswith(b"\x89PNG")


def test_a_training_that_is_lost_does_not_stop_the_others(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pointnet, riconv = store.settings.cells()
    store.write(riconv, {**(store.result(pointnet) or {}), "row": "riconv"})
    try:
        picture = tmp_path / "curve.svg"
        with pytest.raises(SystemExit) as stop:
            main(["compare", "curve", str(store.path), "--shapes", "2", "--output", str(picture)])
        assert stop.value.code == 1
        assert "riconv-z-ours-0: " in capsys.readouterr().err
        assert picture.read_bytes().startswith(b"<?xml")
        assert set(pd.read_csv(picture.with_suffix(".csv"))["row"]) == {"pointnet"}
    finally:
        (store.folder(riconv) / "cell.json").unlink()


def _made(path: Path, **settings: Any) -> Store:
    return Store.create(path, Settings(**{"table": "table1", "protocols": ("so3",), **settings}))


def test_the_better_recipe_in_validation_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _made(tmp_path / "a", models=("dgcnn",), recipes=("ours", "own"), seeds=(0, 1))
    for cell in made.settings.cells():
        score = {"ours": 0.5, "own": 0.6}[cell.recipe]
        made.write(cell, {"tests": {}, "validation_score": score})
    seen = []

    def refuse(store: Store, cell: Cell, *rest: Any) -> list[Any]:
        seen.append(cell.name)
        raise CheckpointError("gone")

    monkeypatch.setattr(module, "_measure_cell", refuse)
    with pytest.raises(CheckpointError, match="gone"):
        measure(made)
    assert seen == ["dgcnn-so3-own-0", "dgcnn-so3-own-1"]


@pytest.mark.parametrize(
    ("settings", "words", "what"),
    [
        ({"table": "table2", "protocols": None}, (), "holds table2"),
        ({"table": "table3"}, (), "holds table3"),
        ({}, (), "none of the 11 cells with protocol so3"),
        ({}, ("--protocol", "z"), "has no protocol 'z'"),
        ({}, ("--output", "curve.gif"), "cannot write curve.gif as .gif"),
        ({}, ("--output", "nowhere/curve.png"), "folder does not exist"),
        ({}, ("--seed", "-1"), "--seed"),
        (None, (), "holds no compare.json"),
    ],
)
def test_bad_input(
    settings: dict[str, Any] | None,
    words: tuple[str, ...],
    what: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path if settings is None else _made(tmp_path / "made", **settings).path
    with pytest.raises(SystemExit) as stop:
        main(["compare", "curve", str(folder), *words])
    assert stop.value.code == 2
    assert what in capsys.readouterr().err


def test_all_lines_can_be_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No two systems have the same colour, and the legend lies beside the panels."""
    from csgnn_dgl.compare import pictures

    drawn: list[Any] = []
    monkeypatch.setattr(pictures, "save_figure", lambda figure, *rest, **more: drawn.append(figure))
    names = [row.name for row in Settings("table1").found.rows]
    rows = [
        {"row": name, "axes": axes, "angle": angle, "agreement": 1 - angle * index / 2000}
        for index, name in enumerate(names)
        for axes in ("horizontal", "uniform")
        for angle in ANGLES
    ]
    table = pd.DataFrame(rows).assign(accuracy=0.5, change=0.1, largest_change=0.2, classes=2)
    draw_curve(module.RotationCurve("z", CurveOptions(), table, 60, "", ("",)), tmp_path / "a.png")
    (figure,) = drawn
    lines = figure.axes[0].get_lines()
    assert [line.get_label() for line in lines] == names
    assert len({line.get_color() for line in lines}) == len(names)
    assert len({line.get_marker() for line in lines}) == len(names)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    right = max(axes.get_window_extent().x1 for axes in figure.axes)
    assert legend.get_window_extent().x0 > right
