"""Embeddings of shapes in files, and the most similar files of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from csgnn_dgl.datasets.isolation import isolation
from csgnn_dgl.datasets.shapes.checks import cloud_notes
from csgnn_dgl.datasets.shapes.shape_files import is_shape_file, known_shape_files
from csgnn_dgl.errors import CheckpointError, ConfigError
from csgnn_dgl.tasks.classes.clouds import reader_of
from csgnn_dgl.tasks.classes.domain import outside_note, score_shapes
from csgnn_dgl.tasks.classes.embedding import embed_shapes
from csgnn_dgl.tasks.classes.similar import most_similar
from csgnn_dgl.tasks.classes.trained import KIND, TrainedClassifier, load_classifier
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.evaluation import chosen_set
from csgnn_dgl.tasks.files import files_in, work_on_files
from csgnn_dgl.tasks.output_files import check_output
from csgnn_dgl.tasks.shipped import find_weights, limits_of
from csgnn_dgl.tasks.table_files import TABLE_ENDINGS, feature_names, write_rows
from csgnn_dgl.tasks.targets import TARGETS, target_of
from csgnn_dgl.tasks.use_config import DescribeShapesConfig

__all__ = [
    "ShapeDescription",
    "describe_clouds",
    "describe_each",
    "describe_shapes",
    "description_metadata",
    "description_table",
    "load_describer",
    "with_nearest",
    "write_descriptions",
]

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ShapeDescription:
    """The embedding of the shape in one file.

    Parameters
    ----------
    file
        The file.
    features
        Shape ``(features,)``, float32; None if the file cannot be used.
    error
        Why the file cannot be used; None if it can.
    warnings
        What is doubtful about the file, in sentences.
    score
        Out-of-domain score, above 1 if the shape is unlike those in training; None if unknown.
    nearest
        The most similar files with their cosine similarities, the most similar first; empty if
        they were not asked for.
    nearest_rows
        Places of these files among all described files that could be used, from 0 on. They tell
        files apart that are given twice.
    """

    file: Path
    features: Floats | None = None
    error: str | None = None
    warnings: tuple[str, ...] = ()
    score: float | None = None
    nearest: tuple[tuple[Path, float], ...] = ()
    nearest_rows: tuple[int, ...] = ()

    @property
    def outside(self) -> bool | None:
        """Whether the shape lies outside the training data; None if unknown."""
        return None if self.score is None else self.score > 1


def load_describer(
    weights: str | Path, device: torch.device | str = "cpu", *, model: Any = None
) -> TrainedClassifier:
    """Load weights for embeddings of shapes.

    Parameters
    ----------
    weights
        A shipped model by name, a run directory, or a ``.safetensors`` file.
    device, model
        As for :func:`~csgnn_dgl.tasks.classes.trained.load_classifier`.

    Raises
    ------
    CheckpointError
        There are no such weights, or they do not describe shapes.
    """
    target = target_of(find_weights(weights))
    if target is not TARGETS[KIND]:
        raise CheckpointError(
            f"{weights} {target.does}, but embeddings of shapes need weights of a model of shapes; "
            f"name a run of csgnn-dgl train {TARGETS[KIND].command}, or the shipped model shapes"
        )
    return load_classifier(weights, device, model=model)


def describe_each(
    trained: TrainedClassifier,
    files: Sequence[Path],
    config: DescribeShapesConfig,
    *,
    done: Callable[[int], object] | None = None,
) -> Iterator[ShapeDescription]:
    """Describe files one batch after the other, without the files that are most similar.

    The result of a file does not depend on the other files. At most a few batches are held in
    memory.

    Parameters
    ----------
    trained
        The network.
    files
        Meshes or clouds, of any orientation, position and size.
    config
        Votes, seed, batch size; whether the first bad file ends the work.
    done
        Called with the number of files finished since the last call.

    Yields
    ------
    ShapeDescription
        One for each file, in their order. If a file cannot be used, it has an error.

    Raises
    ------
    ConfigError
        There are no files.
    DataError
        A file cannot be used, with ``strict``.
    """

    def work(clouds: Sequence[Tensor]) -> list[tuple[Floats, float | None]]:
        return _embedded(trained, clouds, config)

    with isolation(config.isolate):
        for result in work_on_files(
            files,
            reader_of(trained, config.seed),
            work,
            enough=config.batch_size,
            strict=config.strict,
            done=done,
        ):
            if result.error is not None:
                yield ShapeDescription(result.file, error=result.error)
                continue
            yield _description(result.file, result.items[0], *result.values[0], config)


def describe_clouds(
    trained: TrainedClassifier,
    files: Sequence[Path],
    clouds: Sequence[Tensor],
    config: DescribeShapesConfig,
) -> list[ShapeDescription]:
    """Describe the clouds ``(N, 3 + A)`` that were read from files, in one batch."""
    found = _embedded(trained, clouds, config)
    return [
        _description(file, cloud, features, score, config)
        for file, cloud, (features, score) in zip(files, clouds, found, strict=True)
    ]


def _embedded(
    trained: TrainedClassifier, clouds: Sequence[Tensor], config: DescribeShapesConfig
) -> list[tuple[Floats, float | None]]:
    points = torch.stack(list(clouds))
    features = embed_shapes(
        trained,
        points,
        votes=config.votes,
        seed=config.seed,
        vote_set=config.vote_set,
        batch_size=config.batch_size,
    )
    scores = score_shapes(trained, points)
    known = [None] * len(points) if scores is None else scores.tolist()
    return list(zip(features.numpy().astype(np.float32), known, strict=True))


def _description(
    file: Path,
    cloud: Tensor,
    features: Floats,
    score: float | None,
    config: DescribeShapesConfig,
) -> ShapeDescription:
    notes = cloud_notes(cloud[None, :, :3].numpy(), (file.name,))
    beyond = outside_note(score, config.weights, "its embedding may say little")
    warnings = (*notes, *filter(None, [beyond]))
    return ShapeDescription(file, features, warnings=warnings, score=score)


def describe_shapes(
    paths: Sequence[Path],
    config: DescribeShapesConfig,
    *,
    trained: TrainedClassifier | None = None,
    done: Callable[[int], object] | None = None,
) -> list[ShapeDescription]:
    """Describe files and the files of folders, and write the output file.

    Parameters
    ----------
    paths
        Meshes or clouds, and folders of them.
    config
        Weights, votes, number of similar files to list, output.
    trained
        The network, if it has been loaded already.
    done
        Called with the number of files finished since the last call.

    Returns
    -------
    list of ShapeDescription
        One for each file. If a file cannot be used, it has an error.

    Raises
    ------
    CheckpointError
        There are no weights, or they do not describe shapes.
    ConfigError
        There are no files, or not enough for the number of similar ones; or the format of the
        output is not known.
    DataError
        A folder holds no shapes; or, with ``strict``, a file cannot be used.
    ResourceError
        The output cannot be written.
    """
    chosen_set(config)
    files = files_in(paths, is_shape_file, known_shape_files())
    if config.output is not None:
        check_output(config.output, TABLE_ENDINGS, files)
    _check_nearest(config.nearest, len(files))
    if trained is None:
        device = choose_device(config.device)
        trained = load_describer(config.weights, device, model=config.model)
    results = list(describe_each(trained, files, config, done=done))
    if config.nearest is not None:
        results = with_nearest(results, config.nearest)
    if config.output is not None and any(r.features is not None for r in results):
        write_descriptions(config.output, results, description_metadata(trained, config))
    return results


def _check_nearest(nearest: int | None, files: int) -> None:
    if nearest is not None and files and nearest > files - 1:
        raise ConfigError(
            f"nearest is {nearest}, but {files} file{'s' * (files != 1)} are given, so each has "
            f"{files - 1} others; lower --nearest, or give more files"
        )


def with_nearest(results: Sequence[ShapeDescription], count: int) -> list[ShapeDescription]:
    """Add to each description the ``count`` files with the most similar embeddings.

    If some files could not be used, there may be fewer.
    """
    usable = [result for result in results if result.features is not None]
    rows = [result.features for result in results if result.features is not None]
    if not rows:
        return list(results)
    indices, values = most_similar(np.stack(rows), count)
    found = zip(indices.tolist(), values.tolist(), strict=True)
    described = []
    for result in results:
        others, similarities = next(found) if result.features is not None else ([], [])
        nearest = zip((usable[row].file for row in others), similarities, strict=True)
        described.append(replace(result, nearest=tuple(nearest), nearest_rows=tuple(others)))
    return described


def description_metadata(
    trained: TrainedClassifier, config: DescribeShapesConfig
) -> dict[str, Any]:
    """Where embeddings come from and what they mean, as plain values."""
    return {
        "descriptor": "shape embedding: the input of the classifier's head, averaged over votes",
        "weights": config.weights,
        "features": trained.model.embedding_features,
        "votes": config.votes,
        **({"vote_set": config.vote_set} if config.votes > 1 else {}),
        "seed": config.seed,
        "points": trained.points,
        "trained_on": trained.header.data.get("name"),
        "score": "distance from the training data; above 1: outside; NaN: unknown",
        "similarity": "cosine of the angle between embeddings",
        "limits": list(limits_of(trained.path)),
    }


def description_table(results: Sequence[ShapeDescription], weights: str) -> pd.DataFrame:
    """A row for each file that could be used: its name, score, similar files and features."""
    usable = [result for result in results if result.features is not None]
    count = max((len(result.nearest) for result in usable), default=0)
    columns: dict[str, Any] = {
        "file": [str(result.file) for result in usable],
        "weights": weights,
        "score": [_number(result.score) for result in usable],
        "warnings": ["; ".join(result.warnings) for result in usable],
    }
    for place in range(count):
        columns[f"nearest_{place + 1}"] = [str(r.nearest[place][0]) for r in usable]
        columns[f"similarity_{place + 1}"] = [r.nearest[place][1] for r in usable]
    features = np.stack([result.features for result in usable if result.features is not None])
    named = pd.DataFrame(features, columns=feature_names(features.shape[1]))
    return pd.concat([pd.DataFrame(columns), named], axis=1)


def write_descriptions(
    path: Path, results: Sequence[ShapeDescription], metadata: dict[str, Any]
) -> None:
    """Write the embeddings of the files that could be used, in the format of the ending.

    ``.npz`` has the arrays ``features (n, F)``, ``feature_names``, ``source_file``, ``score``,
    ``warnings``, ``nearest (n, K)`` (indices of rows) and ``similarity (n, K)``, and ``metadata``
    as JSON. ``.csv`` and ``.parquet`` have a row for each file.

    Parameters
    ----------
    path
        The file.
    results
        Descriptions, at least one of them without an error; all of those that were compared, if
        they have similar files.
    metadata
        See :func:`description_metadata`.

    Raises
    ------
    ResourceError
        The file cannot be written. An older file stays unchanged.
    """
    usable = [result for result in results if result.features is not None]
    table = description_table(usable, metadata["weights"])
    names = feature_names(metadata["features"])
    arrays = {
        "features": table[names].to_numpy(np.float32),
        "feature_names": names,
        "source_file": np.array([str(result.file) for result in usable]),
        "score": np.array([_number(result.score) for result in usable]),
        "warnings": np.array(["; ".join(result.warnings) for result in usable]),
        "nearest": np.array([result.nearest_rows for result in usable], dtype=np.int64),
        "similarity": np.array([[value for _, value in r.nearest] for r in usable], dtype=float),
    }
    write_rows(path, table, arrays, metadata)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
