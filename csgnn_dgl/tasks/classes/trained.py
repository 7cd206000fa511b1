"""Load a trained classifier from a run directory or a file of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import torch

from csgnn_dgl._foreign import quoted
from csgnn_dgl.errors import CheckpointError, DataError
from csgnn_dgl.mapping import UpAxis
from csgnn_dgl.mapping.shape_fingerprint import LENGTH
from csgnn_dgl.models import Classifier, Hypers, ShapeModel
from csgnn_dgl.tasks.classes.embedding_scale import EmbeddingScale
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
# Memory for this many points is there on any machine.
_MOST_POINTS = 10_000_000


@dataclass(frozen=True)
class TrainedClassifier(Trained[Classifier]):
    """A trained classifier with its header; see :class:`~csgnn_dgl.tasks.trained.Trained`."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class, in the order of the scores."""
        return self.header.class_names

    @property
    def points(self) -> int:
        """Points per cloud in training."""
        return int(self.header.data["points"])

    @property
    def pool(self) -> int:
        """Points kept of each shape; evaluation uses the first ``points`` of them."""
        return int(self.header.data.get("pool", self.points))

    @property
    def cloud_pool(self) -> int:
        """Points read of a cloud, as in evaluation; of surfaces, :attr:`pool` are drawn."""
        data = self.header.data
        return int(data["asked_pool"] or self.points) if "asked_pool" in data else self.pool

    @property
    def attributes(self) -> tuple[str, ...]:
        """Attributes of points that the model needs beside coordinates."""
        return self.model.model.attributes

    @cached_property
    def temperatures(self) -> dict[int, float]:
        """Temperatures of the probabilities, by number of votes; empty if they are unknown.

        Raises
        ------
        CheckpointError
            The calibration in the file is damaged.
        """
        try:
            entries = dict(self.header.calibration.get("votes", {}))
            found = {int(votes): float(e["temperature"]) for votes, e in entries.items()}
            if not all(0 < value < math.inf for value in found.values()):
                raise ValueError(f"its temperatures are {found}")
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"the calibration in {self.path} is damaged ({error!r}); restore it or train again"
            ) from error
        return found

    @cached_property
    def embedding_scale(self) -> EmbeddingScale | None:
        """Scales of the embedding; None if the file has none.

        Raises
        ------
        CheckpointError
            The scales in the file are damaged.
        """
        try:
            return EmbeddingScale.from_tensors(self.arrays, self.model.embedding_features)
        except ValueError as error:
            raise CheckpointError(
                f"{self.path} is damaged: {error}; restore it or train again"
            ) from error

    def temperature(self, votes: int) -> float | None:
        """The temperature for a number of votes; None if the probabilities are not calibrated.

        It is that of the largest number of votes that is known and not larger.
        """
        known = [number for number in self.temperatures if number <= votes]
        return self.temperatures[max(known)] if known else None


def classifier_network(
    model: type[ShapeModel], hypers: Hypers, num_classes: int, head: Mapping[str, Any]
) -> Classifier:
    """Make the untrained network from a model and the sizes of its head."""
    return Classifier(model(hypers), num_classes, **head)


def load_classifier(
    path: str | Path, device: torch.device | str = "cpu", *, model: Any = None
) -> TrainedClassifier:
    """Load the classifier of a run directory or of a ``model.safetensors``.

    Parameters
    ----------
    path
        Run directory, or file of weights.
    device
        Device to compute on.
    model
        The model of shapes, if it is one of your own: ``module:Class``, or the class.

    Raises
    ------
    CheckpointError
        There are no weights; or they are damaged, of a later schema or of another kind; or their
        model is not installed.

    Examples
    --------
    .. code-block:: python

        trained = load_classifier(Path("runs/modelnet-001"))
        scores = trained.model(points)  # (B, N, 3) → (B, classes)
    """

    def build(found: type[ShapeModel], hypers: Hypers, header: Header) -> Classifier:
        points, up_axis = int(header.data["points"]), header.data["up_axis"]
        pool = int(header.data.get("pool", points))
        asked = int(header.data.get("asked_pool") or pool)
        if not 1 <= points <= min(pool, asked) <= max(
            pool, asked
        ) <= _MOST_POINTS or up_axis not in get_args(UpAxis):
            raise ValueError(
                f"its data have {points} of {pool} points and the up axis {quoted(up_axis)}"
            )
        return classifier_network(found, hypers, len(header.class_names), header.head)

    trained = TrainedClassifier(
        *load_network(path, KIND, "shapes", build, fingerprint=LENGTH, device=device, model=model)
    )
    # Damaged parts are found before any work.
    _ = trained.temperatures, trained.embedding_scale
    return trained


def check_classes(trained: TrainedClassifier, class_names: tuple[str, ...], source: str) -> None:
    """Refuse data whose classes differ from the model's.

    Raises
    ------
    DataError
        The names or their order differ.
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
