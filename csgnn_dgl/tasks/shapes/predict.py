"""Classes of single files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from csgnn_dgl.datasets.shapes import load_shape
from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.shapes.config import PredictConfig
from csgnn_dgl.tasks.shapes.inference import vote
from csgnn_dgl.tasks.shapes.trained import load_classifier

__all__ = ["Prediction", "predict"]


@dataclass(frozen=True)
class Prediction:
    """What one file shows.

    Parameters
    ----------
    file
        The file.
    classes
        The likeliest classes and their probabilities, likeliest first; empty if it cannot be used.
    error
        Why it cannot be used.
    """

    file: Path
    classes: tuple[tuple[str, float], ...] = ()
    error: str | None = None


def predict(path: Path, files: Sequence[Path], config: PredictConfig) -> list[Prediction]:
    """Classify meshes or clouds with the model of a run.

    Parameters
    ----------
    path
        Run directory, or ``model.safetensors``.
    files
        Meshes or clouds, of any orientation, position and size.
    config
        Votes, classes to list, seed, device.

    Returns
    -------
    list of Prediction
        In the order of the files; a file that cannot be used gives one with an error.

    Raises
    ------
    CheckpointError
        No usable model there.
    ConfigError
        No files.
    """
    if not files:
        raise ConfigError("no files were given")
    trained = load_classifier(path, choose_device(config.device))
    loaded: list[Prediction | torch.Tensor] = []
    for file in files:
        try:
            loaded.append(load_shape(file, points=trained.points, seed=config.seed))
        except DataError as error:
            loaded.append(Prediction(file, error=str(error)))
    usable = [entry for entry in loaded if isinstance(entry, torch.Tensor)]
    clouds = torch.stack(usable) if usable else torch.zeros(0, trained.points, 3)
    probabilities = iter(
        vote(
            trained.model,
            clouds,
            rotation="so3",
            up_axis=trained.header.data["up_axis"],
            votes=config.votes,
            seed=config.seed,
            unrotated_first=True,
        )
    )
    results = []
    for file, entry in zip(files, loaded, strict=True):
        if isinstance(entry, Prediction):
            results.append(entry)
            continue
        best = next(probabilities).topk(min(config.top, len(trained.class_names)))
        named = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        results.append(Prediction(file, tuple((trained.class_names[i], p) for i, p in named)))
    return results
