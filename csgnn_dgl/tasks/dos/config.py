"""What can be chosen for training on densities of states. Free of torch."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import model_validator

from csgnn_dgl.config import Preset
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.tasks.config import Pooling, TrainingConfig, option

__all__ = ["TrainDOSConfig"]


class TrainDOSConfig(TrainingConfig):
    """Everything that ``csgnn-dgl train dos`` can be told.

    The defaults are the paper's network and training.

    Examples
    --------
    >>> TrainDOSConfig.resolve(preset="quick").level
    1
    """

    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            "a small network at level 1 and few epochs: a first result in minutes on two cores",
            {
                "level": 1,
                "assignment": "smooth",
                "features": 256,
                "hidden": [256, 256],
                "batch_size": 8,
                "epochs": 60,
                "learning_rate": 3e-3,
                "weight_decay": 1e-6,
                "schedule": "one-cycle",
                "freeze_statistics": 0.85,
                "ema_decay": 0.98,
                "rotate": True,
                "calibrate": True,
                "select": "last",
            },
        ),
        "compact": Preset(
            "the same, trained for longer on few atoms of many structures: for data with curves of "
            "atoms, such as data make carbon-tb --projected",
            {
                "level": 1,
                "assignment": "smooth",
                "features": 256,
                "hidden": [256, 256],
                "atoms_per_structure": 4,
                "batch_size": 128,
                "epochs": 700,
                "learning_rate": 3e-3,
                "weight_decay": 1e-6,
                "schedule": "one-cycle",
                "freeze_statistics": 0.85,
                "ema_decay": 0.99,
                "rotate": True,
                "calibrate": True,
                "select": "last",
            },
        ),
        "crystals": Preset(
            "a small network at level 1 for crystals of many elements, held back from learning "
            "few data by heart",
            {
                "level": 1,
                "channels": 24,
                "embedding": 6,
                "assignment": "smooth",
                "base_width": 32,
                "features": 256,
                "hidden": [256, 256],
                "dropout": 0.2,
                "jitter": 0.03,
                "dos_weight": 1.0,
                "loss": "absolute",
                "batch_size": 32,
                "epochs": 40,
                "learning_rate": 3e-3,
                "weight_decay": 1e-6,
                "schedule": "one-cycle",
                "ema_decay": 0.99,
                "rotate": True,
                "calibrate": True,
                "select": "last",
            },
        ),
        "paper": Preset("the paper's network and training (level 3): wants a GPU", {}),
    }

    # Data
    data: Path | None = option(
        None,
        "Densities of states: a folder that csgnn-dgl data info understands. Without it the "
        "built-in carbon set is used.",
        "Data",
    )
    # Network
    level: int = option(3, "Icosahedral level L of the finest spheres.", "Network", ge=0)
    n_spheres: int = option(1, "Spheres kept as space, R.", "Network", ge=1)
    channels: int = option(32, "Shells grouped to channels, C.", "Network", ge=1)
    r_min: float = option(1.0, "Inner radius of the first shell [Å].", "Network", ge=0)
    cutoff: float = option(7.0, "Outer radius of the last shell [Å].", "Network", gt=0)
    assignment: Literal["nearest", "smooth"] = option(
        "nearest",
        "A neighbour's site: the nearest one, or shared so that the result is continuous.",
        "Network",
    )
    base_width: int = option(
        32,
        "Channels after the first convolution; they double at each level.",
        "Network",
        ge=1,
    )
    kernel_size: int = option(3, "Kernel size K of the radial convolutions, odd.", "Network", ge=1)
    pooling: Pooling = option("mean", "Pooling between levels.", "Network")
    features: int = option(512, "Length of an atom's descriptor.", "Network", ge=1)
    embedding: int = option(8, "Length of the embedding of a neighbour's element.", "Network", ge=1)
    hidden: list[int] = option([512, 512], "Widths of the head's hidden layers.", "Network")
    norm: Literal["batch", "layer"] = option(
        "batch", "Norm of the head's layers: over a batch of atoms, or within each atom.", "Network"
    )
    dropout: float = option(0.0, "Dropout before each layer of the head.", "Network", ge=0, lt=1)
    calibrate: bool = option(
        False,
        "Start from the mean curve of the training structures and their spread.",
        "Network",
    )
    # Augmentation
    rotate: bool = option(
        False, "Turn the surroundings of every atom at random in each step.", "Augmentation"
    )
    atoms_per_structure: int | None = option(
        None,
        "Take so many atoms of a structure, at random in each step. Default: all.",
        "Augmentation",
        ge=1,
    )
    jitter: float = option(
        0.0, "Standard deviation of noise on the positions of neighbours [Å].", "Augmentation", ge=0
    )
    # Optimisation, where the defaults differ from those of other trainings
    epochs: int = option(1500, "Epochs, at most.", "Optimisation", ge=1)
    batch_size: int = option(32, "Structures per step and process.", "Optimisation", ge=2)
    learning_rate: float = option(5e-4, "Learning rate, or its peak.", "Optimisation", gt=0)
    weight_decay: float = option(1e-7, "Weight decay of Adam.", "Optimisation", ge=0)
    plateau_patience: int = option(
        99, "Epochs without improvement before the rate falls to a tenth.", "Optimisation", ge=0
    )
    plateau_threshold: float = option(
        5e-3, "Relative improvement of the validation loss that counts.", "Optimisation", ge=0
    )
    validation_fraction: float = option(
        0.2,
        "Share of the training structures held out for validation, by type of structure.",
        "Data",
        gt=0,
        lt=1,
    )
    dos_weight: float = option(
        0.1,
        "Share α of the density of states in the loss α·DOS + (1−α)·FDOS; the rest is its "
        "cumulative sum's.",
        "Optimisation",
        ge=0,
        le=1,
    )
    atom_weight: float = option(
        1.0,
        "Weight of the atoms' own densities of states in the loss, where the data have them.",
        "Optimisation",
        ge=0,
    )
    loss: Literal["squared", "absolute"] = option(
        "squared", "Mean squared or mean absolute error.", "Optimisation"
    )

    @model_validator(mode="after")
    def _sizes_go_together(self) -> TrainDOSConfig:
        if self.kernel_size % 2 == 0:
            raise ConfigError(f"kernel_size is {self.kernel_size}, but it must be odd: 1, 3, 5, …")
        if any(width < 1 for width in self.hidden):
            raise ConfigError(f"hidden is {self.hidden}, but widths must be positive")
        if self.r_min >= self.cutoff:
            raise ConfigError(
                f"no shells between r_min = {self.r_min} Å and cutoff = {self.cutoff} Å"
            )
        return self
