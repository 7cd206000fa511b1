"""Write descriptors of structures to files: NumPy, CSV, extended XYZ, Parquet, chemiscope."""

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
from ase.data import chemical_symbols

from csgnn_dgl._files import atomic_write
from csgnn_dgl.tasks.dos.atom_files import Described, bare_structure, metadata_of
from csgnn_dgl.tasks.dos.chemiscope_file import chemiscope_content
from csgnn_dgl.tasks.dos.domain import structure_value
from csgnn_dgl.tasks.dos.pooling import Pool, pooled_names
from csgnn_dgl.tasks.dos.trained import TrainedDOS
from csgnn_dgl.tasks.output_files import ending_of
from csgnn_dgl.tasks.table_files import table_content

__all__ = ["write_pooled"]

Rows = npt.NDArray[np.float32]


def write_pooled(
    path: Path,
    described: Sequence[Described],
    weights: str,
    trained: TrainedDOS,
    votes: Mapping[str, Any],
    rows: Rows,
    pool: Pool,
    elements: Sequence[int],
) -> None:
    """Write descriptors of structures with their origin, in the format of the ending of ``path``.

    ============  ==================================================================
    ``.npz``      arrays over structures, and ``metadata`` as JSON
    ``.csv``      a row per structure
    ``.parquet``  a row per structure; metadata in ``DataFrame.attrs``
    ``.extxyz``   the structures, with the descriptor in their headers
    ``.json``     a map of the structures for chemiscope, as ``.json.gz`` compressed
    ============  ==================================================================

    Parameters
    ----------
    path, described, weights, trained, votes
        As for :func:`~csgnn_dgl.tasks.dos.atom_files.write_atoms`.
    rows
        Descriptors, shape ``(S, K)``.
    pool, elements
        How they were pooled; see :func:`~csgnn_dgl.tasks.dos.pooling.pool_descriptors`.

    Raises
    ------
    ResourceError
        The file cannot be written. An older file stays unchanged.
    """
    names = pooled_names(trained.features, pool, elements)
    metadata = {**metadata_of(weights, trained, votes), "pool": pool, "features": len(names)}
    if pool == "per-element":
        metadata["elements_pooled"] = [chemical_symbols[number] for number in elements]
        metadata["features_per_element"] = trained.features
    ending = ending_of(path)
    if ending == ".npz":
        content = _npz(described, rows, names, metadata)
    elif ending == ".extxyz":
        content = _extxyz(described, rows, weights, pool)
    elif ending in (".json", ".json.gz"):
        content = chemiscope_content(described, metadata, rows, compress=ending == ".json.gz")
    else:
        content = table_content(_table(described, rows, names, weights), ending, metadata)
    with atomic_write(path, "wb") as file:
        file.write(content)


def _columns(described: Sequence[Described]) -> dict[str, list[Any]]:
    atoms = [structure.atoms for _, _, structure, *_ in described]
    return {
        "file": [str(file) for file, *_ in described],
        "frame": [frame for _, frame, *_ in described],
        "formula": [a.get_chemical_formula() for a in atoms],
        "atoms": [len(a) for a in atoms],
        "structure_score": [structure_value(entry[-1]) for entry in described],
    }


def _npz(
    described: Sequence[Described], rows: Rows, names: Sequence[str], metadata: Mapping[str, Any]
) -> bytes:
    columns: dict[str, Any] = {
        name: np.array(values) for name, values in _columns(described).items()
    }
    columns["source_file"] = columns.pop("file")
    atoms = [structure.atoms for _, _, structure, *_ in described]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        features=rows,
        feature_names=np.array(names),
        cell=np.array([a.cell.array for a in atoms]),
        pbc=np.array([a.pbc for a in atoms]),
        metadata=np.array(json.dumps(metadata)),
        **columns,
    )
    return buffer.getvalue()


def _table(
    described: Sequence[Described], rows: Rows, names: Sequence[str], weights: str
) -> pd.DataFrame:
    head = pd.DataFrame({**_columns(described), "weights": weights})
    return pd.concat([head, pd.DataFrame(rows, columns=list(names))], axis=1)


def _extxyz(described: Sequence[Described], rows: Rows, weights: str, pool: Pool) -> bytes:
    frames = []
    for (file, frame, structure, _, scores), row in zip(described, rows, strict=True):
        atoms = bare_structure(structure, file=str(file), frame=frame, weights=weights, pool=pool)
        atoms.info["descriptor"] = row.astype(np.float64)
        if scores is not None:
            atoms.info["structure_score"] = scores.structure
        frames.append(atoms)
    text = io.StringIO()
    ase.io.write(text, frames, format="extxyz", write_results=False)
    return text.getvalue().encode()
