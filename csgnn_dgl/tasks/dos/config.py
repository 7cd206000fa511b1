"""Options for training on densities of states. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import PositiveInt, model_validator
from typing_extensions import Self

from csgnn_dgl.config import option
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.models.atom_hypers import AtomCSGNNHypers
from csgnn_dgl.models.registry import Domain
from csgnn_dgl.tasks.config import TrainingConfig

__all__ = ["TrainDOSConfig"]

# Options that the small presets share.
_SMALL = {
    "hidden": [256, 256],
    "learning_rate": 3e-3,
    "weight_decay": 1e-6,
    "schedule": "one-cycle",
    "freeze_statistics": 0.85,
    "rotate": True,
    "calibrate": True,
    "select": "last",
}
# Few atoms of many structures in each step, for data with curves of atoms. Training and validation
# errors are equal then, so what limits is the number of steps: many small ones beat few large ones.
# Over so many steps, a decay of 1e-6 would switch off the grid: gradients are as small.
_FEW_ATOMS = {
    "atoms_per_structure": 4,
    "batch_size": 32,
    "epochs": 700,
    "ema_decay": 0.99,
    "weight_decay": 0.0,
    "closing_fit": True,
}


class TrainDOSConfig(TrainingConfig):
    """Options of ``csgnn-dgl train dos``.

    The defaults are the paper's network and training.

    Examples
    --------
    >>> TrainDOSConfig.resolve(preset="quick").hypers.level
    1
    """

    domain: ClassVar[Domain] = "atoms"
    presets = AtomCSGNNHypers.presets
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {
            **_SMALL,
            "batch_size": 8,
            "epochs": 60,
            "ema_decay": 0.98,
            "closing_fit": True,
        },
        "compact": {**_SMALL, **_FEW_ATOMS},
        "best": {
            **_SMALL,
            **_FEW_ATOMS,
            "hidden": [512, 512],
            "learning_rate": 1e-3,
            "batch_size": 128,  # for a GPU
        },
        "crystals": {
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
    }

    # Data
    data: Path | None = option(
        None,
        "Densities of states: a folder that csgnn-dgl data info understands. Without it the "
        "built-in carbon set is used.",
        "Data",
    )
    # Head
    hidden: list[PositiveInt] = option([512, 512], "Widths of the head's hidden layers.", "Network")
    norm: Literal["batch", "layer", "none"] = option(
        "batch",
        "Normalisation in the head's layers: over a batch of atoms, within each atom, or none.",
        "Network",
    )
    apart: bool = option(
        False,
        "Predict the shape of a curve (shares of the bins) and its integral apart.",
        "Network",
    )
    dropout: float = option(0.0, "Dropout before each layer of the head.", "Network", ge=0, lt=1)
    calibrate: bool = option(
        False,
        "Initialise the last layer from the mean and the principal components of training curves.",
        "Network",
    )
    closing_fit: bool = option(
        False,
        "After the training, fit the last layer by least squares to all training structures; it "
        "then sees the descriptor beside the last hidden layer. Kept if the loss of the held-out "
        "structures is lower.",
        "Network",
    )
    # Augmentation
    rotate: bool = option(
        False, "Rotate the surroundings of every atom at random in each step.", "Augmentation"
    )
    atoms_per_structure: int | None = option(
        None,
        "Number of atoms of each structure to use, drawn at random in each step. Default: all.",
        "Augmentation",
        ge=1,
    )
    jitter: float = option(
        0.0, "Standard deviation of noise on the positions of neighbours [Å].", "Augmentation", ge=0
    )
    # Optimisation, where the defaults differ from those of other trainings
    epochs: int = option(1500, "Largest number of epochs.", "Optimisation", ge=1)
    batch_size: int = option(32, "Structures per step and process.", "Optimisation", ge=2)
    learning_rate: float = option(5e-4, "Learning rate, or its peak.", "Optimisation", gt=0)
    weight_decay: float = option(1e-7, "Weight decay of Adam.", "Optimisation", ge=0)
    plateau_patience: int = option(
        99, "Epochs without improvement before the rate falls to a tenth.", "Optimisation", ge=0
    )
    plateau_threshold: float = option(
        5e-3,
        "Smallest relative decrease of the validation loss that counts as improvement.",
        "Optimisation",
        ge=0,
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
        "Weight α of the density of states in the loss α·DOS + (1−α)·FDOS, where FDOS is its "
        "cumulative sum.",
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
    band_weight: float = option(
        0.0,
        "Weight in the loss of the band energy, counted from the Fermi level, of structures and, "
        "where their curves are known, of atoms.",
        "Optimisation",
        ge=0,
    )
    loss: Literal["squared", "absolute"] = option(
        "squared", "Mean squared or mean absolute error.", "Optimisation"
    )

    @model_validator(mode="after")
    def _one_last_layer(self) -> Self:
        if self.apart and self.closing_fit:
            raise ConfigError(
                "apart and closing_fit are both on, but the closing fit is of one linear layer; "
                "leave out apart, or switch off closing_fit (--no-closing-fit), which a preset may "
                "set"
            )
        return self
