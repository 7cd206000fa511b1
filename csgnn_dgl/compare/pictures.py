"""Pictures of a comparison: results against time, and answers against the angle of rotation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from csgnn_dgl.compare.learning import OURS
from csgnn_dgl.compare.store import Store
from csgnn_dgl.compare.tables import find_table
from csgnn_dgl.tasks.plots import save_figure, set_seconds, styled

if TYPE_CHECKING:
    from csgnn_dgl.compare.curve import RotationCurve  # which imports torch

__all__ = ["draw", "draw_curve"]

# Colours that people with any colour vision can tell apart (Tol's), and as many marks.
_COLORS = (
    *("#4477aa", "#66ccee", "#228833", "#999933", "#aa3377"),
    *("#332288", "#ddaa33", "#44aa99", "#777777"),
)
_MARKS = "osD^vPX<>h*"
_PANELS = (
    ("agreement", 100, "same class as upright [%]"),
    ("accuracy", 100, "accuracy [%]"),
    ("change", 1, "relative change of the scores"),
)
_TITLES = {"horizontal": "about horizontal axes", "uniform": "about axes of any direction"}


@styled
def draw(store: Store, found: pd.DataFrame, path: Path) -> Path | None:
    """Draw the results of a comparison.

    Parameters
    ----------
    store
        The comparison.
    found
        Result of :func:`~csgnn_dgl.compare.report.collect`.
    path
        File to write.

    Returns
    -------
    Path or None
        The file; None if there is nothing to draw.
    """
    table = store.settings.found
    tests = [test.column for tests in table.tests.values() for test in tests]
    tests = [test for test in tests if (found["test"] == test).any()]
    if table.kind != "speed":
        # One panel per training: votes are the same training.
        tests = [test for test in tests if "votes" not in test]
    if not tests:
        return None
    figure = Figure(figsize=(1.5 + 4 * len(tests), 4.2), layout="constrained")
    for index, test in enumerate(tests, start=1):
        axes = figure.add_subplot(1, len(tests), index)
        here = found[found["test"] == test]
        axes.set_title(test)
        if table.kind == "speed":
            spheres = here["row"].str.removeprefix("R = ").astype(int)
            axes.plot(spheres, here["value"], "o-", label="measured")
            known = {r: v[test] for r, v in table.published.items() if test in v}
            axes.plot(
                [int(row.removeprefix("R = ")) for row in known],
                list(known.values()),
                "s--",
                label="published, V100",
            )
            axes.set(xlabel="spheres R", ylabel=test, yscale="log")
            axes.legend()
            continue
        for row, values in here.groupby("row", sort=False):
            x, y = values["seconds_of_training"].mean(), values["value"].mean()
            axes.plot(x, y, "o", color="tab:red" if str(row).startswith("csgnn") else "tab:blue")
            axes.annotate(str(row), (x, y), xytext=(4, 4), textcoords="offset points", fontsize=8)
        set_seconds(axes)
        axes.set_ylabel(f"[{table.unit}]")
        axes.margins(0.15)
    save_figure(figure, path)
    return path


@styled
def draw_curve(curve: RotationCurve, path: Path) -> None:
    """Draw the rotation curves of a comparison: a line per system, a row of panels per axes.

    Parameters
    ----------
    curve
        Result of :func:`~csgnn_dgl.compare.curve.measure`.
    path
        File to write: PNG, SVG or PDF.

    Raises
    ------
    ConfigError
        The file has another suffix.
    """
    systems = curve.systems()
    kinds = list(dict.fromkeys(systems["axes"]))
    figure = Figure(figsize=(11.5, 1.1 + 2.9 * len(kinds)), layout="constrained")
    panels = figure.subplots(len(kinds), len(_PANELS), squeeze=False, sharex=True)
    # In the legend and in depth, systems stand in the order of how steady they are.
    steadiness = systems.groupby("row", sort=False)["agreement"].mean()
    steady = list(steadiness.sort_values(ascending=False, kind="stable").index)
    # A system has one colour in all pictures, whichever others are there.
    names = [row.name for row in find_table("table1").rows]
    for line, kind in zip(panels, kinds, strict=True):
        for axes, (value, factor, label) in zip(line, _PANELS, strict=True):
            for depth, name in enumerate(steady):
                here = systems[(systems["row"] == name) & (systems["axes"] == kind)]
                index = names.index(name)
                axes.plot(
                    here["angle"],
                    factor * here[value],
                    color=OURS.get(name, _COLORS[index % len(_COLORS)]),
                    marker=_MARKS[index % len(_MARKS)],
                    # Marks are at different angles, so that they show where lines coincide.
                    markevery=(depth % 3, 3),
                    markersize=5,
                    linewidth=2.2 if name in OURS else 1.3,
                    zorder=3 + (name in OURS),
                    label=name,
                )
            axes.set_ylabel(label)
            if value != "change":
                axes.set_ylim(-3, 103)
            else:
                axes.set_ylim(bottom=-0.03 * axes.get_ylim()[1])
        line[0].set_title(_TITLES.get(kind, kind), loc="left", fontsize=10)
    for axes in panels[-1]:
        axes.set_xlabel("angle of rotation [degrees]")
        axes.set_xticks(range(0, 181, 45))
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False)
    turns = curve.options.rotations
    figure.suptitle(
        f"Trained with {curve.protocol} rotations; {curve.shapes} test shapes, "
        f"{turns} ax{'e' if turns > 1 else 'i'}s each",
        fontsize=11,
    )
    save_figure(figure, path, colors=256)
