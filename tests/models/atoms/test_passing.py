"""Message passing between atoms."""

from __future__ import annotations

import pytest
import torch
from ase.build import bulk, molecule

from csgnn_dgl._dgl import dgl
from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.mapping import find_neighbors
from csgnn_dgl.models import AtomCSGNN, AtomCSGNNHypers
from csgnn_dgl.models.atoms.passing import AtomEdges, AtomPass

WATER = molecule("H2O")


def test_messages_are_those_of_dgl() -> None:
    found = find_neighbors([molecule("C6H6"), bulk("C", "diamond", 3.57)], 5.0)
    edges = AtomEdges.of(found, 2.0)
    assert 0 < len(edges.lengths) < len(found.centres)
    assert bool((edges.lengths < 2).all())
    torch.manual_seed(0)
    block = AtomPass(6, 2.0, width=4).double()
    feat = torch.randn(found.n_atoms, 6, dtype=torch.float64)
    graph = edges.graph()
    graph.ndata["sent"], graph.edata["weight"] = block.before(feat), block.weights(edges.lengths)
    message = dgl.function.u_mul_e("sent", "weight", "message")
    graph.update_all(message, dgl.function.sum("message", "received"))
    expected = feat + torch.relu(block.after(graph.ndata["received"]))
    torch.testing.assert_close(block(edges, feat), expected)


def test_messages_fade_out() -> None:
    block = AtomPass(6, 2.0, width=4).double()
    lengths = torch.tensor([0.5, 2 - 1e-5, 2.0, 3.0], dtype=torch.float64)
    weights = block.weights(lengths).detach()
    assert float(weights[1:].abs().max()) < 1e-9 < float(weights[0].abs().max())


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
        AtomEdges.of(found.select(torch.tensor([0])), 2.0)


def test_unusable_sizes_are_named() -> None:
    with pytest.raises(ConfigError, match="must be positive"):
        AtomPass(4, 0.0)
    with pytest.raises(ConfigError, match="no messages between atoms"):
        AtomCSGNNHypers(pass_cutoff=3.0)
    with pytest.raises(ConfigError, match="must not be larger"):
        AtomCSGNNHypers(passes=1, pass_cutoff=8.0)
