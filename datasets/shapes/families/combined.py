"""Families of unions and differences of random solids."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from csgnn_dgl.datasets.shapes.families.bodies import Body, about, towards
from csgnn_dgl.datasets.shapes.families.draw import Draw

__all__ = ["COMBINED"]

_KINDS = ("box", "cylinder", "ellipsoid")


def _drilled_block(d: Draw) -> Body:
    body = Body()
    sizes = d.sizes(0.3, 1.0, 3)
    body.add("box", (0, 0, 0), sizes)
    for _ in range(d.whole(1, 3)):
        axis = d.whole(0, 2)
        frame = (about(1, np.pi / 2), about(0, np.pi / 2), np.eye(3))[axis]
        place = d.sizes(-0.4, 0.4, 3) * sizes
        radius = d.size(0.1, 0.35)
        body.cut("cylinder", place, (radius, radius, 3), frame)
    return body


def _carved_ball(d: Draw) -> Body:
    body = Body()
    body.add("ellipsoid", (0, 0, 0), d.sizes(0.7, 1.0, 3))
    for _ in range(d.whole(1, 4)):
        where = d.sizes(-1, 1, 3)
        where = where / (np.linalg.norm(where) + 0.1)
        kind = _KINDS[d.whole(0, 2)]
        body.cut(kind, 0.9 * where, d.sizes(0.2, 0.6, 3), towards(where + 0.01))
    return body


def _cluster(d: Draw, kinds: tuple[str, ...]) -> Body:
    body = Body()
    place = np.zeros(3)
    for _ in range(d.whole(2, 5)):
        sizes = d.sizes(0.15, 0.6, 3)
        frame = about(2, d.size(0, 3)) @ about(0, d.size(0, 3))
        body.add(kinds[d.whole(0, len(kinds) - 1)], place, sizes, frame)
        place = place + d.sizes(-0.6, 0.6, 3)
    return body


def _boxes(d: Draw) -> Body:
    return _cluster(d, ("box",))


def _solids(d: Draw) -> Body:
    return _cluster(d, _KINDS)


def _chain(d: Draw) -> Body:
    """Links of a chain, which move against each other."""
    body = Body()
    links, size, thick = d.whole(2, 5), d.size(0.25, 0.45), d.size(0.04, 0.1)
    place, frame = np.zeros(3), np.eye(3)
    for _ in range(links):
        body.add("ring", place, (size, thick, 1), frame)
        step = frame[:, 0] * (2 * size - 3 * thick)
        frame = frame @ about(0, np.pi / 2 + d.pose(-0.4, 0.4)) @ about(2, d.pose(-0.4, 0.4))
        place = place + step
    return body


def _molecule(d: Draw) -> Body:
    """Balls on sticks, some of which turn."""
    body = Body()
    count, ball, stick = d.whole(3, 7), d.size(0.12, 0.3), d.size(0.03, 0.09)
    places = [np.zeros(3)]
    for size in d.sizes(0.6, 1.3, count):
        parent = places[d.whole(0, len(places) - 1)]
        out = d.sizes(-1, 1, 3)
        out = out / np.linalg.norm(out) + 0.3 * d.direction()
        places.append(parent + 0.6 * out)
        body.rod(parent, places[-1], stick)
        body.add("ellipsoid", places[-1], [size * ball] * 3)
    body.add("ellipsoid", places[0], [1.2 * ball] * 3)
    return body


def _jack(d: Draw) -> Body:
    """Rods from one middle: a tripod, a caltrop, a spiky ball."""
    body = Body()
    count, thick = d.whole(3, 9), d.size(0.04, 0.14)
    directions = d.sizes(-1, 1, 3 * count).reshape(count, 3)
    for out, length in zip(directions, d.sizes(0.4, 1.0, count), strict=True):
        end = length * out / np.linalg.norm(out)
        body.rod((0, 0, 0), end, thick, d.size(0.3, 1.2) * thick)
    if d.chance(0.5):
        body.add("ellipsoid", (0, 0, 0), [d.size(0.2, 0.5)] * 3)
    return body


def _beam(d: Draw) -> Body:
    """A beam with the profile of a letter: L, T, U, H, I, Z."""
    body = Body()
    wide, tall, long = d.size(0.25, 0.5), d.size(0.25, 0.6), d.size(0.3, 1.2)
    wall, letter = d.size(0.04, 0.12), d.whole(0, 5)
    flat = [(0, -1)], [(0, 1)], [(0, -1)], [(0, 0)], [(0, -1), (0, 1)], [(0.5, -1), (-0.5, 1)]
    upright = [-1], [0], [-1, 1], [-1, 1], [0], [0]
    for x, z in flat[letter]:
        body.add("box", (x * wide, 0, z * tall), (wide, long, wall))
    for x in upright[letter]:
        body.add("box", (x * wide, 0, 0), (wall, long, tall + wall))
    for _ in range(d.whole(0, 2)):
        place = (d.size(-0.5, 0.5) * wide, d.size(-0.7, 0.7) * long, 0)
        body.cut("cylinder", place, (0.1, 0.1, 2))
    return body


def _frame(d: Draw) -> Body:
    """A body with a window: a picture frame, an arch, a nut."""
    body = Body()
    kinds = ("box", "cylinder")
    sizes = d.sizes(0.5, 1.0, 2)
    thick = d.size(0.05, 0.4)
    body.add(kinds[d.whole(0, 1)], (0, 0, 0), (*sizes, thick), about(0, np.pi / 2))
    hole = sizes * d.size(0.4, 0.85)
    shift = d.size(-0.5, 0.0) if d.chance(0.4) else 0.0
    body.cut(kinds[d.whole(0, 1)], (0, 0, shift), (*hole, 1), about(0, np.pi / 2))
    return body


def _castle(d: Draw) -> Body:
    """Towers around a block."""
    body = Body()
    wide, deep, tall = d.size(0.3, 0.8), d.size(0.3, 0.8), d.size(0.1, 0.5)
    body.add("box", (0, 0, tall), (wide, deep, tall))
    radius, high = d.size(0.08, 0.25), d.size(0.4, 1.0)
    for x in (-1, 1):
        for y in (-1, 1) if d.chance(0.7) else (0,):
            body.add("cylinder", (x * wide, y * deep, high), (radius, radius, high))
            if d.chance(0.7):
                top = np.array([x * wide, y * deep, 2 * high])
                body.rod(top, top + np.array([0, 0, d.size(0.2, 0.5)]), 1.1 * radius, 0.01)
    return body


def _windows(d: Draw) -> Body:
    """A tower of storeys with openings."""
    body = Body()
    storeys = d.whole(1, 4)
    wide, deep = d.sizes(0.25, 0.7, 2)
    place = 0.0
    for share in np.sort(d.sizes(0.5, 1.0, storeys))[::-1]:
        high = d.size(0.15, 0.4)
        body.add("box", (0, 0, place + high), (share * wide, share * deep, high))
        place += 2 * high
    for _ in range(d.whole(1, 3)):
        x, z = d.size(-0.6, 0.6) * wide, d.size(0.1, 0.9) * place
        body.cut("box", (x, 0, z), (0.3 * wide, 2, 0.1))
    if d.chance(0.4):
        body.rod((0, 0, place), (0, 0, place + d.size(0.2, 0.6)), 0.5 * wide, 0.01)
    return body


COMBINED: dict[str, Callable[[Draw], Body]] = {
    "beam": _beam,
    "boxes": _boxes,
    "carved-ball": _carved_ball,
    "castle": _castle,
    "chain": _chain,
    "drilled-block": _drilled_block,
    "frame": _frame,
    "jack": _jack,
    "molecule": _molecule,
    "solids": _solids,
    "tower": _windows,
}
