"""Draw how fast the systems of a comparison learn. Does not import torch."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from csgnn_dgl.compare.settings import Cell
from csgnn_dgl.compare.store import Store
from csgnn_dgl.tasks.plots import save_figure, set_seconds, styled

__all__ = ["OURS", "draw_learning", "learning_curve"]

#: Colours of this package's rows, in all pictures.
OURS = {"csgnn": "#cc3311", "csgnn improved": "#550011"}
_COLOURS = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#aa3377", "#999999")
_STYLES = ("-", "--")


def learning_curve(store: Store, cell: Cell) -> tuple[pd.Series, pd.Series] | None:
    """Seconds of training up to each epoch of a cell, and the score in validation after it.

    Returns
    -------
    tuple of pandas.Series or None
        Seconds, and accuracy [%] or loss; None if the cell is not done or its run is not there.
    """
    result, file = store.result(cell), store.folder(cell) / "run" / "metrics.csv"
    if result is None or not file.is_file():
        return None
    rows = pd.read_csv(file)
    total = result["seconds_of_training"]
    # The clock that the comparison used: that of the processor, or the one on the wall.
    clocks = [name for name in ("processor_seconds", "seconds") if name in rows]
    clock = min(clocks, key=lambda name: abs(rows[name].sum() - total))
    if "validation_accuracy" in rows:
        return rows[clock].cumsum(), 100 * rows["validation_accuracy"]
    return rows[clock].cumsum(), rows["validation_loss"]


@styled
def draw_learning(store: Store, path: Path) -> Path | None:
    """Draw the score in validation against seconds of training, a panel for each protocol.

    Seeds and recipes of a system have the same line style.

    Parameters
    ----------
    store
        The comparison.
    path
        File to write.

    Returns
    -------
    Path or None
        The file; None if there is nothing to draw.
    """
    found = [(cell, learning_curve(store, cell)) for cell in store.settings.cells()]
    drawn = [(cell, curve) for cell, curve in found if curve is not None]
    if not drawn:
        return None
    done = {cell.protocol for cell, _ in drawn}
    protocols = [name for name in store.settings.found.tests if name in done]
    systems = [row.name for row in store.settings.found.select(store.settings.models)]
    others = [name for name in systems if name not in OURS]
    figure = Figure(figsize=(1.5 + 4.2 * len(protocols), 4.4), layout="constrained")
    unit = store.settings.found.unit
    for place, protocol in enumerate(protocols, start=1):
        axes = figure.add_subplot(1, len(protocols), place)
        axes.set_title(f"trained under {protocol}" if unit == "%" else protocol)
        labelled: set[str] = set()
        for cell, (seconds, score) in drawn:
            if cell.protocol != protocol:
                continue
            name = cell.row.name
            own = name in OURS
            index = 0 if own else others.index(name)
            axes.plot(
                seconds,
                score,
                color=OURS.get(name, _COLOURS[index % len(_COLOURS)]),
                linestyle=_STYLES[index // len(_COLOURS) % len(_STYLES)],
                linewidth=2.2 if own else 1.2,
                marker="o" if len(seconds) < 4 else None,
                markersize=3,
                label=None if name in labelled else name,
            )
            labelled.add(name)
        set_seconds(axes)
        axes.set_ylabel("accuracy in validation [%]" if unit == "%" else "loss in validation")
        if unit != "%":
            axes.set_yscale("log")
    lines: dict[str, Artist] = {}
    for axes in figure.axes:
        lines |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    ordered = [name for name in systems if name in lines]
    figure.legend(
        [lines[name] for name in ordered], ordered, loc="outside right center", frameon=False
    )
    save_figure(figure, path)
    return path
