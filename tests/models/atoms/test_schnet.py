"""SchNet: the suite of all models of atoms, and the same numbers as PyTorch Geometric's."""

from __future__ import annotations

import pytest
import torch
from ase.build import bulk

from csgnn_dgl.mapping import find_neighbors
from csgnn_dgl.models.atoms.schnet import SchNet, SchNetHypers
from csgnn_dgl.models.heads import CurveHead
from csgnn_dgl.testing import AtomModelSuite


class TestSchNet(AtomModelSuite):
    model = "schnet"
    hypers = {  # noqa: RUF012
        "features": 8,
        "interactions": 2,
        "gaussians": 6,
        "cutoff": 3.0,
    }
    symmetry = "so3"


def test_size_in_the_papers_table() -> None:
    parts = (SchNet(SchNetHypers(), (6,)), CurveHead(190, 310, hidden=[95], norm="layer"))
    count = sum(parameter.numel() for part in parts for parameter in part.parameters())
    assert abs(count / 980_000 - 1) < 0.03


def test_equal_to_pytorch_geometric() -> None:
    """PyG's interactions with our weights, on our periodic neighbours, in float64."""
    schnet = pytest.importorskip("torch_geometric.nn.models.schnet")
    torch.manual_seed(0)
    ours = SchNet(SchNetHypers(features=12, interactions=3, gaussians=9, cutoff=4.0), (11, 17))
    ours = ours.double()
    crystal = bulk("NaCl", "rocksalt", 5.6)
    crystal.rattle(0.1, seed=0)
    neighbors = find_neighbors([crystal, crystal * (2, 1, 1)], 4.0)
    theirs = schnet.SchNet(12, 12, num_interactions=3, num_gaussians=9, cutoff=4.0).double()
    theirs.embedding.load_state_dict(ours.embedding.state_dict())
    for block, own in zip(theirs.interactions, ours.interactions, strict=True):
        block.mlp[0].load_state_dict(own.filter[0].state_dict())
        block.mlp[2].load_state_dict(own.filter[2].state_dict())
        block.conv.lin1.load_state_dict(own.before.state_dict())
        block.conv.lin2.load_state_dict(own.after.state_dict())
        block.lin.load_state_dict(own.out.state_dict())
    edges = torch.stack([neighbors.neighbors, neighbors.centres])
    distance = neighbors.displacements.norm(dim=1)
    expanded = theirs.distance_expansion(distance)
    feat = theirs.embedding(neighbors.centre_numbers)
    for block in theirs.interactions:
        feat = feat + block(feat, edges, distance, expanded)
    torch.testing.assert_close(ours(neighbors), feat)
