"""The picture of a comparison: results against seconds of training, or time against spheres."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from csgnn_dgl.compare.store import Store
from csgnn_dgl.tasks.plots import save_figure, styled

__all__ = ["draw"]


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
        axes.set(xlabel="seconds of training", xscale="log", ylabel=f"[{table.unit}]")
        axes.margins(0.15)
    save_figure(figure, path)
    return path
