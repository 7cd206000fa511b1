"""The paper's model of atoms on the concentric grid (Sec. 4.2, Fig. 7)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from csgnn_dgl.mapping import AtomMapping
from csgnn_dgl.mapping.neighbors import Neighbors
from csgnn_dgl.models.atom_hypers import AtomCSGNNHypers
from csgnn_dgl.models.atoms.fused import ATOMS_AT_ONCE, can_fuse, encoded
from csgnn_dgl.models.atoms.invariants import Invariants
from csgnn_dgl.models.atoms.passing import AtomEdges, AtomPass
from csgnn_dgl.models.atoms.species import SpeciesEmbedding
from csgnn_dgl.models.contract import AtomModel
from csgnn_dgl.models.encoder import CSGNN
from csgnn_dgl.models.encoder_config import EncoderConfig
from csgnn_dgl.nn.site_norm import channel_norm

__all__ = ["AtomCSGNN"]


def _encoder_config(hypers: AtomCSGNNHypers, embedding: int) -> EncoderConfig:
    """Sizes in the pattern of Figure 7, for any level and first width."""
    widths = [hypers.base_width * 2**step for step in range(hypers.level + 1)]
    return EncoderConfig(
        hypers.level,
        hypers.n_spheres,
        hypers.channels * embedding,
        (*((w, w) for w in widths[:-1]), (widths[-1],)),
        (*((2 * w, 2 * w) for w in widths[:-1]), ()),
        kernel_size=hypers.kernel_size if hypers.n_spheres > 1 else 1,
        pooling=hypers.pooling,
        global_pooling=hypers.pooling,
        concatenate=False,
        filter_order=hypers.filter_order,
        gradients=hypers.gradients,
        readout=tuple(hypers.readout),
        norm=hypers.block_norm,
    )


class AtomCSGNN(AtomModel):
    """A descriptor of every atom, from its neighbours mapped onto concentric spheres around it.

    With a single element, neighbours have no embedding, and the encoder is exactly the paper's.
    Optionally, exact invariants of the same neighbours
    (:class:`~csgnn_dgl.models.atoms.invariants.Invariants`) are mapped linearly and added to the
    encoder's features; with ``append_invariants`` they are put at the end of the descriptor, too.
    With ``passes``, descriptors then see those of their neighbours
    (:class:`~csgnn_dgl.models.atoms.passing.AtomPass`), and whole structures are needed.

    With ``members``, several such networks stand side by side, and a descriptor is those of all of
    them, one after the other. Each has a head and a loss of its own, and their curves are averaged
    (deep ensembles; Lakshminarayanan et al., NeurIPS 2017).

    Parameters
    ----------
    hypers
        The model's options.
    elements
        Atomic numbers in the training data.

    Shapes
    ------
    :class:`~csgnn_dgl.mapping.neighbors.Neighbors` of ``A`` atoms → ``(A, members · features)``.
    """

    Hypers = AtomCSGNNHypers

    def __init__(self, hypers: AtomCSGNNHypers, elements: tuple[int, ...]) -> None:
        super().__init__(hypers, elements)
        self.cutoff = hypers.cutoff
        self.mapping = AtomMapping(
            hypers.level,
            hypers.n_spheres,
            hypers.channels,
            r_min=hypers.r_min,
            cutoff=hypers.cutoff,
            assignment=hypers.assignment,
        )
        self.species: SpeciesEmbedding | None = None
        self.centre: SpeciesEmbedding | None = None
        if len(self.elements) > 1:
            self.species = SpeciesEmbedding(self.elements, hypers.embedding)
            self.centre = SpeciesEmbedding(self.elements, hypers.features)
        config = _encoder_config(hypers, 1 if self.species is None else hypers.embedding)
        self.encoder = CSGNN(config)
        self.project = nn.Linear(config.global_features, hypers.features)
        self.invariants: Invariants | None = None
        if hypers.invariants != "none":
            self.invariants = Invariants(
                hypers.invariants, hypers.cutoff, properties=self.species is not None
            )
            self.beside = nn.Linear(self.invariants.features, hypers.features, bias=False)
        own = hypers.features
        if hypers.append_invariants and self.invariants is not None:
            own += self.invariants.features
        self.own_features, self.features = own, own * hypers.members
        self.norm = channel_norm(hypers.block_norm, hypers.features)
        self.local = hypers.passes == 0
        self.passes = nn.ModuleList(
            AtomPass(hypers.features, hypers.pass_cutoff) for _ in range(hypers.passes)
        )
        # This network is the first member; so its weights have the same names without others.
        alone = hypers.model_copy(update={"members": 1})
        self.others = nn.ModuleList(
            AtomCSGNN(alone, self.elements) for _ in range(hypers.members - 1)
        )

    @property
    def head_features(self) -> tuple[int, ...]:
        """One head for each member."""
        return (self.own_features,) * self.hypers.members

    @property
    def knows_any_element(self) -> bool:
        """With more than one element, tabulated properties describe elements that are unknown."""
        return self.species is not None

    @property
    def atoms_at_once(self) -> int:
        """Small networks compute more atoms at once."""
        return ATOMS_AT_ONCE if can_fuse(self) else super().atoms_at_once

    def forward(self, neighbors: Neighbors) -> Tensor:
        """Descriptors of all atoms of a batch."""
        first = self._first(neighbors)
        if not self.others:
            return first
        return torch.cat([first, *(other(neighbors) for other in self.others)], dim=1)

    def _first(self, neighbors: Neighbors) -> Tensor:
        """Descriptors by the first member."""
        found = encoded(self, neighbors)
        if found is None:
            features = None if self.species is None else self.species(neighbors.numbers)
            sites = self.mapping(
                neighbors.displacements, neighbors.centres, neighbors.n_atoms, features
            )
            found = self.encoder(sites)
        out = self.project(found)
        invariants = None if self.invariants is None else self.invariants(neighbors)
        if invariants is not None:
            out = out + self.beside(invariants)
        if self.centre is not None:
            out = out + self.centre(neighbors.centre_numbers)
        out = F.relu(self.norm(out))
        if self.passes:
            edges = AtomEdges.of(neighbors, self.hypers.pass_cutoff)
            for block in self.passes:
                out = block(edges, out)
        if invariants is not None and self.hypers.append_invariants:
            out = torch.cat([out, invariants], dim=1)
        return out
