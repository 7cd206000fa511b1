"""Whether a classifier is right as often as it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from torch import Tensor

from csgnn_dgl.tasks.calibration import expected_calibration_error
from csgnn_dgl.tasks.classes.domain import calibrated, score_shapes
from csgnn_dgl.tasks.classes.trained import TrainedClassifier
from csgnn_dgl.tasks.plots import save_figure, set_labels, styled
from csgnn_dgl.tasks.run_directory import RunDirectory

__all__ = ["report_calibration"]

Floats = npt.NDArray[np.float64]

_BEFORE, _AFTER = "#bbbbbb", "#4477aa"
_BINS = 10


def report_calibration(
    trained: TrainedClassifier,
    points: Tensor,
    labels: Tensor,
    probabilities: Tensor,
    *,
    votes: int,
    split: str,
    name: str,
    run: RunDirectory | None = None,
) -> tuple[list[str], dict[str, Any]]:
    """Compare probabilities with shares of right answers.

    Parameters
    ----------
    trained
        The classifier.
    points, labels
        Shapes ``(n, N, 3)`` and their classes ``(n,)``.
    probabilities
        The network's own probabilities ``(n, classes)``, without calibration.
    votes
        Orientations that they are averaged over.
    split
        Name of the split, for the title of the plot.
    name
        Part of the name of the plot's file.
    run
        Where to draw it; None draws nothing.

    Returns
    -------
    tuple
        Lines to print, and the same as plain values.
    """
    truth, before = labels.numpy(), probabilities.numpy()
    after = calibrated(trained, probabilities, votes).numpy()
    errors = [expected_calibration_error(p, truth) for p in (before, after)]
    known = trained.temperature(votes) is not None
    figures: dict[str, Any] = {"ece_before": errors[0], "ece": errors[1] if known else None}
    lines = []
    scores = score_shapes(trained, points)
    if scores is None:
        lines.append(f"{trained.path} has no domain, so out-of-domain scores are unknown")
    else:
        figures["outside"] = int((scores > 1).sum())
        lines.append(
            f"out-of-domain scores: median {np.median(scores):.2f}; {figures['outside']} of "
            f"{len(scores)} shapes are outside"
        )
    if known:
        protocol = trained.header.calibration.get("rotation")
        lines.append(
            f"expected calibration error {100 * errors[1]:.1f} % "
            f"(without calibration {100 * errors[0]:.1f} %; calibrated on validation shapes "
            f"under {protocol} rotations)"
        )
    else:
        lines.append(
            f"expected calibration error {100 * errors[0]:.1f} %; the probabilities are not "
            f"calibrated"
        )
    if run is not None:
        path = run.figure(f"calibration-{name}")
        _draw(before, after if known else None, truth, split, path)
        lines.append(f"calibration: {path}")
    return lines, figures


@styled
def _draw(
    before: Floats, after: Floats | None, truth: npt.NDArray[np.int64], split: str, path: Path
) -> None:
    figure = Figure(figsize=(5, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 100], [0, 100], color="#888888", lw=1, zorder=0)
    shown = [(before, _BEFORE, "network")]
    if after is not None:
        shown.append((after, _AFTER, "calibrated"))
    for values, color, label in shown:
        highest, right = values.max(axis=1), values.argmax(axis=1) == truth
        place = np.minimum((highest * _BINS).astype(int), _BINS - 1)
        count = np.bincount(place, minlength=_BINS)
        used = count > 0
        mean = np.bincount(place, highest, _BINS)[used] / count[used]
        share = np.bincount(place, right, _BINS)[used] / count[used]
        sizes = 20 + 200 * count[used] / len(truth)
        axes.scatter(100 * mean, 100 * share, s=sizes, color=color, label=label)
        axes.plot(100 * mean, 100 * share, color=color, lw=1)
    title = f"Calibration on {split} shapes; areas: numbers of shapes"
    set_labels(axes, title=title, x="highest probability [%]", y="right answers [%]")
    axes.legend()
    save_figure(figure, path)
