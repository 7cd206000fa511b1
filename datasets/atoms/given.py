"""Structures as callers give them: ASE, pymatgen, or the path of a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from ase import Atoms

from csgnn_dgl._foreign import excerpt, quoted
from csgnn_dgl._warn import warn_caller
from csgnn_dgl.datasets.atoms.structure import Structure
from csgnn_dgl.datasets.atoms.structures import read_structures
from csgnn_dgl.errors import DataError, DataWarning

__all__ = ["AtomsLike", "as_atoms", "each_structure", "is_one_structure"]

#: ASE ``Atoms``, a pymatgen ``Structure`` or ``Molecule``, a
#: :class:`~csgnn_dgl.datasets.atoms.structure.Structure`, or the path of a file of one structure.
AtomsLike: TypeAlias = Any

_WANTED = "ASE Atoms, a pymatgen Structure or Molecule, or the path of a structure file"


def is_one_structure(given: Any) -> bool:
    """Whether ``given`` stands for one structure, rather than for many.

    Examples
    --------
    >>> is_one_structure("salt.cif"), is_one_structure(["salt.cif"])
    (True, False)
    """
    single = (Atoms, Structure, str, os.PathLike)
    return isinstance(given, single) or _is_pymatgen(given)


def as_atoms(given: AtomsLike, name: str = "the structure") -> Atoms:
    """Make ASE ``Atoms`` of a structure in any form.

    Parameters
    ----------
    given
        ASE ``Atoms``, which are returned themselves; a pymatgen ``Structure`` or ``Molecule``; what
        :func:`~csgnn_dgl.datasets.atoms.structures.read_structures` returns one of; or the path of
        a file that holds one structure. What its reader assumed is a
        :class:`~csgnn_dgl.errors.DataWarning`.
    name
        What to call it in messages.

    Raises
    ------
    DataError
        It is something else; its file cannot be read or holds several structures; or sites of the
        pymatgen structure are not fully occupied.

    Examples
    --------
    >>> from ase.build import bulk
    >>> as_atoms(bulk("Si")).get_chemical_formula()
    'Si2'
    >>> as_atoms(3)
    Traceback (most recent call last):
    csgnn_dgl.errors.DataError: the structure is 3 (int), not ASE Atoms, a pymatgen Structure or \
Molecule, or the path of a structure file
    """
    if isinstance(given, Atoms):
        return given
    if isinstance(given, Structure):
        return given.atoms
    if _is_pymatgen(given):
        return _from_pymatgen(given, name)
    if isinstance(given, (str, os.PathLike)):
        return _from_file(given, name)
    raise DataError(f"{name} is {_described(given)}, not {_WANTED}")


def each_structure(given: Iterable[AtomsLike]) -> Iterator[Atoms]:
    """Yield the ``Atoms`` of a list or iterator of structures in any form; see :func:`as_atoms`.

    Each file is read when its turn comes.

    Raises
    ------
    DataError
        ``given`` is no list or iterator, or :func:`as_atoms` refuses an entry. The message has its
        index.
    """
    # Iterating over a mapping or a table would yield names, which would be taken for paths.
    if isinstance(given, Mapping) or hasattr(given, "columns") or not _is_iterable(given):
        raise DataError(
            f"the structures are {_described(given)}, not a list of structures; each may be "
            f"{_WANTED}"
        )
    for index, entry in enumerate(given):
        yield as_atoms(entry, f"structure {index}")


def _is_iterable(given: Any) -> bool:
    if isinstance(given, np.ndarray):
        return given.ndim > 0
    return isinstance(given, Iterable)


def _described(given: Any) -> str:
    """A value and its type, short enough for a message."""
    kind = type(given).__name__
    if isinstance(given, np.ndarray):
        return f"an array of the shape {given.shape}"
    if given is None or isinstance(given, (bool, int, float)):
        return f"{given} ({kind})"
    return f"a {kind}"


def _from_file(path: str | os.PathLike[str], name: str) -> Atoms:
    found = Path(path)
    where = "" if name == "the structure" else f"{name} is the path {quoted(str(path))}: "
    if found.is_dir():
        raise DataError(f"{where}{found} is a folder; give the files in it, one path for each")
    try:
        structures = read_structures(found)
    except DataError as error:
        raise DataError(f"{where}{error}") from error
    if len(structures) != 1:
        raise DataError(
            f"{where}{found} holds {len(structures)} structures, and one is expected; give the "
            f"list that read_structures({str(found)!r}) returns"
        )
    for note in structures[0].warnings:
        warn_caller(f"{structures[0].source}: {note}", DataWarning)
    return structures[0].atoms


def _is_pymatgen(given: Any) -> bool:
    """Whether this is a structure of pymatgen, found without importing pymatgen."""
    return any(
        parent.__module__.startswith("pymatgen.") and parent.__name__ in ("IStructure", "IMolecule")
        for parent in type(given).__mro__
    )


def _from_pymatgen(given: Any, name: str) -> Atoms:
    from pymatgen.core import DummySpecies
    from pymatgen.io.ase import AseAtomsAdaptor

    if not given.is_ordered:
        partial = [site for site in given if not site.is_ordered]
        raise DataError(
            f"{name} ({given.composition.reduced_formula}) has {len(partial)} sites that are not "
            f"fully occupied, the first with {excerpt(partial[0].species_string)}; give an ordered "
            f"structure"
        )
    if any(isinstance(site.specie, DummySpecies) for site in given):
        raise DataError(f"{name} has sites without an element (dummy species); remove them")
    return AseAtomsAdaptor.get_atoms(given, msonable=False)
