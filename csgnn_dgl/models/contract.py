"""What a model is: the two classes to derive from, and the clauses that are checked."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.mapping.neighbors import Neighbors
from csgnn_dgl.models.hypers import Hypers

__all__ = ["AtomModel", "ShapeModel", "check_class", "check_features"]


class ShapeModel(nn.Module, ABC):
    """A network from clouds of points to features; a target adds its head and trains both.

    A subclass names the class of its options as ``Hypers``, takes an object of it and nothing
    else, sets ``features``, and defines ``forward``. It never sees the options of a training.
    Samples of a batch must not influence each other, but by batch norm in training.

    Parameters
    ----------
    hypers
        Its options.

    Shapes
    ------
    points ``(B, N, 3)``, in the unit ball → ``(B, features)``; or ``(B, M, features)``, for models
    whose head answers for ``M`` parts: the loss is taken of each part, the answer is the mean of
    their scores. In training a pair of features and a scalar may be returned: a penalty that is
    added to the loss.

    Attributes
    ----------
    features
        Length of a feature vector.

    Examples
    --------
    >>> class Sizes(ShapeModel):
    ...     class Hypers(Hypers):
    ...         width: int = 4
    ...
    ...     def __init__(self, hypers):
    ...         super().__init__(hypers)
    ...         self.features = hypers.width
    ...         self.linear = nn.Linear(1, hypers.width)
    ...
    ...     def forward(self, points):
    ...         return self.linear(points.norm(dim=-1).mean(dim=1, keepdim=True))
    >>> import torch
    >>> Sizes(Sizes.Hypers(width=3))(torch.rand(2, 10, 3)).shape
    torch.Size([2, 3])
    """

    Hypers: ClassVar[type[Hypers]]
    features: int

    def __init__(self, hypers: Any) -> None:
        super().__init__()
        self.hypers = hypers

    @abstractmethod
    def forward(self, points: Tensor) -> Any:
        """Features of clouds ``(B, N, 3)``."""

    @classmethod
    def training_memory(cls, hypers: Any, batch_size: int, points: int) -> int | None:
        """Numbers kept for the backward pass of a batch, estimated from below; None: unknown.

        It is asked before the model is made.
        """
        return None

    def prepare_export(self) -> None:
        """Leave out, from now on, what ``torch.export`` cannot follow, such as checks of values."""


class AtomModel(nn.Module, ABC):
    """A network from the neighbours of atoms to a descriptor of every atom.

    A subclass names the class of its options as ``Hypers``, takes an object of it and the elements
    of the training data, sets ``features`` and ``cutoff``, and defines ``forward``.

    Parameters
    ----------
    hypers
        Its options.
    elements
        Atomic numbers that it is trained on, ascending.

    Shapes
    ------
    :class:`~csgnn_dgl.mapping.neighbors.Neighbors` of ``A`` atoms → ``(A, features)``.

    Attributes
    ----------
    features
        Length of a descriptor.
    cutoff
        Radius within which neighbours are looked for [Å].
    local
        Whether an atom's descriptor depends on its own neighbours alone. Then large structures are
        worked on in pieces, and a training may take some atoms of a structure. A model that passes
        messages between atoms sets it to False, and gets whole structures.
    invariant
        Whether rotations do not matter exactly, so that votes over orientations are in vain.
    """

    Hypers: ClassVar[type[Hypers]]
    features: int
    cutoff: float
    local: ClassVar[bool] = True
    invariant: ClassVar[bool] = False

    def __init__(self, hypers: Any, elements: tuple[int, ...]) -> None:
        super().__init__()
        if not elements or min(elements) < 1 or max(elements) > 118:
            raise ConfigError(f"elements are atomic numbers from 1 to 118, not {tuple(elements)}")
        self.hypers = hypers
        self.elements = tuple(sorted({int(number) for number in elements}))

    @property
    def knows_any_element(self) -> bool:
        """Whether elements that are not in ``elements`` have a meaning to it."""
        return False

    @abstractmethod
    def forward(self, neighbors: Neighbors) -> Tensor:
        """Descriptors of all atoms of a batch."""


_BASES = {"shapes": ShapeModel, "atoms": AtomModel}


def check_class(found: Any, domain: str, name: str) -> Any:
    """``found`` itself, if it keeps what can be checked of the contract before it is made.

    Raises
    ------
    ConfigError
        It does not; says which clause it breaks.
    """
    base = _BASES[domain]
    if not inspect.isclass(found):
        raise ConfigError(f"{name} is a {type(found).__name__}, not a class")
    if not issubclass(found, base):
        raise ConfigError(
            f"{name} breaks the contract of models of {domain}: it is not derived from "
            f"csgnn_dgl.models.{base.__name__}"
        )
    hypers = getattr(found, "Hypers", None)
    if not (inspect.isclass(hypers) and issubclass(hypers, Hypers)):
        raise ConfigError(
            f"{name} breaks the contract of models of {domain}: it has no class Hypers of its "
            f"options, derived from csgnn_dgl.models.Hypers"
        )
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        raise ConfigError(
            f"{name} breaks the contract of models of {domain}: it does not define "
            f"{', '.join(missing)}"
        )
    return found


def check_made(model: Any, name: str) -> None:
    """What can be checked of the contract once a model is made.

    Raises
    ------
    ConfigError
        ``features`` or ``cutoff`` are not positive numbers.
    """
    wanted: dict[str, tuple[type, ...]] = {"features": (int,)}
    if isinstance(model, AtomModel):
        wanted["cutoff"] = (int, float)
    for attribute, kinds in wanted.items():
        value: Any = getattr(model, attribute, None)
        number = isinstance(value, kinds) and not isinstance(value, bool)
        if not number or not 0 < float(value) < float("inf"):
            raise ConfigError(
                f"{name} breaks the contract of models: its attribute {attribute} must be a "
                f"positive number, and is {value!r}"
            )


def check_features(
    features: Any, leading: int, width: int, model: nn.Module, dtype: torch.dtype
) -> Tensor:
    """``features`` itself, if a model gave what its head can use.

    Parameters
    ----------
    features
        What ``forward`` returned.
    leading, width
        How many rows and columns are expected: samples or atoms, and ``model.features``.
    model
        The model, for the message.
    dtype
        The head's; where torch chooses precisions by itself (autocast), any will do.

    Raises
    ------
    ConfigError
        Something else; says what.
    """
    name = type(model).__name__
    if not isinstance(features, Tensor):
        raise ConfigError(
            f"{name} breaks the contract of models: forward returned a "
            f"{type(features).__name__}, not a tensor"
        )
    shape = tuple(features.shape)
    parts = isinstance(model, ShapeModel) and len(shape) == 3
    if not (len(shape) == 2 or parts) or shape[0] != leading or shape[-1] != width:
        raise ConfigError(
            f"{name} breaks the contract of models: for {leading} inputs forward returned "
            f"features of shape {shape}, but ({leading}, {width}) is expected"
        )
    if features.dtype != dtype and not torch.is_autocast_enabled(features.device.type):
        raise ConfigError(
            f"{name} breaks the contract of models: forward returned features of type "
            f"{features.dtype}, but its parameters and inputs are {dtype}"
        )
    return features
