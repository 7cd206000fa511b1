"""Describe or predict more structures than fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl.datasets.atoms.frames import (
    column_kinds,
    read_pieces,
    structure_marks,
    structure_sources,
)
from csgnn_dgl.datasets.atoms.structure import Structure
from csgnn_dgl.datasets.pieces import Frame
from csgnn_dgl.errors import ConfigError, StructureError
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.dos.atom_files import atom_metadata, atom_table
from csgnn_dgl.tasks.dos.curve_files import curve_metadata, curve_table
from csgnn_dgl.tasks.dos.describe import Description, describe_structures
from csgnn_dgl.tasks.dos.pooled_files import pooled_metadata, pooled_table
from csgnn_dgl.tasks.dos.pooling import Pool, pool_descriptors, pooled_names
from csgnn_dgl.tasks.dos.prediction import predict_structures
from csgnn_dgl.tasks.dos.trained import TrainedDOS, load_dos_model
from csgnn_dgl.tasks.dos.unseen import UnseenElements
from csgnn_dgl.tasks.evaluation import refuse_idle_votes
from csgnn_dgl.tasks.many.job import Job, Rows, WeightsUsed, make_job
from csgnn_dgl.tasks.many.run import Summary, run_job, start_many
from csgnn_dgl.tasks.shipped import limits_of
from csgnn_dgl.tasks.use_config import DescribeConfig, ManyConfig, PredictConfig

__all__ = ["describe_many", "predict_many"]

StructureFrame = Frame[Structure]
# Atoms that are worked on together, as in the commands for few files.
_ATOMS = 256


def describe_many(
    inputs: Sequence[Path], config: DescribeConfig, *, done: Callable[[int], object] | None = None
) -> Summary:
    """Describe the atoms of all structures in files, folders and databases, in many processes.

    Parameters
    ----------
    inputs
        Structure files, multi-frame files, ASE databases, and folders of them.
    config
        Model, votes, output; ``jobs`` or ``scheduler``.
    done
        Called with the number of structures finished since the last call.

    Raises
    ------
    CSGNNError
        As :func:`~csgnn_dgl.tasks.many.run.run_job`, and where weights or inputs are missing.
    """
    output = start_many(config, inputs, unused=("strict", "isolate"))
    refuse_idle_votes(config)
    used = WeightsUsed.find(config.weights)
    trained = _load(used.path, config.device, config.model)
    votes = _votes(config)
    job = _job(
        "describe-atoms",
        config,
        used,
        {**votes, "occupancy": config.occupancy, "pool": config.pool},
        inputs,
        output,
        work=partial(_describe, used, config),
        attributes=_attributes(trained, config, votes),
        sample=partial(_sample, trained.elements[0]),
    )
    return run_job(job, jobs=config.jobs, scheduler=config.scheduler, done=done)


def predict_many(
    weights: Path,
    inputs: Sequence[Path],
    config: PredictConfig,
    *,
    done: Callable[[int], object] | None = None,
) -> Summary:
    """Predict densities of states of all structures; see :func:`describe_many`."""
    output = start_many(config, inputs, unused=("strict", "isolate", "plot", "plot_format"))
    refuse_idle_votes(config)
    used = WeightsUsed.find(weights)
    trained = _load(used.path, config.device, config.model)
    options = {**_votes(config), "occupancy": config.occupancy, "electrons": config.electrons}
    job = _job(
        "predict",
        config,
        used,
        options,
        inputs,
        output,
        work=partial(_predict, used, config),
        attributes=curve_metadata(
            str(weights),
            trained.quantity,
            trained.grid,
            trained.dos_unit,
            limits_of(trained.path),
            with_energies=True,
        ),
        sample=partial(_sample, trained.elements[0]),
    )
    return run_job(job, jobs=config.jobs, scheduler=config.scheduler, done=done)


def _attributes(
    trained: TrainedDOS, config: DescribeConfig, votes: dict[str, Any]
) -> dict[str, Any]:
    if config.pool is None:
        return atom_metadata(config.weights, trained, votes)
    return pooled_metadata(config.weights, trained, votes, config.pool, trained.elements)


def _votes(config: DescribeConfig | PredictConfig) -> dict[str, Any]:
    if config.votes == 1:
        return {"votes": 1}
    return {"votes": config.votes, "vote_set": config.vote_set, "vote_seed": config.seed}


def _job(
    command: str,
    config: DescribeConfig | PredictConfig,
    used: WeightsUsed,
    options: dict[str, Any],
    inputs: Sequence[Path],
    output: Path,
    **parts: Any,
) -> Job[Structure]:
    def sources() -> Iterator[tuple[Path, str]]:
        return structure_sources(inputs, skip=output)

    return make_job(
        command,
        config,
        used,
        options,
        sources,
        marks=structure_marks,
        read=partial(read_pieces, occupancy=config.occupancy, columns=tuple(config.columns)),
        weight=_atoms,
        enough=_ATOMS,
        columns=column_kinds(sources(), config.columns),
        **parts,
    )


def _atoms(structure: Structure) -> int:
    return len(structure.atoms)


def _sample(number: int) -> list[StructureFrame]:
    return [Frame("", 0, Structure(Atoms([number]), "", ""))]


@lru_cache(maxsize=1)
def _load(path: str, device: str, model: str | None) -> TrainedDOS:
    return load_dos_model(path, choose_device(device), model=model)


@lru_cache(maxsize=1)
def _checked(used: WeightsUsed, device: str, model: str | None) -> TrainedDOS:
    return _load(used.check(), device, model)


def _structures(frames: Sequence[StructureFrame]) -> list[Structure]:
    return [frame.item for frame in frames if frame.item is not None]


def _common(
    used: WeightsUsed, config: ManyConfig, frames: Sequence[StructureFrame]
) -> tuple[TrainedDOS, list[Structure], UnseenElements, tuple[str, ...]]:
    trained = _checked(used, config.device, config.model)
    structures = _structures(frames)
    # Its own for each batch, because it tells of an element only once.
    unseen = UnseenElements(trained.elements, used.name)
    notes = [note for structure in structures for note in unseen.notes(structure.atoms)]
    return trained, structures, unseen, tuple(notes)


def _describe(used: WeightsUsed, config: DescribeConfig, frames: Sequence[StructureFrame]) -> Rows:
    trained, structures, unseen, notes = _common(used, config, frames)
    values = describe_structures(trained, unseen, config, structures)
    described = [
        (Path(frame.file), frame.frame, structure, value.features, value.scores)
        for frame, structure, value in zip(frames, structures, values, strict=True)
    ]
    if config.pool is None:
        table = atom_table(described, config.weights)
    else:
        rows = np.array(
            [
                _pooled(index, structure, value, config.pool, trained.elements)
                for index, (structure, value) in enumerate(zip(structures, values, strict=True))
            ]
        )
        names = pooled_names(trained.features, config.pool, trained.elements)
        table = pooled_table(described, rows, names, config.weights)
    outside = sum(value.scores is not None and value.scores.outside for value in values)
    return Rows(table, notes, outside)


def _pooled(
    index: int, structure: Structure, value: Description, pool: Pool, elements: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    """The descriptor of a structure; per element, with a part for each element of the model."""
    try:
        found: npt.NDArray[np.float32] = pool_descriptors(
            value.features, structure.atoms.numbers, pool, elements
        )
    except ConfigError as error:
        raise StructureError(index, str(error)) from error
    return found


def _predict(used: WeightsUsed, config: PredictConfig, frames: Sequence[StructureFrame]) -> Rows:
    trained, structures, _, notes = _common(used, config, frames)
    found = predict_structures(
        trained,
        [structure.atoms for structure in structures],
        electrons=config.electrons,
        votes=config.votes,
        seed=config.seed,
        vote_set=config.vote_set,
    )
    table = curve_table(
        [
            (Path(frame.file), frame.frame, prediction)
            for frame, prediction in zip(frames, found, strict=True)
        ]
    )
    own = [note for prediction in found for note in prediction.notes]
    return Rows(table, tuple(dict.fromkeys((*notes, *own))), sum(bool(p.outside) for p in found))
