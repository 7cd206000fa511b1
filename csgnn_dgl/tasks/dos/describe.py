"""Descriptors of the atoms in structure files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from csgnn_dgl.datasets.atoms.structure import Structure
from csgnn_dgl.datasets.isolation import isolation
from csgnn_dgl.errors import StructureError
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.dos.atom_files import write_atoms
from csgnn_dgl.tasks.dos.averages import describe_and_score
from csgnn_dgl.tasks.dos.domain import AtomScores
from csgnn_dgl.tasks.dos.outside import closing_notes, outside_note
from csgnn_dgl.tasks.dos.pooled_files import write_pooled
from csgnn_dgl.tasks.dos.pooling import pool_descriptors
from csgnn_dgl.tasks.dos.structure_files import work_on_structures
from csgnn_dgl.tasks.dos.trained import TrainedDOS, load_dos_model
from csgnn_dgl.tasks.dos.unseen import UnseenElements, unknown_elements
from csgnn_dgl.tasks.evaluation import refuse_idle_votes
from csgnn_dgl.tasks.files import FileResult
from csgnn_dgl.tasks.output_files import check_output
from csgnn_dgl.tasks.shipped import find_weights, weights_file
from csgnn_dgl.tasks.use_config import DescribeConfig, Pool

__all__ = ["ENDINGS", "Description", "closing_lines", "describe_files", "describe_structures"]

#: Formats that descriptors are written in.
ENDINGS = (".npz", ".csv", ".extxyz", ".parquet", ".json", ".json.gz")


@dataclass(frozen=True, eq=False)
class Description:
    """Descriptors of the atoms of one structure.

    Parameters
    ----------
    features
        Shape ``(N, features)``, float32.
    notes
        Warnings for the user, in sentences.
    scores
        Out-of-domain scores of the structure and of its atoms; None if they are unknown.
    pooled
        The descriptor of the structure; None without ``--pool``.
    """

    features: npt.NDArray[np.float32]
    notes: tuple[str, ...] = ()
    scores: AtomScores | None = None
    pooled: npt.NDArray[np.float32] | None = None


def describe_files(
    files: Sequence[Path],
    config: DescribeConfig,
    *,
    done: Callable[[int], object] | None = None,
) -> list[FileResult[Structure, Description]]:
    """Describe all atoms of all structures in files, or all structures, and write the output file.

    Parameters
    ----------
    files
        CIF, POSCAR, extxyz, or another format that ASE reads.
    config
        Model, votes, treatment of occupancies, pooling, output.
    done
        Called with the number of files finished since the last call.

    Returns
    -------
    list of FileResult
        One for each file, in their order. If a file cannot be used, its result has an error.

    Raises
    ------
    CheckpointError
        There are no weights, or they cannot be used.
    ConfigError
        There are no files, the format of the output is not known, or a seed or a set of votes is
        given for one vote.
    DataError
        A file cannot be used, with ``strict``.
    ResourceError
        The output cannot be written.
    """
    refuse_idle_votes(config)
    if config.output is not None:
        check_output(config.output, ENDINGS, files)
    trained = load_dos_model(config.weights, choose_device(config.device), model=config.model)
    unseen = UnseenElements(trained.elements, config.weights)

    work = partial(describe_structures, trained, unseen, config)
    with isolation(config.isolate):
        results = list(
            work_on_structures(
                files, work, occupancy=config.occupancy, strict=config.strict, done=done
            )
        )
    elements = _elements(results)
    if config.pool is not None:
        results = [_pooled(result, config.pool, elements) for result in results]
    described = [
        (result.file, frame, structure, value.features, value.scores)
        for result in results
        for frame, (structure, value) in enumerate(zip(result.items, result.values, strict=True))
    ]
    if config.output is not None and described:
        votes: dict[str, Any] = {"votes": config.votes}
        if config.votes > 1:
            votes |= {"vote_set": config.vote_set, "vote_seed": config.seed}
        common = (config.output, described, config.weights, trained, votes)
        if config.pool is None:
            write_atoms(*common)
        else:
            rows = [value.pooled for result in results for value in result.values]
            write_pooled(*common, np.array(rows), config.pool, elements)
    return results


def _elements(results: Sequence[FileResult[Structure, Description]]) -> list[int]:
    """Atomic numbers of all structures that were described, in order."""
    found = [structure.atoms.numbers for result in results for structure in result.items]
    return [int(number) for number in np.unique(np.concatenate([[], *found]))]


def _pooled(
    result: FileResult[Structure, Description], pool: Pool, elements: Sequence[int]
) -> FileResult[Structure, Description]:
    values = [
        replace(
            value,
            pooled=pool_descriptors(value.features, structure.atoms.numbers, pool, elements),
        )
        for structure, value in zip(result.items, result.values, strict=True)
    ]
    return replace(result, values=tuple(values))


def describe_structures(
    trained: TrainedDOS,
    unseen: UnseenElements,
    config: DescribeConfig,
    structures: Sequence[Structure],
) -> list[Description]:
    """Describe structures that share a batch.

    Raises
    ------
    StructureError
        The model cannot describe one of them.
    """
    for index, structure in enumerate(structures):
        problem = unknown_elements(trained.model.model, structure.atoms, config.weights)
        # A model that was trained on one element treats all others as that element. It may
        # describe them, with a note.
        if problem and len(trained.elements) > 1:
            raise StructureError(index, problem)
    atoms = [structure.atoms for structure in structures]
    described, scored = describe_and_score(
        trained, atoms, votes=config.votes, seed=config.seed, vote_set=config.vote_set
    )
    for index, features in enumerate(described):
        if not np.isfinite(features).all():
            raise StructureError(index, "its descriptors are NaN or infinite")

    def notes(structure: Structure, scores: AtomScores | None) -> list[str]:
        outside = outside_note(scores, config.weights, predicts=False)
        return [*unseen.notes(structure.atoms), *([outside] if outside else [])]

    found = zip(structures, described, scored, strict=True)
    return [
        Description(features.astype(np.float32), tuple(notes(structure, scores)), scores)
        for structure, features, scores in found
    ]


def closing_lines(
    config: DescribeConfig, results: Sequence[FileResult[Structure, Description]]
) -> list[str]:
    """Lines to print after the results: what the model cannot do, if a structure is outside."""
    path = weights_file(find_weights(config.weights))
    scores = [value.scores for result in results for value in result.values]
    return closing_notes(path, config.weights, scores)
