"""Density of states of atomic structures, atom by atom (Fig. 7 of the paper)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.mapping import AtomAssignment, AtomMapping
from csgnn_dgl.mapping.neighbors import Neighbors
from csgnn_dgl.models.encoder import CSGNN, EncoderConfig
from csgnn_dgl.models.species import SpeciesEmbedding

__all__ = ["AtomEncoder", "AtomEncoderConfig", "DOSConfig", "DOSModel"]


@dataclass(frozen=True)
class AtomEncoderConfig:
    """Sizes of an :class:`AtomEncoder`; the defaults are the paper's.

    Parameters
    ----------
    elements
        Atomic numbers that it is trained on. With a single one neighbours carry no embedding, and
        the encoder is exactly the paper's.
    level, n_spheres, channels
        Icosahedral level, spheres kept as space ``R``, and shells grouped to channels ``C``.
    r_min, cutoff
        Shells lie between these [Å].
    assignment
        See :class:`~csgnn_dgl.mapping.AtomMapping`.
    base_width
        Channels after the first convolution.
    kernel_size
        Of the radial convolutions; 1 where ``R = 1``.
    pooling
        Between levels, and over the vertices of the coarsest.
    features
        Length of the descriptor.
    embedding
        Numbers in the embedding of a neighbour's element.

    Raises
    ------
    ConfigError
        No elements, or sizes that are none.
    """

    elements: tuple[int, ...]
    level: int = 3
    n_spheres: int = 1
    channels: int = 32
    r_min: float = 1.0
    cutoff: float = 7.0
    assignment: AtomAssignment = "nearest"
    base_width: int = 32
    kernel_size: int = 3
    pooling: str = "mean"
    features: int = 512
    embedding: int = 8

    def __post_init__(self) -> None:
        elements = tuple(sorted({int(number) for number in self.elements}))
        object.__setattr__(self, "elements", elements)
        if not elements or elements[0] < 1 or elements[-1] > 118:
            raise ConfigError(f"elements are atomic numbers from 1 to 118, not {self.elements}")
        if self.features < 1 or self.embedding < 1:
            raise ConfigError("features and embedding must be at least 1")

    @property
    def has_embedding(self) -> bool:
        """Whether elements are told apart."""
        return len(self.elements) > 1

    @property
    def encoder(self) -> EncoderConfig:
        """Sizes of the encoder: Fig. 7's pattern, for any level and first width."""
        widths = [self.base_width * 2**step for step in range(self.level + 1)]
        return EncoderConfig(
            self.level,
            self.n_spheres,
            self.channels * (self.embedding if self.has_embedding else 1),
            (*((w, w) for w in widths[:-1]), (widths[-1],)),
            (*((2 * w, 2 * w) for w in widths[:-1]), ()),
            kernel_size=self.kernel_size if self.n_spheres > 1 else 1,
            # A plain string here; EncoderConfig checks it.
            pooling=self.pooling,  # type: ignore[arg-type]
            global_pooling=self.pooling,  # type: ignore[arg-type]
            concatenate=False,
        )


class AtomEncoder(nn.Module):
    """A descriptor of every atom, from its neighbours on concentric spheres around it.

    Parameters
    ----------
    config
        Sizes.

    Shapes
    ------
    :class:`~csgnn_dgl.mapping.neighbors.Neighbors` of ``A`` atoms → ``(A, features)``.
    """

    def __init__(self, config: AtomEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.mapping = AtomMapping(
            config.level,
            config.n_spheres,
            config.channels,
            r_min=config.r_min,
            cutoff=config.cutoff,
            assignment=config.assignment,
        )
        self.species: SpeciesEmbedding | None = None
        self.centre: SpeciesEmbedding | None = None
        if config.has_embedding:
            self.species = SpeciesEmbedding(config.elements, config.embedding)
            self.centre = SpeciesEmbedding(config.elements, config.features)
        self.encoder = CSGNN(config.encoder)
        self.project = nn.Linear(config.encoder.global_features, config.features)
        self.norm = nn.BatchNorm1d(config.features)

    def forward(self, neighbors: Neighbors) -> Tensor:
        """Descriptors of all atoms of a batch."""
        features = None if self.species is None else self.species(neighbors.numbers)
        sites = self.mapping(
            neighbors.displacements, neighbors.centres, neighbors.n_atoms, features
        )
        out = self.project(self.encoder(sites))
        if self.centre is not None:
            out = out + self.centre(neighbors.centre_numbers)
        return F.relu(self.norm(out))


@dataclass(frozen=True)
class DOSConfig:
    """Sizes of a :class:`DOSModel`; ``bins=310`` and one element make the paper's.

    Parameters
    ----------
    atoms
        Sizes of the encoder.
    bins
        Energies of the curve.
    hidden
        Widths of the head's hidden layers.
    dropout
        Probability, before each linear layer of the head.
    norm
        ``"batch"``: every layer of the head ends in batch norm, as in the paper. The mean output
        over a training batch is then the same for every batch, whatever structures are in it.
        ``"layer"``: hidden layers end in layer norm, the last one in none, so that an atom's curve
        never depends on the rest of the batch.

    Raises
    ------
    ConfigError
        Sizes that make no head.
    """

    atoms: AtomEncoderConfig
    bins: int
    hidden: tuple[int, ...] = (512, 512)
    dropout: float = 0.0
    norm: Literal["batch", "layer"] = "batch"

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(int(width) for width in self.hidden))
        if self.bins < 2 or any(width < 1 for width in self.hidden):
            raise ConfigError(f"{self.bins} bins and hidden layers of {self.hidden} make no head")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout}, but it must be within 0 … 1")
        if self.norm not in ("batch", "layer"):
            raise ConfigError(f"norm must be 'batch' or 'layer', not {self.norm!r}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for headers."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DOSConfig:
        """Read back what :meth:`to_dict` gave, also after a trip through JSON."""
        atoms = {**values["atoms"], "elements": tuple(values["atoms"]["elements"])}
        return cls(**{**values, "atoms": AtomEncoderConfig(**atoms)})


class DOSModel(nn.Module):
    """The density of states of structures as the mean of their atoms' contributions.

    Figure 7 of "Concentric Spherical GNN for 3D Representation Learning": 1,061,998 parameters
    with the default sizes, one element and 310 bins. Every layer of the head ends in a ReLU, so no
    density is negative. Atoms are never padded: batch norm sees real ones only.

    Parameters
    ----------
    config
        Sizes.

    Shapes
    ------
    :class:`~csgnn_dgl.mapping.neighbors.Neighbors` → ``(n_structures, bins)`` [states per unit of
    energy and atom].

    Examples
    --------
    >>> from ase.build import bulk
    >>> from csgnn_dgl.mapping.neighbors import find_neighbors
    >>> model = DOSModel(DOSConfig(AtomEncoderConfig((6,), level=1, channels=8), bins=20)).eval()
    >>> found = find_neighbors([bulk("C", "diamond", 3.57)], model.config.atoms.cutoff)
    >>> model(found.to("cpu", torch.float32)).shape
    torch.Size([1, 20])
    """

    def __init__(self, config: DOSConfig) -> None:
        super().__init__()
        self.config = config
        self.atoms = AtomEncoder(config.atoms)
        layers: list[nn.Module] = []
        width = config.atoms.features
        for index, out in enumerate((*config.hidden, config.bins)):
            if config.dropout:
                layers.append(nn.Dropout(config.dropout))
            layers.append(nn.Linear(width, out))
            if config.norm == "batch":
                layers.append(nn.BatchNorm1d(out))
            elif index < len(config.hidden):
                layers.append(nn.LayerNorm(out))
            layers.append(nn.ReLU(inplace=True))
            width = out
        self.head = nn.Sequential(*layers)
        self.smooth = nn.Conv1d(1, 3, 3, padding=1)

    @torch.no_grad()
    def calibrate(self, curves: Tensor) -> None:
        """Let an untrained model give curves of the right kind: a start, not a constraint.

        The last layer's weights become a random mix of the principal components of the training
        curves, each in proportion to its spread, around their mean. So bins vary together from the
        beginning as they do in the data, and what varies most is learned first.

        Parameters
        ----------
        curves
            Training curves, of atoms where they are known, shape ``(n, bins)``; NaN where a bin is
            not defined.
        """
        mean = curves.nanmean(dim=0).nan_to_num()
        centred = (curves - mean).nan_to_num()
        covariance = centred.T @ centred / len(curves)
        variances, components = torch.linalg.eigh(covariance.double())
        spread = components * variances.clamp(min=0).sqrt()  # (bins, components)
        linear = [layer for layer in self.head if isinstance(layer, nn.Linear)][-1]
        mix = torch.randn(len(mean), linear.in_features).double()
        linear.weight.copy_(spread @ mix / linear.in_features**0.5)
        norm = self.head[-2]
        if isinstance(norm, nn.BatchNorm1d):
            norm.bias.copy_(mean)
            norm.weight.copy_(covariance.diagonal().sqrt())
        else:
            linear.bias.copy_(mean)
        # Three kernels that differ, so that they learn apart, and keep a smooth curve as it is.
        kernels = [[0.0, 1.0, 0.0], [0.25, 0.5, 0.25], [0.1, 0.8, 0.1]]
        self.smooth.weight.copy_(torch.tensor(kernels)[:, None])
        assert self.smooth.bias is not None
        self.smooth.bias.zero_()

    def per_atom(self, neighbors: Neighbors) -> Tensor:
        """Each atom's own curve, shape ``(A, bins)``: a projected density of states."""
        return self.curves(self.atoms(neighbors))

    def curves(self, descriptors: Tensor) -> Tensor:
        """Curves ``(A, bins)`` of atoms with these descriptors ``(A, features)``."""
        curves = self.head(descriptors)
        return F.relu(self.smooth(curves[:, None])).mean(dim=1)

    def forward(self, neighbors: Neighbors) -> Tensor:
        """Curves of all structures of a batch."""
        return structure_mean(self.per_atom(neighbors), neighbors)


def structure_mean(values: Tensor, neighbors: Neighbors) -> Tensor:
    """Mean over the atoms of each structure: ``(A, …)`` → ``(n_structures, …)``."""
    out = values.new_zeros(neighbors.n_structures, *values.shape[1:])
    out = out.index_add(0, neighbors.structures, values)
    counts = torch.bincount(neighbors.structures, minlength=neighbors.n_structures)
    return out / counts.clamp(min=1).to(values.dtype).view(-1, *[1] * (values.dim() - 1))
