"""The encoder: convolutions within and between spheres, on coarser and coarser levels."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor, nn

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.grid import Coarsening, ConcentricGrid
from csgnn_dgl.models.encoder_config import EncoderConfig
from csgnn_dgl.nn import IntraBlock, RadialBlock, VertexPool
from csgnn_dgl.nn.blocks import radial_stack
from csgnn_dgl.nn.bypass import bypassable, untouched
from csgnn_dgl.nn.power_spectrum import SphereGroup, power_spectrum, sphere_groups
from csgnn_dgl.nn.structure import Prepared, prepare, relation
from csgnn_dgl.ops import global_max, global_max_beside, neighborhood_and_global_max
from csgnn_dgl.ops.lasting import lasting

__all__ = ["CSGNN", "Output"]

Output = Literal["global", "coarsest", "finest"]
Method = TypeVar("Method", bound=Callable[..., Any])

_GLOBAL: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda feat: feat.mean(dim=0),
    "sum": lambda feat: feat.sum(dim=0),
}


@cache
@lasting
def _prepared(
    levels: tuple[int, ...],
    coarsest: int,
    coarsening: Coarsening,
    self_loops: bool,
    reach: int,
    gradients: bool,
) -> tuple[Prepared, ...]:
    """Prepared graphs of all levels, finest first, each after the coarsening that leads to it.

    They come from a grid of their own, so that user code cannot change its graphs.
    """
    grid, found = ConcentricGrid(levels=levels, coarsest=coarsest, coarsening=coarsening), []
    for at in range(grid.level, coarsest - 1, -1):
        if at < grid.level:
            found.append(prepare(grid.coarsening(at + 1)))
        graph = grid.graph(at)
        found.append(
            prepare(graph, radial="radial", self_loops=self_loops, reach=reach, gradients=gradients)
        )
    return tuple(found)


def _constant_to_compilers(method: Method) -> Method:
    """Do the same as ``torch.compiler.assume_constant_result`` without importing the compiler."""
    method._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return method


# Size of the features at the finest level of one part of a batch, in evaluation on a CPU.
_PART_BYTES = 24 * 2**20


def _wants_whole_batch(module: nn.Module) -> bool:
    """Whether the module may depend on all samples of a batch, or a hook may see its inputs."""
    by_batch = isinstance(module, nn.BatchNorm1d) and module.running_mean is None
    return module.training or by_batch or not untouched(module)


@bypassable
class _Level(nn.Module):
    """The convolutions at one level."""

    def __init__(self, config: EncoderConfig, index: int, in_feats: int) -> None:
        super().__init__()
        self.intra, self.radial = nn.ModuleList(), nn.ModuleList()
        for width in config.intra_widths[index]:
            self.intra.append(
                IntraBlock(
                    in_feats,
                    width,
                    self_loop=config.self_loop,
                    residual=config.residual,
                    filter_order=config.filter_order,
                    gradients=config.gradients,
                    norm=config.norm,
                )
            )
            in_feats = width
        for width in config.radial_widths[index]:
            self.radial.append(
                RadialBlock(in_feats, width, kernel_size=config.kernel_size, norm=config.norm)
            )
            in_feats = width

    def forward(self, graph: Any, feat: Tensor) -> Tensor:
        for block in self.intra:
            feat = block(graph, feat)
        return radial_stack(list(self.radial), graph, feat)


class CSGNN(nn.Module):
    """Encoder of "Concentric Spherical GNN for 3D Representation Learning" (Fig. 1, 4 and 7).

    At each level, intra-sphere convolutions are followed by radial ones. Then neighbourhoods are
    pooled to the next coarser level. The encoder commutes exactly with the 60 rotations of the
    icosahedron.

    Parameters
    ----------
    config
        Sizes of the encoder.

    Shapes
    ------
    feat ``(V·R, B, C)``, row ``v·R + r`` (``grid.site(v, r)`` if spheres have different levels) →

    - ``output="global"``: ``(B, config.global_features)``, the pooled sites of every level;
    - ``output="coarsest"``: ``(V_coarsest·R, B, F)``;
    - ``output="finest"``: ``(V·R, B, F)``, after the convolutions of the first level only.

    Examples
    --------
    >>> config = EncoderConfig.with_base_width(1, 2, 3, base_width=4)
    >>> CSGNN(config)(torch.rand(84, 5, 3)).shape
    torch.Size([5, 24])
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.grid = config.grid()
        feats = (config.in_channels, *config.level_features)
        self.levels = nn.ModuleList(
            _Level(config, index, feats[index]) for index in range(len(config.intra_widths))
        )
        self.pool = VertexPool(config.pooling)

    # torch.compile cannot trace DGL graphs. The result is constant, so it need not.
    @_constant_to_compilers
    def _structure(self, device: torch.device) -> tuple[Prepared, ...]:
        grid, graphs = self.grid, []
        for level in range(grid.level, grid.coarsest - 1, -1):
            if level < grid.level:
                graphs.append(partial(grid.coarsening, level + 1))
            graphs.append(partial(grid.graph, level))
        config = self.config
        found = _prepared(
            grid.levels,
            grid.coarsest,
            config.sphere_coarsening,
            config.self_loop and config.filter_order == 0,
            config.kernel_size // 2,
            config.gradients,
        )
        return tuple(p.on(device, graph) for p, graph in zip(found, graphs, strict=True))

    def forward(self, feat: Tensor, output: Output = "global") -> Tensor:
        """Encode site features; the class describes the values of ``output``."""
        if output not in get_args(Output):
            raise ConfigError(f"output is {output!r}, but it must be one of {get_args(Output)}")
        expected = (self.grid.num_nodes(self.config.level), self.config.in_channels)
        if feat.dim() != 3 or (feat.shape[0], feat.shape[2]) != expected:
            raise DataError(
                f"site features have shape {tuple(feat.shape)}, but must have shape "
                f"({expected[0]}, B, {expected[1]})"
            )
        samples = self._samples_at_once(feat) if output == "global" else feat.shape[1]
        if samples < feat.shape[1]:
            parts = feat.split(samples, dim=1)
            return torch.cat([self._encode(part.contiguous(), output) for part in parts])
        return self._encode(feat, output)

    def _samples_at_once(self, feat: Tensor) -> int:
        """Number of samples in a part of a batch: as many as fit the cache.

        A batch is divided only where that cannot be observed.
        """
        traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
        if traced or torch.is_grad_enabled() or feat.device.type != "cpu":
            return feat.shape[1]
        if any(_wants_whole_batch(module) for module in self.modules() if module is not self):
            return feat.shape[1]
        sample = feat.shape[0] * self.config.level_features[0] * feat.element_size()
        return max(1, _PART_BYTES // sample)

    @_constant_to_compilers
    def _sphere_groups(self, index: int, device: torch.device) -> tuple[SphereGroup, ...]:
        return sphere_groups(self.grid.sphere_levels(self.grid.level - index), device)

    def _encode(self, feat: Tensor, output: Output) -> Tensor:
        structure = self._structure(feat.device)
        order = [v for readout in self.config.readout for v in self.config.vectors(readout)]
        vectors: dict[tuple[str, int], Tensor] = {}
        last = len(self.levels) - 1
        for index, layers in enumerate(self.levels):
            feat = layers(structure[2 * index], feat)
            if output == "finest":
                return feat
            for part, at in order if output == "global" else ():
                if at == index and part != "max" and (part, index) not in vectors:
                    vectors[part, index] = self._summary(part, index, feat)
            takes_max = output == "global" and ("max", index) in order
            if index == last:
                if takes_max:
                    vectors["max", index] = global_max(feat)
            elif takes_max:
                feat, vectors["max", index] = self._pool_both(structure[2 * index + 1], feat)
            else:
                feat = self.pool(structure[2 * index + 1], feat)
        return torch.cat([vectors[v] for v in order], dim=-1) if output == "global" else feat

    def _summary(self, part: str, index: int, feat: Tensor) -> Tensor:
        """A vector of a level, other than the maximum."""
        if part != "power":
            return _GLOBAL[part](feat)
        return power_spectrum(feat, self._sphere_groups(index, feat.device))

    def _pool_both(self, coarsening: Prepared, feat: Tensor) -> tuple[Tensor, Tensor]:
        """Pool neighbourhoods to the next level, and take the maximum over all sites."""
        if untouched(self.pool, VertexPool) and self.pool.mode == "max":
            return neighborhood_and_global_max(relation(coarsening, self.pool.etype), feat)
        feat, best = global_max_beside(feat)
        return self.pool(coarsening, feat), best
