"""Options for training a classifier. Does not import torch, so that commands start fast."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import PositiveInt, model_validator

from csgnn_dgl.config import option
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.models.hypers import ShapeCSGNNHypers
from csgnn_dgl.models.registry import Domain
from csgnn_dgl.tasks.config import TrainingConfig
from csgnn_dgl.tasks.use_config import Rotation

__all__ = ["TrainModelNetConfig"]


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
        "compact": {
            "train_rotation": "so3",
            "epochs": 100,
            "learning_rate": 3e-3,
            "weight_decay": 1e-4,
            "dropout": 0.2,
            "label_smoothing": 0.1,
            "schedule": "one-cycle",
            "ema_decay": 0.99,
            "select": "last",
        },
    }

    # Data
    data: Path | None = option(
        None,
        "Folder with the data: ModelNet40's HDF5 layout, or one folder per class with meshes or "
        "clouds. Without it the built-in solids are used.",
        "Data",
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
    def scales(self) -> tuple[float, float]:
        """Range of the factors by which axes are scaled in training."""
        if self.scale_range is None:
            return (1 - self.scale, 1 + self.scale)
        low, high = self.scale_range
        return (low, high)
