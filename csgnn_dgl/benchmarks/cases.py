"""The cases to time: a training step and an inference of a network, in several implementations."""

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
    """A network and its implementation.

    Parameters
    ----------
    writing
        ``"toolkit"``; ``"compiled"``, which is the toolkit under ``torch.compile``;
        ``"plain-dgl"``; ``"plain-pyg"``; or ``"floor"``, only the network's products.
    level, n_spheres, channels, batch, points
        Sizes.
    depth
        Number of levels; None for all down to the icosahedron, as in the paper.
    keep_memory
        Whether freed memory stays in the process, as in this package's commands.
    threads
        Threads of torch; None for torch's default.
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
            raise ConfigError(
                f"writing is {self.writing!r}, but it must be one of {get_args(Writing)}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values; ``Spec(**d)`` makes the specification again."""
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
    """Functions to time.

    Attributes
    ----------
    train, infer
        A training step without the optimiser's update, and a forward pass in evaluation mode.
    scores
        Scores of the network, for comparison; None for the floor.
    parts
        Parts of a step by name.
    """

    train: Callable[[], None]
    infer: Callable[[], None]
    scores: Callable[[], Tensor] | None = None
    parts: dict[str, Callable[[], Any]] = field(default_factory=dict)


def build(spec: Spec) -> Case:
    """Make the network and its input, which are the same for all implementations."""
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
        model.encoder = encoder  # the original weights are no longer needed

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
