"""Models of atoms as a user writes them; one of them passes messages between atoms."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from csgnn_dgl.testing import AtomModelSuite

OWN = '''
import torch
from torch import nn

from csgnn_dgl.models import AtomModel, Hypers


class MessageHypers(Hypers):
    cutoff: float = 4.0
    width: int = 6


class Messages(AtomModel):
    """Elements to features, then two rounds of messages from neighbours."""

    Hypers = MessageHypers
    local = False
    invariant = True

    def __init__(self, hypers, elements):
        super().__init__(hypers, elements)
        self.features, self.cutoff = hypers.width, hypers.cutoff
        self.begin = nn.Embedding(119, hypers.width)
        self.rounds = nn.ModuleList(nn.Linear(hypers.width, hypers.width) for _ in range(2))

    def forward(self, neighbors):
        sources, feat = neighbors.require_indices(), self.begin(neighbors.centre_numbers)
        fade = 1 + torch.cos(torch.pi * neighbors.displacements.norm(dim=1) / self.cutoff)
        for linear in self.rounds:
            messages = fade[:, None] * linear(feat)[sources]
            feat = (feat + torch.zeros_like(feat).index_add(0, neighbors.centres, messages)).tanh()
        return feat


class CountHypers(Hypers):
    cutoff: float = 5.0
    width: int = 4


class Counts(AtomModel):
    """How near neighbours are, whatever they are."""

    Hypers = CountHypers
    invariant = True
    knows_any_element = True

    def __init__(self, hypers, elements):
        super().__init__(hypers, elements)
        self.features, self.cutoff = hypers.width, hypers.cutoff
        self.linear = nn.Linear(1, hypers.width)

    def forward(self, neighbors):
        near = 1 - neighbors.displacements.norm(dim=1) / self.cutoff
        sums = near.new_zeros(neighbors.n_atoms).index_add(0, neighbors.centres, near)
        return self.linear(sums[:, None])
'''


@pytest.fixture(scope="module", autouse=True)
def _module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("own")
    (folder / "atoms_of_a_user.py").write_text(OWN, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


class TestMessages(AtomModelSuite):
    """Structures stay whole, some of their atoms are refused, and so is export."""

    model = "atoms_of_a_user:Messages"
    symmetry = "so3"


class TestCounts(AtomModelSuite):
    model = "atoms_of_a_user:Counts"
    symmetry = "so3"
    elements_matter = False
    several_processes = False
