"""Sizes and options of the encoder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, get_args

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.grid import Coarsening, ConcentricGrid, coarser_levels, fitting_levels
from csgnn_dgl.models.hypers import GlobalPooling, Readout
from csgnn_dgl.models.readouts import check_readouts, read_length, readout_parts, reads_level
from csgnn_dgl.nn.site_norm import Norm
from csgnn_dgl.nn.vertex_pool import PoolMode

__all__ = ["EncoderConfig"]

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
    filter_order, gradients
        See :class:`~csgnn_dgl.nn.IntraConv`.
    readout
        Parts of the global features, one after the other: ``"pool"`` (``global_pooling`` of all
        sites), ``"max-mean"`` (maximum and mean of all sites), ``"power"`` (power spectra of the
        two coarsest levels, see :func:`~csgnn_dgl.nn.power_spectrum.power_spectrum`).
    norm
        Norm of every block: see :func:`~csgnn_dgl.nn.site_norm.channel_norm`.
    sphere_levels
        Level of every sphere, innermost first, if they differ; the largest is ``level``. The
        network has the same parameters.
    sphere_coarsening
        How spheres of lower levels are coarsened, see :class:`~csgnn_dgl.grid.ConcentricGrid`.

    Raises
    ------
    ConfigError
        The sizes do not fit together, or a name is unknown.

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
    filter_order: int = 0
    gradients: bool = False
    readout: tuple[Readout, ...] = ("pool",)
    norm: Norm = "batch"
    sphere_levels: tuple[int, ...] | None = None
    sphere_coarsening: Coarsening = "together"

    def __post_init__(self) -> None:
        object.__setattr__(self, "readout", tuple(self.readout))
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
        check_readouts(self.readout, self.level, len(self.intra_widths))
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
        return sum(self.readout_features)

    @property
    def readout_features(self) -> tuple[int, ...]:
        """Length of each readout's part of the global feature vector."""
        return tuple(
            sum(
                read_length(part, self.level - index, self.level_features[index])
                for part, index in self.vectors(readout)
            )
            for readout in self.readout
        )

    def vectors(self, readout: str) -> list[tuple[str, int]]:
        """Vectors of a readout in their order, as kinds and indices of levels."""
        levels = len(self.intra_widths)
        return [
            (part, index)
            for index in range(levels)
            if reads_level(readout, index, levels, self.concatenate)
            for part in readout_parts(
                readout, _GLOBAL_MODES[self.global_pooling][index == levels - 1]
            )
        ]

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
