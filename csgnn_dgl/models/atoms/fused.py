r"""Inference of :class:`~csgnn_dgl.models.atoms.csgnn.AtomCSGNN` with one sphere, without sites.

The mapping puts each neighbour on two shells and three vertices, so nearly all of its site features
are zero, and the first layer multiplies zeros. Here the layer's weights are looked up instead. With
radial weights :math:`r_s`, angular weights :math:`a_v` and the embedding :math:`e` of a neighbour,

.. math:: x_{v} Z = \sum_j a_v(j) \sum_s r_s(j)\, e(j) Z_s

where :math:`e Z_s` is a row of a table with an entry for each element and shell. What follows are
matrix products on few vertices: neighbour sums and pooling are products with small matrices, too.

Nothing of this can be noticed but by the time. Where a module has hooks or was replaced, where
gradients are wanted, and wherever a step is not one of those above, :func:`encoded` returns None.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F

from csgnn_dgl.grid import ConcentricGrid, Icosphere
from csgnn_dgl.mapping import AtomMapping
from csgnn_dgl.mapping.neighbors import Neighbors
from csgnn_dgl.models.atoms.species import SpeciesEmbedding
from csgnn_dgl.models.encoder import CSGNN
from csgnn_dgl.nn import IntraConv, VertexPool
from csgnn_dgl.nn.bypass import recognised, untouched
from csgnn_dgl.nn.fuse import fuse_batch_norm, is_fixed

if TYPE_CHECKING:
    from csgnn_dgl.models.atoms.csgnn import AtomCSGNN

__all__ = ["ATOMS_AT_ONCE", "can_fuse", "encoded"]

#: Atoms for which layers are prepared once. Their neighbours' weights take some 20 MB.
ATOMS_AT_ONCE = 1024
# Size of the widest features of a piece, which stays in a cache of the second level.
_PIECE_BYTES = 3 << 18
# Largest level at which sums over neighbours are products with dense matrices.
_LEVEL = 1
# Elements of the table of the first layer; all that exist.
_ELEMENTS = 119

for _kind in (AtomMapping, SpeciesEmbedding, CSGNN):
    recognised(_kind)


def can_fuse(model: AtomCSGNN) -> bool:
    """Whether the sizes and options of a model are those that :func:`encoded` computes."""
    config, mapping = model.encoder.config, model.mapping
    return (
        mapping.assignment == "smooth"
        and mapping.n_spheres == config.n_spheres == 1
        and mapping.level == config.level <= _LEVEL
        and set(config.sphere_levels or [config.level]) == {config.level}
        and mapping.channels > 1
        and config.filter_order == 0
        and not config.gradients
        and config.norm == "batch"
        and config.pooling == "mean"
        and tuple(config.readout) == ("pool",)
        and not config.concatenate
        and config.global_pooling == "mean"
        and all(len(widths) > 0 for widths in config.intra_widths)
    )


def encoded(model: AtomCSGNN, neighbors: Neighbors) -> Tensor | None:
    """The encoder's features of all atoms, shape ``(A, F)``; None where it has to be called."""
    vectors, centres = neighbors.displacements, neighbors.centres
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return None
    if type(vectors) is not Tensor or vectors.device.type != "cpu":
        return None
    if torch.is_autocast_enabled("cpu") or not len(vectors) or forward_ad._current_level >= 0:
        return None
    if not _is_plain(model, vectors.dtype) or bool((centres.diff() < 0).any()):
        return None
    layers = _Layers.of(model)
    distance = vectors.norm(dim=1)
    # About neighbours beyond the cutoff, or at no distance, the mapping decides.
    if not bool((distance.min() > 0) & (distance.max() <= model.mapping.cutoff)):
        return None
    rows, radial = _shells(model, neighbors.numbers, distance)
    vertices, angular = _vertices(model.mapping.level, vectors)
    counts = torch.bincount(centres, minlength=neighbors.n_atoms)
    stops = counts.cumsum(0)
    rank = torch.arange(len(centres)) - (stops - counts)[centres]
    cuts = [0, *stops.tolist()]
    widest = max(weight.shape[0] for weight, _ in layers.weights)
    size = len(layers.sums[0]) * widest * vectors.element_size()
    step = max(_PIECE_BYTES // size, 1)
    found = []
    for start in range(0, neighbors.n_atoms, step):
        stop = min(start + step, neighbors.n_atoms)
        pairs = slice(cuts[start], cuts[stop])
        width = max(int(counts[start:stop].max()), 1)
        place = (centres[pairs] - start) * width + rank[pairs]
        padded = (stop - start, width)
        values = _looked_up(layers.table, rows[pairs], radial[pairs], place, padded)
        sites = _seen(vertices[pairs], angular[pairs], place, (*padded, len(layers.sums[0])))
        # (A, V, n) · (A, n, F), then vertices first.
        feat = torch.bmm(sites.transpose(1, 2), values).transpose(0, 1).contiguous()
        found.append(layers(feat))
    return torch.cat(found)


def _is_plain(model: AtomCSGNN, dtype: torch.dtype) -> bool:
    """Whether calling the modules would do nothing but what is computed here."""
    species = model.species
    if not untouched(model.mapping, AtomMapping) or not untouched(model.encoder, CSGNN):
        return False
    if species is not None and not (
        untouched(species, SpeciesEmbedding) and untouched(species.linear, nn.Linear)
    ):
        return False
    for module in model.encoder.modules():
        if module is not model.encoder and not untouched(module):
            return False
        if isinstance(module, nn.BatchNorm1d) and not is_fixed(module):
            return False
    return can_fuse(model) and all(
        p.dtype == dtype and type(p) is nn.Parameter and p.device.type == "cpu"
        for p in model.parameters()
    )


def _shells(model: AtomCSGNN, numbers: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
    """Row of the first of each neighbour's two shells ``(P,)``, and weights of both ``(P, 2)``."""
    mapping = model.mapping
    count = mapping.channels
    place = (distance - mapping.r_min) * (count / (mapping.cutoff - mapping.r_min))
    place = (place - 0.5).clamp_(0, count - 1)
    lower = place.floor().clamp_(max=count - 2)
    share = place - lower
    # Together with 1/d and the factor that fades at the cutoff.
    fade = torch.cos(distance * (torch.pi / mapping.cutoff)).add_(1).div_(distance).mul_(0.5)
    rows = lower.long()
    if model.species is not None:
        rows += numbers * count
    second = share * fade
    return rows, torch.stack([fade - second, second], dim=1)


@cache
def _octant(level: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Faces of the first octant, and the vertices that they are in each octant.

    The icosphere is its own mirror image in the three coordinate planes. So a direction is mirrored
    into the first octant, in which few faces are.

    Returns
    -------
    tuple
        Inverse of the corners of each face, ``(faces · 3, 3)``: its products with a direction are
        the shares of the corners, up to a factor. Corners by octant and face ``(8 · faces, 3)``.
        Number that each negative component adds to the octant, ``(3,)``.
    """
    sphere = Icosphere.get(level)
    vertices = sphere.vertices
    corners = vertices[sphere.faces]
    inside = np.flatnonzero((corners.sum(axis=1) > -1e-9).all(axis=1))
    inverse = np.linalg.inv(corners[inside].transpose(0, 2, 1))
    ids = []
    for octant in range(8):
        signs = np.array([-1.0 if octant >> axis & 1 else 1.0 for axis in range(3)])
        image = ((vertices[:, None] * signs - vertices) ** 2).sum(axis=-1).argmin(axis=1)
        ids.append(image[sphere.faces[inside]])
    return (
        torch.from_numpy(inverse.reshape(-1, 3)).to(dtype),
        torch.from_numpy(np.concatenate(ids)).long(),
        torch.tensor([1, 2, 4]),
    )


def _vertices(level: int, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Vertices ``(P, 3)`` of the face of each direction, and their shares ``(P, 3)``."""
    inverse, ids, powers = _octant(level, vectors.dtype)
    shares = (inverse @ vectors.abs().t()).view(len(inverse) // 3, 3, -1)
    # Inside a direction's own face no share is negative.
    face = shares.amin(dim=1).max(dim=0).indices
    octant = ((vectors < 0) * powers).sum(dim=1)
    own = shares.gather(0, face.expand(1, 3, -1))[0].clamp_(min=0)
    corners = ids.index_select(0, octant * (len(inverse) // 3) + face)
    return corners, (own / own.sum(dim=0)).t()


def _looked_up(
    table: Tensor, rows: Tensor, radial: Tensor, place: Tensor, padded: tuple[int, int]
) -> Tensor:
    """What each neighbour adds to the first layer, ``(A, n, F)``; zero where there is none."""
    atoms, width = padded
    index = rows.new_zeros(atoms * width, 2)
    index[place] = torch.stack([rows, rows + 1], dim=1)
    weight = radial.new_zeros(atoms * width, 2)
    weight[place] = radial
    found = F.embedding_bag(index, table, per_sample_weights=weight, mode="sum")
    return found.view(atoms, width, -1)


def _seen(vertices: Tensor, angular: Tensor, place: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Weight of each neighbour at every vertex, ``(A, n, V)``."""
    found = angular.new_zeros(shape)
    index = (place * shape[2])[:, None] + vertices
    found.view(-1).scatter_(0, index.flatten(), angular.flatten())
    return found


class _Layers:
    """The layers with their batch norm, as matrices.

    Parameters
    ----------
    table
        What a neighbour of unit weight adds to the first layer, by element and shell
        ``(elements · shells, F)``. If the layer's block adds its input, ``C`` more columns hold
        that.
    weights
        Weight and bias of each layer, in their order; of the first only the bias is used.
    sums, pools
        Sums over neighbours ``(V, V)`` of each level, and the pooling after it.
    """

    def __init__(
        self,
        model: AtomCSGNN,
        table: Tensor,
        weights: list[tuple[Tensor, Tensor]],
        sums: list[Tensor],
        pools: list[Tensor],
    ) -> None:
        self.model, self.table, self.weights = model, table, weights
        self.sums, self.pools = sums, pools

    @classmethod
    def of(cls, model: AtomCSGNN) -> _Layers:
        """Prepare the layers of a model as it is now."""
        encoder, config = model.encoder, model.encoder.config
        stages: list[Any] = list(encoder.levels)
        weights = []
        for stage in stages:
            for block in (*stage.intra, *stage.radial):
                conv = block.conv
                # On one sphere, only the middle of a radial kernel has something to see.
                weight = (
                    conv.weight.t()
                    if isinstance(conv, IntraConv)
                    else conv.weight[:, :, conv.weight.shape[2] // 2]
                )
                weights.append(fuse_batch_norm(weight, conv.bias, block.norm))
        dtype = weights[0][0].dtype
        first = weights[0][0].view(len(weights[0][0]), model.mapping.channels, -1)
        if model.species is None:
            kinds = torch.ones(1, 1, dtype=dtype)
        else:
            kinds = model.species(torch.arange(_ELEMENTS)).to(dtype)
        table = torch.einsum("ze,fke->zkf", kinds, first).flatten(0, 1)
        if stages[0].intra[0].residual:
            # The block adds its input, so the sites are needed, too.
            shells = torch.eye(model.mapping.channels, dtype=dtype)
            sites = torch.einsum("ze,kl->zkle", kinds, shells).flatten(2).flatten(0, 1)
            table = torch.cat([table, sites], dim=1)
        levels = range(config.level, config.level - len(stages), -1)
        sums = [_neighbor_sums(level, config.self_loop, dtype) for level in levels]
        pools = [_pooling(level, dtype) for level in levels[:-1]]
        return cls(model, table.contiguous(), weights, sums, pools)

    def __call__(self, feat: Tensor) -> Tensor:
        """From the first layer's products ``(V, A, F)`` to features of atoms ``(A, F)``."""
        weights = iter(self.weights)
        is_first = True
        stages: list[Any] = list(self.model.encoder.levels)
        for index, level in enumerate(stages):
            sums = self.sums[index]
            for block in level.intra:
                weight, bias = next(weights)
                own = feat if block.residual else None
                if is_first:
                    feat, own = feat[..., : len(bias)], feat[..., len(bias) :]
                    feat, is_first = _mixed(sums, feat).add_(bias), False
                    own = own if block.residual else None
                elif weight.shape[1] <= weight.shape[0]:
                    feat = F.linear(_mixed(sums, feat), weight, bias)
                else:
                    feat = _mixed(sums, F.linear(feat, weight)).add_(bias)
                feat = feat.relu_()
                if own is not None:
                    feat = feat.add_(own)
            for _ in level.radial:
                feat = F.linear(feat, *next(weights)).relu_()
            if index < len(self.pools):
                feat = _mixed(self.pools[index], feat)
        return feat.mean(dim=0)


def _mixed(matrix: Tensor, feat: Tensor) -> Tensor:
    """Product of a matrix with the vertices of features ``(V, A, F)``."""
    return (matrix @ feat.flatten(1)).view(-1, *feat.shape[1:])


@cache
def _neighbor_sums(level: int, self_loop: bool, dtype: torch.dtype) -> Tensor:
    """The matrix of the sum over neighbours: what the layer makes of single vertices."""
    graph = ConcentricGrid(level, 1).graph(level)
    ones = torch.eye(graph.num_nodes())
    conv = IntraConv(len(ones), len(ones), bias=False, self_loop=self_loop)
    with torch.no_grad():
        conv.weight.copy_(ones)
        return conv(graph, ones[:, None])[:, 0].to(dtype).contiguous()


@cache
def _pooling(level: int, dtype: torch.dtype) -> Tensor:
    """The matrix of the mean over the neighbourhoods of the next coarser level."""
    graph = ConcentricGrid(level, 1).coarsening(level)
    with torch.no_grad():
        ones = torch.eye(graph.num_nodes("fine"), dtype=torch.float64)
        return VertexPool("mean")(graph, ones[:, None])[:, 0].to(dtype).contiguous()
