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
from csgnn_dgl.models import Classifier, ShapeCSGNN, ShapeCSGNNHypers
from csgnn_dgl.models.shapes.csgnn import encoder_config

__all__ = ["Case", "Spec", "Writing", "build"]

_CLASSES = 40
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
    def hypers(self) -> ShapeCSGNNHypers:
        """Sizes of the model."""
        whole = ShapeCSGNNHypers(level=self.level, n_spheres=self.n_spheres, channels=self.channels)
        encoder = encoder_config(whole)
        widths = {
            "intra_widths": encoder.intra_widths[: self.depth],
            "radial_widths": encoder.radial_widths[: self.depth],
        }
        return whole.model_copy(update=widths)


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
        floor = Floor(encoder_config(spec.hypers), (512, 256, _CLASSES), spec.batch)

        def infer_floor() -> None:
            with torch.no_grad():
                floor.infer()

        return Case(floor.train, infer_floor)
    model = ShapeCSGNN(spec.hypers)
    classifier = Classifier(model, _CLASSES)
    points = torch.rand(spec.batch, spec.points, 3) - 0.5
    labels = torch.arange(spec.batch) % _CLASSES
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
        out: Tensor = classifier.head(encoder(model.mapping(points)))
        return out

    def train() -> None:
        classifier.train()
        classifier.zero_grad(set_to_none=True)
        F.cross_entropy(scores(), labels).backward()

    def infer() -> None:
        classifier.eval()
        with torch.no_grad():
            scores()

    return Case(train, infer, scores, {"mapping": lambda: model.mapping(points)})
