"""Descriptors of the atoms in structure files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from csgnn_dgl.datasets.atoms.structure import Structure
from csgnn_dgl.datasets.isolation import isolation
from csgnn_dgl.errors import StructureError
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.dos.atom_files import write_atoms
from csgnn_dgl.tasks.dos.structure_files import work_on_structures
from csgnn_dgl.tasks.dos.trained import load_dos_model
from csgnn_dgl.tasks.dos.unseen import UnseenElements, unknown_elements
from csgnn_dgl.tasks.files import FileResult
from csgnn_dgl.tasks.output_files import check_output
from csgnn_dgl.tasks.use_config import DescribeConfig

__all__ = ["Description", "describe_files"]


@dataclass(frozen=True, eq=False)
class Description:
    """Descriptors of the atoms of one structure.

    Parameters
    ----------
    features
        Shape ``(N, features)``, float32.
    notes
        Warnings for the user, in sentences.
    """

    features: npt.NDArray[np.float32]
    notes: tuple[str, ...] = ()


def describe_files(
    files: Sequence[Path],
    config: DescribeConfig,
    *,
    done: Callable[[int], object] | None = None,
) -> list[FileResult[Structure, Description]]:
    """Describe all atoms of all structures in files, and write the output file.

    Parameters
    ----------
    files
        CIF, POSCAR, extxyz, or another format that ASE reads.
    config
        Model, treatment of occupancies, output.
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
        There are no files, or the format of the output is not known.
    DataError
        A file cannot be used, with ``strict``.
    ResourceError
        The output cannot be written.
    """
    if config.output is not None:
        check_output(config.output, (".npz", ".csv", ".extxyz", ".parquet"), files)
    trained = load_dos_model(config.weights, choose_device(config.device), model=config.model)
    unseen = UnseenElements(trained.elements, config.weights)

    def work(structures: Sequence[Structure]) -> list[Description]:
        for index, structure in enumerate(structures):
            problem = unknown_elements(trained.model.model, structure.atoms, config.weights)
            # A model that was trained on one element treats all others as that element. It may
            # describe them, with a note.
            if problem and len(trained.elements) > 1:
                raise StructureError(index, problem)
        found = trained.describe([structure.atoms for structure in structures])
        for index, features in enumerate(found):
            if not np.isfinite(features).all():
                raise StructureError(index, "its descriptors are NaN or infinite")
        return [
            Description(features.astype(np.float32), tuple(unseen.notes(structure.atoms)))
            for features, structure in zip(found, structures, strict=True)
        ]

    with isolation(config.isolate):
        results = list(
            work_on_structures(
                files, work, occupancy=config.occupancy, strict=config.strict, done=done
            )
        )
    if config.output is not None:
        described = [
            (result.file, frame, structure, value.features)
            for result in results
            for frame, (structure, value) in enumerate(
                zip(result.items, result.values, strict=True)
            )
        ]
        if described:
            write_atoms(config.output, described, config.weights, trained)
    return results
