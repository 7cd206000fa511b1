"""A trained classifier, from its run directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch

from csgnn_dgl.errors import DataError
from csgnn_dgl.mapping import UpAxis
from csgnn_dgl.models import Classifier, Hypers, ShapeModel
from csgnn_dgl.tasks.trained import Trained, load_network
from csgnn_dgl.tasks.weights import Header

__all__ = [
    "KIND",
    "TrainedClassifier",
    "check_classes",
    "classifier_network",
    "load_classifier",
]

KIND = "classifier"


@dataclass(frozen=True)
class TrainedClassifier(Trained[Classifier]):
    """A classifier with what must be known to use it.

    Parameters
    ----------
    model
        In evaluation mode.
    header
        Classes, data, sizes.
    path
        The file of the weights.
    """

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class, in the order of the scores."""
        return self.header.class_names

    @property
    def points(self) -> int:
        """Points per cloud that it was trained with."""
        return int(self.header.data["points"])

    @property
    def pool(self) -> int:
        """Points kept of each shape in its data, of which evaluation takes the first."""
        return int(self.header.data.get("pool", self.points))


def classifier_network(
    model: type[ShapeModel], hypers: Hypers, num_classes: int, head: Mapping[str, Any]
) -> Classifier:
    """The untrained network of a model and the sizes of its head."""
    return Classifier(model(hypers), num_classes, **head)


def load_classifier(
    path: str | Path, device: torch.device | str = "cpu", *, model: Any = None
) -> TrainedClassifier:
    """The classifier of a run directory, or of a ``model.safetensors``.

    Parameters
    ----------
    path
        Which weights.
    device
        Where to compute.
    model
        The model of shapes, if it is one of your own: ``module:Class``, or the class.

    Raises
    ------
    CheckpointError
        Nothing there, damaged, of a later schema, of another kind, or of a model that is not at
        hand.

    Examples
    --------
    .. code-block:: python

        trained = load_classifier(Path("runs/modelnet-001"))
        scores = trained.model(points)  # (B, N, 3) → (B, classes)
    """

    def build(found: type[ShapeModel], hypers: Hypers, header: Header) -> Classifier:
        points, up_axis = int(header.data["points"]), header.data["up_axis"]
        if points < 1 or up_axis not in get_args(UpAxis):
            raise ValueError(f"its data have {points} points and the up axis {up_axis!r}")
        return classifier_network(found, hypers, len(header.class_names), header.head)

    return TrainedClassifier(*load_network(path, KIND, "shapes", build, device=device, model=model))


def check_classes(trained: TrainedClassifier, class_names: tuple[str, ...], source: str) -> None:
    """Refuse data whose classes are not the model's.

    Raises
    ------
    DataError
        Names or their order differ.
    """
    if class_names == trained.class_names:
        return
    unknown = sorted(set(class_names) - set(trained.class_names))
    missing = sorted(set(trained.class_names) - set(class_names))
    raise DataError(
        f"the classes of {source} are not those of {trained.path}: unknown to the model "
        f"{unknown[:5] or 'none'}, missing in the data {missing[:5] or 'none'}"
        f"{'' if unknown or missing else '; their order differs'}"
    )
