"""Whether errors on test structures are as large as they were said to be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from csgnn_dgl.datasets.atoms.dos import DOSRecord
from csgnn_dgl.tasks.calibration import LEVELS
from csgnn_dgl.tasks.dos.domain import AtomScores, score_atoms, uncertainties
from csgnn_dgl.tasks.dos.learn import absolute_errors
from csgnn_dgl.tasks.dos.trained import TrainedDOS
from csgnn_dgl.tasks.plots import pretty_unit, save_figure, set_labels, styled
from csgnn_dgl.tasks.run_directory import RunDirectory

__all__ = ["CalibrationReport", "coverage_table", "report_calibration"]

Floats = npt.NDArray[np.float64]

_COLORS = {"dos": "#cc6677", "fermi_level": "#4477aa", "band_energy": "#117733", "gap": "#aa4499"}
_DRAWN = 0.9


class CalibrationReport:
    """The agreement between uncertainties and errors.

    Parameters
    ----------
    lines
        Text to print.
    figures
        The same as plain values, for the summary of a run.
    picture
        The plot, if one was drawn.
    """

    def __init__(
        self, lines: list[str], figures: dict[str, Any] | None = None, picture: Path | None = None
    ) -> None:
        self.lines, self.figures, self.picture = lines, figures, picture


def report_calibration(
    trained: TrainedDOS,
    records: Sequence[DOSRecord],
    predicted: Floats,
    split: str,
    votes: int,
    run: RunDirectory | None = None,
) -> CalibrationReport:
    """Compare the errors of predicted curves with their uncertainties.

    Parameters
    ----------
    trained
        The model.
    records, predicted
        Structures with references, and their predicted curves ``(n, E)``.
    split, votes
        Name of the split, and orientations that the curves are averaged over.
    run
        Where to draw the plot; None draws nothing.
    """
    scores = [s for s in score_atoms(trained, [r.atoms for r in records]) if s is not None]
    if not scores:
        return CalibrationReport(
            [f"{trained.path} has no domain, so its uncertainties are unknown"]
        )
    errors = absolute_errors(records, predicted, trained.grid)
    outside = sum(score.outside for score in scores)
    lines = [
        f"out-of-domain scores: median {np.median([s.structure for s in scores]):.2f}; "
        f"{outside} of {len(scores)} structures are outside"
    ]
    table = coverage_table(trained, scores, errors, votes)
    if table.empty:
        return CalibrationReport([*lines, "there are no uncertainties for this many votes"])
    shown = table[table["level"].isin((0.68, 0.9))]
    lines.append("errors within the intervals of structures inside, in %:")
    lines.append(
        pd.DataFrame(
            {
                "quantity": shown["quantity"],
                "structures": shown["structures"],
                "expected": [f"{100 * level:g}" for level in shown["level"]],
                "found": [f"{100 * value:.1f}" for value in shown["coverage"]],
                "mean half width": [f"{value:.4f}" for value in shown["half_width"]],
            }
        ).to_string(index=False)
    )
    if split == "validation":
        lines.append("the intervals were learned from this split, so it does not test them")
    picture = None
    if run is not None:
        picture = run.figure(f"calibration-{split}")
        _draw(trained, scores, errors, table, votes, picture, f"{split}, {votes} vote(s)")
        lines.append(f"calibration: {picture}")
    figures = {
        "outside": outside,
        "median_score": float(np.median([s.structure for s in scores])),
        "coverage": table.to_dict("records"),
    }
    return CalibrationReport(lines, figures, picture)


def coverage_table(
    trained: TrainedDOS, scores: Sequence[AtomScores], errors: dict[str, Floats], votes: int
) -> pd.DataFrame:
    """Share of errors within the intervals of structures inside the domain.

    Returns
    -------
    pandas.DataFrame
        Columns ``quantity``, ``level``, ``structures``, ``coverage``, ``half_width`` (mean).
    """
    known = [uncertainties(trained, score, votes) for score in scores]
    rows = []
    for quantity, values in errors.items():
        inside = [i for i, u in enumerate(known) if quantity in u and np.isfinite(values[i])]
        for level in LEVELS if inside else ():
            widths = np.array([known[i][quantity][level] for i in inside])
            rows.append(
                {
                    "quantity": quantity,
                    "level": level,
                    "structures": len(inside),
                    "coverage": float((values[inside] <= widths).mean()),
                    "half_width": float(widths.mean()),
                }
            )
    columns = ["quantity", "level", "structures", "coverage", "half_width"]
    return pd.DataFrame(rows, columns=columns)


@styled
def _draw(
    trained: TrainedDOS,
    scores: Sequence[AtomScores],
    errors: dict[str, Floats],
    table: pd.DataFrame,
    votes: int,
    path: Path,
    title: str,
) -> None:
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, 100], [0, 100], color="#888888", lw=1, zorder=0)
    for quantity, rows in table.groupby("quantity"):
        label = str(quantity).replace("_", " ")
        color = _COLORS[str(quantity)]
        left.plot(100 * rows["level"], 100 * rows["coverage"], "o-", color=color, label=label)
    expected = "share of errors expected within the interval [%]"
    set_labels(left, title=f"Coverage: {title}", x=expected, y="share found [%]")
    left.legend()
    drawn = "band_energy" if "band_energy" in set(table["quantity"]) else "dos"
    known = [uncertainties(trained, score, votes) for score in scores]
    structure = np.array([score.structure for score in scores])
    widths = np.array([u[drawn][_DRAWN] if drawn in u else np.nan for u in known])
    right.plot(structure, errors[drawn], "o", color=_COLORS[drawn], ms=3, label="error")
    right.plot(structure, widths, "_", color="#222222", ms=5, label=f"{100 * _DRAWN:g} % interval")
    right.axvline(1, color="#888888", ls="--", lw=1)
    unit = trained.dos_unit if drawn == "dos" else f"{trained.grid.unit}/atom"
    name = f"{drawn.replace('_', ' ')} [{pretty_unit(unit)}]"
    set_labels(right, x="out-of-domain score", y=name)
    right.set_ylim(bottom=0)
    right.legend()
    save_figure(figure, path)
