"""A trained classifier, from its run directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from csgnn_dgl.errors import CheckpointError, DataError
from csgnn_dgl.models import Classifier, ClassifierConfig
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.weights import Header, load_into, load_weights

__all__ = ["KIND", "TrainedClassifier", "load_classifier"]

KIND = "classifier"


@dataclass(frozen=True)
class TrainedClassifier:
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

    model: Classifier
    header: Header
    path: Path

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class, in the order of the scores."""
        return self.header.class_names

    @property
    def points(self) -> int:
        """Points per cloud that it was trained with."""
        return int(self.header.data["points"])


def load_classifier(path: Path, device: torch.device | str = "cpu") -> TrainedClassifier:
    """The classifier of a run directory, or of a ``model.safetensors``.

    Raises
    ------
    CheckpointError
        Nothing there, damaged, of another schema, or of another kind of model.

    Examples
    --------
    .. code-block:: python

        trained = load_classifier(Path("runs/modelnet-001"))
        scores = trained.model(points)  # (B, N, 3) → (B, classes)
    """
    file = path if path.is_file() else RunDirectory.open(path).model
    header, state = load_weights(file, KIND)
    try:
        model = Classifier(ClassifierConfig.from_dict(dict(header.model)))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the header of {file} describes no classifier: {error}") from error
    if len(header.class_names) != model.config.num_classes:
        raise CheckpointError(
            f"{file} names {len(header.class_names)} classes, but its model has "
            f"{model.config.num_classes}"
        )
    load_into(model, state, file)
    return TrainedClassifier(model.eval().to(device), header, file)


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
