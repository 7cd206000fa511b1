"""Learn again what a trained classifier knows, from the data that it was trained on."""

from __future__ import annotations

from pathlib import Path

from csgnn_dgl.tasks.classes.domain import learn_shapes
from csgnn_dgl.tasks.classes.evaluate import find_shapes
from csgnn_dgl.tasks.classes.train import split_run_data
from csgnn_dgl.tasks.classes.trained import check_classes
from csgnn_dgl.tasks.learned import Relearned
from csgnn_dgl.tasks.use_config import EvaluateConfig

__all__ = ["relearn"]


def relearn(weights: str | Path, config: EvaluateConfig) -> Relearned:
    """Learn the domain and the temperatures with the training's own split of its data."""
    found = find_shapes(weights, config)
    options, data = found.options, found.data
    check_classes(found.trained, data.class_names, data.source)
    training, held_out = split_run_data(data, options)
    rotation = options.train_rotation
    learned = learn_shapes(found.trained, training, held_out, rotation=rotation, seed=options.seed)
    return Relearned(learned, found.trained, data, len(held_out))
