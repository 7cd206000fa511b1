"""SchNet: continuous-filter convolutions between atoms."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from csgnn_dgl.config import Preset, option
from csgnn_dgl.mapping.neighbors import Neighbors
from csgnn_dgl.models.contract import AtomModel
from csgnn_dgl.models.hypers import Hypers

__all__ = ["SchNet", "SchNetHypers"]

_ELEMENTS = 100


class SchNetHypers(Hypers):
    """Options of :class:`SchNet`."""

    presets = {  # noqa: RUF012 (the base declares it a class variable, so pydantic ignores it)
        "quick": Preset(
            "a small network and few epochs: a first result in minutes on two cores",
            {
                "features": 64,
                "interactions": 3,
                "cutoff": 5.0,
                "gaussians": 32,
                "hidden": [32],
                "norm": "layer",
            },
        ),
        "paper": Preset(
            "the size in the table of the concentric spherical GNN: 0.98 M parameters",
            {"hidden": [95], "norm": "layer"},
        ),
    }

    features: int = option(190, "Length of an atom's descriptor, n.", "Network", ge=2)
    interactions: int = option(6, "Rounds of message passing.", "Network", ge=1)
    gaussians: int = option(50, "Gaussians that expand a distance.", "Network", ge=2)
    cutoff: float = option(7.0, "Radius within which neighbours are found [Å].", "Network", gt=0)


def shifted_softplus(x: Tensor) -> Tensor:
    """``ln(e^x / 2 + 1 / 2)``, which is 0 at 0.

    Examples
    --------
    >>> shifted_softplus(torch.zeros(1)).item()
    0.0
    """
    return F.softplus(x) - math.log(2.0)


class _ShiftedSoftplus(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return shifted_softplus(x)


class _Interaction(nn.Module):
    """One round of message passing, added to the features of the atoms."""

    def __init__(self, width: int, gaussians: int) -> None:
        super().__init__()
        self.filter = nn.Sequential(
            nn.Linear(gaussians, width), _ShiftedSoftplus(), nn.Linear(width, width)
        )
        self.before = nn.Linear(width, width, bias=False)
        self.after = nn.Linear(width, width)
        self.activation = _ShiftedSoftplus()
        self.out = nn.Linear(width, width)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(
        self, feat: Tensor, expanded: Tensor, fade: Tensor, centres: Tensor, others: Tensor
    ) -> Tensor:
        messages = self.before(feat).index_select(0, others) * (self.filter(expanded) * fade)
        summed = torch.zeros_like(feat, dtype=messages.dtype).index_add(0, centres, messages)
        change: Tensor = self.out(self.activation(self.after(summed)))
        return feat + change


class SchNet(AtomModel):
    """The network of Schütt et al., "SchNet", J. Chem. Phys. 148, 241722, 2018, without its head.

    An embedding of each element; rounds of convolutions whose filters are functions of the distance
    between atoms, expanded in Gaussians, and fade to zero at the cutoff like a cosine. All periodic
    images within the cutoff are neighbours. Exactly rotation-invariant. The model cannot describe
    elements that it was not trained on.

    Parameters
    ----------
    hypers
        The model's options.
    elements
        Atomic numbers in the training data, below 100.

    Shapes
    ------
    :class:`~csgnn_dgl.mapping.neighbors.Neighbors` of ``A`` atoms → ``(A, features)``.
    """

    Hypers = SchNetHypers
    local = False
    invariant = True
    offsets: Tensor

    def __init__(self, hypers: SchNetHypers, elements: tuple[int, ...]) -> None:
        super().__init__(hypers, elements)
        self.features, self.cutoff = hypers.features, hypers.cutoff
        self.embedding = nn.Embedding(_ELEMENTS, hypers.features)
        self.interactions = nn.ModuleList(
            _Interaction(hypers.features, hypers.gaussians) for _ in range(hypers.interactions)
        )
        offsets = torch.linspace(0, hypers.cutoff, hypers.gaussians)
        self.register_buffer("offsets", offsets, persistent=False)

    def forward(self, neighbors: Neighbors) -> Tensor:
        """Descriptors of all atoms of a batch."""
        others = neighbors.require_indices()
        r = neighbors.displacements
        distance = (r.square().sum(dim=1, keepdim=True) + torch.finfo(r.dtype).tiny).sqrt()
        step = self.cutoff / (len(self.offsets) - 1)
        expanded = torch.exp(-((distance - self.offsets) ** 2) / (2 * step**2))
        # Augmentation may move a neighbour beyond the cutoff.
        fade = (1 + torch.cos(math.pi * (distance / self.cutoff).clamp(max=1))) / 2
        feat: Tensor = self.embedding(neighbors.centre_numbers)
        for interaction in self.interactions:
            feat = interaction(feat, expanded, fade, neighbors.centres, others)
        return feat
