"""Solids made of simple parts: unions and differences, whose outer surface is sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Body", "about", "towards"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Vector = Sequence[float] | Floats

# Number of times that points are drawn on all parts until enough lie on the outer surface.
_ROUNDS = 8
# Share by which parts shrink for the test whether a point lies inside them.
_SKIN = 1e-6


def about(axis: int, angle: float) -> Floats:
    """Matrix of a rotation about the axis x, y or z (0, 1, 2).

    Examples
    --------
    >>> (about(2, np.pi / 2) @ [1, 0, 0]).round(6).tolist()
    [0.0, 1.0, 0.0]
    """
    cosine, sine = np.cos(angle), np.sin(angle)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = cosine
    matrix[i, j], matrix[j, i] = -sine, sine
    return matrix


def towards(direction: Vector) -> Floats:
    """Matrix whose last column points along a direction; the others are perpendicular."""
    z = np.asarray(direction, dtype=float)
    z = z / np.linalg.norm(z)
    x = np.cross([0.0, 1.0, 0.0] if abs(z[1]) < 0.9 else [1.0, 0.0, 0.0], z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], axis=1)


@dataclass(frozen=True)
class _Solid:
    """A simple solid about ``centre`` with the axes of ``frame``."""

    kind: str
    centre: Floats
    frame: Floats
    size: Floats

    @property
    def area(self) -> float:
        a, b, c = self.size
        if self.kind == "box":
            return float(8 * (a * b + b * c + c * a))
        if self.kind == "cylinder":
            return float(2 * np.pi * a * b + 4 * np.pi * c * np.sqrt((a * a + b * b) / 2))
        if self.kind == "ring":  # radius of the ring, of its tube, and half its length
            return float(4 * np.pi**2 * a * b)
        power = 1.6075  # Thomsen's formula for ellipsoids, which is off by 1 % at most
        products = [(x * y) ** power for x, y in ((a, b), (b, c), (c, a))]
        return float(4 * np.pi * (sum(products) / 3) ** (1 / power))

    def inside(self, points: Floats) -> Bools:
        local = (points - self.centre) @ self.frame
        a, b, c = self.size * (1 - _SKIN)
        x, y, z = local.T
        if self.kind == "box":
            found = (np.abs(local) < [a, b, c]).all(axis=1)
        elif self.kind == "cylinder":
            found = ((x / a) ** 2 + (y / b) ** 2 < 1) & (np.abs(z) < c)
        elif self.kind == "ring":
            found = (np.hypot(x, y) - a) ** 2 + z**2 < b**2
        else:
            found = (x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2 < 1
        return np.asarray(found)

    def sample(self, count: int, rng: np.random.Generator) -> Floats:
        local = getattr(self, f"_{self.kind}")(count, rng)
        return np.asarray(self.centre + local @ self.frame.T)

    def _box(self, count: int, rng: np.random.Generator) -> Floats:
        a, b, c = self.size
        areas = np.array([b * c, c * a, a * b])
        points = rng.uniform(-1, 1, (count, 3))
        axis = rng.choice(3, count, p=areas / areas.sum())
        rows = np.arange(count)
        points[rows, axis] = np.where(points[rows, axis] < 0, -1.0, 1.0)
        return points * self.size

    def _cylinder(self, count: int, rng: np.random.Generator) -> Floats:
        a, b, c = self.size
        caps = 2 * np.pi * a * b
        angle = rng.uniform(0, 2 * np.pi, count)
        on_cap = rng.random(count) < caps / self.area
        radius = np.where(on_cap, np.sqrt(rng.random(count)), 1.0)
        z = np.where(on_cap, np.sign(rng.uniform(-1, 1, count)), rng.uniform(-1, 1, count))
        return np.stack([a * radius * np.cos(angle), b * radius * np.sin(angle), c * z], axis=1)

    def _ring(self, count: int, rng: np.random.Generator) -> Floats:
        a, b, _ = self.size
        angle, about_tube = rng.uniform(0, 2 * np.pi, (2, count))
        # The outer half of the tube is longer than the inner one.
        turned = 2 * a * rng.random(count) > a + b * np.cos(about_tube)
        about_tube = np.where(turned, np.pi - about_tube, about_tube)
        radius = a + b * np.cos(about_tube)
        return np.stack(
            [radius * np.cos(angle), radius * np.sin(angle), b * np.sin(about_tube)], axis=1
        )

    def _ellipsoid(self, count: int, rng: np.random.Generator) -> Floats:
        points = rng.normal(size=(4 * count, 3))
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        stretch = np.linalg.norm(points / self.size, axis=1)
        chosen = points[rng.random(len(points)) * stretch.max() < stretch]
        # Flat ellipsoids may leave too few; those are used again, turned to the other side.
        while len(chosen) < count:
            chosen = np.concatenate([chosen, -chosen])
        return chosen[:count] * self.size


class Body:
    """A union of parts, less the solids that are cut out of it.

    Parts are rods with round ends (:meth:`rod`), and boxes, cylinders, ellipsoids and rings
    (:meth:`add`). Only the outer surface is sampled: what lies inside another part is left out.

    Examples
    --------
    >>> body = Body()
    >>> body.add("box", (0, 0, 0), (1, 1, 1))
    >>> body.cut("cylinder", (0, 0, 0), (0.5, 0.5, 2))
    >>> points = body.sample(500, np.random.default_rng(0))
    >>> points.shape, bool((np.hypot(points[:, 0], points[:, 1]) > 0.499).all())
    ((500, 3), True)
    """

    def __init__(self) -> None:
        self._solids: list[_Solid] = []
        self._cuts: list[_Solid] = []
        self._rods: list[tuple[Floats, Floats, float, float]] = []

    def add(self, kind: str, centre: Vector, size: Vector, frame: Floats | None = None) -> None:
        """Add a solid: ``box``, ``cylinder`` or ``ellipsoid`` with its half sizes along the axes of
        ``frame``, or ``ring`` with the radii of the ring and of its tube."""
        self._solids.append(_solid(kind, centre, size, frame))

    def cut(self, kind: str, centre: Vector, size: Vector, frame: Floats | None = None) -> None:
        """Cut out a solid; the arguments are those of :meth:`add`."""
        self._cuts.append(_solid(kind, centre, size, frame))

    def rod(
        self, start: Vector, end: Vector, radius: float, end_radius: float | None = None
    ) -> None:
        """Add a rod with round ends, whose radius may change from one end to the other."""
        last = radius if end_radius is None else end_radius
        self._rods.append((np.asarray(start, float), np.asarray(end, float), radius, last))

    def chain(
        self, start: Vector, frame: Floats, lengths: Vector, radii: Vector, bends: Sequence[Floats]
    ) -> tuple[Floats, Floats]:
        """Add a limb of rods: each goes on along the last axis of a frame, which is bent first.

        Parameters
        ----------
        start, frame
            Place and frame of the limb's beginning.
        lengths
            Length of each rod.
        radii
            Radius at the beginning of each rod, and at the end of the last one.
        bends
            Rotation before each rod, in its own frame.

        Returns
        -------
        tuple
            Place and frame of the end.
        """
        place = np.asarray(start, float)
        for index, (length, bend) in enumerate(zip(lengths, bends, strict=True)):
            frame = frame @ bend
            after = place + length * frame[:, 2]
            self.rod(place, after, float(radii[index]), float(radii[index + 1]))
            place = after
        return place, frame

    def sample(self, count: int, rng: np.random.Generator) -> Floats:
        """Points on the outer surface ``(count, 3)``, uniform by area."""
        areas = np.array(
            [*(s.area for s in (*self._solids, *self._cuts)), *map(_rod_area, self._rods)]
        )
        kept: list[Floats] = []
        missing, share = count, 0.7
        for _ in range(_ROUNDS):
            drawn = int(1.1 * missing / share) + 16
            kept.append(self._outer(rng.multinomial(drawn, areas / areas.sum()).tolist(), rng))
            missing -= len(kept[-1])
            if missing <= 0:
                break
            # Draw as many as are kept of each, but not without limit.
            share = max(len(kept[-1]) / drawn, 0.03)
        points = np.concatenate(kept)
        # Solids that hide nearly all of each other: points are used again.
        rows = rng.permutation(len(points))
        return points[np.resize(rows, count)]

    def _outer(self, numbers: list[int], rng: np.random.Generator) -> Floats:
        """Draw so many points on each part; returns those on the outer surface."""
        parts, others = [], []
        solids = [*self._solids, *self._cuts]
        for index, count in enumerate(numbers):
            if count == 0:
                continue
            if index < len(solids):
                parts.append(solids[index].sample(count, rng))
            else:
                parts.append(_sample_rod(self._rods[index - len(solids)], count, rng))
            others.append(np.full(count, index))
        points, owner = np.concatenate(parts), np.concatenate(others)
        first_cut = len(self._solids)
        of_cut = (owner >= first_cut) & (owner < len(solids))
        within = np.zeros(len(points), dtype=bool)
        for index, solid in enumerate(self._solids):
            within |= solid.inside(points) & (owner != index)
        if self._rods:
            inside = _inside_rods(self._rods, points)
            rods = np.arange(len(self._rods)) + len(solids)
            within |= (inside & (owner[:, None] != rods)).any(axis=1)
        removed = np.zeros(len(points), dtype=bool)
        for index, solid in enumerate(self._cuts, first_cut):
            removed |= solid.inside(points) & (owner != index)
        # The wall of a hole is where the hole's own surface lies inside the union.
        return points[np.where(of_cut, within, ~within) & ~removed]


def _solid(kind: str, centre: Vector, size: Vector, frame: Floats | None) -> _Solid:
    sizes = np.resize(np.asarray(size, float), 3)
    return _Solid(kind, np.asarray(centre, float), np.eye(3) if frame is None else frame, sizes)


def _rod_area(rod: tuple[Floats, Floats, float, float]) -> float:
    start, end, first, last = rod
    length = float(np.linalg.norm(end - start))
    return float(np.pi * length * (first + last) + 2 * np.pi * (first**2 + last**2))


def _sample_rod(
    rod: tuple[Floats, Floats, float, float], count: int, rng: np.random.Generator
) -> Floats:
    start, end, first, last = rod
    axis = end - start
    length = float(np.linalg.norm(axis))
    areas = np.array([np.pi * length * (first + last), 2 * np.pi * first**2, 2 * np.pi * last**2])
    frame = towards(axis if length > 0 else [0, 0, 1])
    part = rng.choice(3, count, p=areas / areas.sum())
    # The share along the axis, more often where the rod is thick.
    share = rng.random(count)
    if abs(last - first) > 1e-9:
        share = (np.sqrt(first**2 + share * (last**2 - first**2)) - first) / (last - first)
    angle = rng.uniform(0, 2 * np.pi, count)
    height = rng.random(count)  # of a point on a half ball; uniform by area
    z = np.choose(part, [np.zeros(count), -height, height])
    ring = np.sqrt(1 - z**2)
    radius = np.choose(part, [first + share * (last - first), first, last])
    along = length * np.choose(part, [share, 0.0, 1.0]) + radius * z
    local = np.stack([radius * ring * np.cos(angle), radius * ring * np.sin(angle), along], axis=1)
    return np.asarray(start + local @ frame.T)


def _inside_rods(rods: Sequence[tuple[Floats, Floats, float, float]], points: Floats) -> Bools:
    """Whether each point lies inside each rod, ``(n, rods)``."""
    starts = np.array([rod[0] for rod in rods])
    axes = np.array([rod[1] for rod in rods]) - starts
    first, last = (np.array([rod[i] for rod in rods], dtype=float) for i in (2, 3))
    squared = np.maximum((axes**2).sum(axis=1), 1e-12)
    along = points @ axes.T - (starts * axes).sum(axis=1)
    share = np.clip(along / squared, 0, 1)
    distance = (points**2).sum(axis=1)[:, None] - 2 * points @ starts.T + (starts**2).sum(axis=1)
    distance = distance - share * (2 * along - share * squared)
    radius = (first + share * (last - first)) * (1 - _SKIN)
    return np.asarray(distance < radius**2 - 1e-9)
