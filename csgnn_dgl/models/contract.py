"""The contract of models: the two base classes, and checks of the contract."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.mapping.neighbors import Neighbors
from csgnn_dgl.models.hypers import Hypers

__all__ = ["AtomModel", "ShapeModel", "check_class", "check_features", "has_normals"]


class ShapeModel(nn.Module, ABC):
    """Base of networks from point clouds to features. A target adds its head and trains both.

    A subclass has a class ``Hypers`` of its options, takes an object of it as the only argument,
    sets ``features``, and defines ``forward``. It never sees the options of a training. Samples of
    a batch must not influence each other, except through batch norm in training.

    Parameters
    ----------
    hypers
        The model's options.

    Shapes
    ------
    points ``(B, N, 3)`` in the unit ball → ``(B, features)``, or ``(B, M, features)`` for ``M``
    parts of each cloud. A model with attributes is given them in further columns,
    ``(B, N, 3 + A)``. With parts, the loss is computed for each part, and the prediction is the
    mean of their scores. In training, ``forward`` may return a pair of features and a scalar
    penalty, which is added to the loss.

    Attributes
    ----------
    features
        Length of a feature vector.
    attributes
        Names of the attributes that the model needs of every point, as :meth:`wanted_attributes`
        returns them. ``"normals"`` are three columns, which rotations turn, and come first; any
        other is one column of the files, which stays as it is.
    export_any_size
        Whether an exported program takes clouds of any size; otherwise it takes those of the size
        in training.

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
    export_any_size: ClassVar[bool] = True
    features: int

    def __init__(self, hypers: Any) -> None:
        super().__init__()
        self.hypers = hypers
        self.attributes = tuple(type(self).wanted_attributes(hypers))

    @classmethod
    def wanted_attributes(cls, hypers: Any) -> tuple[str, ...]:
        """Attributes of points that a model with these options needs; none by default.

        It is called before the data are read and the model is made.
        """
        return ()

    @classmethod
    def check_points(cls, hypers: Any, points: int) -> None:
        """Refuse a number of points per cloud that a model with these options cannot take.

        It is called before the data are read and the model is made.

        Raises
        ------
        ConfigError
            There are too few points.
        """

    @property
    def head_features(self) -> tuple[int, ...]:
        """Lengths of consecutive parts of a feature vector, each of which gets a head of its own.

        They add up to ``features``. By default there is one part.
        """
        return (self.features,)

    @property
    def capturable(self) -> bool:
        """Whether CUDA may record a step of training and replay it; by default not.

        Such a model does the same operations for all batches of one shape, takes random numbers
        only from torch, and runs nothing in Python that matters after the first steps. Networks
        with modules from outside of torch and this package are never recorded.
        """
        return False

    @abstractmethod
    def forward(self, points: Tensor) -> Any:
        """Features of clouds ``(B, N, 3)``."""

    @classmethod
    def training_memory(cls, hypers: Any, batch_size: int, points: int) -> int | None:
        """Lower estimate of the count of numbers kept for the backward pass; None if unknown.

        It is called before the model is made.
        """
        return None

    def prepare_export(self) -> None:
        """Remove for good what ``torch.export`` cannot trace, such as checks of values."""


class AtomModel(nn.Module, ABC):
    """Base of networks from the neighbours of atoms to a descriptor of every atom.

    A subclass has a class ``Hypers`` of its options, takes an object of it and the elements of the
    training data, sets ``features`` and ``cutoff``, and defines ``forward``.

    Parameters
    ----------
    hypers
        The model's options.
    elements
        Atomic numbers in the training data, ascending.

    Shapes
    ------
    :class:`~csgnn_dgl.mapping.neighbors.Neighbors` of ``A`` atoms → ``(A, features)``.

    Attributes
    ----------
    features
        Length of a descriptor.
    cutoff
        Radius within which neighbours are found [Å].
    local
        Whether an atom's descriptor depends only on its own neighbours. If so, large structures are
        computed in pieces, and a training may use some atoms of a structure. A model that passes
        messages between atoms sets it to False, and receives whole structures. It may depend on
        the options.
    invariant
        Whether descriptors are exactly invariant under rotation, so that votes over orientations
        change nothing.
    """

    Hypers: ClassVar[type[Hypers]]
    features: int
    cutoff: float
    local: bool = True
    invariant: ClassVar[bool] = False

    def __init__(self, hypers: Any, elements: tuple[int, ...]) -> None:
        super().__init__()
        if not elements or min(elements) < 1 or max(elements) > 118:
            raise ConfigError(
                f"elements is {tuple(elements)}, but it must hold atomic numbers from 1 to 118"
            )
        self.hypers = hypers
        self.elements = tuple(sorted({int(number) for number in elements}))

    @property
    def knows_any_element(self) -> bool:
        """Whether the model can describe elements that are not in ``elements``."""
        return False

    @property
    def head_features(self) -> tuple[int, ...]:
        """Lengths of consecutive parts of a descriptor, each of which gets a head of its own.

        They add up to ``features``. By default there is one part.
        """
        return (self.features,)

    @property
    def atoms_at_once(self) -> int:
        """Number of atoms that are computed at once in evaluation, so that memory stays bounded."""
        return 64

    @abstractmethod
    def forward(self, neighbors: Neighbors) -> Tensor:
        """Descriptors of all atoms of a batch."""


def has_normals(model: ShapeModel) -> bool:
    """Whether columns 4 to 6 of a model's points are normals, which rotations turn."""
    return "normals" in model.attributes


_BASES = {"shapes": ShapeModel, "atoms": AtomModel}


def check_class(found: Any, domain: str, name: str) -> Any:
    """Check the clauses of the contract that can be checked on a class, and return ``found``.

    Raises
    ------
    ConfigError
        The class breaks a clause; the message names it.
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
    """Check the clauses of the contract that can be checked on a model.

    Raises
    ------
    ConfigError
        ``features`` or ``cutoff`` is not a positive number, ``head_features`` do not add up, or
        normals are not the first attribute of points.
    """
    attributes = getattr(model, "attributes", ())
    if "normals" in attributes[1:]:
        raise ConfigError(
            f"{name} breaks the contract of models: its attributes are {', '.join(attributes)}, "
            f"but normals must come first"
        )
    wanted: dict[str, tuple[type, ...]] = {"features": (int,)}
    if isinstance(model, AtomModel):
        wanted["cutoff"] = (int, float)
    for attribute, kinds in wanted.items():
        value: Any = getattr(model, attribute, None)
        number = isinstance(value, kinds) and not isinstance(value, bool)
        if not number or not 0 < float(value) < float("inf"):
            raise ConfigError(
                f"{name} breaks the contract of models: its attribute {attribute} is {value!r}, "
                f"but it must be a positive number"
            )
    if isinstance(model, (ShapeModel, AtomModel)):
        parts = model.head_features
        if not parts or min(parts) < 1 or sum(parts) != model.features:
            raise ConfigError(
                f"{name} breaks the contract of models: its head_features are {tuple(parts)}, but "
                f"they must be positive and add up to features, which is {model.features}"
            )


def check_features(
    features: Any,
    leading: int,
    width: int,
    model: nn.Module,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Check that a model's features fit its head, and return them.

    Parameters
    ----------
    features
        Result of the model's ``forward``.
    leading, width
        Expected numbers of rows (samples or atoms) and of columns (``model.features``).
    model
        The model, for the message.
    dtype
        Type of the head's parameters; None, or under autocast, allows any type.

    Raises
    ------
    ConfigError
        The result is not a tensor, or has another shape.
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
    if dtype not in (None, features.dtype) and not torch.is_autocast_enabled(features.device.type):
        raise ConfigError(
            f"{name} breaks the contract of models: forward returned features of type "
            f"{features.dtype}, but its parameters and inputs are {dtype}"
        )
    return features
