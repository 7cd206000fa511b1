"""What can be chosen for any training. Free of torch: it starts fast."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from csgnn_dgl.config import CommandConfig

__all__ = ["Pooling", "Precision", "TrainingConfig", "option"]

Pooling = Literal["max", "mean", "sum"]
Precision = Literal["32-true", "64-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true"]


def option(default: Any, description: str, group: str, **limits: Any) -> Any:
    """A field of a configuration: its default, what it is, and the group it is listed in."""
    return Field(
        default=default,
        description=description,
        json_schema_extra={"group": group},
        **limits,
    )


class TrainingConfig(CommandConfig):
    """How a network is trained, whatever it learns."""

    data: Path | None = option(None, "Folder with the data.", "Data")
    validation_fraction: float = option(
        0.1, "Share of the training data held out for validation, by class.", "Data", gt=0, lt=1
    )
    epochs: int = option(60, "Epochs, at most.", "Optimisation", ge=1)
    batch_size: int = option(32, "Samples per step and process.", "Optimisation", ge=2)
    learning_rate: float = option(2.2e-4, "Learning rate, or its peak.", "Optimisation", gt=0)
    weight_decay: float = option(0.0, "Weight decay of Adam.", "Optimisation", ge=0)
    schedule: Literal["plateau", "one-cycle", "cosine", "constant"] = option(
        "plateau", "Course of the learning rate.", "Optimisation"
    )
    plateau_patience: int = option(
        4, "Epochs without improvement before the rate falls to a tenth.", "Optimisation", ge=0
    )
    plateau_threshold: float = option(
        1e-3, "Relative improvement of the validation loss that counts.", "Optimisation", ge=0
    )
    min_learning_rate: float = option(
        1e-5, "Stop once a plateau took the learning rate below this.", "Optimisation", ge=0
    )
    warmup: float = option(
        0.15, "Share of the steps in which one-cycle rises.", "Optimisation", gt=0, lt=1
    )
    gradient_clip: float = option(
        0.0, "Largest norm of the gradient; 0 leaves it alone.", "Optimisation", ge=0
    )
    freeze_statistics: float = option(
        1.0,
        "Share of the epochs after which batch norm keeps the statistics that it has: the rest is "
        "trained as it will be used.",
        "Optimisation",
        ge=0,
        le=1,
    )
    ema_decay: float = option(
        0.0,
        "Decay per step of the running average of the weights that is validated and kept; 0 keeps "
        "the weights themselves.",
        "Optimisation",
        ge=0,
        lt=1,
    )
    select: Literal["best", "last"] = option(
        "best", "Keep the weights of the best epoch on validation, or of the last.", "Optimisation"
    )
    output: Path | None = option(
        None, "Run directory to make. Default: the next free one in runs/.", "Run"
    )
    seed: int = option(0, "Seed of everything that is random.", "Run", ge=0, lt=2**32)
    accelerator: str = option("auto", "Lightning's accelerator: auto, cpu, gpu, …", "Run")
    devices: str = option("auto", "Lightning's devices: auto, a number, or a list.", "Run")
    num_nodes: int = option(1, "Lightning's number of machines.", "Run", ge=1)
    precision: Precision = option("32-true", "Lightning's precision.", "Run")
    progress: bool = option(True, "Show a progress bar.", "Run")
