"""What is timed: a training step and an inference of one network, written in one way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from csgnn_dgl.benchmarks.floor import Floor
from csgnn_dgl.benchmarks.plain import PlainDGL, PlainPyG
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.models import Classifier, ClassifierConfig, EncoderConfig

__all__ = ["Case", "Spec", "Writing", "build"]

Writing = Literal["toolkit", "compiled", "plain-dgl", "plain-pyg", "floor"]


@dataclass(frozen=True)
class Spec:
    """A network and how it is written.

    Parameters
    ----------
    writing
        ``"toolkit"``; ``"compiled"``, the same through ``torch.compile``; ``"plain-dgl"``,
        ``"plain-pyg"``; ``"floor"``, its products alone.
    level, n_spheres, channels, batch, points
        Sizes.
    depth
        Levels to go down through; none: to the icosahedron, as the paper does.
    keep_memory
        Whether freed memory stays in the process, as our commands have it.
    threads
        Of torch; none: torch's own choice.
    """

    writing: Writing = "toolkit"
    level: int = 4
    n_spheres: int = 16
    channels: int = 8
    batch: int = 4
    points: int = 1024
    depth: int | None = None
    keep_memory: bool = True
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.writing not in get_args(Writing):
            raise ConfigError(f"writing must be one of {get_args(Writing)}, not {self.writing!r}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values; ``Spec(**d)`` reads them back."""
        return asdict(self)

    @property
    def config(self) -> ClassifierConfig:
        """Sizes of the classifier."""
        encoder = EncoderConfig.with_base_width(self.level, self.n_spheres, self.channels)
        if self.depth is not None:
            encoder = EncoderConfig(
                self.level,
                self.n_spheres,
                self.channels,
                encoder.intra_widths[: self.depth],
                encoder.radial_widths[: self.depth],
            )
        return ClassifierConfig(encoder, num_classes=40)


@dataclass
class Case:
    """Things to call.

    Attributes
    ----------
    train, infer
        A step without the optimiser's update, and a forward pass in evaluation mode.
    scores
        What the network says, for comparison; none for the floor.
    parts
        Pieces of a step by name.
    """

    train: Callable[[], None]
    infer: Callable[[], None]
    scores: Callable[[], Tensor] | None = None
    parts: dict[str, Callable[[], Any]] = field(default_factory=dict)


def build(spec: Spec) -> Case:
    """Make the network and its input, the same for the same sizes, however it is written."""
    torch.manual_seed(0)
    if spec.writing == "floor":
        floor = Floor(spec.config, spec.batch)

        def infer_floor() -> None:
            with torch.no_grad():
                floor.infer()

        return Case(floor.train, infer_floor)
    model = Classifier(spec.config)
    points = torch.rand(spec.batch, spec.points, 3) - 0.5
    labels = torch.arange(spec.batch) % spec.config.num_classes
    encoder: Any = model.encoder
    if spec.writing == "plain-dgl":
        encoder = PlainDGL(model.encoder)
    elif spec.writing == "plain-pyg":
        encoder = PlainPyG(model.encoder)
    elif spec.writing == "compiled":
        encoder = torch.compile(model.encoder, fullgraph=True)
    if encoder is not model.encoder and spec.writing != "compiled":
        model.encoder = encoder  # the other weights are not needed twice

    def scores() -> Tensor:
        out: Tensor = model.head(encoder(model.mapping(points)))
        return out

    def train() -> None:
        model.train()
        model.zero_grad(set_to_none=True)
        F.cross_entropy(scores(), labels).backward()

    def infer() -> None:
        model.eval()
        with torch.no_grad():
            scores()

    return Case(train, infer, scores, {"mapping": lambda: model.mapping(points)})
