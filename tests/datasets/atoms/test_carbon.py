"""The carbon allotropes: as many atoms, bonds and faces as they should have."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from ase.neighborlist import neighbor_list

from csgnn_dgl.datasets.atoms.carbon import ALLOTROPES, allotrope, capped_tube
from csgnn_dgl.errors import ConfigError

# Table 5 of the paper.
ATOMS = {
    "graphene": 128,
    "graphite": 108,
    "C20": 20,
    "C40": 40,
    "C60": 60,
    "cnt-6-4": 152,
    "cnt-9-9": 144,
    "cnt-8-0": 128,
}


@pytest.mark.parametrize("name", ALLOTROPES)
def test_atoms_and_bonds(name: str) -> None:
    atoms = allotrope(name, relax=False)
    assert len(atoms) == ATOMS[name]
    first, distance = neighbor_list("id", atoms, 1.85)
    assert (np.bincount(first, minlength=len(atoms)) == 3).all()
    # Cages are rough before they relax: what must be right already is who is bonded to whom.
    assert distance.min() > 1.0


@pytest.mark.parametrize(("name", "gap"), [("C20", 0.43), ("C40", 0.18), ("C60", 1.61)])
def test_cages_relax_and_keep_their_bonds(name: str, gap: float) -> None:
    atoms = allotrope(name)
    assert np.linalg.norm(atoms.get_forces(), axis=1).max() <= 0.01
    assert (np.bincount(neighbor_list("i", atoms, 1.75), minlength=len(atoms)) == 3).all()
    # What this implementation gave when its energies, forces and C60's gap had been checked.
    assert atoms.calc.spectrum.gap == pytest.approx(gap, abs=0.02)
    assert atoms.get_potential_energy() < allotrope(name, relax=False).get_potential_energy()


@pytest.mark.parametrize("rings", [1, 2, 3, 6])
def test_capped_tubes_are_fullerenes(rings: int) -> None:
    bonds = capped_tube(rings)
    assert bonds.number_of_nodes() == 10 + 10 * rings
    assert all(degree == 3 for _, degree in bonds.degree)
    planar, embedding = nx.check_planarity(bonds)
    assert planar
    faces, seen = [], set()
    for edge in embedding.edges:
        if edge not in seen:
            faces.append(len(embedding.traverse_face(*edge, mark_half_edges=seen)))
    # Twelve pentagons, and hexagons otherwise.
    assert sorted(faces) == [5] * 12 + [6] * (5 * (rings - 1))


def test_the_smallest_is_the_dodecahedron() -> None:
    assert nx.is_isomorphic(capped_tube(1), nx.dodecahedral_graph())


def test_names_are_checked() -> None:
    with pytest.raises(ConfigError, match="unknown carbon structure 'C50': did you mean"):
        allotrope("C50")
    with pytest.raises(ConfigError, match="rings is 0, but a capped tube needs"):
        capped_tube(0)
