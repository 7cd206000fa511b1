"""Families of surfaces: of revolution, extruded, swept, lofted, and closed forms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from csgnn_dgl.datasets.shapes.families.draw import Draw
from csgnn_dgl.datasets.shapes.surfaces import (
    Floats,
    Surface,
    arc,
    extruded,
    grid_faces,
    regular,
    revolved,
    swept,
)

__all__ = ["SURFACES"]


def _smooth(values: Floats, count: int) -> Floats:
    """A smooth curve through values at even distances."""
    places = np.linspace(0, len(values) - 1, count)
    nodes = np.arange(len(values))
    weights = np.exp(-2.0 * (places[:, None] - nodes) ** 2)
    return np.asarray(weights @ values / weights.sum(axis=1))


def _power(values: Floats, exponent: float) -> Floats:
    return np.asarray(np.sign(values) * np.abs(values) ** exponent)


# Rows and columns of the grid of a closed form.
_SPHERE = 24, 32


def _sphere_grid(rows: int, columns: int) -> tuple[Floats, Floats]:
    polar = np.linspace(0, np.pi, rows)
    around = 2 * np.pi * np.arange(columns) / columns
    first, second = np.meshgrid(polar, around, indexing="ij")
    return first, second


def _superquadric(d: Draw) -> Surface:
    polar, around = _sphere_grid(*_SPHERE)
    tall, flat = d.size(0.2, 2.5), d.size(0.2, 2.5)
    ring = _power(np.sin(polar), tall)
    points = [ring * _power(np.cos(around), flat), ring * _power(np.sin(around), flat)]
    points.append(_power(np.cos(polar), tall))
    sizes = d.sizes(0.4, 1.0, 3)
    vertices = np.stack([s * p for s, p in zip(sizes, points, strict=True)], axis=-1)
    return Surface(vertices.reshape(-1, 3), grid_faces(*_SPHERE, False, True))


def _supertoroid(d: Draw) -> Surface:
    angle = 2 * np.pi * np.arange(20) / 20
    around = 2 * np.pi * np.arange(40) / 40
    tube, ring = np.meshgrid(angle, around, indexing="ij")
    thick, sharp, square = d.size(0.15, 0.45), d.size(0.3, 2.0), d.size(0.4, 1.8)
    radius = 1 + thick * _power(np.cos(tube), sharp)
    vertices = np.stack(
        [
            radius * _power(np.cos(ring), square),
            d.size(0.6, 1.0) * radius * _power(np.sin(ring), square),
            thick * _power(np.sin(tube), sharp),
        ],
        axis=-1,
    )
    return Surface(vertices.reshape(-1, 3), grid_faces(20, 40, True, True))


def _bumpy_ball(d: Draw) -> Surface:
    polar, around = _sphere_grid(28, 40)
    radius = np.ones_like(polar)
    for order in range(1, 5):
        up, across = d.whole(0, 5), d.whole(0, 5)
        height = d.size(-0.3, 0.3) / order**0.5
        wave = np.cos(up * polar) * np.sin(polar) ** across * np.cos(across * around + order)
        radius = radius + height * wave
    ring = radius * np.sin(polar)
    vertices = [ring * np.cos(around), ring * np.sin(around), radius * np.cos(polar)]
    return Surface(np.stack(vertices, axis=-1).reshape(-1, 3), grid_faces(28, 40, False, True))


def _vase(d: Draw) -> Surface:
    radius = _smooth(d.sizes(0.1, 0.6, 7), 40)
    height = np.linspace(0, d.size(0.8, 2.0), 40)
    profile = np.stack([radius, height], axis=1)
    ends = np.array([[0, 0]]), np.array([[0, height[-1]]])
    return revolved(np.concatenate([ends[0], profile, ends[1]]), closed=False)


def _goblet(d: Draw) -> Surface:
    foot, stem, cup = d.size(0.25, 0.5), d.size(0.03, 0.08), d.size(0.25, 0.55)
    tall, deep, wall = d.size(0.3, 0.8), d.size(0.3, 0.7), 0.03
    bowl = arc(1.0, np.pi, np.pi - d.size(1.2, 1.9), 16) * [cup, deep] + [0, tall + deep]
    inner = (bowl - [0, tall + deep]) * (1 - wall / cup) + [0, tall + deep]
    base = np.array([[0, 0], [foot, 0], [foot, 0.05], [stem, 0.1], [stem, tall]])
    return revolved(np.concatenate([base, bowl[1:], inner[::-1]]), closed=False)


def _bottle(d: Draw) -> Surface:
    body, neck, shoulder = d.size(0.2, 0.45), d.size(0.05, 0.15), d.size(0.1, 0.5)
    tall, top = d.size(0.5, 1.2), d.size(0.1, 0.6)
    t = np.linspace(0, 1, 12)
    slope = np.stack([body + (neck - body) * (3 * t**2 - 2 * t**3), tall + shoulder * t], axis=1)
    ends = (
        np.array([[0, 0], [body, 0]]),
        np.array([[neck, slope[-1, 1] + top], [0, slope[-1, 1] + top]]),
    )
    return revolved(np.concatenate([ends[0], slope, ends[1]]), closed=False)


def _dish(d: Draw) -> Surface:
    opening, wall = d.size(0.5, 2.2), d.size(0.03, 0.2)
    outer = arc(1.0, np.pi, np.pi - opening)
    inner = (1 - wall) * arc(1.0, np.pi - opening, np.pi)
    flat = d.size(0.4, 1.2)
    return revolved(np.concatenate([outer, inner]) * [1, flat], closed=False)


def _frustum(d: Draw) -> Surface:
    top, tall, sides = d.size(0.0, 1.2), d.size(0.5, 2.5), (3, 4, 5, 6, 8, 32)[d.whole(0, 5)]
    profile = np.array([[0, 0], [0.8, 0], [0.8 * top, tall], [0, tall]])
    return revolved(profile, closed=False, sides=sides)


def _tube(d: Draw) -> Surface:
    inner, height, flare = d.size(0.4, 0.9), d.size(0.2, 2.5), d.size(0.6, 1.4)
    profile = [[inner, 0], [1, 0], [flare, height], [flare * inner, height]]
    return revolved(np.array(profile), closed=True, sides=(4, 6, 32)[d.whole(0, 2)])


def _dumbbell(d: Draw) -> Surface:
    neck, distance, second = d.size(0.1, 0.45), d.size(1.1, 2.2), d.size(0.5, 1.1)
    bend = np.arcsin(neck)
    top = arc(1.0, 0.0, np.pi - bend) + np.array([0, distance])
    below = (arc(1.0, bend, np.pi) * second) - [0, distance * second]
    return revolved(np.concatenate([top, below]), closed=False)


def _spindle(d: Draw) -> Surface:
    """Discs of different radii on an axis, like a chess piece or a turned leg."""
    count = d.whole(3, 7)
    radii, heights = d.sizes(0.1, 0.6, count), d.sizes(0.1, 0.4, count)
    ends = np.cumsum(heights)
    profile = [[0.0, 0.0]]
    for radius, low, high in zip(radii, ends - heights, ends, strict=True):
        profile += [[radius, low], [radius, high]]
    return revolved(np.array([*profile, [0.0, ends[-1]]]), closed=False)


def _gear(d: Draw) -> Surface:
    teeth, depth, tall = d.whole(6, 18), d.size(0.1, 0.35), d.size(0.1, 0.8)
    radius = np.tile([1.0, 1.0, 1 - depth, 1 - depth], teeth)
    return extruded(regular(4 * teeth, radius), tall)


def _star_prism(d: Draw) -> Surface:
    points, depth = d.whole(3, 9), d.size(0.25, 0.75)
    return extruded(regular(2 * points, np.tile([1.0, depth], points)), d.size(0.1, 1.5))


def _polygon_prism(d: Draw) -> Surface:
    outline = regular(d.whole(3, 8)) * [1, d.size(0.3, 1.0)]
    return extruded(outline, d.size(0.1, 2.5))


def _blob_prism(d: Draw) -> Surface:
    angle = 2 * np.pi * np.arange(48) / 48
    radius = np.ones(48)
    for order in range(2, 7):
        radius += d.size(-0.18, 0.18) * np.cos(order * angle + d.size(0, 6) * 0.2)
    return extruded(regular(48, radius), d.size(0.1, 1.2))


def _loft(outlines: Floats, heights: Floats) -> Surface:
    """Closed surface through outlines ``(levels, k, 2)`` at different heights."""
    levels, k, _ = outlines.shape
    tall = np.broadcast_to(heights[:, None, None], (levels, k, 1))
    rings = np.concatenate([outlines, tall], axis=-1)
    ends = [np.broadcast_to(rings[i].mean(axis=0), (1, k, 3)) for i in (0, -1)]
    vertices = np.concatenate([ends[0], rings, ends[1]]).reshape(-1, 3)
    return Surface(vertices, grid_faces(levels + 2, k, False, True))


def _twisted_prism(d: Draw) -> Surface:
    corners, turn, tall = d.whole(3, 6), d.size(0.5, 4.0), d.size(1.0, 3.0)
    outline = regular(48, _polygon_radius(corners, 48))
    steps = np.linspace(0, 1, 24)
    shrink = 1 + d.size(-0.7, 0.2) * steps
    angle = turn * steps
    turns = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=-1)
    outlines = np.einsum("lij,kj->lki", turns.reshape(-1, 2, 2), outline)
    return _loft(outlines * shrink[:, None, None], tall * steps)


def _polygon_radius(corners: int, count: int) -> Floats:
    angle = 2 * np.pi * np.arange(count) / count
    sector = np.pi / corners
    return np.asarray(np.cos(sector) / np.cos((angle % (2 * sector)) - sector))


def _changing_prism(d: Draw) -> Surface:
    """A loft from one outline to another."""
    first, last = (
        regular(48, _polygon_radius(d.whole(3, 7), 48) if d.chance(0.7) else np.ones(48))
        for _ in range(2)
    )
    share = np.linspace(0, 1, 16)[:, None, None]
    wide = np.array([d.size(0.2, 1.0), d.size(0.2, 1.0)])
    shift = np.array([d.size(-0.6, 0.6), 0.0])
    outlines = (1 - share) * first * [1, d.size(0.4, 1)] + share * (last * wide + shift)
    return _loft(outlines, np.linspace(0, d.size(0.4, 2.0), 16))


def _helix(d: Draw) -> Surface:
    turns, pitch, shrink = d.size(1.5, 5.0), d.size(0.25, 0.9), d.size(0.0, 0.8)
    t = np.linspace(0, turns, 160)
    angle, wide = 2 * np.pi * t, 1 - shrink * t / turns
    curve = np.stack([wide * np.cos(angle), wide * np.sin(angle), pitch * t], axis=-1)
    return swept(curve, d.size(0.06, 0.2), closed=False)


def _spiral(d: Draw) -> Surface:
    turns = d.size(1.5, 3.5)
    t = np.linspace(0.15, 1, 160)
    angle = 2 * np.pi * turns * t
    rise = d.size(0, 0.8) * (1 - t)
    curve = np.stack([t * np.cos(angle), t * np.sin(angle), rise], axis=-1)
    return swept(curve, d.size(0.03, 0.35 / turns) * (1 if d.chance(0.4) else t), closed=False)


def _sea_shell(d: Draw) -> Surface:
    turns, growth, rise = d.size(2.0, 4.0), d.size(1.2, 2.8), d.size(0.3, 2.0)
    t = np.linspace(0, 1, 150)
    scale = np.exp(growth * (t - 1))
    angle = 2 * np.pi * turns * t
    curve = np.stack([np.cos(angle), np.sin(angle), -rise * np.ones_like(t)], axis=-1)
    return swept(curve * scale[:, None], d.size(0.35, 0.7) * scale, closed=False)


def _knot(d: Draw) -> Surface:
    p, q = ((2, 3), (3, 2), (2, 5), (3, 4), (3, 5))[d.whole(0, 4)]
    t = 2 * np.pi * np.arange(240) / 240
    wide = 1 + d.size(0.3, 0.5) * np.cos(q * t)
    depth = d.size(0.3, 0.7)
    curve = np.stack([wide * np.cos(p * t), wide * np.sin(p * t), -depth * np.sin(q * t)], axis=-1)
    return swept(curve, d.size(0.06, 0.2), closed=True)


def _wavy_ring(d: Draw) -> Surface:
    waves, high, wide = d.whole(2, 9), d.size(0.1, 0.6), d.size(0.0, 0.35)
    t = 2 * np.pi * np.arange(160) / 160
    radius = 1 + wide * np.cos(waves * t)
    curve = np.stack([radius * np.cos(t), radius * np.sin(t), high * np.sin(waves * t)], axis=-1)
    return swept(curve, d.size(0.05, 0.25), closed=True)


def _band(d: Draw) -> Surface:
    """A flat band, closed after half turns: a Moebius strip for an odd number."""
    halves, wide, thick = d.whole(0, 4), d.size(0.15, 0.5), d.size(0.02, 0.08)
    t = 2 * np.pi * np.arange(120) / 120
    edge = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * [wide, thick]
    turn = halves * t / 2
    across = np.cos(turn)[:, None] * edge[:, 0] - np.sin(turn)[:, None] * edge[:, 1]
    up = np.sin(turn)[:, None] * edge[:, 0] + np.cos(turn)[:, None] * edge[:, 1]
    radius = 1 + across
    vertices = np.stack([radius * np.cos(t)[:, None], radius * np.sin(t)[:, None], up], axis=-1)
    squeezed = vertices * [1, d.size(0.5, 1.0), 1]
    # After an odd number of half turns the last edges meet others, and the open seam is invisible.
    return Surface(squeezed.reshape(-1, 3), grid_faces(120, 4, halves % 2 == 0, True))


def _sheet(d: Draw) -> Surface:
    """A thick sheet with waves."""
    x, y = np.meshgrid(np.linspace(-1, 1, 28), np.linspace(-1, 1, 28), indexing="ij")
    wide, thick = d.size(0.3, 1.0), d.size(0.02, 0.1)
    wave = d.size(0.05, 0.4) * np.sin(d.size(1, 6) * x + d.pose(0, 6))
    wave = wave + d.size(0.0, 0.3) * np.cos(d.size(1, 5) * y + d.pose(0, 6))
    bend = d.pose(-0.6, 0.6) * x**2
    sides = [
        np.stack([x, wide * y, wave + bend + side * thick], axis=-1).reshape(-1, 3)
        for side in (-1, 1)
    ]
    faces = grid_faces(28, 28, False, False)
    return Surface(np.concatenate(sides), np.concatenate([faces, faces + len(sides[0])]))


def _stairs(d: Draw) -> Surface:
    steps = d.whole(2, 6)
    run, rise = np.cumsum(d.sizes(0.5, 1.2, steps)), np.cumsum(d.sizes(0.5, 1.2, steps))[::-1]
    corners = [(0.0, 0.0), (run[-1], 0.0)]
    for index in reversed(range(steps)):
        low = run[index - 1] if index else 0.0
        corners += [(run[index], rise[index]), (low, rise[index])]
    return extruded(np.array(corners), steps * d.size(0.2, 1.2))


def _cross(d: Draw) -> Surface:
    arms, thin = d.whole(3, 6), d.size(0.12, 0.35)
    half = np.pi / arms
    corner = thin / np.sin(half)
    outline = []
    for k in range(arms):
        turn = 2 * half * k
        matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        inner = corner * np.array([np.cos(half), np.sin(half)])
        outline += [matrix @ point for point in ([1, -thin], [1, thin], inner)]
    return extruded(np.array(outline), d.size(0.1, 1.0))


SURFACES: dict[str, Callable[[Draw], Surface]] = {
    "band": _band,
    "blob-prism": _blob_prism,
    "bottle": _bottle,
    "bumpy-ball": _bumpy_ball,
    "changing-prism": _changing_prism,
    "cross": _cross,
    "dish": _dish,
    "dumbbell": _dumbbell,
    "frustum": _frustum,
    "gear": _gear,
    "goblet": _goblet,
    "helix": _helix,
    "knot": _knot,
    "polygon-prism": _polygon_prism,
    "sea-shell": _sea_shell,
    "sheet": _sheet,
    "spindle": _spindle,
    "spiral": _spiral,
    "stairs": _stairs,
    "star-prism": _star_prism,
    "superquadric": _superquadric,
    "supertoroid": _supertoroid,
    "tube": _tube,
    "twisted-prism": _twisted_prism,
    "vase": _vase,
    "wavy-ring": _wavy_ring,
}
