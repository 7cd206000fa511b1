"""The options of a cell's training: size from a preset, optimiser and schedule from a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from csgnn_dgl.compare.settings import Cell
from csgnn_dgl.models.registry import find_hypers

__all__ = ["training_values"]

#: Options that belong to a recipe, not to the size of a network.
_OF_THE_RECIPE = (
    "optimizer",
    "momentum",
    "learning_rate",
    "weight_decay",
    "schedule",
    "warmup",
    "step_epochs",
    "step_factor",
    "final_learning_rate",
    "plateau_patience",
    "plateau_threshold",
    "min_learning_rate",
    "gradient_clip",
    "label_smoothing",
    "consistency",
    "dropout",
    "ema_decay",
    "select",
    "freeze_statistics",
)


def training_values(config_class: Any, cell: Cell, size: str, epochs: int | None) -> dict[str, Any]:
    """Options of the training of a cell, as flags.

    Parameters
    ----------
    config_class
        Class of the options of this kind of training.
    cell
        The cell.
    size
        One of :data:`~csgnn_dgl.compare.settings.SIZES`.
    epochs
        Number of epochs; None for the preset's.

    Examples
    --------
    >>> from csgnn_dgl.compare.tables import Row
    >>> from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
    >>> cell = Cell(Row("dgcnn", "dgcnn"), "so3", "own", 0, ())
    >>> values = training_values(TrainModelNetConfig, cell, "quick", 25)
    >>> values["optimizer"], values["learning_rate"], values["width_factor"], values["epochs"]
    ('sgd', 0.1, 0.25, 25)
    """
    values = _preset(config_class, cell, size)
    if cell.recipe == "own" or size == "paper":
        authors = _preset(config_class, cell, "paper")
        published = int(authors.get("epochs", config_class.model_fields["epochs"].default))
    if cell.recipe == "own":
        count = epochs or int(values.get("epochs", published))
        values = {key: v for key, v in values.items() if key not in _OF_THE_RECIPE}
        own = {key: v for key, v in authors.items() if key in _OF_THE_RECIPE}
        values |= _in_time(own, count / published)
    elif size == "paper":
        ours = config_class.recipes["compact"]
        values = {key: v for key, v in values.items() if key not in _OF_THE_RECIPE}
        values |= {key: v for key, v in ours.items() if key in _OF_THE_RECIPE}
    if epochs is not None:
        values["epochs"] = epochs
    return {**values, **cell.row.options}


def _preset(config_class: Any, cell: Cell, size: str) -> dict[str, Any]:
    """Options of the preset of a model that stands for a size."""
    model = cell.row.model
    presets = find_hypers(config_class.domain, model).presets
    # The paper has a preset for each protocol of its own classifier. A model without presets of the
    # published size has it by default.
    others = [cell.protocol] if size == "paper" else ["quick"]
    name = next((n for n in (size, *others) if n in presets), None)
    values = dict(config_class.preset_values(name, model) if name else {})
    values.pop("train_rotation", None)
    return values


def _in_time(own: Mapping[str, Any], share: float) -> dict[str, Any]:
    """Stretch or shorten a schedule of steps, so that it ends with the training."""
    found = dict(own)
    if found.get("schedule") != "step":
        return found
    steps = found["step_epochs"] * share
    if steps < 1:
        # More than one step in an epoch: one with the effect of all.
        found["step_factor"] = found["step_factor"] ** (1 / steps)
    found["step_epochs"] = max(1, round(steps))
    return found
