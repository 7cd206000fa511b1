"""What can be chosen for training and evaluating a classifier. Free of torch: it starts fast."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import model_validator

from csgnn_dgl.config import CommandConfig, Preset
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.tasks.config import Pooling, TrainingConfig, option

__all__ = ["EvaluateConfig", "PredictConfig", "TrainModelNetConfig"]

Rotation = Literal["none", "z", "so3", "euler"]


class TrainModelNetConfig(TrainingConfig):
    """Everything that ``csgnn-dgl train modelnet`` can be told.

    The defaults are the paper's classifier (level 4, R=16, C=8) and its training.

    Examples
    --------
    >>> TrainModelNetConfig.resolve(preset="so3").n_spheres
    20
    """

    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            "a small network and few epochs: a first result in minutes on two cores",
            {
                "level": 2,
                "n_spheres": 6,
                "channels": 4,
                "base_width": 16,
                "hidden": [256, 128],
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
        ),
        "compact": Preset(
            "under 1 M parameters at level 3, for training on a CPU",
            {
                "level": 3,
                "n_spheres": 8,
                "channels": 4,
                "base_width": 16,
                "hidden": [512, 256],
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
        ),
        "z": Preset(
            "the paper's network and training for rotations about the up axis",
            {
                "n_spheres": 15,
                "train_rotation": "z",
                "learning_rate": 3.9e-4,
                "dropout": 0.19,
                "weight_decay": 3.2e-7,
            },
        ),
        "so3": Preset(
            "the paper's network and training for arbitrary rotations",
            {
                "n_spheres": 20,
                "train_rotation": "so3",
                "learning_rate": 2.2e-4,
                "dropout": 0.14,
                "weight_decay": 2.7e-7,
            },
        ),
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
        "Points kept per shape, from which training draws N afresh in each epoch. Default: 4 N for "
        "surfaces, N for clouds.",
        "Data",
        ge=1,
    )
    up_axis: Literal["x", "y", "z"] | None = option(
        None, "Axis that points up; rotation z turns about it. Default: the data set's own.", "Data"
    )
    # Network
    level: int = option(4, "Icosahedral level L of the finest spheres.", "Network", ge=0)
    n_spheres: int = option(16, "Spheres kept as space, R.", "Network", ge=1)
    channels: int = option(8, "Spheres grouped to channels, C.", "Network", ge=1)
    base_width: int = option(
        32,
        "Channels after the first convolution; they double at each level.",
        "Network",
        ge=1,
    )
    kernel_size: int = option(3, "Kernel size K of the radial convolutions, odd.", "Network", ge=1)
    hidden: list[int] = option([512, 256], "Widths of the head's hidden layers.", "Network")
    dropout: float = option(0.0, "Dropout before each layer of the head.", "Network", ge=0, lt=1)
    pooling: Pooling = option("max", "Pooling between levels.", "Network")
    global_pooling: Pooling = option("max", "Pooling of all sites of a level.", "Network")
    self_loop: bool = option(True, "Count a vertex among its own neighbours.", "Network")
    residual: bool = option(True, "Add the input of an intra block to its output.", "Network")
    concatenate: bool = option(
        True, "Classify from the features of all levels, not of the coarsest alone.", "Network"
    )
    radial: Literal["shell", "bracket"] = option(
        "shell", "Spheres a point contributes to: its whole shell, or the two around it.", "Network"
    )
    bandwidth: Literal["squared", "paper"] = option(
        "squared", "Formula of the radial basis: the released code's, or as printed.", "Network"
    )
    threshold: float = option(
        0.01, "Value T of the radial basis at the largest distance.", "Network", gt=0, le=1
    )
    # Augmentation
    train_rotation: Rotation = option(
        "so3",
        "Rotations in training and validation (so3 is uniform, euler not).",
        "Augmentation",
    )
    resample: bool = option(
        True, "Draw the points of a cloud afresh in each epoch; off: the first N.", "Augmentation"
    )
    scale: float = option(
        0.2, "Stretch each axis by a factor within 1 ± this.", "Augmentation", ge=0, lt=1
    )
    translation: float = option(0.1, "Largest shift along each axis.", "Augmentation", ge=0)
    jitter: float = option(0.01, "Standard deviation of the noise.", "Augmentation", ge=0)
    jitter_clip: float = option(0.05, "Largest noise.", "Augmentation", ge=0)
    # Optimisation
    label_smoothing: float = option(0.0, "Label smoothing.", "Optimisation", ge=0, lt=1)
    class_balance: float = option(
        0.0,
        "Weigh classes in the loss by their counts to the power of minus this: 0 counts shapes "
        "alike, 1 classes.",
        "Optimisation",
        ge=0,
        le=1,
    )

    @model_validator(mode="after")
    def _sizes_go_together(self) -> TrainModelNetConfig:
        if self.kernel_size % 2 == 0:
            raise ConfigError(f"kernel_size is {self.kernel_size}, but it must be odd: 1, 3, 5, …")
        if self.pool is not None and self.pool < self.points:
            raise ConfigError(
                f"pool is {self.pool}, but it must be at least points, which is {self.points}"
            )
        if any(width < 1 for width in self.hidden):
            raise ConfigError(f"hidden is {self.hidden}, but widths must be positive")
        return self


class EvaluateConfig(CommandConfig):
    """Everything that ``csgnn-dgl evaluate`` can be told besides the run."""

    rotation: Rotation = option("so3", "Rotations of the test shapes.", "Protocol")
    votes: int = option(
        1, "Random rotations per shape whose class probabilities are averaged.", "Protocol", ge=1
    )
    seed: int = option(0, "Seed of the rotations.", "Protocol", ge=0, lt=2**32)
    data: Path | None = option(None, "Where the data are now. Default: where they were.", "Data")
    batch_size: int = option(64, "Clouds per step.", "Run", ge=1)
    device: str = option("auto", "auto, cpu, cuda, cuda:1, …", "Run")
    progress: bool = option(True, "Show a progress bar.", "Run")


class PredictConfig(CommandConfig):
    """Everything that ``csgnn-dgl predict`` can be told besides the run and the files."""

    votes: int = option(
        1,
        "Average the class probabilities over so many orientations: as given, then random ones.",
        "Protocol",
        ge=1,
    )
    top: int = option(1, "Classes to list per file.", "Output", ge=1)
    seed: int = option(0, "Seed of surface samples and rotations.", "Protocol", ge=0, lt=2**32)
    device: str = option("auto", "auto, cpu, cuda, cuda:1, …", "Run")
