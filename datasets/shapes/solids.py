"""The built-in data set: families of solids that cannot be told apart by size and proportions.

Each member is drawn at random from its family. It is stretched along its own principal axes so that
the spread along them follows the same distribution in all families, and scaled to the unit ball. So
families differ in their shapes, hardly in sizes and proportions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from csgnn_dgl.datasets.shapes.attributes import NORMALS, refuse_missing, width
from csgnn_dgl.datasets.shapes.base import ShapeDataset, as_split
from csgnn_dgl.datasets.shapes.shape_files import center_and_scale
from csgnn_dgl.datasets.shapes.surfaces import (
    Floats,
    Surface,
    arc,
    extruded,
    regular,
    revolved,
    sampled,
    swept,
    triangle_areas,
    upright_vectors,
)
from csgnn_dgl.errors import ConfigError, suggest
from csgnn_dgl.mapping import UpAxis

__all__ = ["FAMILIES", "load_solids", "solid_points"]

# Number of times that a solid is measured and stretched; the error of proportions is then < 0.001.
_ROUNDS = 6


def _ball(rng: np.random.Generator) -> Surface:
    return revolved(arc(1.0, 0.0, np.pi, 32), closed=False)


def _bowl(rng: np.random.Generator) -> Surface:
    inner, opening = rng.uniform(0.75, 0.9), rng.uniform(1.3, 1.7)
    profile = [arc(1.0, np.pi, np.pi - opening), arc(inner, np.pi - opening, np.pi)]
    return revolved(np.concatenate(profile), closed=False)


def _box(rng: np.random.Generator) -> Surface:
    # Not square, so that the principal axes, along which it is stretched, are along the edges.
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * [1, rng.uniform(0.6, 0.8)]
    return extruded(corners, rng.uniform(2.5, 3.5))


def _cone(rng: np.random.Generator) -> Surface:
    return revolved(np.array([[0, 0], [1, 0], [0, rng.uniform(1, 2)]], float), closed=False)


def _cross(rng: np.random.Generator) -> Surface:
    w = rng.uniform(0.2, 0.35)
    quarter = np.array([[1, -w], [1, w], [w, w]])
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    parts = [quarter @ np.linalg.matrix_power(turn, i).T for i in range(4)]
    return extruded(np.concatenate(parts), rng.uniform(0.3, 0.8))


def _cylinder(rng: np.random.Generator) -> Surface:
    height = rng.uniform(1, 2)
    return revolved(np.array([[0, 0], [1, 0], [1, height], [0, height]]), closed=False)


def _dumbbell(rng: np.random.Generator) -> Surface:
    neck, distance = rng.uniform(0.2, 0.35), rng.uniform(1.4, 2.0)
    bend = np.arcsin(neck)
    top = arc(1.0, 0.0, np.pi - bend) + np.array([0, distance])
    return revolved(np.concatenate([top, top[::-1] * [1, -1]]), closed=False)


def _helix(rng: np.random.Generator) -> Surface:
    turns, pitch = rng.uniform(2.0, 3.0), rng.uniform(0.5, 0.8)
    t = np.linspace(0, turns, 160)
    angle = 2 * np.pi * t
    curve = np.stack([np.cos(angle), np.sin(angle), pitch * t], axis=-1)
    return swept(curve, rng.uniform(0.1, 0.18), closed=False)


def _prism(rng: np.random.Generator) -> Surface:
    return extruded(regular(3), rng.uniform(1, 2.5))


def _pyramid(rng: np.random.Generator) -> Surface:
    profile = np.array([[0, 0], [1, 0], [0, rng.uniform(1, 2)]], float)
    return revolved(profile, closed=False, sides=4)


def _stairs(rng: np.random.Generator) -> Surface:
    steps = int(rng.integers(2, 5))
    run = np.cumsum(rng.uniform(0.8, 1.2, steps))
    rise = np.cumsum(rng.uniform(0.8, 1.2, steps))[::-1]
    corners = [(0.0, 0.0), (run[-1], 0.0)]
    for index in reversed(range(steps)):
        low = run[index - 1] if index else 0.0
        corners += [(run[index], rise[index]), (low, rise[index])]
    return extruded(np.array(corners), steps * rng.uniform(0.7, 1.2))


def _star(rng: np.random.Generator) -> Surface:
    points = int(rng.integers(5, 8))
    radius = np.tile([1.0, rng.uniform(0.35, 0.5)], points)
    return extruded(regular(2 * points, radius), rng.uniform(0.3, 0.8))


def _tetrahedron(rng: np.random.Generator) -> Surface:
    profile = np.array([[0, 0], [1, 0], [0, rng.uniform(1, 2)]], float)
    return revolved(profile, closed=False, sides=3)


def _torus(rng: np.random.Generator) -> Surface:
    circle = arc(rng.uniform(0.2, 0.45), 0.0, 2 * np.pi, 24)[:-1]
    return revolved(circle + np.array([1, 0]), closed=True)


def _trefoil(rng: np.random.Generator) -> Surface:
    t = 2 * np.pi * np.arange(200) / 200
    depth = rng.uniform(0.8, 1.2)
    curve = np.stack(
        [np.sin(t) + 2 * np.sin(2 * t), np.cos(t) - 2 * np.cos(2 * t), -depth * np.sin(3 * t)],
        axis=-1,
    )
    return swept(curve, rng.uniform(0.25, 0.4), closed=True)


def _tube(rng: np.random.Generator) -> Surface:
    inner, height = rng.uniform(0.6, 0.8), rng.uniform(1.5, 2.5)
    return revolved(np.array([[inner, 0], [1, 0], [1, height], [inner, height]]), closed=True)


_MAKERS: dict[str, Callable[[np.random.Generator], Surface]] = {
    "ball": _ball,
    "bowl": _bowl,
    "box": _box,
    "cone": _cone,
    "cross": _cross,
    "cylinder": _cylinder,
    "dumbbell": _dumbbell,
    "helix": _helix,
    "prism": _prism,
    "pyramid": _pyramid,
    "stairs": _stairs,
    "star": _star,
    "tetrahedron": _tetrahedron,
    "torus": _torus,
    "trefoil": _trefoil,
    "tube": _tube,
}
#: Names of the families, sorted: the classes.
FAMILIES = tuple(_MAKERS)


def solid_points(
    family: str, count: int, seed: int | tuple[int, ...], *, normals: bool = False
) -> npt.NDArray[np.float32]:
    """Sample points on one member of a family, uniformly by area.

    Parameters
    ----------
    family
        One of :data:`FAMILIES`.
    count
        Number of points.
    seed
        Random seed for the member and for its points.
    normals
        Whether normals of the surface follow the coordinates.

    Returns
    -------
    numpy.ndarray
        Shape ``(count, 3)``, mean at the origin, farthest point at distance 1; z points up. With
        normals, shape ``(count, 6)`` and the same points.

    Raises
    ------
    ConfigError
        The family is unknown, or ``count`` is less than 2.

    Examples
    --------
    >>> solid_points("torus", 100, seed=0).shape
    (100, 3)
    """
    if family not in _MAKERS:
        raise ConfigError(f"unknown solid {family!r}: {suggest(family, FAMILIES)}")
    # A single point has no extent to scale by.
    if count < 2:
        raise ConfigError(f"{count} points of a solid are asked for, but at least 2 are needed")
    rng = np.random.default_rng(seed)
    surface = _proportioned(_MAKERS[family](rng), rng)
    points, face = sampled(surface, count, rng)
    placed = center_and_scale(points)
    if normals:
        upright = upright_vectors(surface.vertices[surface.faces])[face]
        upright = upright / np.linalg.norm(upright, axis=1, keepdims=True)
        placed = np.concatenate([placed, upright], axis=1)
    return placed.astype(np.float32)


def _moments(surface: Surface) -> tuple[Floats, Floats]:
    """Mean ``(3,)`` and covariance ``(3, 3)`` of a surface."""
    corners = surface.vertices[surface.faces]
    area = triangle_areas(corners)
    share = area / area.sum()
    centroid = corners.mean(axis=1)
    mean = share @ centroid
    # The second moment of a triangle with centroid m and corners a, b, c is
    # (9 mmᵀ + aaᵀ + bbᵀ + ccᵀ) / 12 times its area.
    second = 9 * (centroid.T * share) @ centroid
    for corner in corners.transpose(1, 0, 2):
        second += (corner.T * share) @ corner
    return mean, second / 12 - np.outer(mean, mean)


def _proportioned(surface: Surface, rng: np.random.Generator) -> Surface:
    """Stretch a surface along its principal axes to random proportions, as in every family."""
    spread = np.array([1.0, rng.uniform(0.75, 1.0), rng.uniform(0.55, 1.0)])
    spread.sort()
    vertices = surface.vertices
    # Stretching changes areas and thereby moments, so it takes a few rounds.
    for round_ in range(_ROUNDS):
        mean, covariance = _moments(Surface(vertices, surface.faces))
        if round_ == 0:
            # Symmetric shapes have equal variances, so rounding, which differs between processors,
            # would determine their axes. The tie break makes them the coordinate axes.
            tie_break = 0.01 * np.trace(covariance) * np.diag([0.0, 1.0, 2.0])
            axes = np.linalg.eigh(covariance + tie_break)[1]
            variance = np.einsum("ji,jk,ki->i", axes, covariance, axes)
        else:
            variance, axes = np.linalg.eigh(covariance)
        stretch = axes * (spread / np.sqrt(variance)) @ axes.T
        vertices = (vertices - mean) @ stretch
    return Surface(vertices, surface.faces)


def load_solids(
    *,
    points: int,
    seed: int = 0,
    train_per_class: int = 60,
    test_per_class: int = 20,
    up_axis: UpAxis = "z",
    attributes: Sequence[str] = (),
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
        Members per family.
    up_axis
        The axis that points up, for rotations ``z``.
    attributes
        Attributes of the points: ``"normals"`` or none.

    Raises
    ------
    ConfigError
        There are no members, or fewer than two points.
    DataError
        Another attribute is wanted.
    """
    if min(train_per_class, test_per_class) < 1:
        raise ConfigError(
            f"{train_per_class} training and {test_per_class} test members per family are asked "
            f"for, but at least one of each is needed"
        )
    refuse_missing(attributes, (NORMALS,), "a built-in solid")
    normals = NORMALS in attributes
    splits = []
    for split, (which, count) in enumerate((("train", train_per_class), ("test", test_per_class))):
        places = [(family, index) for family in range(len(FAMILIES)) for index in range(count)]
        clouds = [
            solid_points(FAMILIES[f], points, (seed, f, split, i), normals=normals)
            for f, i in places
        ]
        labels = [family for family, _ in places]
        names = [f"{FAMILIES[family]}-{which}-{index:03d}" for family, index in places]
        splits.append(as_split(clouds, labels, names, points, width(attributes)))
    return ShapeDataset(
        name="solids",
        source=f"built-in solids (seed {seed})",
        class_names=FAMILIES,
        up_axis=up_axis,
        train=splits[0],
        test=splits[1],
    )
