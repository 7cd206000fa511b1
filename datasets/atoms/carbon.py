"""The eight carbon allotropes of the paper's Table 5, built from geometry and relaxed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from csgnn_dgl.errors import ConfigError, DataError, suggest
from csgnn_dgl.grid import Icosphere
from csgnn_dgl.physics.carbon_tb import CarbonTightBinding

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["ALLOTROPES", "allotrope", "capped_tube"]

_BOND = 1.42
_CAP_AND_RINGS = {"C20": 1, "C40": 3}


def capped_tube(rings: int) -> nx.Graph:
    """Make the bonds of a fullerene: two halves of a dodecahedron with a (5,0) tube between them.

    Parameters
    ----------
    rings
        Number of rings of ten atoms between the two capping pentagons. One ring gives the
        dodecahedron C20; each further ring adds ten atoms and five hexagons.

    Returns
    -------
    networkx.Graph
        ``10 + 10 · rings`` atoms with three bonds each.

    Raises
    ------
    ConfigError
        ``rings`` is less than 1.

    Examples
    --------
    >>> capped_tube(3).number_of_nodes(), capped_tube(3).number_of_edges()
    (40, 60)
    """
    if rings < 1:
        raise ConfigError(f"rings is {rings}, but a capped tube needs at least 1")
    import networkx as nx  # slow to import, as ase.build and ase.optimize are

    bonds = nx.Graph()
    for cap in ("top", "bottom"):
        bonds.add_edges_from(((cap, i), (cap, (i + 1) % 5)) for i in range(5))
    for ring in range(rings):
        # In a ring, atoms with an even index are bonded upwards, the others downwards.
        bonds.add_edges_from(((ring, i), (ring, (i + 1) % 10)) for i in range(10))
        above = [("top", i) if ring == 0 else (ring - 1, 2 * i + 1) for i in range(5)]
        bonds.add_edges_from(((ring, 2 * i), above[i]) for i in range(5))
    bonds.add_edges_from(((rings - 1, 2 * i + 1), ("bottom", i)) for i in range(5))
    return bonds


def _embedded(bonds: nx.Graph) -> Atoms:
    """Place the atoms of a cage by the three lowest nonconstant eigenvectors of its bonds."""
    import networkx as nx

    laplacian = nx.laplacian_matrix(bonds).toarray().astype(float)
    values, vectors = np.linalg.eigh(laplacian)
    positions = vectors[:, 1:4] / np.sqrt(values[1:4])
    places = {node: index for index, node in enumerate(bonds)}
    pairs = np.array([(places[a], places[b]) for a, b in bonds.edges])
    lengths = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
    return Atoms(f"C{len(positions)}", positions * (1.45 / lengths.mean()))


def _fullerene(name: str) -> Atoms:
    return _embedded(capped_tube(_CAP_AND_RINGS[name]))


def _buckyball() -> Atoms:
    # Atoms of a truncated icosahedron are at one and two thirds of each edge of the icosahedron.
    sphere = Icosphere.get(0)
    first, second = sphere.vertices[sphere.edges].transpose(1, 0, 2)
    corners = np.concatenate([(2 * first + second) / 3, (first + 2 * second) / 3])
    edge = np.linalg.norm(sphere.vertices[sphere.edges[0, 0]] - sphere.vertices[sphere.edges[0, 1]])
    return Atoms("C60", corners * (1.44 / (edge / 3)))


def _graphene() -> Atoms:
    from ase.build import graphene

    sheet = graphene(a=_BOND * np.sqrt(3), size=(8, 8, 1), vacuum=10.0)
    sheet.pbc = (True, True, False)
    return sheet


def _graphite() -> Atoms:
    a, c = _BOND * np.sqrt(3), 6.70
    cell = [[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]]
    places = [(0, 0, 0), (1 / 3, 2 / 3, 0), (0, 0, 0.5), (2 / 3, 1 / 3, 0.5)]
    return Atoms("C4", scaled_positions=places, cell=cell, pbc=True) * (3, 3, 3)


def _tube(n: int, m: int, length: int) -> Atoms:
    from ase.build import nanotube

    tube = nanotube(n, m, length=length, bond=_BOND, vacuum=8.0)
    tube.pbc = (False, False, True)
    return tube


#: Functions that build the structures, before relaxation.
_BUILDERS: dict[str, Callable[[], Atoms]] = {
    "graphene": _graphene,
    "graphite": _graphite,
    "C20": lambda: _fullerene("C20"),
    "C40": lambda: _fullerene("C40"),
    "C60": _buckyball,
    "cnt-6-4": lambda: _tube(6, 4, 1),
    "cnt-9-9": lambda: _tube(9, 9, 4),
    "cnt-8-0": lambda: _tube(8, 0, 4),
}
ALLOTROPES = tuple(_BUILDERS)


def allotrope(name: str, *, relax: bool = True, largest_force: float = 0.01) -> Atoms:
    """Build one of the paper's eight carbon structures, with as many atoms as in its Table 5.

    Parameters
    ----------
    name
        One of :data:`ALLOTROPES`.
    relax
        Move the atoms to a minimum of the tight-binding energy; the cell is not changed.
    largest_force
        The relaxation stops when no force is larger [eV/Å].

    Returns
    -------
    ase.Atoms
        The structure with the tight-binding calculator attached.

    Raises
    ------
    ConfigError
        The name is unknown.
    DataError
        The relaxation does not converge.

    Examples
    --------
    >>> len(allotrope("graphene", relax=False))
    128
    """
    if name not in _BUILDERS:
        raise ConfigError(f"unknown carbon structure {name!r}: {suggest(name, ALLOTROPES)}")
    from ase.optimize import FIRE

    atoms = _BUILDERS[name]()
    atoms.calc = CarbonTightBinding()
    atoms.info["structure"] = name
    if relax and not FIRE(atoms, logfile=None).run(fmax=largest_force, steps=500):
        raise DataError(
            f"the relaxation of {name} did not converge: a force above {largest_force} eV/Å remains"
        )
    return atoms
