"""What must not matter to a descriptor of atoms: order, cell, place, orientation, other structures.

A model of atoms is checked as a function from :class:`~csgnn_dgl.mapping.Neighbors` to ``(A, …)``,
deterministic, such as a model in evaluation mode and float64. Structures should be off symmetry:
where neighbours lie on the edges of faces, rounding decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from csgnn_dgl.grid import icosahedral_rotations
from csgnn_dgl.mapping import Neighbors, find_neighbors, random_rotations
from csgnn_dgl.testing.compare import assert_close, relative_error
from csgnn_dgl.testing.rotation import check_errors

__all__ = [
    "assert_atom_order_equivariant",
    "assert_atoms_rotation_invariant",
    "assert_structures_independent",
    "assert_supercell_equivariant",
    "assert_translation_invariant",
]

Descriptor = Callable[[Neighbors], Tensor]


@torch.no_grad()
def assert_atom_order_equivariant(
    function: Descriptor,
    atoms: Atoms,
    cutoff: float,
    *,
    seed: int = 0,
    tolerance: float | None = None,
) -> float:
    """Descriptors go with their atoms, whatever the order of atoms and of neighbours is.

    Parameters
    ----------
    function
        Neighbours → ``(A, …)``.
    atoms
        A structure of at least two atoms.
    cutoff
        Radius of the neighbours [Å].
    seed
        Random seed for the orders.
    tolerance
        Largest relative error; by default that of :data:`~csgnn_dgl.testing.TOLERANCES`.

    Returns
    -------
    float
        The largest relative error.

    Raises
    ------
    AssertionError
        The order matters.

    Examples
    --------
    >>> from ase.build import molecule
    >>> def mean_distance(found):
    ...     sums = torch.zeros(found.n_atoms).double()
    ...     return sums.index_add(0, found.centres, found.displacements.norm(dim=1))
    >>> assert_atom_order_equivariant(mean_distance, molecule("H2O"), 5.0) < 1e-14
    True
    """
    rng = np.random.default_rng(seed)
    found = find_neighbors([atoms], cutoff)
    reference = function(found)
    order = rng.permutation(len(atoms))
    moved = function(find_neighbors([atoms[order]], cutoff))
    error = assert_close(
        moved,
        reference[torch.from_numpy(order)],
        "descriptors do not go with their atoms when these are reordered",
        tolerance=tolerance,
    )
    # Neighbours of an atom in another order; centres still ascend.
    shuffled = torch.from_numpy(rng.permutation(len(found.centres)))
    pairs = shuffled[torch.argsort(found.centres[shuffled], stable=True)]
    what = "an atom's descriptor depends on the order of its neighbours"
    again = function(_pairs_taken(found, pairs))
    return max(error, assert_close(again, reference, what, tolerance=tolerance))


def _pairs_taken(found: Neighbors, pairs: Tensor) -> Neighbors:
    """Every tensor with an entry per pair, in another order."""
    count = len(found.centres)
    by_pair = ("displacements", "centres", "numbers", "neighbors")
    tensors = {name: getattr(found, name, None) for name in by_pair}
    return replace(
        found,
        **{
            name: tensor[pairs]
            for name, tensor in tensors.items()
            if tensor is not None and len(tensor) == count
        },
    )


@torch.no_grad()
def assert_supercell_equivariant(
    function: Descriptor,
    atoms: Atoms,
    cutoff: float,
    *,
    repeat: tuple[int, int, int] = (2, 1, 2),
    tolerance: float | None = None,
) -> float:
    """A crystal's descriptors are the same in a larger cell.

    Parameters
    ----------
    function
        Neighbours → ``(A, …)``.
    atoms
        A structure that is periodic where it is repeated.
    cutoff
        Radius of the neighbours [Å].
    repeat
        How often the cell is repeated along each of its vectors.
    tolerance
        Largest relative error; by default that of :data:`~csgnn_dgl.testing.TOLERANCES`.

    Returns
    -------
    float
        The largest relative error.

    Raises
    ------
    AssertionError
        They change.

    Examples
    --------
    >>> from ase.build import bulk
    >>> def coordination(found):
    ...     return torch.bincount(found.centres, minlength=found.n_atoms).double()
    >>> assert_supercell_equivariant(coordination, bulk("C", "diamond", 3.57), 1.8)
    0.0
    """
    if not all(periodic or n == 1 for periodic, n in zip(atoms.pbc, repeat, strict=True)):
        raise AssertionError("only a structure that is periodic there can be repeated")
    reference = function(find_neighbors([atoms], cutoff))
    images = int(np.prod(repeat))
    larger = function(find_neighbors([atoms * repeat], cutoff))
    what = "descriptors depend on how often the cell is repeated"
    return assert_close(larger, torch.cat([reference] * images), what, tolerance=tolerance)


@torch.no_grad()
def assert_translation_invariant(
    function: Descriptor, atoms: Atoms, cutoff: float, *, tolerance: float | None = None
) -> float:
    """Descriptors do not depend on where the structure is; in a crystal, nor on its origin.

    Parameters
    ----------
    function
        Neighbours → ``(A, …)``.
    atoms
        A structure.
    cutoff
        Radius of the neighbours [Å].
    tolerance
        Largest relative error; by default that of :data:`~csgnn_dgl.testing.TOLERANCES`.

    Returns
    -------
    float
        The relative error.

    Raises
    ------
    AssertionError
        They do.

    Examples
    --------
    >>> from ase.build import molecule
    >>> def farthest(found):
    ...     return found.displacements.norm(dim=1)
    >>> assert_translation_invariant(farthest, molecule("H2O"), 5.0) < 1e-14
    True
    """
    moved = atoms.copy()
    moved.translate((3.1, -2.3, 1.7))
    moved.wrap()
    return assert_close(
        function(find_neighbors([moved], cutoff)),
        function(find_neighbors([atoms], cutoff)),
        "descriptors depend on the place of the structure",
        tolerance=tolerance,
    )


@torch.no_grad()
def assert_structures_independent(
    function: Descriptor,
    structures: Sequence[Atoms],
    cutoff: float,
    *,
    tolerance: float | None = None,
) -> float:
    """A structure's descriptors do not depend on the other structures of its batch.

    Parameters
    ----------
    function
        Neighbours → ``(A, …)``.
    structures
        At least two, which differ.
    cutoff
        Radius of the neighbours [Å].
    tolerance
        Largest relative error; by default that of :data:`~csgnn_dgl.testing.TOLERANCES`.

    Returns
    -------
    float
        The largest relative error.

    Raises
    ------
    AssertionError
        They do.

    Examples
    --------
    >>> from ase.build import molecule
    >>> def coordination(found):
    ...     return torch.bincount(found.centres, minlength=found.n_atoms).double()
    >>> assert_structures_independent(coordination, [molecule("H2O"), molecule("CH4")], 5.0)
    0.0
    """
    alone = [function(find_neighbors([atoms], cutoff)) for atoms in structures]
    errors = []
    for order in (range(len(structures)), range(len(structures) - 1, -1, -1)):
        together = function(find_neighbors([structures[i] for i in order], cutoff))
        expected = torch.cat([alone[i] for i in order])
        what = "descriptors depend on the other structures of the batch"
        errors.append(assert_close(together, expected, what, tolerance=tolerance))
    return max(errors)


@torch.no_grad()
def assert_atoms_rotation_invariant(
    function: Descriptor,
    neighbors: Neighbors,
    *,
    rotations: Literal["icosahedral", "so3"] = "icosahedral",
    count: int = 12,
    seed: int = 0,
    tolerance: float | None = None,
) -> float:
    """Descriptors do not change when structures are turned.

    Parameters
    ----------
    function
        Neighbours → ``(A, …)``.
    neighbors
        Neighbours of some atoms, float64.
    rotations
        All 60 of the icosahedral group, or ``count`` arbitrary ones.
    count
        How many arbitrary ones.
    seed
        Random seed for the arbitrary ones.
    tolerance
        Largest relative error; by default that of :data:`~csgnn_dgl.testing.TOLERANCES`.

    Returns
    -------
    float
        The largest relative error.

    Raises
    ------
    AssertionError
        They change; says under how many rotations, and how far.

    Examples
    --------
    >>> from ase.build import molecule
    >>> found = find_neighbors([molecule("CH3OH")], 5.0)
    >>> assert_atoms_rotation_invariant(lambda f: f.displacements.norm(dim=1), found) < 1e-14
    True
    >>> assert_atoms_rotation_invariant(lambda f: f.displacements, found)
    Traceback (most recent call last):
    ...
    AssertionError: descriptors change under 59 of 60 rotations; ...
    """
    if rotations == "icosahedral":
        turns = torch.from_numpy(icosahedral_rotations().copy())
    else:
        generator = torch.Generator().manual_seed(seed)
        turns = random_rotations(count, "so3", "z", generator, torch.float64)
    reference = function(neighbors)
    errors = []
    for turn in turns.to(neighbors.displacements):
        turned = neighbors.rotated(turn.expand(neighbors.n_atoms, 3, 3))
        errors.append(relative_error(function(turned), reference))
    return check_errors("descriptors change", errors, reference.dtype, tolerance)
