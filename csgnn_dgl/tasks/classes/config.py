"""Options for training a classifier. Does not import torch, so that commands start fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import PositiveInt, model_validator

from csgnn_dgl.config import Source, option
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.models.hypers import ShapeCSGNNHypers
from csgnn_dgl.models.registry import Domain
from csgnn_dgl.tasks.config import TrainingConfig
from csgnn_dgl.tasks.use_config import Rotation

__all__ = ["TrainModelNetConfig"]


# The training of the presets for results.
_COMPACT = {
    "train_rotation": "so3",
    "epochs": 100,
    "learning_rate": 3e-3,
    "weight_decay": 1e-4,
    "dropout": 0.2,
    "label_smoothing": 0.1,
    "schedule": "one-cycle",
    "ema_decay": 0.99,
    "select": "last",
}


class TrainModelNetConfig(TrainingConfig):
    """Options of ``csgnn-dgl train modelnet``.

    The defaults are the paper's classifier (level 4, R=16, C=8) and its training.

    Examples
    --------
    >>> TrainModelNetConfig.resolve(preset="so3").hypers.n_spheres
    20
    >>> TrainModelNetConfig(level=3).hypers.level
    3
    """

    domain: ClassVar[Domain] = "shapes"
    presets = ShapeCSGNNHypers.presets
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {
            "points": 1024,
            "train_rotation": "so3",
            "epochs": 20,
            "learning_rate": 4e-3,
            "weight_decay": 1e-4,
            "dropout": 0.1,
            "label_smoothing": 0.1,
            "schedule": "one-cycle",
            "select": "last",
        },
        "embedding": {
            "pool": 1024,
            "train_rotation": "so3",
            "epochs": 30,
            "learning_rate": 4e-3,
            "weight_decay": 1e-5,
            "hidden": [256],
            "translation": 0.0,
            "label_smoothing": 0.1,
            "schedule": "one-cycle",
            "ema_decay": 0.99,
            "select": "last",
        },
        "compact": _COMPACT,
        "best": {**_COMPACT, "learning_rate": 1e-3},
    }

    # Data
    data: Path | None = option(
        None,
        "Folder with the data: ModelNet40's HDF5 layout, or one folder per class with meshes or "
        "clouds. Or the name of a built-in data set: solids (the default), families, kinds.",
        "Data",
    )
    shapes_per_class: int | None = option(
        None,
        "Use at most this many training shapes of each class, chosen at random after shapes for "
        "validation were held out. Of built-in data, so many are made, those for validation "
        "included.",
        "Data",
        ge=1,
    )
    points: int = option(1024, "Points per cloud, N.", "Data", ge=1)
    pool: int | None = option(
        None,
        "Points kept per shape; each epoch draws N of them at random. Default: 4 N for surfaces, "
        "N for clouds.",
        "Data",
        ge=1,
    )
    up_axis: Literal["x", "y", "z"] | None = option(
        None, "Axis that points up, for rotation z. Default: the data set's own.", "Data"
    )
    init_from: str | None = option(
        None,
        "Start from the weights of another run or of a shipped model, with a new head. The model "
        "and its options are then those of the weights.",
        "Model",
    )
    # Head
    hidden: list[PositiveInt] = option([512, 256], "Widths of the head's hidden layers.", "Network")
    dropout: float = option(0.0, "Dropout before each layer of the head.", "Network", ge=0, lt=1)
    # Augmentation
    train_rotation: Rotation = option(
        "so3",
        "Rotations in training and validation (so3 is uniform, euler is not).",
        "Augmentation",
    )
    resample: bool = option(
        True,
        "Draw the points of a cloud at random in each epoch; otherwise use the first N.",
        "Augmentation",
    )
    scale: float = option(
        0.2, "Scale each axis by a random factor within 1 ± this.", "Augmentation", ge=0, lt=1
    )
    scale_range: list[float] | None = option(
        None,
        "Scale each axis by a random factor from this range instead, such as 0.667,1.5.",
        "Augmentation",
    )
    translation: float = option(0.1, "Largest shift along each axis.", "Augmentation", ge=0)
    jitter: float = option(0.01, "Standard deviation of the noise.", "Augmentation", ge=0)
    jitter_clip: float = option(0.05, "Largest noise.", "Augmentation", ge=0)
    # Optimisation
    consistency: float = option(
        0.0,
        "Give each step two random views of every shape, and add this times the divergence of "
        "their predictions to the loss. A step takes twice the time and memory; 0 uses one view.",
        "Optimisation",
        ge=0,
    )
    label_smoothing: float = option(0.0, "Label smoothing.", "Optimisation", ge=0, lt=1)
    class_balance: float = option(
        0.0,
        "Weigh each class in the loss by its count to the power of minus this: with 0 all shapes "
        "have equal weight, with 1 all classes.",
        "Optimisation",
        ge=0,
        le=1,
    )

    @model_validator(mode="after")
    def _sizes_go_together(self) -> TrainModelNetConfig:
        if self.pool is not None and self.pool < self.points:
            raise ConfigError(
                f"pool is {self.pool}, but it must be at least points, which is {self.points}"
            )
        return self

    @model_validator(mode="after")
    def _one_scale(self) -> TrainModelNetConfig:
        if self.scale_range is None:
            return self
        default = type(self).model_fields["scale"].default
        if self.scale != default:
            raise ConfigError(
                f"scale is {self.scale}, but scale_range gives the range of factors. Leave scale "
                f"out, or set it to its default, {default}"
            )
        if len(self.scale_range) != 2 or not 0 < self.scale_range[0] <= self.scale_range[1]:
            raise ConfigError(
                f"scale_range is {self.scale_range}, but it must be two numbers, low and high, "
                f"with 0 < low <= high"
            )
        return self

    @property
    def place_of_data(self) -> Path | None:
        """As in the base; the name of a built-in data set stays what it is."""
        from csgnn_dgl.datasets.shapes.loading import is_built_in

        return self.data if is_built_in(self.data) else super().place_of_data

    @classmethod
    def _initial(cls, sources: Sequence[Source]) -> Source | None:
        named = [s.values["init_from"] for s in sources if s.values.get("init_from") is not None]
        if not named:
            return None
        from csgnn_dgl.tasks.initial import model_of_weights

        weights = str(named[-1])
        return Source(f"the weights {weights}", model_of_weights(weights, "classifier"))

    @property
    def scales(self) -> tuple[float, float]:
        """Range of the factors by which axes are scaled in training."""
        if self.scale_range is None:
            return (1 - self.scale, 1 + self.scale)
        low, high = self.scale_range
        return (low, high)
