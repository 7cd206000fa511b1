"""Families of furniture, tools and vehicles, made of simple solids. The up axis is z."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from csgnn_dgl.datasets.shapes.families.bodies import Body, about, towards
from csgnn_dgl.datasets.shapes.families.draw import Draw

__all__ = ["THINGS"]


def _legs(body: Body, d: Draw, wide: float, deep: float, tall: float, thick: float) -> None:
    """Four legs, a pedestal, or two panels, below height 0."""
    kind = d.whole(0, 3)
    round_, splay = d.chance(0.4), d.size(0, 0.15)
    if kind <= 1:
        for x in (-1, 1):
            for y in (-1, 1):
                place = (x * (wide - thick), y * (deep - thick), -tall / 2)
                turn = about(1, -x * splay) @ about(0, y * splay)
                shape = "cylinder" if round_ else "box"
                body.add(shape, place, (thick, thick, tall / 2), turn)
    elif kind == 2:
        body.add("cylinder", (0, 0, -tall / 2), (1.5 * thick, 1.5 * thick, tall / 2))
        foot = 0.6 * min(wide, deep)
        body.add("cylinder", (0, 0, -tall), (foot, foot, 0.6 * thick))
    else:
        for x in (-1, 1):
            body.add("box", (x * (wide - thick), 0, -tall / 2), (thick, deep, tall / 2))


def _table(d: Draw) -> Body:
    body = Body()
    wide, deep, tall = d.size(0.5, 1.0), d.size(0.3, 0.7), d.size(0.3, 0.9)
    top, thick = d.size(0.02, 0.08), d.size(0.02, 0.08)
    shape = "cylinder" if d.chance(0.3) else "box"
    body.add(shape, (0, 0, top), (wide, deep, top))
    inset = 0.7 if shape == "cylinder" else 1.0
    _legs(body, d, inset * wide, inset * deep, tall, thick)
    if d.chance(0.3):
        body.add("box", (0, 0, -0.7 * tall), (0.9 * inset * wide, 0.9 * inset * deep, 0.02))
    return body


def _desk(d: Draw) -> Body:
    body = _table(d)
    wide, deep, tall = d.size(0.15, 0.3), d.size(0.25, 0.45), d.size(0.3, 0.6)
    for side in (-1, 1) if d.chance(0.4) else (1,):
        body.add("box", (0.5 * side, 0, -tall / 2), (wide, deep, tall / 2))
    if d.chance(0.4):
        high = d.size(0.1, 0.5)
        body.add("box", (0, -0.4, high), (0.6, 0.03, high))
    return body


def _chair(d: Draw) -> Body:
    body = Body()
    wide, deep, tall = d.size(0.3, 0.5), d.size(0.3, 0.5), d.size(0.3, 0.6)
    thick, back, tilt = d.size(0.02, 0.05), d.size(0.3, 0.8), d.size(0, 0.3)
    body.add("box", (0, 0, thick), (wide, deep, thick + d.size(0, 0.06)))
    turn = about(0, tilt)
    place = np.array([0, -deep, 0]) + turn @ [0, 0, back / 2]
    if d.chance(0.5):
        body.add("box", place, (wide, thick, back / 2), turn)
    else:
        bars = d.whole(2, 5)
        for k in range(bars):
            x = wide * (2 * k / (bars - 1) - 1) * 0.95
            body.add("box", place + np.array([x, 0, 0]), (0.03, thick, back / 2), turn)
        body.add("box", np.array([0, -deep, 0]) + turn @ [0, 0, back], (wide, thick, 0.06), turn)
    if d.chance(0.4):
        high = d.size(0.15, 0.3)
        for x in (-1, 1):
            body.add("box", (x * wide, 0, high), (0.03, 0.9 * deep, 0.03))
            body.add("box", (x * wide, 0.8 * deep, high / 2), (0.03, 0.03, high / 2))
    _legs(body, d, wide, deep, tall, 1.2 * thick)
    return body


def _sofa(d: Draw) -> Body:
    body = Body()
    wide, deep, seat = d.size(0.6, 1.2), d.size(0.3, 0.5), d.size(0.12, 0.25)
    back, arm = d.size(0.2, 0.5), d.size(0.06, 0.18)
    body.add("box", (0, 0, 0), (wide, deep, seat))
    body.add("box", (0, -deep, seat + back / 2), (wide, d.size(0.06, 0.15), back / 2 + seat))
    if d.chance(0.75):
        high = d.size(0.1, 0.3)
        for x in (-1, 1):
            if d.chance(0.5):
                body.rod((x * wide, -deep, high), (x * wide, deep, high), arm)
            body.add("box", (x * wide, 0, high / 2), (arm, deep, seat + high / 2))
    if d.chance(0.3):
        body.add("box", (0.6 * wide, 1.6 * deep, 0), (0.4 * wide, deep, seat))
    if d.chance(0.5):
        _legs(body, d, wide, deep, seat + d.size(0.1, 0.2), 0.04)
    return body


def _bed(d: Draw) -> Body:
    body = Body()
    wide, long, high = d.size(0.35, 0.7), d.size(0.8, 1.0), d.size(0.08, 0.25)
    body.add("box", (0, 0, 0), (wide, long, high))
    head, foot = d.size(0.1, 0.6), d.size(0.0, 0.4)
    body.add("box", (0, -long, head / 2), (wide + 0.03, 0.04, head / 2 + high))
    if d.chance(0.6):
        body.add("box", (0, long, foot / 2), (wide + 0.03, 0.04, foot / 2 + high))
    for x in (-0.5, 0.5) if wide > 0.5 else (0.0,):
        body.add("ellipsoid", (x * wide, -0.8 * long, high), (0.4 * wide, 0.15, 0.1))
    if d.chance(0.2):
        tall = d.size(0.8, 1.2)
        for x in (-1, 1):
            for y in (-1, 1):
                body.add("box", (x * wide, y * long, tall / 2), (0.03, 0.03, tall / 2))
        body.add("box", (0, 0, tall), (wide, long, 0.02))
    return body


def _cabinet(d: Draw) -> Body:
    body = Body()
    wide, deep, tall = d.size(0.3, 0.8), d.size(0.2, 0.4), d.size(0.3, 1.0)
    body.add("box", (0, 0, 0), (wide, deep, tall))
    rows, columns = d.whole(1, 5), d.whole(1, 3)
    open_, wall = d.chance(0.5), d.size(0.02, 0.05)
    hollow = deep * (0.9 if open_ else d.size(0.0, 0.06))
    for i in range(rows):
        for k in range(columns):
            x, z = wide * ((2 * k + 1) / columns - 1), tall * ((2 * i + 1) / rows - 1)
            size = (wide / columns - wall, hollow, tall / rows - wall)
            if open_:
                body.cut("box", (x, deep, z), size)
            else:
                body.add("box", (x, deep, z), size)
                body.add("ellipsoid", (x, deep + hollow, z), (0.03, 0.05, 0.03))
    if d.chance(0.5):
        _legs(body, d, wide, deep, tall + d.size(0.1, 0.4), 0.03)
    return body


def _monitor(d: Draw) -> Body:
    body = Body()
    wide, high, thick = d.size(0.5, 1.0), d.size(0.35, 0.65), d.size(0.02, 0.1)
    stand = d.size(0.1, 0.4)
    turn = about(0, d.pose(-0.2, 0.2))
    body.add("box", (0, 0, 0), (wide, thick, high), turn)
    if d.chance(0.4):
        depth = d.size(0.1, 0.5)
        body.add("box", (0, -depth, 0), (0.7 * wide, depth, 0.7 * high), turn)
    if d.chance(0.7):
        body.cut("box", (0, thick, 0), (wide - 0.05, 0.02, high - 0.05), turn)
    body.add("box", (0, -0.05, -high - stand / 2), (d.size(0.04, 0.15), 0.04, stand / 2 + 0.1))
    foot = d.size(0.2, 0.4)
    shape = "cylinder" if d.chance(0.5) else "box"
    body.add(shape, (0, 0, -high - stand), (foot, 0.7 * foot, 0.025))
    return body


def _tub(d: Draw) -> Body:
    body = Body()
    wide, long, deep = d.size(0.35, 0.6), d.size(0.6, 1.0), d.size(0.2, 0.5)
    wall, shape = d.size(0.03, 0.12), ("box", "cylinder", "ellipsoid")[d.whole(0, 2)]
    inner = (wide - wall, long - wall, deep)
    if shape == "ellipsoid":
        body.add("ellipsoid", (0, 0, 0), (wide, long, deep))
        body.cut("box", (0, 0, 1.0), (2, 2, 1.0))
        body.cut("ellipsoid", (0, 0, 0), (wide - wall, long - wall, deep - wall))
    else:
        body.add(shape, (0, 0, -deep / 2), (wide, long, deep / 2))
        hole = "ellipsoid" if d.chance(0.4) else shape
        body.cut(hole, (0, 0, 0), (inner[0], inner[1], 0.9 * deep))
    if d.chance(0.3):
        body.add("cylinder", (0, 0, -deep), (0.5 * wide, 0.5 * long, 0.08))
    if d.chance(0.3):
        body.rod((0, long, 0), (0, long, 0.25), 0.03)
        body.rod((0, long, 0.25), (0, long - 0.2, 0.25), 0.03)
    return body


def _toilet(d: Draw) -> Body:
    body = Body()
    wide, long = d.size(0.25, 0.4), d.size(0.35, 0.55)
    base = d.size(0.15, 0.25)
    body.add("ellipsoid", (0, 0.1, 0), (wide, long, d.size(0.25, 0.45)))
    body.cut("box", (0, 0, 1.05), (2, 2, 1.0))
    body.cut("ellipsoid", (0, 0.15, 0.05), (wide - 0.08, long - 0.1, 0.25))
    body.add("cylinder", (0, 0, -0.3), (base, 1.3 * base, 0.3))
    tank = d.size(0.2, 0.45)
    body.add("box", (0, -long, 0.05), (d.size(0.25, 0.4), 0.12, 0.2))
    body.add("cylinder", (0, 0.12, 0.04), (wide + 0.02, long + 0.02, 0.012))
    lid = about(0, d.pose(0.0, 0.35))
    height = np.array([0, -long + 0.15, 0.05]) + lid @ [0, 0, tank]
    body.add("ellipsoid", height, (wide, 0.03, tank), lid)
    return body


def _desk_lamp(d: Draw) -> Body:
    body = Body()
    foot = d.size(0.2, 0.4)
    body.add("cylinder", (0, 0, 0), (foot, foot, 0.04))
    lower, upper = d.size(0.4, 0.8), d.size(0.3, 0.8)
    bends = [about(0, d.pose(-0.6, 0.3)), about(0, d.pose(0.5, 1.8)) @ about(1, d.pose(-0.3, 0.3))]
    end, frame = body.chain([0, 0, 0], np.eye(3), [lower, upper], [0.03] * 3, bends)
    frame = frame @ about(0, d.pose(0.2, 1.2))
    length = d.size(0.15, 0.35)
    body.rod(end, end + length * frame[:, 2], 0.06, d.size(0.12, 0.25))
    return body


def _glasses(d: Draw) -> Body:
    body = Body()
    size, thick, gap = d.size(0.25, 0.4), d.size(0.02, 0.05), d.size(0.05, 0.2)
    flat = about(0, np.pi / 2)
    for x in (-1, 1):
        centre = np.array([x * (size + gap), 0, 0])
        if d.chance(0.5):
            body.add("ring", centre, (size, thick, 1), flat)
        else:
            body.add("cylinder", centre, (size, 0.8 * size, thick), flat)
        hinge = centre + np.array([x * size, 0, 0])
        side = towards([x * d.pose(-1.2, 0.25), -1, 0.0])
        bends = [about(0, 0), about(0, d.size(0.1, 0.8))]
        body.chain(hinge, side, [d.size(0.8, 1.2), 0.25], [thick] * 3, bends)
    body.rod([-gap, 0, 0.1], [gap, 0, 0.1], thick)
    return body


def _scissors(d: Draw) -> Body:
    body = Body()
    blade, grip, ring = d.size(0.6, 1.2), d.size(0.3, 0.6), d.size(0.12, 0.25)
    thick, wide = d.size(0.02, 0.05), d.size(0.05, 0.1)
    angle = d.pose(0.03, 0.7)
    for side in (-1, 1):
        frame = about(1, side * angle)
        body.rod((0, side * thick, 0), frame @ [0, 0, blade] + [0, side * thick, 0], wide, 0.02)
        end = frame @ [0, 0, -grip]
        body.rod((0, 0, 0), end, 0.6 * wide)
        centre = end + frame @ [-side * ring, 0, -ring]
        body.add("ring", centre, (ring, 0.04, 1), frame @ about(0, np.pi / 2))
    return body


def _pliers(d: Draw) -> Body:
    body = Body()
    jaw, grip, thick = d.size(0.2, 0.45), d.size(0.7, 1.2), d.size(0.05, 0.1)
    angle, curve = d.pose(0.02, 0.5), d.size(0.1, 0.5)
    for side in (-1, 1):
        frame = about(1, side * angle)
        body.rod((0, 0, 0), frame @ [side * 0.1, 0, jaw], 1.6 * thick, 0.4 * thick)
        bends = [about(1, side * 0.15), about(1, -side * curve), about(1, side * curve)]
        turned = about(1, np.pi + side * angle)
        body.chain((0, 0, 0), turned, [grip / 3] * 3, thick * np.array([1.0, 0.8, 1, 1]), bends)
    body.add("cylinder", (0, 0, 0), (1.8 * thick, 1.8 * thick, 1.2 * thick), about(0, np.pi / 2))
    return body


def _hinged_plates(d: Draw) -> Body:
    body = Body()
    wide, deep, thick = d.size(0.5, 0.9), d.size(0.35, 0.7), d.size(0.015, 0.06)
    body.add("box", (0, deep, 0), (wide, deep, thick))
    lid = about(0, d.pose(0.15, 2.4))
    scale = d.size(0.7, 1.0)
    body.add("box", lid @ [0, scale * deep, 0], (wide, scale * deep, thick), lid)
    return body


def _mug(d: Draw) -> Body:
    body = Body()
    radius, tall, wall = d.size(0.3, 0.5), d.size(0.3, 0.7), d.size(0.03, 0.08)
    body.add("cylinder", (0, 0, 0), (radius, radius, tall))
    body.cut("cylinder", (0, 0, 2 * wall), (radius - wall, radius - wall, tall))
    for side in (-1, 1) if d.chance(0.3) else (1,):
        size = d.size(0.15, 0.3)
        body.add("ring", (side * radius, 0, 0), (size, d.size(0.03, 0.07), 1), about(0, np.pi / 2))
    body.cut("cylinder", (0, 0, 2 * wall), (radius - wall, radius - wall, tall))
    return body


def _airplane(d: Draw) -> Body:
    body = Body()
    long, thick = d.size(0.7, 1.2), d.size(0.06, 0.16)
    body.rod((-long, 0, 0), (long, 0, 0), 0.6 * thick, thick)
    span, chord, sweep = d.size(0.5, 1.2), d.size(0.1, 0.3), d.size(-0.1, 0.6)
    for y in (-1, 1):
        body.add(
            "ellipsoid",
            (-sweep * span / 2, y * span / 2, 0),
            (chord, span / 2, 0.03),
            about(2, y * sweep),
        )
        tail = 0.4 * span
        body.add(
            "ellipsoid",
            (-long, y * tail / 2, 0.05),
            (0.5 * chord, tail / 2, 0.02),
            about(2, y * sweep),
        )
        if d.chance(0.5):
            x = d.size(0.0, 0.2)
            body.rod((x, 0.5 * y * span, -0.1), (x + 0.25, 0.5 * y * span, -0.1), 0.06)
    body.add("ellipsoid", (-long, 0, 0.2), (0.5 * chord, 0.02, 0.25), about(1, -0.3))
    return body


def _wagon(d: Draw) -> Body:
    body = Body()
    long, wide, high = d.size(0.6, 1.1), d.size(0.25, 0.5), d.size(0.12, 0.3)
    wheel, axles = d.size(0.1, 0.28), d.whole(2, 4)
    body.add("box", (0, 0, 0), (long, wide, high))
    if d.chance(0.6):
        share = d.size(0.3, 0.7)
        body.add("box", (d.size(-0.3, 0.3), 0, high + 0.15), (share * long, 0.9 * wide, 0.2))
    elif d.chance(0.5):
        body.cut("box", (0, 0, high), (0.9 * long, 0.9 * wide, 1.5 * high))
    for k in range(axles):
        x = long * (2 * (k + 0.5) / axles - 1)
        for y in (-1, 1):
            body.add("cylinder", (x, y * wide, -high), (wheel, wheel, 0.06), about(0, np.pi / 2))
    return body


def _propeller(d: Draw) -> Body:
    body = Body()
    blades, long, wide = d.whole(2, 6), d.size(0.6, 1.0), d.size(0.06, 0.2)
    twist = d.size(0.1, 1.0)
    hub = d.size(0.08, 0.2)
    body.rod((0, 0, -0.1), (0, 0, d.size(0.05, 0.5)), hub)
    for k in range(blades):
        frame = about(2, 2 * np.pi * k / blades) @ about(0, twist)
        body.add("ellipsoid", frame @ [0.5 * long, 0, 0], (0.5 * long, wide, 0.025), frame)
    if d.chance(0.4):
        body.rod((0, 0, 0), (0, -d.size(0.8, 1.5), 0), 0.05, 0.08)
    return body


def _hammer(d: Draw) -> Body:
    body = Body()
    body.rod((0, 0, -d.size(0.6, 1.1)), (0, 0, 0), d.size(0.03, 0.08))
    kind, long, thick = d.whole(0, 3), d.size(0.2, 0.5), d.size(0.06, 0.18)
    if kind == 0:
        body.add("box", (0, 0, 0), (long, thick, thick))
    elif kind == 1:
        body.add("cylinder", (0, 0, 0), (thick, thick, long), about(1, np.pi / 2))
    elif kind == 2:
        body.add("ring", (0, 0, long), (long, 0.4 * thick, 1), about(0, np.pi / 2))
    else:
        teeth = d.whole(2, 5)
        for k in range(teeth):
            x = 0.5 * long * (2 * k / (teeth - 1) - 1)
            body.rod((0.3 * x, 0, 0), (x, 0, long), 0.03, 0.02)
    return body


def _fence(d: Draw) -> Body:
    body = Body()
    posts, tall = d.whole(3, 7), d.size(0.3, 0.9)
    for k in range(posts):
        x = 2 * k / (posts - 1) - 1
        body.add("box", (x, 0, 0), (0.04, 0.03, tall))
    for z in d.sizes(-0.7, 0.7, d.whole(1, 3)):
        body.add("box", (0, 0, z * tall), (1.0, 0.02, 0.05))
    return body


def _rack(d: Draw) -> Body:
    """Shelves on posts, or a ladder."""
    body = Body()
    shelves, tall = d.whole(2, 6), d.size(0.6, 1.2)
    wide, deep = d.size(0.25, 0.6), d.size(0.03, 0.35)
    for k in range(shelves):
        z = tall * (2 * k / (shelves - 1) - 1) * 0.95
        body.add("box", (0, 0, z), (wide, deep, 0.025))
    for x in (-1, 1):
        for y in (-1, 1):
            body.add("box", (x * wide, y * deep, 0), (0.03, 0.03, tall))
    return body


THINGS: dict[str, Callable[[Draw], Body]] = {
    "airplane": _airplane,
    "bed": _bed,
    "cabinet": _cabinet,
    "chair": _chair,
    "desk": _desk,
    "desk-lamp": _desk_lamp,
    "fence": _fence,
    "glasses": _glasses,
    "hammer": _hammer,
    "hinged-plates": _hinged_plates,
    "monitor": _monitor,
    "mug": _mug,
    "pliers": _pliers,
    "propeller": _propeller,
    "rack": _rack,
    "scissors": _scissors,
    "sofa": _sofa,
    "table": _table,
    "toilet": _toilet,
    "tub": _tub,
    "wagon": _wagon,
}
