"""Families of bodies with joints: limbs keep their sizes within a kind, and move between members.

The up axis is z, and heads are at positive x.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from csgnn_dgl.datasets.shapes.families.bodies import Body, Floats, about, towards
from csgnn_dgl.datasets.shapes.families.draw import Draw

__all__ = ["CREATURES"]

UP, DOWN, FRONT, BACK, SIDE = (
    np.array(v, dtype=float) for v in ([0, 0, 1], [0, 0, -1], [1, 0, 0], [-1, 0, 0], [0, 1, 0])
)


def _bends(d: Draw, count: int, most: float, curl: float = 0.0) -> list[Floats]:
    """Bends of a limb in any direction, on top of a curl about its first axis."""
    return [
        about(0, curl + float(a)) @ about(1, float(b))
        for a, b in d.poses(-most, most, 2 * count).reshape(-1, 2)
    ]


def _limb(
    body: Body,
    d: Draw,
    start: Floats,
    direction: Floats,
    length: float,
    radius: float,
    *,
    joints: int = 3,
    swing: float = 0.5,
    bend: float = 0.4,
    curl: float = 0.0,
    taper: float = 0.6,
) -> tuple[Floats, Floats]:
    """A tapering limb of several rods; returns the place and the frame of its end."""
    lengths = np.full(joints, length / joints)
    radii = radius * np.linspace(1, taper, joints + 1)
    first = about(0, d.pose(-swing, swing)) @ about(1, d.pose(-swing, swing))
    bends = [first, *_bends(d, joints - 1, bend, curl)]
    return body.chain(start, towards(direction), lengths, radii, bends)


def _head(body: Body, d: Draw, place: Floats, frame: Floats, size: float, snout: float) -> None:
    tilt = frame @ towards([0, 0, 1]) @ about(0, d.pose(-0.3, 0.3))
    body.add("ellipsoid", place, (0.8 * size, 0.8 * size, size), tilt)
    if snout > 0:
        body.rod(place, place + (size + snout) * tilt[:, 2], 0.55 * size, 0.35 * size)


def _quadruped(d: Draw) -> Body:
    body = Body()
    length, girth = d.size(0.7, 1.3), d.size(0.14, 0.34)
    legs, thick = d.size(0.35, 1.0), d.size(0.05, 0.12)
    neck, head = d.size(0.1, 0.75), d.size(0.1, 0.22)
    snout, tail = d.size(0.0, 0.25), d.size(0.1, 0.9)
    ears, tail_up = d.size(0.0, 0.3), d.size(-0.8, 0.8)
    rise, hump = d.size(0.3, 1.4), d.chance(0.2)
    bend = _bends(d, 2, 0.25)
    frame = towards(FRONT)
    place = -0.5 * length * FRONT
    chest, frame = body.chain(
        place, frame, [length / 2] * 2, girth * np.array([0.9, 0.8, 1.0]), bend
    )
    if hump:
        body.add("ellipsoid", place + 0.5 * length * FRONT + girth * UP, (0.2, 0.12, 0.2))
    for x, where in ((0, place), (1, chest)):
        for y in (-1, 1):
            start = where + 0.6 * girth * y * SIDE
            _limb(body, d, start, DOWN, legs, thick, swing=0.45, bend=0.35, curl=0.1 * (1 - 2 * x))
    nape, frame = body.chain(
        chest,
        towards([np.cos(rise), 0, np.sin(rise)]),
        [neck / 2 + girth, neck / 2],
        [0.7 * girth, 0.45 * girth + 0.03, 0.6 * head],
        _bends(d, 2, 0.35),
    )
    facing = towards(0.4 * frame[:, 2] + FRONT)
    _head(body, d, nape, facing, head, snout)
    for y in (-1, 1):
        tip = nape + ears * (UP + 0.5 * y * SIDE)
        body.rod(nape + 0.5 * head * y * SIDE, tip + 0.5 * head * y * SIDE, 0.04, 0.02)
    behind = towards([-1, 0, tail_up])
    radii = np.linspace(0.06, 0.02, 5)
    body.chain(place, behind, [(tail + girth) / 4] * 4, radii, _bends(d, 4, 0.45))
    return body


def _biped(d: Draw) -> Body:
    body = Body()
    torso, shoulder = d.size(0.45, 0.8), d.size(0.16, 0.34)
    hip, legs = d.size(0.1, 0.2), d.size(0.5, 1.1)
    arms, thick = d.size(0.45, 1.0), d.size(0.05, 0.12)
    head, belly = d.size(0.1, 0.22), d.size(0.1, 0.3)
    feet, tail, horns = d.size(0.0, 0.25), d.size(0.0, 0.7), d.size(0, 0.25)
    top, frame = body.chain(
        np.zeros(3),
        towards(UP),
        [torso / 2] * 2,
        [0.9 * belly, belly, 0.8 * belly],
        _bends(d, 2, 0.25),
    )
    across = frame[:, 1] if abs(frame[1, 1]) > abs(frame[1, 0]) else frame[:, 0]
    for y in (-1, 1):
        joint = top + y * shoulder * across
        body.rod(top, joint, 0.6 * belly, 1.1 * thick)
        _limb(body, d, joint, y * across - 0.8 * UP, arms, thick, joints=2, swing=1.0, bend=0.9)
        start = y * hip * SIDE
        foot, _ = _limb(body, d, start, DOWN, legs, 1.3 * thick, joints=2, swing=0.5, bend=0.5)
        body.rod(foot, foot + feet * FRONT, 0.8 * thick, 0.6 * thick)
    body.rod(top, top + 0.9 * head * UP, 0.5 * head)
    crown = top + 1.5 * head * UP
    body.add("ellipsoid", crown, (0.8 * head, 0.8 * head, head), about(0, d.pose(-0.3, 0.3)))
    if d.chance(0.3):
        body.chain(
            np.zeros(3),
            towards([-1, 0, -0.5]),
            [tail / 3 + 0.05] * 3,
            [0.08, 0.06, 0.04, 0.02],
            _bends(d, 3, 0.4),
        )
    if d.chance(0.3):
        for y in (-1, 1):
            body.rod(crown, crown + (head + horns) * UP + y * head * SIDE, 0.03, 0.02)
    return body


def _bird(d: Draw) -> Body:
    body = Body()
    length, girth = d.size(0.4, 0.8), d.size(0.12, 0.25)
    span, chord = d.size(0.5, 1.2), d.size(0.12, 0.3)
    neck, head, beak = d.size(0.05, 0.7), d.size(0.08, 0.16), d.size(0.05, 0.3)
    tail, legs = d.size(0.1, 0.5), d.size(0.0, 0.7)
    body.add("ellipsoid", np.zeros(3), (length / 2 + 0.1, girth, girth))
    fold = d.pose(-0.6, 0.9)
    for y in (-1, 1):
        place = 0.5 * girth * y * SIDE
        angle = fold + d.pose(-0.1, 0.1)
        for share, width in ((0.5, 1.0), (0.5, 0.65)):
            out = np.array([-0.15, y * np.cos(angle), np.sin(angle)])
            frame = np.stack([FRONT, np.cross(out, FRONT), out], axis=1)
            frame[:, 1] /= np.linalg.norm(frame[:, 1])
            middle = place + out * share * span / 2
            body.add("ellipsoid", middle, (width * chord, 0.025, 0.6 * share * span), frame)
            place, angle = place + out * share * span, angle - d.pose(0.0, 0.7)
    top, frame = body.chain(
        0.4 * length * FRONT,
        towards([1, 0, 0.6]),
        [neck / 3 + 0.05] * 3,
        [0.6 * girth, 0.06, 0.05, 0.05],
        _bends(d, 3, 0.4),
    )
    body.add("ellipsoid", top, (head, head, head))
    body.rod(top, top + (head + beak) * (FRONT - 0.2 * UP), 0.4 * head, 0.015)
    wide = d.size(0.05, 0.25)
    body.add("ellipsoid", -(length / 2 + tail / 2) * FRONT, (tail / 2 + 0.1, wide, 0.02))
    if d.chance(0.6):
        for y in (-1, 1):
            _limb(
                body,
                d,
                0.4 * girth * y * SIDE,
                DOWN,
                legs + girth,
                0.025,
                joints=2,
                swing=0.5,
                bend=0.4,
            )
    return body


def _crawler(d: Draw, pairs: int, segments: int) -> Body:
    body = Body()
    sizes = d.sizes(0.1, 0.3, segments)
    legs, thick, lift = d.size(0.5, 1.1), d.size(0.02, 0.06), d.size(0.1, 0.9)
    place = np.zeros(3)
    centres = []
    for size in sizes:
        turn = np.array([1, d.pose(-0.15, 0.15), d.pose(-0.1, 0.1)])
        place = place + 0.9 * size * turn
        body.add("ellipsoid", place, (size, 0.8 * size, 0.7 * size))
        centres.append(place)
        place = place + 0.9 * size * turn
    hub = centres[min(1, segments - 1)]
    for k in range(pairs):
        angle = np.pi / 2 + (k - (pairs - 1) / 2) * 0.45
        for y in (-1, 1):
            out = np.array([np.cos(angle), y * np.sin(angle), lift])
            knee, _ = _limb(body, d, hub, out, 0.45 * legs, thick, joints=1, swing=0.3)
            down = np.array([np.cos(angle), y * np.sin(angle), -1.0])
            _limb(body, d, knee, down, 0.6 * legs, 0.9 * thick, joints=2, swing=0.3, bend=0.3)
    if d.chance(0.5):
        for y in (-1, 1):
            _limb(
                body,
                d,
                place,
                np.array([1, 0.5 * y, 0.6]),
                d.size(0.2, 0.6),
                0.02,
                joints=3,
                bend=0.4,
            )
    return body


def _insect(d: Draw) -> Body:
    return _crawler(d, 3, 3)


def _spider(d: Draw) -> Body:
    return _crawler(d, 4, 2)


def _octopus(d: Draw) -> Body:
    body = Body()
    arms, length, thick = d.whole(5, 10), d.size(0.8, 1.6), d.size(0.05, 0.11)
    wide, tall, curl = d.size(0.18, 0.35), d.size(0.2, 0.6), d.size(-0.3, 0.3)
    body.add("ellipsoid", 0.7 * tall * UP, (wide, wide, tall), about(0, d.pose(-0.4, 0.4)))
    for k in range(arms):
        angle = 2 * np.pi * k / arms
        out = np.array([np.cos(angle), np.sin(angle), -0.5])
        start = 0.6 * wide * out
        _limb(
            body,
            d,
            start,
            out,
            length,
            thick,
            joints=6,
            swing=0.4,
            bend=0.35,
            curl=curl,
            taper=0.25,
        )
    return body


def _fish(d: Draw) -> Body:
    body = Body()
    radii = np.concatenate([[0.05], d.sizes(0.1, 0.25, 3), [0.06, 0.03]])
    swim = d.poses(-0.3, 0.3, 5)
    length = d.size(0.25, 0.4)
    end, frame = body.chain(
        np.zeros(3), towards(BACK), [length] * 5, radii, [about(0, a) for a in swim]
    )
    fin, spread = d.size(0.15, 0.4), d.size(0.1, 0.3)
    upright = d.chance(0.6)
    wings = ((0, 0, 1), (0, 0, -1)) if upright else ((0, 1, 0), (0, -1, 0))
    for side in wings:
        tip = end + 0.7 * fin * frame[:, 2] + fin * np.array(side)
        body.rod(end, tip, 0.05, 0.02)
    middle = 1.5 * length * BACK
    body.add("ellipsoid", middle + radii[2] * UP, (0.5 * spread, 0.02, spread), about(1, 0.4))
    for y in (-1, 1):
        out = middle * 0.8 + y * radii[2] * SIDE
        body.add(
            "ellipsoid",
            out,
            (0.4 * spread, spread, 0.02),
            about(2, -0.5 * y) @ about(0, d.pose(-0.3, 0.3)),
        )
    return body


def _snake(d: Draw) -> Body:
    body = Body()
    count, thick = 22, d.size(0.04, 0.13)
    radii = thick * np.interp(np.linspace(0, 1, count + 1), [0, 0.1, 0.5, 1], [1.0, 0.7, 1.0, 0.2])
    # A smooth course: bends change slowly along the body.
    wave = np.cumsum(d.poses(-0.35, 0.35, 2 * count).reshape(2, -1), axis=1)
    wave = 0.35 * np.sin(wave + d.pose(0, 6))
    bends = [about(0, a) @ about(1, 0.5 * b) for a, b in wave.T]
    body.chain(np.zeros(3), towards(FRONT), [0.14] * count, radii, bends)
    if d.chance(0.6):
        body.add("ellipsoid", np.zeros(3), (1.8 * thick, 1.3 * thick, thick))
    return body


def _hand(d: Draw) -> Body:
    body = Body()
    fingers, long = d.whole(3, 5), d.size(0.5, 1.0)
    wide, thick = d.size(0.3, 0.5), d.size(0.06, 0.1)
    body.add("ellipsoid", np.zeros(3), (0.14, wide, 0.45))
    grip = d.pose(-0.1, 0.7)
    for k, share in enumerate(d.sizes(0.75, 1.05, fingers)):
        y = wide * (2 * (k + 0.5) / fingers - 1) * 0.85
        frame = towards([0, 0.35 * y / wide, 1])
        curl = grip + d.pose(-0.25, 0.25)
        bends = [about(1, curl * f) @ about(0, d.pose(-0.1, 0.1) * f) for f in (0.8, 1.0, 0.7)]
        start = np.array([0, y, 0.35])
        body.chain(
            start,
            frame,
            np.array([0.45, 0.3, 0.25]) * long * share,
            thick * np.array([1, 0.95, 0.85, 0.7]),
            bends,
        )
    thumb = [about(0, d.pose(-0.4, 0.4)), about(1, d.pose(-0.1, 0.6))]
    body.chain(
        [0, wide * 0.8, -0.15],
        towards([0.2, 1, 0.7]),
        [0.25, 0.25],
        thick * np.array([1.3, 1.1, 0.8]),
        thumb,
    )
    body.rod([0, 0, -0.3], [0, 0, -0.3 - d.size(0.2, 0.8)], 0.16, 0.16)
    return body


def _tree(d: Draw) -> Body:
    body = Body()
    depth, fan, share = d.whole(2, 4), d.whole(2, 3), d.size(0.6, 0.8)
    open_, trunk = d.size(0.35, 0.9), d.size(0.05, 0.1)

    def grow(place: Floats, frame: Floats, length: float, radius: float, left: int) -> None:
        end = place + length * frame[:, 2]
        body.rod(place, end, radius, 0.75 * radius)
        if left:
            turn = d.pose(0, 2 * np.pi)
            for k in range(fan):
                bend = about(2, turn + 2 * np.pi * k / fan) @ about(0, open_ + d.pose(-0.2, 0.2))
                grow(end, frame @ bend, share * length, 0.72 * radius, left - 1)

    grow(np.zeros(3), np.eye(3), d.size(0.5, 1.0), trunk, min(depth, 3 if fan == 3 else 4))
    return body


def _cactus(d: Draw) -> Body:
    body = Body()
    tall, thick, ribs = d.size(0.8, 1.6), d.size(0.1, 0.25), d.whole(1, 4)
    body.rod([0, 0, 0], [0, 0, tall], thick)
    for k, height in enumerate(d.sizes(0.25, 0.8, ribs)):
        angle = 2.4 * k + d.pose(-0.5, 0.5)
        out = np.array([np.cos(angle), np.sin(angle), 0.0])
        elbow = height * tall * UP + (thick + 0.25) * out
        body.rod(height * tall * UP, elbow, 0.7 * thick)
        body.rod(elbow, elbow + d.size(0.2, 0.6) * UP, 0.7 * thick, 0.6 * thick)
    return body


def _two_balls(d: Draw) -> Body:
    body = Body()
    count = d.whole(2, 4)
    place = np.zeros(3)
    for k, size in enumerate(d.sizes(0.2, 0.5, count)):
        place = place + (0.8 * size if k else 0) * (UP + 0.6 * d.direction())
        body.add("ellipsoid", place, (size, size, size * d.size(0.8, 1.2)))
        place = place + 0.8 * size * UP
    return body


def _starfish(d: Draw) -> Body:
    body = Body()
    arms, length, thick = d.whole(3, 7), d.size(0.6, 1.2), d.size(0.1, 0.25)
    body.add("ellipsoid", np.zeros(3), (1.5 * thick, 1.5 * thick, 0.8 * thick))
    for k in range(arms):
        angle = 2 * np.pi * k / arms
        out = np.array([np.cos(angle), np.sin(angle), 0.0])
        _limb(body, d, np.zeros(3), out, length, thick, joints=4, swing=0.3, bend=0.3, taper=0.3)
    return body


CREATURES: dict[str, Callable[[Draw], Body]] = {
    "bird": _bird,
    "biped": _biped,
    "cactus": _cactus,
    "fish": _fish,
    "hand": _hand,
    "insect": _insect,
    "octopus": _octopus,
    "quadruped": _quadruped,
    "snake": _snake,
    "spider": _spider,
    "starfish": _starfish,
    "stacked-balls": _two_balls,
    "tree": _tree,
}
