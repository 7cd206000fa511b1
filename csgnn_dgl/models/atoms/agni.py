"""A hand-crafted, rotation-invariant fingerprint of every atom."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from csgnn_dgl.config import Preset, option
from csgnn_dgl.mapping.neighbors import Neighbors
from csgnn_dgl.models.atoms.species import SpeciesEmbedding
from csgnn_dgl.models.contract import AtomModel
from csgnn_dgl.models.hypers import Hypers

__all__ = ["AGNI", "AGNIHypers"]


class AGNIHypers(Hypers):
    """Options of :class:`AGNI`."""

    presets = {  # noqa: RUF012 (the base declares it a class variable, so pydantic ignores it)
        "quick": Preset("few epochs: a first result in minutes on two cores", {"features": 256}),
        "compact": Preset(
            "trained for longer on few atoms of many structures: for data with curves of atoms",
            {"features": 256},
        ),
        "paper": Preset(
            "the size in the table of the concentric spherical GNN: 0.39 M parameters",
            # Three layers of one width, as the table does not say how its network is divided.
            {"features": 338, "hidden": [338, 338]},
        ),
    }

    cutoff: float = option(7.0, "Radius within which neighbours are found [Å].", "Network", gt=0)
    gaussians: int = option(
        32, "Number of Gaussians, with widths from 0.25 to 7.1 Å.", "Network", ge=1
    )
    features: int = option(512, "Length of an atom's descriptor.", "Network", ge=1)


class AGNI(AtomModel):
    r"""Linear map of the scalar, vector and tensor sums over neighbours by Botu et al.

    The sums are those of J. Phys. Chem. C 121, 511, 2017, doi 10.1021/acs.jpcc.6b10908.
    Chandrasekaran et al. used them for densities of states, npj Comput. Mater. 5, 22, 2019, doi
    10.1038/s41524-019-0162-7:

    .. math:: S_k = \sum_j e^{-r^2/2\sigma_k^2} f, \quad
              V_k^a = \sum_j \frac{r^a}{2\sigma_k^2} e^{…} f, \quad
              T_k^{ab} = \sum_j \frac{r^a r^b}{4\sigma_k^4} e^{…} f

    The features :math:`S`, :math:`|V|` and the three invariants of :math:`T` are standardised and
    mapped linearly to the descriptor. There are separate sums for the neighbours of each element.
    The element of the central atom is added as an embedding. The model cannot describe elements
    that it was not trained on.

    Parameters
    ----------
    hypers
        The model's options.
    elements
        Atomic numbers in the training data.

    Shapes
    ------
    :class:`~csgnn_dgl.mapping.neighbors.Neighbors` of ``A`` atoms → ``(A, features)``.
    """

    Hypers = AGNIHypers
    invariant = True
    sigma: Tensor
    place: Tensor

    def __init__(self, hypers: AGNIHypers, elements: tuple[int, ...]) -> None:
        super().__init__(hypers, elements)
        self.features, self.cutoff = hypers.features, hypers.cutoff
        widths = torch.logspace(-0.6, 0.85, hypers.gaussians)
        self.register_buffer("sigma", widths, persistent=False)
        # A model that was trained on one element treats all neighbours as that element.
        place = torch.zeros(119, dtype=torch.int64)
        place[list(self.elements)] = torch.arange(len(self.elements))
        self.register_buffer("place", place, persistent=False)
        size = 5 * hypers.gaussians * len(self.elements)
        self.standard = nn.BatchNorm1d(size)
        self.project = nn.Linear(size, hypers.features)
        self.centre: SpeciesEmbedding | None = None
        if len(self.elements) > 1:
            self.centre = SpeciesEmbedding(self.elements, hypers.features)
        self.norm = nn.BatchNorm1d(hypers.features)

    def fingerprint(self, neighbors: Neighbors) -> Tensor:
        """The invariants of every atom, shape ``(A, 5 · gaussians · elements)``."""
        # Half precisions cannot hold what spans so many orders of magnitude.
        dtype = neighbors.displacements.dtype
        r = neighbors.displacements.to(torch.promote_types(dtype, torch.float32))
        distance = r.norm(dim=1)
        fade = (1 + torch.cos(torch.pi * (distance / self.cutoff).clamp(max=1))) / 2
        weight = torch.exp(-(distance[:, None] ** 2) / (2 * self.sigma**2)) * fade[:, None]
        kinds = len(self.elements)
        size = (neighbors.n_atoms * kinds, len(self.sigma))
        index = neighbors.centres * kinds + self.place[neighbors.numbers]
        scalar = weight.new_zeros(size).index_add(0, index, weight)
        vector = weight.new_zeros(*size, 3).index_add(
            0, index, (weight / (2 * self.sigma**2))[:, :, None] * r[:, None, :]
        )
        outer = (r[:, :, None] * r[:, None, :]).flatten(1)
        tensor = weight.new_zeros(*size, 9).index_add(
            0, index, (weight / (4 * self.sigma**4))[:, :, None] * outer[:, None, :]
        )
        t = tensor.view(*size, 3, 3)
        trace = t.diagonal(dim1=-2, dim2=-1).sum(-1)
        minors = (trace**2 - (t @ t).diagonal(dim1=-2, dim2=-1).sum(-1)) / 2
        # The norm has no gradient at zero (a single atom, a centre of symmetry); this makes it 0.
        length = (vector.square().sum(dim=-1) + torch.finfo(vector.dtype).tiny).sqrt()
        # By definition: a factorisation divides by pivots, which may underflow where neighbours are
        # far away.
        first, second, third = t.unbind(dim=-2)
        determinant = (first * torch.linalg.cross(second, third)).sum(-1)
        invariants = [scalar, length, trace, minors, determinant]
        # The invariants span many orders of magnitude.
        flat = torch.cat([torch.asinh(value) for value in invariants], dim=1)
        return flat.view(neighbors.n_atoms, kinds * flat.shape[1]).to(dtype)

    def forward(self, neighbors: Neighbors) -> Tensor:
        """Descriptors of all atoms of a batch."""
        out = self.project(self.standard(self.fingerprint(neighbors)))
        if self.centre is not None:
            out = out + self.centre(neighbors.centre_numbers)
        return F.relu(self.norm(out))
