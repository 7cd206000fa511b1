"""What the report of a classifier shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from csgnn_dgl.tasks.classes.evaluate import ShapeEvaluation
from csgnn_dgl.tasks.plots import figure_bytes
from csgnn_dgl.tasks.weights import Header
from csgnn_dgl.viewing.report import Example, Findings, Panel

__all__ = ["cloud_picture", "findings", "panels"]

Floats = npt.NDArray[np.float64]
# Points of a picture.
_DRAWN = 1000
# The direction that pictures look from, and up: a little from above.
_VIEW = np.array([[-0.6, 0.8, 0.0], [-0.32, -0.24, 0.917], [0.733, 0.55, 0.4]])


def panels(header: Header) -> list[Panel]:
    """The curves of a training."""
    both = {"train": "training (augmented)", "validation": "validation"}
    return [
        Panel("Loss", "cross-entropy", {f"{key}_loss": name for key, name in both.items()}),
        Panel("Accuracy", "%", {f"{key}_accuracy": name for key, name in both.items()}, 100),
    ]


def findings(evaluation: ShapeEvaluation, header: Header, worst: int) -> Findings:
    """Results of a test of a classifier.

    Parameters
    ----------
    evaluation
        The test.
    header
        Header of the weights.
    worst
        Examples to show: wrong answers first, those with the least probability of the true class
        before others; then right answers that are unsure.
    """
    result, names = evaluation.result, header.class_names
    votes = f"{result.votes} vote{'s' * (result.votes > 1)}"
    headline = (
        f"{100 * result.accuracy:.1f} % of {result.shapes} {result.split} shapes are right "
        f"({result.train_rotation}/{result.rotation}, {votes})"
    )
    if result.baseline is not None:
        headline += f"; {result.baseline['what']}: {100 * result.baseline['accuracy']:.1f} %"
    truth = evaluation.chosen.labels.numpy()
    shares = evaluation.probabilities.numpy()
    answers = shares.argmax(axis=1)
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(counts, (truth, answers), 1)
    rows = [
        [name, int(shapes), 100 * accuracy, taken]
        for name, shapes, accuracy, taken in evaluation.table.itertuples(index=False)
    ]
    protocol = [
        ("trained with rotations", result.train_rotation),
        ("tested with rotations", result.rotation),
        ("votes", result.votes),
        ("seed", result.seed),
        (f"{result.split} shapes", result.shapes),
        ("points per shape", header.data["points"]),
        ("axis that points up", header.data["up_axis"]),
        ("data", result.data),
        ("fingerprint of the data", result.fingerprint),
        ("mean accuracy of classes", f"{100 * result.class_accuracy:.2f} %"),
        (
            "baseline",
            "unknown"
            if result.baseline is None
            else f"{result.baseline['what']}: {100 * result.baseline['accuracy']:.2f} %",
        ),
        ("time", f"{result.milliseconds_per_shape:.1f} ms per shape"),
    ]
    # The first lines are the table and the accuracy, and lines with paths are for the terminal.
    notes = [line for line in evaluation.lines[2:] if not _is_path(line)]
    return Findings(
        headline,
        (("class", "shapes", "accuracy [%]", "most often taken for"), rows),
        protocol,
        notes,
        {"confusion": {"names": list(names), "counts": counts.tolist()}},
        _worst(evaluation, names, truth, shares, worst),
    )


def _is_path(line: str) -> bool:
    return line.startswith(("confusion matrix: ", "calibration: "))


def _worst(
    evaluation: ShapeEvaluation,
    names: tuple[str, ...],
    truth: npt.NDArray[np.int64],
    shares: Floats,
    count: int,
) -> list[Example]:
    own = shares[np.arange(len(truth)), truth]
    answers = shares.argmax(axis=1)
    found = []
    for index in np.lexsort((own, answers == truth))[:count].tolist():
        answer, name = names[answers[index]], names[truth[index]]
        if answers[index] == truth[index]:
            caption = f"{name}: right, at {100 * own[index]:.1f} %"
        else:
            caption = (
                f"{name}, taken for {answer} ({100 * shares[index].max():.1f} %; {name} "
                f"{100 * own[index]:.1f} %)"
            )
        cloud = evaluation.chosen.points[index, :_DRAWN].double().numpy()
        source = evaluation.chosen.names[index].replace("\\", "/").rsplit("/", 1)[-1]
        found.append(Example(cloud_picture(cloud), f"{caption} – {source}"))
    return found


def cloud_picture(points: Floats) -> bytes:
    """A small picture of a cloud ``(N, 3)``, as PNG; near points are dark."""
    right, up, towards = _VIEW
    depth = points @ towards
    order = np.argsort(depth)
    figure = Figure(figsize=(2, 2))
    axes: Any = figure.add_axes((0, 0, 1, 1))
    axes.scatter(
        (points @ right)[order], (points @ up)[order], s=5, c=depth[order], cmap="YlGnBu", lw=0,
        vmin=depth.min() - 0.6 * np.ptp(depth),
    )  # fmt: skip
    axes.set_aspect("equal")
    axes.set_axis_off()
    return figure_bytes(figure, dpi=90)
