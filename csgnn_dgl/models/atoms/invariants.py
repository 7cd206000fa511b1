"""Exact invariants of every atom's surroundings: sums over neighbours and power spectrum."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.mapping.neighbors import Neighbors
from csgnn_dgl.models.atoms.rows import NeighborRows
from csgnn_dgl.models.atoms.species import PROPERTIES, property_table

__all__ = ["InvariantKind", "Invariants", "OuterSums", "RunningNorm", "harmonics"]

InvariantKind = Literal["none", "sums", "all"]

# Gaussians of the radial sums; widths of the other sums; radial functions of the power spectrum.
_RADIAL, _WIDTHS, _SPECTRUM = 32, 12, 8
_DEGREES = 4
# Neighbours are padded to rows of equal length up to this multiple of their number.
_LARGEST_PADDING = 4


class RunningNorm(nn.Module):
    """Standardise rows by the mean and deviation of all rows of the training so far.

    In training too, the statistics are those of all batches together, not of the batch: what else
    is in a batch does not change a row. Without learned parameters.

    Parameters
    ----------
    channels
        Length of a row.

    Shapes
    ------
    ``(A, channels)`` → ``(A, channels)``.

    Examples
    --------
    >>> norm = RunningNorm(1)
    >>> norm(torch.tensor([[1.0], [3.0]])).flatten().tolist()[0] < 0
    True
    >>> norm.statistics.running_mean.item()
    2.0
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        # Without a momentum, the statistics are the mean over all batches. A module of its own, so
        # that several processes share it as they do every batch norm.
        self.statistics = nn.BatchNorm1d(channels, momentum=None, affine=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> RunningNorm:
        """Move the statistics, but keep them in single precision at least: so are the inputs."""
        before = dict(self.statistics.named_buffers())
        super()._apply(fn, recurse)
        for name, buffer in self.statistics.named_buffers():
            if buffer.is_floating_point() and buffer.itemsize < 4:
                kept = before[name].to(buffer.device, torch.float32)
                setattr(self.statistics, name, kept)
        return self

    def forward(self, input: Tensor) -> Tensor:
        """Standardise rows."""
        statistics = self.statistics
        if not self.training:
            out: Tensor = statistics(input)
            return out
        if len(input) > 1 or type(statistics) is not nn.BatchNorm1d:
            with torch.no_grad():
                statistics(input)
        mean, variance = statistics.running_mean, statistics.running_var
        assert mean is not None
        assert variance is not None
        return F.batch_norm(input, mean, variance, eps=statistics.eps)


def harmonics(u: Tensor) -> list[Tensor]:
    r"""Real spherical harmonics of degree 0 to 4, in Schmidt's semi-normalisation.

    With it, :math:`\sum_m Y_{lm}(u) Y_{lm}(v) = P_l(u \cdot v)`.

    Parameters
    ----------
    u
        Unit vectors, shape ``(P, 3)``.

    Returns
    -------
    list of Tensor
        For each degree the values, shape ``(P, 2l + 1)``.

    Examples
    --------
    >>> u, v = torch.tensor([[0.0, 0.6, 0.8]]), torch.tensor([[1.0, 0.0, 0.0]])
    >>> [round(float((a * b).sum()), 3) for a, b in zip(harmonics(u), harmonics(v), strict=True)]
    [1.0, 0.0, -0.5, 0.0, 0.375]
    """
    x, y, z = u.unbind(dim=1)
    xx, yy, zz = x * x, y * y, z * z
    root = math.sqrt
    degrees = [
        [torch.ones_like(x)],
        [x, y, z],
        [
            root(3) * x * y,
            root(3) * y * z,
            root(3) * x * z,
            (3 * zz - 1) / 2,
            root(3) / 2 * (xx - yy),
        ],
        [
            root(10) / 4 * y * (3 * xx - yy),
            root(10) / 4 * x * (xx - 3 * yy),
            root(15) * x * y * z,
            root(15) / 2 * z * (xx - yy),
            root(6) / 4 * y * (5 * zz - 1),
            root(6) / 4 * x * (5 * zz - 1),
            z * (5 * zz - 3) / 2,
        ],
        [
            root(35) / 2 * x * y * (xx - yy),
            root(35) / 8 * (xx * xx - 6 * xx * yy + yy * yy),
            root(70) / 4 * y * z * (3 * xx - yy),
            root(70) / 4 * x * z * (xx - 3 * yy),
            root(5) / 2 * x * y * (7 * zz - 1),
            root(5) / 4 * (xx - yy) * (7 * zz - 1),
            root(10) / 4 * y * z * (7 * zz - 3),
            root(10) / 4 * x * z * (7 * zz - 3),
            (35 * zz * zz - 30 * zz + 3) / 8,
        ],
    ]
    return [torch.stack(values, dim=1) for values in degrees]


class Invariants(nn.Module):
    r"""Numbers of every atom that no rotation, no order of atoms and no training changes.

    Its parts, each a continuous function of all positions, are

    - radial sums: :math:`\sum_j e^{-(r_j - \mu_n)^2 / 2 \sigma^2} f(r_j)` for 32 distances;
    - the scalar, vector and tensor sums of :class:`~csgnn_dgl.models.atoms.agni.AGNI` for 12
      widths, :math:`S, |V|` and the three invariants of :math:`T`;
    - with ``"all"``, the power spectrum of the neighbour density for 8 radial functions and the
      degrees 0 to 4: :math:`p_{n n' l} = \sum_m c_{n l m} c_{n' l m}` with
      :math:`c_{n l m} = \sum_j R_n(r_j) Y_{l m}(u_j)` and
      :math:`R_n(r) = \sin(n \pi r / r_c)\, f(r) / r` (Bartók, Kondor and Csányi, Phys. Rev. B 87,
      184115, 2013, doi 10.1103/PhysRevB.87.184115).

    :math:`f` falls to zero at the cutoff. With several elements, there are the same sums with each
    neighbour weighed by its tabulated properties
    (:data:`~csgnn_dgl.models.atoms.species.PROPERTIES`), so the length does not grow with the
    number of elements, and any element can be described. An inverse hyperbolic sine brings all to
    similar sizes, and :class:`RunningNorm` standardises them.

    Parameters
    ----------
    kind
        ``"sums"``: radial, scalar, vector and tensor sums. ``"all"``: the power spectrum, too.
    cutoff
        Radius beyond which neighbours do not count [Å].
    properties
        Whether to weigh neighbours by the properties of their elements.

    Shapes
    ------
    :class:`~csgnn_dgl.mapping.neighbors.Neighbors` of ``A`` atoms → ``(A, features)``.

    Raises
    ------
    ConfigError
        The kind is unknown.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from csgnn_dgl.mapping.neighbors import find_neighbors
    >>> found = find_neighbors([bulk("C", "diamond", 3.57)], cutoff=5.0)
    >>> Invariants("sums", 5.0)(found.to("cpu", torch.float32)).shape
    torch.Size([2, 92])
    """

    middles: Tensor
    widths: Tensor
    table: Tensor

    def __init__(
        self, kind: Literal["sums", "all"], cutoff: float, *, properties: bool = False
    ) -> None:
        super().__init__()
        if kind not in get_args(InvariantKind)[1:]:
            raise ConfigError(f"the kind of invariants is {kind!r}, but it must be 'sums' or 'all'")
        self.kind, self.cutoff = kind, cutoff
        self.channels = 1 + len(PROPERTIES) if properties else 1
        pairs = _SPECTRUM * (_SPECTRUM + 1) // 2
        own = _RADIAL + 5 * _WIDTHS + (pairs * (_DEGREES + 1) if kind == "all" else 0)
        self.features = own * self.channels
        self.register_buffer("middles", torch.linspace(0, cutoff, _RADIAL + 1)[1:].clone(), False)
        self.register_buffer("widths", torch.logspace(-0.6, 0.85, _WIDTHS), False)
        table = torch.ones(119, self.channels)
        if properties:
            table[:, 1:] = property_table()
        self.register_buffer("table", table, False)
        self.norm = RunningNorm(self.features)

    def forward(self, neighbors: Neighbors) -> Tensor:
        """Invariants of all atoms of a batch, standardised."""
        # Half precisions cannot hold what spans so many orders of magnitude.
        dtype = neighbors.displacements.dtype
        with torch.autocast(neighbors.displacements.device.type, enabled=False):
            found = self.norm(self.raw(neighbors))
        return found.to(dtype)

    def raw(self, neighbors: Neighbors) -> Tensor:
        """Invariants before they are standardised, in single precision at least."""
        r = neighbors.displacements
        r = r.to(torch.promote_types(r.dtype, torch.float32))
        distance = (r.square().sum(dim=1) + torch.finfo(r.dtype).tiny).sqrt()
        # Augmentation may move a neighbour beyond the cutoff.
        inside = (distance / self.cutoff).clamp(max=1)
        fade = (1 + torch.cos(math.pi * inside)) / 2
        kinds = self.table[neighbors.numbers].to(r.dtype) * fade[:, None]
        sums = OuterSums(neighbors)
        radial = sums(self._radial(distance), kinds)[..., 0]
        tensors = sums(self._weights(distance), kinds, _outer_products(r))
        scalar, vector, tensor = tensors.split([1, 3, 6], dim=3)
        found = [
            radial,
            scalar[..., 0],
            *_invariants(
                vector / (2 * self.widths**2)[:, None], tensor / (4 * self.widths**4)[:, None]
            ),
        ]
        if self.kind == "all":
            directions = torch.cat(harmonics(r / distance[:, None]), dim=1)
            moments = sums(self._basis(distance, inside), kinds, directions)
            found += _spectrum(moments.split([2 * n + 1 for n in range(_DEGREES + 1)], dim=3))
        return torch.asinh(torch.cat([value.flatten(1) for value in found], dim=1))

    def _radial(self, distance: Tensor) -> Tensor:
        step = self.cutoff / _RADIAL
        return torch.exp(-((distance[:, None] - self.middles) ** 2) / (2 * step**2))

    def _weights(self, distance: Tensor) -> Tensor:
        return torch.exp(-(distance[:, None] ** 2) / (2 * self.widths**2))

    def _basis(self, distance: Tensor, inside: Tensor) -> Tensor:
        """Radial functions R of the power spectrum, without f."""
        order = torch.arange(1, _SPECTRUM + 1, dtype=distance.dtype, device=distance.device)
        return torch.sin(math.pi * order * inside[:, None]) / distance[:, None]

    def extra_repr(self) -> str:
        return f"{self.kind!r}, cutoff={self.cutoff}, channels={self.channels}"


class OuterSums:
    r"""Sums of products over the neighbours j of every atom, :math:`\sum_j a_{jk} b_{jm} c_{jp}`.

    All products of one neighbour are not kept where they need not be: with the neighbours of each
    atom in a row of their own, the sums are matrix products. Compilers get sums by index, because
    the longest row depends on the data; so do atoms of which few have most neighbours.

    Parameters
    ----------
    neighbors
        ``P`` neighbours of ``A`` atoms.
    """

    def __init__(self, neighbors: Neighbors) -> None:
        self.centres, self.atoms = neighbors.centres, neighbors.n_atoms
        self.rows: NeighborRows | None = None
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return
        rows = NeighborRows(self.centres, self.atoms)
        if 0 < rows.width * self.atoms <= _LARGEST_PADDING * len(self.centres):
            self.rows = rows

    def __call__(self, radial: Tensor, kinds: Tensor, angular: Tensor | None = None) -> Tensor:
        """Sums of products.

        Shapes: ``(P, K)``, ``(P, C)`` and ``(P, M)`` → ``(A, C, K, M)``; without ``angular``, M is
        1.
        """
        if angular is None:
            angular = torch.ones_like(radial[:, :1])
        if self.rows is None:
            # One channel at a time, so that no product of all channels is kept.
            products = (radial[:, :, None] * angular[:, None]).flatten(1)
            summed = [
                products.new_zeros(self.atoms, products.shape[1]).index_add(
                    0, self.centres, products * kind[:, None]
                )
                for kind in kinds.unbind(dim=1)
            ]
            return torch.stack(summed, dim=1).unflatten(2, (radial.shape[1], angular.shape[1]))
        right = (kinds[:, :, None] * angular[:, None]).flatten(1)
        sums = self.rows(radial).transpose(1, 2) @ self.rows(right)
        return sums.unflatten(2, (kinds.shape[1], angular.shape[1])).transpose(1, 2)


def _outer_products(r: Tensor) -> Tensor:
    """1, the vectors and their outer products: x, y, z, xx, yy, zz, xy, yz, xz."""
    x, y, z = r.unbind(1)
    return torch.stack(
        [torch.ones_like(x), x, y, z, x * x, y * y, z * z, x * y, y * z, x * z], dim=1
    )


def _invariants(vector: Tensor, tensor: Tensor) -> list[Tensor]:
    """Length of vectors ``(…, 3)``, and the invariants of symmetric tensors ``(…, 6)``."""
    # The norm has no gradient at zero (a centre of symmetry); this makes it 0.
    length = (vector.square().sum(dim=-1) + torch.finfo(vector.dtype).tiny).sqrt()
    a, b, c, d, e, f = tensor.unbind(dim=-1)  # xx, yy, zz, xy, yz, xz
    minors = a * b + b * c + a * c - d * d - e * e - f * f
    determinant = a * (b * c - e * e) - d * (d * c - e * f) + f * (d * e - b * f)
    return [length, a + b + c, minors, determinant]


def _spectrum(moments: Sequence[Tensor]) -> list[Tensor]:
    """Products of moments ``(A, C, N, 2l + 1)`` of one degree, for each pair of functions once."""
    first, second = torch.triu_indices(_SPECTRUM, _SPECTRUM, device=moments[0].device)
    return [(c @ c.transpose(-1, -2))[..., first, second] for c in moments]
