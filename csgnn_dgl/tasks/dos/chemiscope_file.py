"""Descriptors as a map for chemiscope, which shows the structures beside it in any browser."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from ase import Atoms

if TYPE_CHECKING:
    from csgnn_dgl.tasks.dos.atom_files import Described

__all__ = ["chemiscope_content", "principal_components"]

Floats = npt.NDArray[np.float64]
# Number of principal components to write: three places on the map, and a colour.
_COMPONENTS = 4


def principal_components(rows: npt.NDArray[Any], count: int) -> tuple[Floats, Floats]:
    """Project rows onto the directions in which they vary most.

    Parameters
    ----------
    rows
        Shape ``(M, F)``.
    count
        Number of directions.

    Returns
    -------
    tuple
        Projections, shape ``(M, count)``, and the share of the variance along each, shape
        ``(count,)``. The entry of largest size of each direction is positive.

    Examples
    --------
    >>> projections, shares = principal_components(np.array([[0.0, 0.0], [2.0, 0.0]]), 1)
    >>> projections.tolist(), shares.tolist()
    ([[-1.0], [1.0]], [1.0])
    """
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    variances, directions = np.linalg.eigh(centred.T @ centred)
    variances, directions = variances[::-1][:count].clip(0), directions[:, ::-1][:, :count]
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.sign(directions[largest, np.arange(directions.shape[1])])
    total = float((centred**2).sum())
    return centred @ directions, variances / total if total > 0 else np.zeros(len(variances))


def chemiscope_content(
    described: Sequence[Described],
    metadata: Mapping[str, Any],
    rows: npt.NDArray[Any] | None = None,
    *,
    compress: bool = False,
) -> bytes:
    """The content of a file for chemiscope: a map of all atoms, or of all structures.

    Points of the map are principal components of the descriptors. Colours are out-of-domain scores,
    if all are known.

    Parameters
    ----------
    described
        One entry per structure.
    metadata
        Of the descriptor; see :func:`~csgnn_dgl.tasks.dos.atom_files.atom_metadata`.
    rows
        Descriptors of structures, shape ``(S, K)``. By default those of atoms are shown.
    compress
        Whether to compress the content by gzip.
    """
    # Slow to import, and an extra; whoever calls this has checked that it is there.
    from chemiscope import all_atomic_environments, create_input

    structures = [_bare(entry) for entry in described]
    by_atom = rows is None
    if rows is None:
        rows = np.concatenate([features for *_, features, _ in described])
    points, shares = principal_components(rows, min(_COMPONENTS, *rows.shape))
    target = "atom" if by_atom else "structure"
    properties: dict[str, Any] = {}
    for index, share in enumerate(shares):
        properties[f"component {index + 1}"] = {
            "target": target,
            "values": points[:, index],
            "description": f"principal component of the descriptors, {100 * share:.1f} % of the "
            f"variance",
        }
    scores = [entry[-1] for entry in described]
    known = [score for score in scores if score is not None]
    colour = f"component {min(3, len(shares))}"
    if len(known) == len(scores):
        colour = f"score of the {target}"
        text = "out-of-domain score; above 1: unlike the training data"
        whole = [score.structure for score in known]
        properties["score of the structure"] = _property("structure", whole, text)
        if by_atom:
            each = np.concatenate([score.atoms for score in known])
            properties["score of the atom"] = _property("atom", each, text)
    sources = [f"{file.name}[{frame}]" for file, frame, *_ in described]
    formulas = [atoms.get_chemical_formula() for atoms in structures]
    properties["source"] = _property("structure", sources, "file and frame")
    properties["formula"] = _property("structure", formulas, "chemical formula")
    if by_atom:
        symbols = [symbol for atoms in structures for symbol in atoms.get_chemical_symbols()]
        properties["element"] = _property("atom", symbols, "element of the atom")
    axes = {
        axis: {"property": f"component {min(number, len(shares))}"}
        for axis, number in (("x", 1), ("y", 2))
    }
    content = create_input(
        structures,
        metadata={
            "name": f"{target}s by {metadata['weights']}",
            "description": json.dumps(dict(metadata)),
        },
        properties=properties,
        environments=all_atomic_environments(structures, metadata["cutoff_angstrom"])
        if by_atom
        else None,
        settings={
            "target": target,
            "map": {**axes, "color": {"property": colour}},
            "structure": [{"unitCell": any(atoms.pbc.any() for atoms in structures)}],
        },
    )
    encoded = json.dumps(content, allow_nan=False).encode()
    # Without a time, the same input gives the same file.
    return gzip.compress(encoded, mtime=0) if compress else encoded


def _bare(entry: Described) -> Atoms:
    atoms = entry[2].atoms
    return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)


def _property(target: str, values: Any, description: str) -> dict[str, Any]:
    return {"target": target, "values": values, "description": description}
