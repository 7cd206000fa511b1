"""The density-of-states model: its size, and what must not matter to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.grid import icosahedral_rotations
from csgnn_dgl.mapping import Neighbors, find_neighbors
from csgnn_dgl.models import AtomCSGNN, AtomCSGNNHypers, DOSModel


def model(elements: tuple[int, ...] = (1, 6, 8), **options: Any) -> DOSModel:
    torch.manual_seed(0)
    sizes = {"level": 1, "channels": 6, "base_width": 4, "features": 16}
    hypers = AtomCSGNNHypers(**{**sizes, **options})
    network = DOSModel(AtomCSGNN(hypers, elements), bins=12, hidden=(16,)).double()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    return network.eval()


def off_symmetry(atoms: Atoms) -> Atoms:
    """Nudged: neighbours in a crystal lie on edges of faces, where rounding decides."""
    moved = atoms.copy()
    moved.rattle(0.05, seed=3)
    return moved


WATER, SUGAR = off_symmetry(molecule("H2O")), off_symmetry(molecule("CH3CH2OH"))
CRYSTAL = off_symmetry(bulk("C", "diamond", 3.57, cubic=True))


def found(*structures: Atoms) -> Neighbors:
    return find_neighbors(structures, 7.0)


def test_the_papers_size() -> None:
    paper = DOSModel(AtomCSGNN(AtomCSGNNHypers(), (6,)), bins=310)
    assert sum(p.numel() for p in paper.parameters()) == 1_061_998
    two = DOSModel(AtomCSGNN(AtomCSGNNHypers(), (6, 8)), bins=310)
    assert sum(p.numel() for p in two.parameters()) > 1_061_998


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"n_spheres": 3, "assignment": "smooth"}])
def test_batches_supercells_order_and_place_do_not_matter(options: dict[str, Any]) -> None:
    network = model(**options)
    alone = [network(found(atoms)) for atoms in (WATER, SUGAR, CRYSTAL)]
    assert all(curve.abs().max() > 0 for curve in alone)
    torch.testing.assert_close(network(found(WATER, SUGAR, CRYSTAL)), torch.cat(alone))
    torch.testing.assert_close(network(found(CRYSTAL * (2, 1, 2))), alone[2])
    order = np.random.default_rng(0).permutation(len(SUGAR))
    torch.testing.assert_close(network(found(SUGAR[order])), alone[1])
    per_atom = network.per_atom(found(SUGAR))
    torch.testing.assert_close(network.per_atom(found(SUGAR[order])), per_atom[order])
    moved = SUGAR.copy()
    moved.translate((3.0, -2.0, 1.0))
    torch.testing.assert_close(network(found(moved)), alone[1])
    # Controls: another element, another place.
    other = SUGAR.copy()
    other.numbers[0] = 8
    assert not torch.allclose(network(found(other)), alone[1], atol=1e-6)
    other = SUGAR.copy()
    other.positions[0] += 0.1
    assert not torch.allclose(network(found(other)), alone[1], atol=1e-6)


@torch.no_grad()
def test_the_sixty_rotations_do_not_matter() -> None:
    network = model()
    reference = network(found(SUGAR))
    for matrix in icosahedral_rotations():
        turned = SUGAR.copy()
        turned.positions = turned.positions @ matrix.T
        torch.testing.assert_close(network(found(turned)), reference, atol=1e-10, rtol=0)
    turned.rotate(20, (1, 2, 3))
    assert not torch.allclose(network(found(turned)), reference, atol=1e-9)


@torch.no_grad()
def test_no_density_is_negative_and_the_mean_is_over_atoms() -> None:
    network = model()
    batch = found(WATER, SUGAR)
    per_atom = network.per_atom(batch)
    assert (per_atom >= 0).all()
    torch.testing.assert_close(network(batch)[0], per_atom[:3].mean(dim=0))
    torch.testing.assert_close(network(batch)[1], per_atom[3:].mean(dim=0))


@torch.no_grad()
def test_elements_that_it_never_saw_and_atoms_alone() -> None:
    network = model()
    curve = network(found(off_symmetry(bulk("NaCl", "rocksalt", 5.64, cubic=True))))
    assert curve.isfinite().all()
    assert network(found(Atoms("C", [(0, 0, 0)]))).isfinite().all()


def test_gradients_reach_every_parameter() -> None:
    network = model().train()
    network(found(WATER, SUGAR, CRYSTAL)).square().sum().backward()
    missing = [name for name, p in network.named_parameters() if p.grad is None]
    assert not missing


@pytest.mark.parametrize("elements", [(), (0,), (119,)])
def test_unusable_elements_are_named(elements: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="atomic numbers from 1 to 118"):
        AtomCSGNN(AtomCSGNNHypers(level=0), elements)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": 1}, "bins is 1"),
        ({"bins": 9, "hidden": (0,)}, "widths must be positive"),
        ({"bins": 9, "dropout": 1.0}, "dropout is 1.0"),
        ({"bins": 9, "norm": "group"}, "must be one of batch, layer, none"),
    ],
)
def test_unusable_heads_are_named(options: dict[str, Any], message: str) -> None:
    atoms = AtomCSGNN(AtomCSGNNHypers(level=0, base_width=2), (6,))
    with pytest.raises(ConfigError, match=message):
        DOSModel(atoms, **options)


@torch.no_grad()
def test_members_are_networks_of_their_own() -> None:
    """The curve is the mean of those of the members, each with its own part of the descriptor."""
    network = model(members=3)
    parts = network.describe(found(SUGAR)).split(16, dim=1)
    each = network.per_head(found(SUGAR))
    assert each.shape == (3, len(SUGAR), 12)
    for curves, head, part in zip(each, network.head.heads, parts, strict=True):
        torch.testing.assert_close(curves, head(part))
    assert not torch.allclose(each[0], each[1], atol=1e-6)
    torch.testing.assert_close(network.per_atom(found(SUGAR)), each.mean(dim=0))
    # The first is the network without others, under the same names.
    alone = model()
    names = {name for name, _ in alone.model.named_parameters()}
    assert names == {n for n, _ in network.model.named_parameters() if not n.startswith("others.")}
    alone.model.load_state_dict(network.model.state_dict(), strict=False)
    torch.testing.assert_close(alone.describe(found(SUGAR)), parts[0])
    assert model().per_head(found(SUGAR)).shape == (1, len(SUGAR), 12)
