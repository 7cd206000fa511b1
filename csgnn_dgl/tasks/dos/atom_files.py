"""Write descriptors of atoms to files: NumPy, CSV, extended XYZ, Parquet, chemiscope."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import numpy.typing as npt
import pandas as pd
from ase import Atoms

from csgnn_dgl import __version__
from csgnn_dgl._files import atomic_write
from csgnn_dgl.datasets.atoms.structure import Structure
from csgnn_dgl.tasks.dos.chemiscope_file import chemiscope_content
from csgnn_dgl.tasks.dos.domain import AtomScores, atom_column, structure_value
from csgnn_dgl.tasks.dos.trained import TrainedDOS
from csgnn_dgl.tasks.output_files import ending_of
from csgnn_dgl.tasks.shipped import limits_of
from csgnn_dgl.tasks.table_files import feature_names, table_content

__all__ = ["Described", "bare_structure", "metadata_of", "write_atoms"]

#: File, index of the structure in it, the structure, descriptors ``(N, features)``, and scores.
Described = tuple[Path, int, Structure, npt.NDArray[np.float32], AtomScores | None]


def write_atoms(
    path: Path,
    described: Sequence[Described],
    weights: str,
    trained: TrainedDOS,
    votes: Mapping[str, Any],
) -> None:
    """Write descriptors of atoms with their origin, in the format of the ending of ``path``.

    ============  ==================================================================
    ``.npz``      arrays over atoms and over structures, and ``metadata`` as JSON
    ``.csv``      a row per atom
    ``.parquet``  a row per atom; metadata in ``DataFrame.attrs``
    ``.extxyz``   the structures, with the descriptor as a column of their atoms
    ``.json``     a map of the atoms for chemiscope, as ``.json.gz`` compressed
    ============  ==================================================================

    Parameters
    ----------
    path
        The file.
    described
        One entry per structure.
    weights, trained
        The model's name, and the model.
    votes
        The orientations that descriptors were averaged over, for the metadata.

    Raises
    ------
    ResourceError
        The file cannot be written. An older file stays unchanged.
    """
    metadata = metadata_of(weights, trained, votes)
    ending = ending_of(path)
    content: bytes
    if ending == ".npz":
        content = _npz(described, metadata)
    elif ending == ".extxyz":
        content = _extxyz(described, weights)
    elif ending in (".json", ".json.gz"):
        content = chemiscope_content(described, metadata, compress=ending == ".json.gz")
    else:
        content = table_content(_table(described, weights), ending, metadata)
    with atomic_write(path, "wb") as file:
        file.write(content)


def metadata_of(weights: str, trained: TrainedDOS, votes: Mapping[str, Any]) -> dict[str, Any]:
    """What a file of descriptors says about itself; see :func:`write_atoms`."""
    return {
        "descriptor": "concentric spherical atom encoder",
        "weights": weights,
        "features": trained.features,
        **votes,
        "cutoff_angstrom": trained.cutoff,
        "elements_trained_on": list(trained.elements),
        "trained_for": f"{trained.quantity} density of states [{trained.dos_unit}]",
        "score": "distance from the training data; above 1: outside; NaN: unknown",
        "limits": list(limits_of(trained.path)),
        "units": {"position": "angstrom", "cell": "angstrom", "features": "1"},
        "csgnn_dgl": __version__,
    }


def _npz(described: Sequence[Described], metadata: dict[str, Any]) -> bytes:
    atoms = [structure.atoms for _, _, structure, *_ in described]
    counts = np.array([len(a) for a in atoms])
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        features=np.concatenate([features for *_, features, _ in described]),
        feature_names=np.array(feature_names(metadata["features"])),
        atom_score=np.concatenate(
            [atom_column(entry[-1], n) for entry, n in zip(described, counts, strict=True)]
        ),
        structure_score=np.array([structure_value(entry[-1]) for entry in described]),
        structure=np.repeat(np.arange(len(atoms)), counts),
        atom=np.concatenate([np.arange(count) for count in counts]),
        number=np.concatenate([a.numbers for a in atoms]),
        symbol=np.concatenate([np.array(a.get_chemical_symbols()) for a in atoms]),
        position=np.concatenate([a.positions for a in atoms]),
        cell=np.array([a.cell.array for a in atoms]),
        pbc=np.array([a.pbc for a in atoms]),
        first_atom=np.concatenate([[0], np.cumsum(counts)]),
        source_file=np.array([str(file) for file, *_ in described]),
        frame=np.array([frame for _, frame, *_ in described]),
        formula=np.array([a.get_chemical_formula() for a in atoms]),
        metadata=np.array(json.dumps(metadata)),
    )
    return buffer.getvalue()


def _table(described: Sequence[Described], weights: str) -> pd.DataFrame:
    parts = []
    for file, frame, structure, features, scores in described:
        atoms = structure.atoms
        head = pd.DataFrame(
            {
                "file": str(file),
                "frame": frame,
                "formula": atoms.get_chemical_formula(),
                "atom": np.arange(len(atoms)),
                "symbol": atoms.get_chemical_symbols(),
                **{f"{x}_angstrom": atoms.positions[:, k] for k, x in enumerate("xyz")},
                "weights": weights,
                "atom_score": atom_column(scores, len(atoms)),
                "structure_score": structure_value(scores),
            }
        )
        columns = pd.DataFrame(features, columns=feature_names(features.shape[1]))
        parts.append(pd.concat([head, columns], axis=1))
    return pd.concat(parts, ignore_index=True)


def bare_structure(structure: Structure, **info: Any) -> Atoms:
    """A copy with elements, positions, cell and ``info`` only.

    Readers may leave objects in the others that ASE cannot write.
    """
    atoms = structure.atoms.copy()
    atoms.info = info
    atoms.arrays = {name: atoms.arrays[name] for name in ("numbers", "positions")}
    return atoms


def _extxyz(described: Sequence[Described], weights: str) -> bytes:
    frames, columns = [], ["symbols", "positions", "descriptor"]
    for file, frame, structure, features, scores in described:
        atoms = bare_structure(structure, file=str(file), frame=frame, weights=weights)
        atoms.set_array("descriptor", features.astype(np.float64))
        if scores is not None:
            atoms.info["structure_score"] = scores.structure
            atoms.set_array("atom_score", scores.atoms)
        frames.append(atoms)
    if all(entry[-1] is not None for entry in described):
        columns.append("atom_score")
    text = io.StringIO()
    ase.io.write(
        text,
        frames,
        format="extxyz",
        columns=columns,
        write_results=False,
    )
    return text.getvalue().encode()
