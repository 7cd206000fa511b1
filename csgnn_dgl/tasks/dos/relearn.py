"""Learn again what a trained model knows, from the data that it was trained on."""

from __future__ import annotations

from pathlib import Path

from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.dos.evaluate import check_same, options_of
from csgnn_dgl.tasks.dos.learn import learn_atoms
from csgnn_dgl.tasks.dos.train import load_run_data
from csgnn_dgl.tasks.dos.trained import load_dos_model
from csgnn_dgl.tasks.evaluation import find_evaluated
from csgnn_dgl.tasks.learned import Relearned
from csgnn_dgl.tasks.use_config import EvaluateConfig

__all__ = ["relearn"]


def relearn(weights: str | Path, config: EvaluateConfig) -> Relearned:
    """Learn the domain and the errors of a model with the training's own split of its data."""
    found = find_evaluated(
        weights,
        config,
        load=load_dos_model,
        options=options_of,
        config_class=TrainDOSConfig,
        data=load_run_data,
    )
    check_same(found.trained, found.data)
    seed = found.options.seed
    training, held_out = found.data.split_validation(found.options.validation_fraction, seed)
    learned = learn_atoms(found.trained, training, held_out, seed)
    return Relearned(learned, found.trained, found.data, len(held_out))
