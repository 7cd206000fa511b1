"""Message passing between atoms."""

from __future__ import annotations

import pytest
import torch
from ase.build import bulk, molecule

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.mapping import find_neighbors
from csgnn_dgl.models import AtomCSGNN, AtomCSGNNHypers
from csgnn_dgl.models.atoms.passing import AtomPass, atom_graph

WATER = molecule("H2O")


def test_messages_are_sums_over_near_neighbours() -> None:
    found = find_neighbors([molecule("C6H6"), bulk("C", "diamond", 3.57)], 5.0)
    graph, lengths = atom_graph(found, 2.0)
    assert bool((lengths < 2).all())
    torch.manual_seed(0)
    block = AtomPass(6, 2.0, width=4).double()
    feat = torch.randn(found.n_atoms, 6, dtype=torch.float64)
    out = block(graph, feat, lengths)
    # The same by a loop over pairs.
    summed = torch.zeros(found.n_atoms, 4, dtype=torch.float64)
    sent = block.before(feat)
    assert found.neighbors is not None
    for r, i, j in zip(found.displacements, found.centres, found.neighbors, strict=True):
        d = r.norm()
        if d < 2:
            e = torch.exp(-((d - block.middles) ** 2) / (2 * (2 / 16) ** 2))
            fade = (1 + torch.cos(torch.pi * d / 2)) / 2
            summed[i] += sent[j] * block.filter(e * fade)
    torch.testing.assert_close(out, feat + torch.relu(block.after(summed)))
    # Nothing is left in the graph.
    assert not graph.nodes["atom"].data
    assert not graph.edges["near"].data


def test_atoms_see_farther_with_every_round() -> None:
    chain = molecule("C6H6")
    hypers = {"level": 0, "channels": 4, "base_width": 4, "features": 8, "cutoff": 1.6}
    far = int((chain.positions - chain.positions[0]).__pow__(2).sum(1).argmax())
    moved = chain.copy()
    moved.positions[far] *= 1.05
    for rounds, seen in ((0, False), (1, False), (5, True)):
        torch.manual_seed(0)
        options = {"passes": rounds, "pass_cutoff": 1.6} if rounds else {}
        model = AtomCSGNN(AtomCSGNNHypers(**hypers, **options), (1, 6)).double().eval()
        a, b = (model(find_neighbors([atoms], 1.6))[0] for atoms in (chain, moved))
        assert bool((a - b).abs().max() > 1e-12) == seen
        assert model.local == (rounds == 0)


def test_parts_of_structures_are_refused() -> None:
    found = find_neighbors([WATER], 5.0)
    with pytest.raises(DataError, match="only some atoms"):
        atom_graph(found.select(torch.tensor([0])), 2.0)


def test_unusable_sizes_are_named() -> None:
    with pytest.raises(ConfigError, match="must be positive"):
        AtomPass(4, 0.0)
    with pytest.raises(ConfigError, match="no messages between atoms"):
        AtomCSGNNHypers(pass_cutoff=3.0)
    with pytest.raises(ConfigError, match="must not be larger"):
        AtomCSGNNHypers(passes=1, pass_cutoff=8.0)
