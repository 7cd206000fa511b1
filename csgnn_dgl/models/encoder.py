"""The encoder: convolutions within and between spheres, on coarser and coarser levels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor, nn

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.grid import Coarsening, ConcentricGrid, coarser_levels, fitting_levels
from csgnn_dgl.nn import IntraBlock, RadialBlock, VertexPool
from csgnn_dgl.nn.blocks import radial_stack
from csgnn_dgl.nn.bypass import bypassable, untouched
from csgnn_dgl.nn.structure import Prepared, prepare, relation
from csgnn_dgl.nn.vertex_pool import PoolMode
from csgnn_dgl.ops import global_max, global_max_beside, neighborhood_and_global_max
from csgnn_dgl.ops.lasting import lasting

__all__ = ["CSGNN", "EncoderConfig", "Output"]

GlobalPooling = Literal["max", "mean", "sum", "mean-at-coarsest", "sum-at-coarsest"]
Output = Literal["global", "coarsest", "finest"]
Method = TypeVar("Method", bound=Callable[..., Any])

_GLOBAL: dict[str, Callable[[Tensor], Tensor]] = {
    "max": global_max,
    "mean": lambda feat: feat.mean(dim=0),
    "sum": lambda feat: feat.sum(dim=0),
}

# Pooling at all levels but the coarsest one, and there.
_GLOBAL_MODES: dict[str, tuple[PoolMode, PoolMode]] = {
    "max": ("max", "max"),
    "mean": ("mean", "mean"),
    "sum": ("sum", "sum"),
    "mean-at-coarsest": ("max", "mean"),
    "sum-at-coarsest": ("max", "sum"),
}


def _pattern(level: int, base: int) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Widths in the released code's pattern, which at level 4 is that of Figure 4."""
    twice_intra = min(level, 4)
    # The released code has levels 3 to 5 only.
    twice_radial = 3 if level >= 3 else max(level - 1, 0)
    intra, radial = [], []
    for step in range(level + 1):
        width = base * 2**step
        intra.append((width,) * (2 if step < twice_intra else 1))
        radial.append((2 * width,) * (2 if step < twice_radial else 1))
    return tuple(intra), tuple(radial)


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of a :class:`CSGNN`.

    Parameters
    ----------
    level
        ``L``, the level of the finest spheres.
    n_spheres
        ``R``, spheres along which radial convolutions run.
    in_channels
        ``C``, channels per site.
    intra_widths, radial_widths
        Output channels of the convolutions at each level, finest first: one tuple per level from
        ``L`` down to the coarsest one used, at most ``L + 1``.
    kernel_size
        ``K`` of the radial convolutions.
    pooling
        Pooling of neighbourhoods between levels.
    global_pooling
        Pooling of all sites of a level into one vector. ``"mean-at-coarsest"`` and
        ``"sum-at-coarsest"`` take the maximum at all levels but the coarsest one, as the authors'
        released code does.
    self_loop, residual
        See :class:`~csgnn_dgl.nn.IntraBlock`.
    concatenate
        Whether the global features are those of all levels, concatenated, or only those of the
        coarsest level.
    sphere_levels
        Level of every sphere, innermost first, if they differ; the largest is ``level``. The
        network has the same parameters.
    sphere_coarsening
        How spheres of lower levels are coarsened, see :class:`~csgnn_dgl.grid.ConcentricGrid`.

    Raises
    ------
    ConfigError
        The sizes do not fit together.

    Examples
    --------
    >>> EncoderConfig.with_base_width(4, 16, 8, base_width=32).global_features
    1984
    """

    level: int
    n_spheres: int
    in_channels: int
    intra_widths: tuple[tuple[int, ...], ...]
    radial_widths: tuple[tuple[int, ...], ...]
    kernel_size: int = 3
    pooling: PoolMode = "max"
    global_pooling: GlobalPooling = "max"
    self_loop: bool = True
    residual: bool = True
    concatenate: bool = True
    sphere_levels: tuple[int, ...] | None = None
    sphere_coarsening: Coarsening = "together"

    def __post_init__(self) -> None:
        for name in ("intra_widths", "radial_widths"):
            # YAML and JSON give lists.
            widths = tuple(tuple(int(w) for w in level) for level in getattr(self, name))
            object.__setattr__(self, name, widths)
            if any(w < 1 for level in widths for w in level):
                raise ConfigError(f"{name} is {widths}, but widths must be positive")
        if len(self.intra_widths) != len(self.radial_widths):
            raise ConfigError(
                f"intra_widths has {len(self.intra_widths)} levels and radial_widths has "
                f"{len(self.radial_widths)}, but they must have the same number"
            )
        if not 1 <= len(self.intra_widths) <= self.level + 1:
            raise ConfigError(
                f"widths are given for {len(self.intra_widths)} levels, but an encoder that starts "
                f"at level {self.level} has from 1 to {self.level + 1}"
            )
        if not all(a or b for a, b in zip(self.intra_widths, self.radial_widths, strict=True)):
            raise ConfigError(
                "a level has neither intra nor radial widths, but every level needs at least one "
                "convolution"
            )
        for name in ("n_spheres", "in_channels"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, but it must be at least 1")
        for name, known in (
            ("pooling", PoolMode),
            ("global_pooling", GlobalPooling),
            ("sphere_coarsening", Coarsening),
        ):
            if getattr(self, name) not in get_args(known):
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}, but it must be one of {get_args(known)}"
                )
        if self.sphere_levels is not None:
            levels = fitting_levels(self.sphere_levels, self.level, self.n_spheres)
            object.__setattr__(self, "sphere_levels", levels)

    @classmethod
    def with_base_width(
        cls, level: int, n_spheres: int, in_channels: int, *, base_width: int = 32, **others: Any
    ) -> EncoderConfig:
        """Make a configuration in which widths double at each level.

        With ``base_width=32`` at level 4 it is that of the paper's classifier (Fig. 4). The numbers
        of convolutions at each level, finest first, are those of the authors' released code:

        ===== ================ ================
        level intra            radial
        ===== ================ ================
        3     2, 2, 2, 1       2, 2, 2, 1
        4     2, 2, 2, 2, 1    2, 2, 2, 1, 1
        5     2, 2, 2, 2, 1, 1 2, 2, 2, 1, 1, 1
        ===== ================ ================

        Higher levels go on like level 5. The released code has no levels below 3; there, two radial
        convolutions are at all levels but the two coarsest.
        """
        intra, radial = _pattern(level, base_width)
        return cls(level, n_spheres, in_channels, intra, radial, **others)

    @property
    def level_features(self) -> tuple[int, ...]:
        """Channels at the end of each level, finest first."""
        return tuple(
            (radial or intra)[-1]
            for intra, radial in zip(self.intra_widths, self.radial_widths, strict=True)
        )

    @property
    def global_features(self) -> int:
        """Length of the global feature vector."""
        return sum(self.level_features) if self.concatenate else self.level_features[-1]

    @property
    def coarsest(self) -> int:
        """The coarsest level, which is the last that has widths."""
        return self.level + 1 - len(self.intra_widths)

    def grid(self) -> ConcentricGrid:
        """Make the grid, down to the coarsest level."""
        if self.sphere_levels is None:
            return ConcentricGrid(self.level, self.n_spheres, coarsest=self.coarsest)
        return ConcentricGrid(
            levels=self.sphere_levels, coarsest=self.coarsest, coarsening=self.sphere_coarsening
        )

    def sites(self, level: int) -> int:
        """Number of sites when the finest spheres have been coarsened to ``level``.

        Examples
        --------
        >>> config = EncoderConfig.with_base_width(2, 2, 1, sphere_levels=(1, 2))
        >>> config.sites(2), config.sites(1)
        (204, 54)
        """
        if self.sphere_levels is None:
            return (10 * 4**level + 2) * self.n_spheres
        chosen = self.coarsest, self.sphere_coarsening
        return sum(10 * 4**own + 2 for own in coarser_levels(self.sphere_levels, level, *chosen))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for headers; ``EncoderConfig(**d)`` makes the configuration again."""
        return asdict(self)


@cache
@lasting
def _prepared(
    levels: tuple[int, ...], coarsest: int, coarsening: Coarsening, self_loops: bool, reach: int
) -> tuple[Prepared, ...]:
    """Prepared graphs of all levels, finest first, each after the coarsening that leads to it.

    They come from a grid of their own, so that user code cannot change its graphs.
    """
    grid, found = ConcentricGrid(levels=levels, coarsest=coarsest, coarsening=coarsening), []
    for at in range(grid.level, coarsest - 1, -1):
        if at < grid.level:
            found.append(prepare(grid.coarsening(at + 1)))
        graph = grid.graph(at)
        found.append(prepare(graph, radial="radial", self_loops=self_loops, reach=reach))
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
                IntraBlock(in_feats, width, self_loop=config.self_loop, residual=config.residual)
            )
            in_feats = width
        for width in config.radial_widths[index]:
            self.radial.append(RadialBlock(in_feats, width, kernel_size=config.kernel_size))
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
            config.self_loop,
            config.kernel_size // 2,
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

    def _encode(self, feat: Tensor, output: Output) -> Tensor:
        structure = self._structure(feat.device)
        pooled = []
        last = len(self.levels) - 1
        coarsest = _GLOBAL[_GLOBAL_MODES[self.config.global_pooling][1]]
        for index, layers in enumerate(self.levels):
            feat = layers(structure[2 * index], feat)
            if output == "finest":
                return feat
            counts = output == "global" and (self.config.concatenate or index == last)
            if index == last:
                if counts:
                    pooled.append(coarsest(feat))
            elif counts:
                feat, best = self._pool_both(structure[2 * index + 1], feat)
                pooled.append(best)
            else:
                feat = self.pool(structure[2 * index + 1], feat)
        return torch.cat(pooled, dim=-1) if output == "global" else feat

    def _pool_both(self, coarsening: Prepared, feat: Tensor) -> tuple[Tensor, Tensor]:
        """Pool neighbourhoods to the next level, and all sites into one vector."""
        mode = _GLOBAL_MODES[self.config.global_pooling][0]
        if mode != "max":
            return self.pool(coarsening, feat), _GLOBAL[mode](feat)
        if untouched(self.pool, VertexPool) and self.pool.mode == "max":
            return neighborhood_and_global_max(relation(coarsening, self.pool.etype), feat)
        feat, best = global_max_beside(feat)
        return self.pool(coarsening, feat), best
