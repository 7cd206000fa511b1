"""The paper's model of shapes on the concentric grid (Fig. 1 and 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.mapping import (
    NEIGHBOR_FEATURES,
    NeighborFeatures,
    PointMapping,
    ball_centers,
    normalize_clouds,
    radial_cosine,
)
from csgnn_dgl.mapping.point_checks import as_flat, check_values
from csgnn_dgl.models.contract import ShapeModel
from csgnn_dgl.models.encoder import CSGNN, Output
from csgnn_dgl.models.encoder_config import EncoderConfig
from csgnn_dgl.models.hypers import ShapeCSGNNHypers

__all__ = ["ShapeCSGNN", "encoder_config"]

# Options that have the same name in the encoder's configuration.
_SHARED = (
    "kernel_size",
    "pooling",
    "global_pooling",
    "self_loop",
    "residual",
    "concatenate",
    "filter_order",
    "gradients",
    "readout",
)


def encoder_config(hypers: ShapeCSGNNHypers) -> EncoderConfig:
    """Make the encoder's configuration from the model's options.

    Examples
    --------
    >>> encoder_config(ShapeCSGNNHypers()).global_features
    1984
    """
    in_channels = hypers.channels * (1 + len(hypers.point_features))
    sizes = (hypers.level, hypers.n_spheres, in_channels)
    others = {name: getattr(hypers, name) for name in _SHARED}
    if hypers.sphere_levels is not None:
        others["sphere_levels"] = tuple(hypers.sphere_levels)
        others["sphere_coarsening"] = hypers.sphere_coarsening
    if hypers.intra_widths is None or hypers.radial_widths is None:
        return EncoderConfig.with_base_width(*sizes, base_width=hypers.base_width, **others)
    return EncoderConfig(*sizes, hypers.intra_widths, hypers.radial_widths, **others)


class ShapeCSGNN(ShapeModel):
    """Mapping and encoder of the paper's classifier.

    With 40 classes and the paper's head, a network with the default options has 3,959,784
    parameters, for any ``R``. With ``point_features``, which are invariant under rotation, each
    site has ``C`` channels for each of them beside those of the density.

    With ``members``, several encoders see the same mapped cloud, and its features are those of all
    of them, one after the other. Each has heads and losses of its own, and their scores are
    averaged (deep ensembles; Lakshminarayanan et al., NeurIPS 2017).

    Parameters
    ----------
    hypers
        The model's options.

    Shapes
    ------
    points ``(B, N, 3)`` within the unit ball, or ``(B, N, 3 + A)`` with attributes →
    ``(B, features)``.

    Examples
    --------
    >>> import torch
    >>> model = ShapeCSGNN(ShapeCSGNNHypers(level=1, n_spheres=2, channels=3, base_width=4))
    >>> model(torch.rand(5, 30, 3) / 2).shape
    torch.Size([5, 24])
    """

    Hypers = ShapeCSGNNHypers

    def __init__(self, hypers: ShapeCSGNNHypers) -> None:
        super().__init__(hypers)
        self.mapping = PointMapping(
            hypers.level,
            hypers.n_spheres,
            hypers.channels,
            neighbourhood=hypers.neighbourhood,
            radial=hypers.radial,
            bandwidth=hypers.bandwidth,
            threshold=hypers.threshold,
            bandwidth_face=hypers.bandwidth_face,
            feature_mean=hypers.feature_mean,
            levels=hypers.sphere_levels,
        )
        near = [name for name in hypers.point_features if name in NEIGHBOR_FEATURES]
        self.near = NeighborFeatures(near, hypers.feature_neighbors) if near else None
        self.encoder = CSGNN(encoder_config(hypers))
        # The first encoder is the first member; so its weights have the same names without others.
        self.others = nn.ModuleList(CSGNN(self.encoder.config) for _ in range(hypers.members - 1))
        self.features = hypers.members * self.encoder.config.global_features

    @property
    def capturable(self) -> bool:
        """True for this class itself, if no features of points are computed from neighbours."""
        return type(self) is ShapeCSGNN and self.near is None

    @property
    def head_features(self) -> tuple[int, ...]:
        """One head for each readout of each member."""
        return self.encoder.config.readout_features * self.hypers.members

    def encode(self, points: Tensor, output: Output = "global") -> Tensor:
        """Features of clouds ``(B, N, 3)``; see :class:`CSGNN` for ``output``."""
        points = self.centered(points)
        mapped = self.mapping(points[..., :3], features=self.point_features(points))
        features: Tensor = self.encoder(mapped, output)
        if not self.others:
            return features
        return torch.cat([features, *(other(mapped, output) for other in self.others)], dim=-1)

    def centered(self, points: Tensor) -> Tensor:
        """Points ``(B, N, 3 + A)`` about the centre that the model's options choose.

        About the centre of a ball they are scaled to a largest distance of 1 again.
        """
        if self.hypers.center == "origin" or points.dim() != 3:
            return points
        coordinates = points[..., :3]
        if self.mapping.validate and not (self.training and points.is_cuda):
            # Afterwards a NaN would be in all points of its cloud, and could not be named.
            flat, n_clouds = as_flat(coordinates, None, None)
            check_values(flat, None, n_clouds)
        placed = normalize_clouds(coordinates - ball_centers(coordinates))
        return torch.cat([placed, points[..., 3:]], dim=-1) if points.shape[-1] > 3 else placed

    def point_features(self, points: Tensor) -> Tensor | None:
        """Features ``(B, N, F)`` of points with their attributes; None for a model without any."""
        width = 3 + sum(3 if name == "normals" else 1 for name in self.attributes)
        if points.dim() != 3 or points.shape[-1] != width:
            needed = f" and {', '.join(self.attributes)} of every point" if self.attributes else ""
            raise DataError(
                f"points have shape {tuple(points.shape)}, but (B, N, {width}) is needed: "
                f"coordinates{needed}"
            )
        names = self.hypers.point_features
        if not names:
            return None
        found: dict[str, Tensor] = {}
        if self.near is not None:
            found |= zip(self.near.names, self.near(points[..., :3]).unbind(-1), strict=True)
        place = 3
        for name in self.attributes:
            if name == "normals":
                found["normal"] = radial_cosine(points[..., :3], points[..., 3:6])
                place = 6
            else:
                found[name] = points[..., place]
                place += 1
        return torch.stack([found[name] for name in names], dim=-1)

    def forward(self, points: Tensor) -> Tensor:
        """Features ``(B, features)`` of clouds ``(B, N, 3 + A)`` with ``A`` attributes."""
        return self.encode(points)

    @classmethod
    def wanted_attributes(cls, hypers: ShapeCSGNNHypers) -> tuple[str, ...]:
        """The attributes behind those of ``point_features`` that neighbours do not give."""
        names = [name for name in hypers.point_features if name not in NEIGHBOR_FEATURES]
        normals = ("normals",) if "normal" in names else ()
        return (*normals, *(name for name in names if name != "normal"))

    @classmethod
    def check_points(cls, hypers: ShapeCSGNNHypers, points: int) -> None:
        """Refuse clouds that do not have more points than the neighbours of a point."""
        near = [name for name in hypers.point_features if name in NEIGHBOR_FEATURES]
        if near and points <= hypers.feature_neighbors:
            raise ConfigError(
                f"{', '.join(near)} are computed from {hypers.feature_neighbors} neighbours of a "
                f"point, but clouds have only {points} points; raise --points or lower "
                f"--feature-neighbors"
            )

    @classmethod
    def training_memory(cls, hypers: ShapeCSGNNHypers, batch_size: int, points: int) -> int:
        """Count of numbers kept for the backward pass: outputs of convolutions and of blocks."""
        encoder = encoder_config(hypers)
        values = 0
        widths = zip(encoder.intra_widths, encoder.radial_widths, strict=True)
        for step, (intra, radial) in enumerate(widths):
            sites = encoder.sites(encoder.level - step)
            values += sites * batch_size * sum((*intra, *radial))
        return 2 * values * hypers.members

    def prepare_export(self) -> None:
        """Switch off the check of values in the mapping."""
        self.mapping.validate = False
