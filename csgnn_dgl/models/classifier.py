"""Point clouds to class scores."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from csgnn_dgl.mapping import Bandwidth, PointMapping, RadialNeighborhood
from csgnn_dgl.models.encoder import CSGNN, EncoderConfig, Output

__all__ = ["Classifier", "ClassifierConfig"]


@dataclass(frozen=True)
class ClassifierConfig:
    """Sizes of a :class:`Classifier`.

    Parameters
    ----------
    encoder
        Sizes of the encoder; its ``in_channels`` is the ``C`` of the mapping.
    num_classes
        Number of classes.
    hidden
        Widths of the head's hidden layers.
    dropout
        Probability, before each linear layer of the head.
    radial, bandwidth, threshold
        See :class:`~csgnn_dgl.mapping.PointMapping`.

    Examples
    --------
    >>> sizes = EncoderConfig.with_base_width(4, 16, 8)
    >>> config = ClassifierConfig(sizes, num_classes=40)
    >>> ClassifierConfig.from_dict(config.to_dict()) == config
    True
    """

    encoder: EncoderConfig
    num_classes: int
    hidden: tuple[int, ...] = (512, 256)
    dropout: float = 0.0
    radial: RadialNeighborhood = "shell"
    bandwidth: Bandwidth = "squared"
    threshold: float = 0.01

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for headers."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ClassifierConfig:
        """Read back what :meth:`to_dict` gave, also after a trip through JSON."""
        rest = {k: v for k, v in values.items() if k not in ("encoder", "hidden")}
        return cls(
            encoder=EncoderConfig(**values["encoder"]), hidden=tuple(values["hidden"]), **rest
        )


class Classifier(nn.Module):
    """Mapping, encoder and head of the paper's classifier (Fig. 4).

    With ``EncoderConfig.with_base_width(4, R, 8)`` and 40 classes it has 3,959,784 parameters,
    whatever ``R`` is.

    Parameters
    ----------
    config
        Sizes.

    Shapes
    ------
    points ``(B, N, 3)`` within the unit ball → scores before the softmax ``(B, num_classes)``.
    """

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        encoder = config.encoder
        self.mapping = PointMapping(
            encoder.level,
            encoder.n_spheres,
            encoder.in_channels,
            radial=config.radial,
            bandwidth=config.bandwidth,
            threshold=config.threshold,
        )
        self.encoder = CSGNN(encoder)
        layers: list[nn.Module] = []
        width = encoder.global_features
        for hidden in config.hidden:
            layers += [
                nn.Dropout(config.dropout),
                nn.Linear(width, hidden),
                nn.BatchNorm1d(hidden),
                nn.ReLU(inplace=True),
            ]
            width = hidden
        self.head = nn.Sequential(
            *layers, nn.Dropout(config.dropout), nn.Linear(width, config.num_classes)
        )

    def encode(self, points: Tensor, output: Output = "global") -> Tensor:
        """Features of clouds ``(B, N, 3)``; see :class:`CSGNN` for ``output``."""
        features: Tensor = self.encoder(self.mapping(points), output)
        return features

    def forward(self, points: Tensor) -> Tensor:
        """Class scores of clouds ``(B, N, 3)``."""
        scores: Tensor = self.head(self.encode(points))
        return scores
