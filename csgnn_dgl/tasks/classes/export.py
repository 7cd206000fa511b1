"""Export a classifier as a program that needs only torch."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from csgnn_dgl.datasets.shapes.attributes import width
from csgnn_dgl.mapping import normalize_clouds
from csgnn_dgl.models import Classifier
from csgnn_dgl.tasks.classes.trained import load_classifier
from csgnn_dgl.tasks.export import write_program

__all__ = ["export"]


class _Scores(nn.Module):
    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        classifier.model.prepare_export()

    def forward(self, points: Tensor) -> Tensor:
        scores: Tensor = self.classifier(normalize_clouds(points))
        return scores


def export(weights: str | Path, path: Path, *, model: Any = None) -> None:
    """Write a classifier as a ``.pt2`` file.

    The program takes clouds ``(B, N, 3)``, or ``(B, N, 3 + A)`` with the model's attributes,
    float32, in any unit, and returns scores before the softmax, ``(B, classes)``. ``B`` may vary,
    and ``N`` with most models. Clouds must be centred in the same way as the training data. The
    file also holds the header with the class names.

    Parameters
    ----------
    weights
        Run directory, or file of weights.
    path
        File to write.
    model
        The model, if it is one of your own.

    Raises
    ------
    CheckpointError
        There is no classifier, or it cannot be used.

    Examples
    --------
    .. code-block:: python

        export(Path("runs/modelnet-001"), Path("model.pt2"))
        # Then, where torch is installed:
        extra = {"csgnn_dgl.json": ""}
        scores = torch.export.load("model.pt2", extra_files=extra).module()(points)
        names = json.loads(extra["csgnn_dgl.json"])["class_names"]
    """
    trained = load_classifier(weights, model=model)
    module = _Scores(copy.deepcopy(trained.model).float())
    points = torch.rand(2, trained.points, 3 + width(trained.attributes)) - 0.5
    # Some models need a number of points at least, which the program then checks.
    size = Dim.DYNAMIC if trained.model.model.export_any_size else Dim.STATIC
    dynamic = {"points": {0: Dim.DYNAMIC, 1: size}}
    write_program(module, (points,), dynamic, trained.header, path)
