"""The paper's model of shapes on the concentric grid (Fig. 1 and 4)."""

from __future__ import annotations

from torch import Tensor

from csgnn_dgl.mapping import PointMapping
from csgnn_dgl.models.contract import ShapeModel
from csgnn_dgl.models.encoder import CSGNN, EncoderConfig, Output
from csgnn_dgl.models.hypers import ShapeCSGNNHypers

__all__ = ["ShapeCSGNN", "encoder_config"]

# Options that have the same name in the encoder's configuration.
_SHARED = ("kernel_size", "pooling", "global_pooling", "self_loop", "residual", "concatenate")


def encoder_config(hypers: ShapeCSGNNHypers) -> EncoderConfig:
    """Make the encoder's configuration from the model's options.

    Examples
    --------
    >>> encoder_config(ShapeCSGNNHypers()).global_features
    1984
    """
    sizes = (hypers.level, hypers.n_spheres, hypers.channels)
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
    parameters, for any ``R``.

    Parameters
    ----------
    hypers
        The model's options.

    Shapes
    ------
    points ``(B, N, 3)`` within the unit ball → ``(B, features)``.

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
            levels=hypers.sphere_levels,
        )
        self.encoder = CSGNN(encoder_config(hypers))
        self.features = self.encoder.config.global_features

    def encode(self, points: Tensor, output: Output = "global") -> Tensor:
        """Features of clouds ``(B, N, 3)``; see :class:`CSGNN` for ``output``."""
        features: Tensor = self.encoder(self.mapping(points), output)
        return features

    def forward(self, points: Tensor) -> Tensor:
        """Features ``(B, features)`` of clouds ``(B, N, 3)``."""
        return self.encode(points)

    @classmethod
    def training_memory(cls, hypers: ShapeCSGNNHypers, batch_size: int, points: int) -> int:
        """Count of numbers kept for the backward pass: outputs of convolutions and of blocks."""
        encoder = encoder_config(hypers)
        values = 0
        widths = zip(encoder.intra_widths, encoder.radial_widths, strict=True)
        for step, (intra, radial) in enumerate(widths):
            sites = encoder.sites(encoder.level - step)
            values += sites * batch_size * sum((*intra, *radial))
        return 2 * values

    def prepare_export(self) -> None:
        """Switch off the check of values in the mapping."""
        self.mapping.validate = False
