"""Structures in the forms in which callers have them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from csgnn_dgl.datasets.atoms.given import as_atoms, each_structure, is_one_structure
from csgnn_dgl.datasets.atoms.structures import read_structures
from csgnn_dgl.errors import DataError, DataWarning

SALT = bulk("NaCl", "rocksalt", 5.64)


def same(one: Atoms, other: Atoms) -> bool:
    return bool(
        (one.numbers == other.numbers).all()
        and np.allclose(one.positions, other.positions)
        and np.allclose(one.cell.array, other.cell.array)
        and (one.pbc == other.pbc).all()
    )


def test_atoms_are_returned_themselves() -> None:
    assert as_atoms(SALT) is SALT
    assert list(each_structure(iter([SALT, SALT]))) == [SALT, SALT]


def test_paths_are_read(tmp_path: Path) -> None:
    path = tmp_path / "salt.extxyz"
    ase.io.write(path, SALT)
    for given in (path, str(path)):
        assert is_one_structure(given)
        assert same(as_atoms(given), SALT)
    [structure] = read_structures(path)
    assert is_one_structure(structure)
    assert as_atoms(structure) is structure.atoms
    mixed = list(each_structure([path, SALT, str(path), structure]))
    assert all(same(atoms, SALT) for atoms in mixed)
    # The next file is read when it is asked for.
    stream = each_structure([path, tmp_path / "gone.cif"])
    assert same(next(stream), SALT)
    with pytest.raises(DataError, match=r"structure 1 is the path '.*gone.cif': .*does not exist"):
        next(stream)


def test_what_a_reader_assumed_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "close.extxyz"
    ase.io.write(path, Atoms("C2", [[0, 0, 0], [0, 0, 0.5]]))
    with pytest.warns(DataWarning, match=r"close.extxyz: ") as caught:
        as_atoms(path)
    assert caught[0].filename == __file__


def test_a_path_stands_for_one_structure(tmp_path: Path) -> None:
    path = tmp_path / "two.extxyz"
    ase.io.write(path, [SALT, SALT])
    with pytest.raises(
        DataError, match=r"two.extxyz holds 2 structures, and one is expected; give"
    ):
        as_atoms(path)
    found = list(each_structure(read_structures(path)))
    assert len(found) == 2
    with pytest.raises(DataError, match=r"is a folder; give the files in it"):
        as_atoms(tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3.5, "the structure is 3.5 (float), not ASE Atoms, a pymatgen Structure or Molecule, or"),
        (None, "the structure is None (NoneType), not"),
        ([SALT], "the structure is a list, not"),
        (np.zeros((4, 3)), "the structure is an array of the shape (4, 3), not"),
        (b"salt.cif", "the structure is a bytes, not"),
        ("salt.cif\0", "salt.cif"),
        ("", "is a folder"),
    ],
    ids=str,
)
def test_what_is_no_structure(given: Any, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        as_atoms(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (7, "the structures are 7 (int), not a list of structures; each may be ASE Atoms, a"),
        ({"a": SALT}, "the structures are a dict, not a list"),
        (pd.DataFrame({"a": [SALT]}), "the structures are a DataFrame, not a list"),
        (np.array(3.0), "the structures are an array of the shape (), not a list"),
        ([SALT, 3], "structure 1 is 3 (int), not ASE Atoms"),
        (np.zeros((2, 3)), "structure 0 is an array of the shape (3,), not ASE Atoms"),
    ],
    ids=["number", "mapping", "table", "scalar", "entry", "numbers"],
)
def test_what_is_no_list_of_structures(given: Any, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        list(each_structure(given))


def test_pymatgen(tmp_path: Path) -> None:
    pytest.importorskip("pymatgen.io.ase")
    from pymatgen.core import DummySpecies, IStructure, Lattice, Molecule, Structure
    from pymatgen.io.ase import AseAtomsAdaptor

    structure = AseAtomsAdaptor.get_structure(SALT)
    for given in (structure, IStructure.from_sites(structure)):
        assert is_one_structure(given)
        assert same(as_atoms(given), SALT)
        assert type(as_atoms(given)) is Atoms
    charged = structure.copy()
    charged.add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    assert same(as_atoms(charged), SALT)
    water = molecule("H2O")
    found = as_atoms(Molecule(water.get_chemical_symbols(), water.positions))
    assert same(found, water)
    assert [len(a) for a in each_structure([structure, found])] == [2, 3]
    partial = Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}, "Cl"], [[0, 0, 0], [0.5] * 3])
    with pytest.raises(DataError, match=r"has 1 sites that are not fully occupied, the first with"):
        as_atoms(partial)
    dummy = Structure(Lattice.cubic(4), [DummySpecies("X"), "Cl"], [[0, 0, 0], [0.5] * 3])
    with pytest.raises(DataError, match="dummy species"):
        as_atoms(dummy)
