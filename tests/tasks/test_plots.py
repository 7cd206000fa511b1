"""Plots: their formats, and that no label is cut off."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from csgnn_dgl.physics import EnergyGrid
from csgnn_dgl.tasks import plots
from csgnn_dgl.tasks.classes import plots as class_plots
from csgnn_dgl.tasks.dos import plots_predict
from csgnn_dgl.tasks.dos.prediction import DOSPrediction

LONG = "a-file-with-a-name-that-somebody-chose-with-every-detail-in-it-" * 2
MAGIC = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}


def prediction(**others: Any) -> DOSPrediction:
    grid = EnergyGrid(start=0.0, step=20.0, size=51, unit="cm^-1", zero="zero frequency")
    dos = np.exp(-(((grid.energies - 300) / 90) ** 2))
    unit = "arbitrary: maximum of each curve is 1"
    return DOSPrediction(
        bulk("C", "diamond", 3.57), grid, dos, unit, "phonon", np.stack([dos, dos]), **others
    )


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved."""
    found: list[Figure] = []
    save = plots.figure_bytes

    def keep(figure: Figure, *arguments: Any, **options: Any) -> bytes:
        found.append(figure)
        return save(figure, *arguments, **options)

    monkeypatch.setattr(plots, "figure_bytes", keep)
    return found


def cut_off(figure: Figure) -> bool:
    """Whether something that is drawn reaches beyond the margins of a figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    box = figure.get_tightbbox(canvas.get_renderer())  # [inches]
    width, height = figure.get_size_inches()
    return bool(min(box.x0, box.y0, width - box.x1, height - box.y1) < -0.02)


def texts(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(Text))


@pytest.mark.parametrize("ending", plots.ENDINGS)
def test_formats(ending: str, tmp_path: Path) -> None:
    first, second = tmp_path / f"a{ending}", tmp_path / f"b{ending}"
    for path in (first, second):
        plots_predict.plot_prediction(prediction(), path, "salt")
    assert first.read_bytes().startswith(MAGIC[ending])
    assert first.read_bytes() == second.read_bytes()  # no dates, no random names


def test_long_labels_are_broken(drawn: list[Figure], tmp_path: Path) -> None:
    plots_predict.plot_prediction(prediction(), tmp_path / "a.png", LONG)
    (figure,) = drawn
    assert not cut_off(figure)
    assert "cm⁻¹" in texts(figure)
    assert "^" not in texts(figure)


def test_the_check_of_labels_can_fail() -> None:
    figure = Figure(figsize=(3, 2), layout="constrained")
    figure.subplots().set_title(LONG)
    assert cut_off(figure)


def test_a_few_curves_in_one_picture_have_names(drawn: list[Figure], tmp_path: Path) -> None:
    named = [(f"{name}.cif, C2", prediction(fermi_level=200.0)) for name in "abc"]
    plots_predict.plot_predictions(named, tmp_path / "a.png")
    (axes,) = drawn[0].axes
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [name for name, _ in named]
    solid = [line for line in axes.get_lines() if line.get_linestyle() == "-"]
    assert len(solid) == 3
    assert len({str(line.get_color()) for line in solid}) == 3
    assert len(axes.get_lines()) == 6  # and the Fermi levels


def test_many_curves_in_one_picture_have_a_scale(drawn: list[Figure], tmp_path: Path) -> None:
    plots_predict.plot_predictions([(LONG, prediction())] * 30, tmp_path / "a.png")
    axes, scale = drawn[0].axes
    assert len(axes.get_lines()) == 30
    assert axes.get_legend() is None
    assert "structure" in scale.get_ylabel()


@pytest.mark.parametrize("classes", [3, 40])
def test_confusion_matrices_show_every_name(
    classes: int, drawn: list[Figure], tmp_path: Path
) -> None:
    names = [f"night_stand_{index}" for index in range(classes)]
    class_plots.plot_confusion(np.eye(classes), names, tmp_path / "a.png", LONG)
    (figure,) = drawn
    assert not cut_off(figure)
    assert all(texts(figure).count(name) >= 2 for name in names)


def test_a_confusion_matrix_of_many_classes_stays_small(
    drawn: list[Figure], tmp_path: Path
) -> None:
    names = [f"kind{index}" for index in range(500)]
    class_plots.plot_confusion(np.eye(500), names, tmp_path / "a.png", "many")
    (figure,) = drawn
    assert max(figure.get_size_inches()) < 12
    assert "kind3" not in texts(figure)


def test_curves_of_a_training(drawn: list[Figure], tmp_path: Path) -> None:
    table = pd.DataFrame({"epoch": [1, 2], "learning_rate": [0.1, 0.01]})
    for name in ("train_loss", "validation_loss", "train_error", "validation_error"):
        table[name] = [1.0, 0.5]
    unit = f"mean absolute error [{prediction().unit}]"
    plots.plot_curves(
        table, tmp_path / "a.svg", loss="loss", second="error", second_unit=unit, log=True
    )
    assert not cut_off(drawn[0])


@pytest.mark.parametrize("seconds", [(20, 450), (400, 431), (3, 40_000)], ids=str)
def test_seconds_are_plain_numbers_that_do_not_overlap(seconds: tuple[int, int]) -> None:
    figure = Figure(figsize=(5, 4))
    axes = figure.subplots()
    axes.plot(seconds, (0, 1))
    plots.set_seconds(axes)
    FigureCanvasAgg(figure).draw()
    labels = [*axes.get_xticklabels(), *axes.get_xticklabels(minor=True)]
    low, high = axes.get_xlim()
    shown = [t for t in labels if t.get_text() and low <= t.get_position()[0] <= high]
    assert len(shown) >= 3
    assert all("$" not in label.get_text() for label in shown)
    boxes = sorted((label.get_window_extent() for label in shown), key=lambda box: box.x0)
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(boxes))
