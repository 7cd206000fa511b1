"""Classify or describe more shapes than fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from csgnn_dgl._foreign import reading
from csgnn_dgl.datasets.pieces import Frame, Piece, file_marks, walk
from csgnn_dgl.datasets.shapes.shape_files import is_shape_file
from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.tasks.classes.clouds import reader_of
from csgnn_dgl.tasks.classes.describe import (
    describe_clouds,
    description_metadata,
    description_table,
    load_describer,
)
from csgnn_dgl.tasks.classes.domain import score_shapes
from csgnn_dgl.tasks.classes.predict import predict_points
from csgnn_dgl.tasks.classes.trained import TrainedClassifier, load_classifier
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.evaluation import chosen_set
from csgnn_dgl.tasks.many.job import Job, Rows, WeightsUsed, make_job
from csgnn_dgl.tasks.many.run import Summary, run_job, start_many
from csgnn_dgl.tasks.use_config import DescribeShapesConfig, PredictConfig

__all__ = ["describe_many", "predict_many", "read_clouds", "shape_sources"]

# Shapes that are worked on together, as in the command for few files.
_SHAPES = 64


def shape_sources(
    inputs: Sequence[Path], *, skip: Path | None = None
) -> Iterator[tuple[Path, str]]:
    """Mesh and cloud files that inputs name, or that lie in folders among them.

    Raises
    ------
    DataError
        See :func:`~csgnn_dgl.datasets.pieces.walk`.
    """
    return walk(inputs, lambda path: not path.is_dir() and is_shape_file(path), skip=skip)


def read_clouds(
    pieces: Sequence[Piece], *, read: Callable[[Path], tuple[Tensor]]
) -> Iterator[Frame[Tensor]]:
    """Read clouds one after the other; a file that cannot be used yields its error.

    Parameters
    ----------
    pieces
        Files.
    read
        Reads the cloud of a file (:func:`~csgnn_dgl.tasks.classes.clouds.reader_of`).
    """
    for piece in pieces:
        path, name = Path(piece.first.path), piece.first.name
        try:
            with reading(name):
                (cloud,) = read(path)
        except DataError as error:
            # Messages name the file as the user did.
            yield Frame(name, 0, error=str(error).replace(str(path), name))
        else:
            yield Frame(name, 0, cloud)


def predict_many(
    weights: Path,
    inputs: Sequence[Path],
    config: PredictConfig,
    *,
    done: Callable[[int], object] | None = None,
) -> Summary:
    """Classify all shapes in files and folders, in many processes.

    Parameters
    ----------
    weights
        Run directory, or file of weights.
    inputs
        Meshes, clouds, and folders of them.
    config
        Votes, output; ``jobs`` or ``scheduler``.
    done
        Called with the number of shapes finished since the last call.

    Raises
    ------
    CSGNNError
        As :func:`~csgnn_dgl.tasks.many.run.run_job`, and where weights or inputs are missing.
    """
    output = _start(config, inputs, ("strict", "isolate", "top"))
    used = WeightsUsed.find(weights)
    trained = _load(used.path, config.device, config.model)
    attributes = {"model": str(weights), "classes": list(trained.class_names), **_votes(config)}
    work = partial(_classify, used, config)
    job = _job("predict", config, used, inputs, output, trained, work, attributes)
    return run_job(job, jobs=config.jobs, scheduler=config.scheduler, done=done)


def describe_many(
    inputs: Sequence[Path],
    config: DescribeShapesConfig,
    *,
    done: Callable[[int], object] | None = None,
) -> Summary:
    """Describe all shapes in files and folders, in many processes; see :func:`predict_many`."""
    output = _start(config, inputs, ("strict", "isolate"))
    config.refuse_unused(
        ("nearest",),
        "with --jobs or --scheduler, no process knows all files; rank the rows of the results",
    )
    used = WeightsUsed.find(config.weights)
    trained = load_describer(used.path, choose_device(config.device), model=config.model)
    attributes = description_metadata(trained, config)
    work = partial(_describe, used, config)
    job = _job("describe-shapes", config, used, inputs, output, trained, work, attributes)
    return run_job(job, jobs=config.jobs, scheduler=config.scheduler, done=done)


def _start(
    config: PredictConfig | DescribeShapesConfig, inputs: Sequence[Path], unused: tuple[str, ...]
) -> Path:
    output = start_many(config, inputs, unused=unused)
    if config.columns:
        raise ConfigError("files of shapes have no columns; leave out --columns")
    chosen_set(config)
    return output


def _votes(config: PredictConfig | DescribeShapesConfig) -> dict[str, Any]:
    return {"votes": config.votes, "vote_set": config.vote_set, "seed": config.seed}


def _job(
    command: str,
    config: PredictConfig | DescribeShapesConfig,
    used: WeightsUsed,
    inputs: Sequence[Path],
    output: Path,
    trained: TrainedClassifier,
    work: Callable[[Sequence[Frame[Tensor]]], Rows],
    attributes: dict[str, Any],
) -> Job[Tensor]:
    return make_job(
        command,
        config,
        used,
        _votes(config),
        partial(shape_sources, inputs, skip=output),
        marks=file_marks,
        read=partial(read_clouds, read=reader_of(trained, config.seed)),
        work=work,
        sample=partial(_sample, trained.points, len(trained.attributes)),
        enough=_SHAPES,
        attributes=attributes,
    )


@lru_cache(maxsize=1)
def _load(path: str, device: str, model: str | None) -> TrainedClassifier:
    return load_classifier(path, choose_device(device), model=model)


@lru_cache(maxsize=1)
def _checked(used: WeightsUsed, device: str, model: str | None) -> TrainedClassifier:
    return _load(used.check(), device, model)


def _sample(points: int, attributes: int) -> list[Frame[Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [Frame("", 0, torch.rand(points, 3 + attributes, generator=generator))]


def _classify(used: WeightsUsed, config: PredictConfig, frames: Sequence[Frame[Tensor]]) -> Rows:
    trained = _checked(used, config.device, config.model)
    points = torch.stack([frame.item for frame in frames if frame.item is not None])
    found = predict_points(
        trained, points, votes=config.votes, seed=config.seed, vote_set=config.vote_set
    ).numpy()
    scores = score_shapes(trained, points)
    score = np.full(len(points), np.nan) if scores is None else np.asarray(scores, np.float64)
    sure = trained.temperature(config.votes) is not None
    best = found.argmax(axis=1)
    names = trained.class_names
    table = pd.DataFrame(
        {
            "file": [frame.file for frame in frames],
            "frame": [frame.frame for frame in frames],
            "class": [names[index] for index in best],
            "probability": found[np.arange(len(found)), best],
            "calibrated": np.full(len(found), sure) & ~(score > 1),
            "score": score,
            **{f"p {name}": found[:, index] for index, name in enumerate(names)},
        }
    )
    return Rows(table, (), int((score > 1).sum()))


def _describe(
    used: WeightsUsed, config: DescribeShapesConfig, frames: Sequence[Frame[Tensor]]
) -> Rows:
    trained = _checked(used, config.device, config.model)
    files = [Path(frame.file) for frame in frames]
    clouds = [frame.item for frame in frames if frame.item is not None]
    found = describe_clouds(trained, files, clouds, config)
    table = description_table(found, config.weights)
    table.insert(1, "frame", [frame.frame for frame in frames])
    return Rows(table, (), sum(bool(entry.outside) for entry in found))
