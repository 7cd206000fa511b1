"""The fingerprint of surroundings: what it must not notice, and what it must."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from csgnn_dgl.mapping import random_rotations
from csgnn_dgl.mapping.neighbors import Neighbors, find_neighbors
from csgnn_dgl.models.atoms.surroundings import (
    _merged,
    _shells,
    fingerprint_length,
    surroundings_fingerprint,
)

REACH = 5.0


def fingerprint(atoms: Atoms, reach: float = REACH) -> torch.Tensor:
    return surroundings_fingerprint(find_neighbors([atoms], reach), reach)


def rattled(seed: int = 0) -> Atoms:
    atoms = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    atoms.rattle(0.1, seed=seed)
    return atoms


def test_orientation_does_not_matter() -> None:
    atoms, turned = rattled(), rattled()
    rotation = random_rotations(1, "so3", "z", torch.Generator().manual_seed(0))[0]
    # In double precision the matrix is orthogonal to 1e-8 only.
    matrix = np.linalg.qr(rotation.double().numpy())[0]
    turned.set_cell(atoms.cell.array @ matrix)
    turned.positions = atoms.positions @ matrix
    torch.testing.assert_close(fingerprint(atoms), fingerprint(turned), atol=1e-9, rtol=0)
    # Control: a strain of one percent is seen.
    turned.set_cell(atoms.cell.array * 1.01, scale_atoms=True)
    assert (fingerprint(atoms) - fingerprint(turned)).abs().max() > 1e-2


def test_order_translation_and_choice_of_the_cell_do_not_matter() -> None:
    atoms = rattled()
    expected = fingerprint(atoms)
    order = np.random.default_rng(0).permutation(len(atoms))
    torch.testing.assert_close(fingerprint(atoms[order]), expected[order], atol=1e-9, rtol=0)
    moved = atoms.copy()
    moved.translate([0.3, 1.7, -4.0])
    torch.testing.assert_close(fingerprint(moved), expected, atol=1e-9, rtol=0)
    double = fingerprint(atoms.repeat((2, 1, 1)))
    torch.testing.assert_close(double[:8], expected, atol=1e-9, rtol=0)


def test_it_is_continuous_where_a_neighbour_leaves() -> None:
    inside, outside = (
        fingerprint(Atoms("C2", [(0, 0, 0), (x, 0, 0)]))[0] for x in (REACH - 1e-4, REACH + 1e-4)
    )
    torch.testing.assert_close(inside, outside, atol=1e-3, rtol=0)
    near = fingerprint(Atoms("C2", [(0, 0, 0), (2.0, 0, 0)]))[0]
    assert (near - outside).abs().max() > 0.5


def test_sums_over_pairs_are_those_of_the_definition() -> None:
    atoms = molecule("CH3CH2OH")
    found = find_neighbors([atoms], REACH)
    distances = found.displacements.norm(dim=1)
    units = found.displacements / distances[:, None]
    shells = _merged(_shells(distances[None], REACH), 2)[0].t()
    own = fingerprint(atoms)
    polynomials = (
        lambda x: x,
        lambda x: (3 * x**2 - 1) / 2,
        lambda x: (5 * x**3 - 3 * x) / 2,
        lambda x: (35 * x**4 - 30 * x**2 + 3) / 8,
    )
    for atom in range(len(atoms)):
        of_atom = found.centres == atom
        cosines, weights = units[of_atom] @ units[of_atom].T, shells[of_atom]
        expected = torch.cat(
            [
                torch.einsum("ik,jk,ij->k", weights, weights, p(cosines)).clamp(min=0)
                for p in polynomials
            ]
        )
        start = 10
        angular = own[atom, start : start + len(expected)]
        torch.testing.assert_close(angular, (expected + 1e-8).sqrt(), atol=1e-6, rtol=1e-6)


def test_similar_elements_are_similar() -> None:
    def of(symbol: str) -> torch.Tensor:
        return fingerprint(bulk(f"{symbol}Cl", "rocksalt", 5.64))[0]

    assert (of("Na") - of("K")).norm() < (of("Na") - of("Ag")).norm()


@pytest.mark.parametrize("reach", [0.8, 2.0, REACH])
def test_atoms_without_neighbours(reach: float) -> None:
    found = fingerprint(Atoms("CH", [(0, 0, 0), (0, 0, 30)]), reach)
    assert found.shape == (2, fingerprint_length())
    assert bool(found.isfinite().all())
    assert (found[0] != found[1]).any()


def test_pieces_of_a_batch_are_the_batch() -> None:
    found = find_neighbors([rattled(0), rattled(1)], REACH)
    whole = surroundings_fingerprint(found, REACH)
    parts = torch.cat([surroundings_fingerprint(part, REACH) for part in found.chunks(3)])
    torch.testing.assert_close(whole, parts, atol=1e-12, rtol=0)


def test_the_order_of_neighbours_changes_nothing(
    shuffled: Callable[[Neighbors], tuple[Neighbors, torch.Tensor]],
) -> None:
    atoms = bulk("NaCl", "rocksalt", 5.6)
    atoms.rattle(0.1, seed=1)
    known = find_neighbors([atoms], 5.0)
    mixed, _ = shuffled(known)
    expected = surroundings_fingerprint(known, 5.0)
    torch.testing.assert_close(surroundings_fingerprint(mixed, 5.0), expected, atol=1e-12, rtol=0)
