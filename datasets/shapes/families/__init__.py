"""Procedurally made shapes: parametric families with joints, kinds and random members.

A *family* is a function with parameters, such as quadrupeds or chairs. A *kind* is a narrow part of
a family: its members have nearly the same sizes, but other poses. Every member is made from random
seeds alone, so the data are free of licences, and any number of them can be made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from csgnn_dgl._progress import working
from csgnn_dgl.datasets.shapes.attributes import refuse_missing
from csgnn_dgl.datasets.shapes.base import ShapeDataset, ShapeSplit, as_split
from csgnn_dgl.datasets.shapes.families.bodies import Body
from csgnn_dgl.datasets.shapes.families.combined import COMBINED
from csgnn_dgl.datasets.shapes.families.creatures import CREATURES
from csgnn_dgl.datasets.shapes.families.draw import Draw
from csgnn_dgl.datasets.shapes.families.things import THINGS
from csgnn_dgl.datasets.shapes.families.turned import SURFACES
from csgnn_dgl.datasets.shapes.shape_files import center_and_scale
from csgnn_dgl.datasets.shapes.surfaces import Surface, sampled
from csgnn_dgl.errors import ConfigError, suggest
from csgnn_dgl.mapping import UpAxis

__all__ = ["FAMILY_NAMES", "KINDS", "family_points", "load_families"]

_MAKERS: dict[str, Callable[[Draw], Body | Surface]] = {
    **CREATURES,
    **THINGS,
    **SURFACES,
    **COMBINED,
}
#: Names of the families, sorted.
FAMILY_NAMES = tuple(sorted(_MAKERS))
#: Kinds of each family in the data set of kinds.
KINDS = 12
# Streams of random numbers.
_KIND, _MEMBER = 1, 2
# Largest shift of a point by the smooth deformation that every member has, and its wave numbers.
_DEFORMED, _WAVES = 0.06, 2.5


def family_points(
    family: str, count: int, seed: int | tuple[int, ...], *, kind: int | None = None
) -> npt.NDArray[np.float32]:
    """Sample points on one member of a family, nearly uniformly by area.

    Parameters
    ----------
    family
        One of :data:`FAMILY_NAMES`.
    count
        Number of points.
    seed
        Random seed for the member and for its points.
    kind
        Number of a kind, for a member of this kind; by default, of any.

    Returns
    -------
    numpy.ndarray
        Shape ``(count, 3)``, mean at the origin, farthest point at distance 1; z points up.

    Raises
    ------
    ConfigError
        The family is unknown, or ``count`` is less than 2.

    Examples
    --------
    >>> family_points("quadruped", 100, seed=0).shape
    (100, 3)
    """
    if family not in _MAKERS:
        raise ConfigError(f"unknown family {family!r}: {suggest(family, FAMILY_NAMES)}")
    if count < 2:
        raise ConfigError(f"{count} points of a shape are asked for, but at least 2 are needed")
    member = seed if isinstance(seed, tuple) else (seed,)
    own = (*member, _MEMBER) if kind is None else (kind,)
    place = FAMILY_NAMES.index(family)
    rng = np.random.default_rng((*member, place, _MEMBER))
    made = _MAKERS[family](Draw(np.random.default_rng((*own, place, _KIND)), rng))
    points = made.sample(count, rng) if isinstance(made, Body) else sampled(made, count, rng)[0]
    return center_and_scale(_deformed(points, rng), family).astype(np.float32)


def _deformed(points: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Bend and swell a shape a little, by three slow waves."""
    size = np.ptp(points, axis=0).max()
    shifted = points.copy()
    for _ in range(3):
        wave, shift = rng.normal(size=(2, 3))
        phase = rng.uniform(0, 2 * np.pi)
        height = _DEFORMED * size * rng.random()
        wave *= _WAVES / size
        shifted += height * np.sin(points @ wave + phase)[:, None] * shift / np.linalg.norm(shift)
    return shifted


def load_families(
    *,
    points: int,
    seed: int = 0,
    train_per_class: int = 100,
    test_per_class: int = 20,
    up_axis: UpAxis = "z",
    attributes: Sequence[str] = (),
    kinds: int = 0,
) -> ShapeDataset:
    """Make training and test members of every family.

    Each member has its own random stream, so larger splits contain the same first members.

    Parameters
    ----------
    points
        Points per shape.
    seed
        Random seed for members and points.
    train_per_class, test_per_class
        Members per class.
    up_axis
        The axis that points up, for rotations ``z``; shapes are made with z up.
    attributes
        Must be empty: points have no attributes.
    kinds
        With 0, every family is a class. Otherwise, every one of so many kinds of a family is one.

    Raises
    ------
    ConfigError
        There are no members, or fewer than two points.
    DataError
        An attribute is wanted.
    """
    if min(train_per_class, test_per_class) < 1:
        raise ConfigError(
            f"{train_per_class} training and {test_per_class} test members per class are asked "
            f"for, but at least one of each is needed"
        )
    refuse_missing(attributes, (), "a built-in family")
    classes = [
        (family, kind) for family in FAMILY_NAMES for kind in (range(kinds) if kinds else [None])
    ]
    names = tuple(family if kind is None else f"{family}-{kind + 1}" for family, kind in classes)
    what = f"{kinds} kinds of each of {len(FAMILY_NAMES)}" if kinds else f"{len(FAMILY_NAMES)}"
    splits: list[ShapeSplit] = []
    total = len(classes) * (train_per_class + test_per_class)
    with working("making shapes", total, unit="shape") as done:
        for split, (which, count) in enumerate(
            (("train", train_per_class), ("test", test_per_class))
        ):
            clouds, labels, members = [], [], []
            for label, (family, kind) in enumerate(classes):
                for index in range(count):
                    place = (seed, split, label, index)
                    clouds.append(family_points(family, points, place, kind=kind))
                    labels.append(label)
                    members.append(f"{names[label]}-{which}-{index:03d}")
                done(count)
            splits.append(as_split(clouds, labels, members, points))
    return ShapeDataset(
        name="kinds" if kinds else "families",
        source=f"built-in {what} families (seed {seed})",
        class_names=names,
        up_axis=up_axis,
        train=splits[0],
        test=splits[1],
    )
