"""Figure 2: a cloud becomes features on concentric spheres."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from csgnn_dgl.compare.figures.scene import (
    BLUE,
    GREY,
    ORANGE,
    Floats,
    Scene,
    blank,
    half_disc,
)
from csgnn_dgl.datasets.shapes.meshes import Mesh
from csgnn_dgl.datasets.shapes.shape_files import read_shape, shape_points
from csgnn_dgl.datasets.shapes.solids import solid_points
from csgnn_dgl.grid import ConcentricGrid, Icosphere
from csgnn_dgl.mapping import PointMapping

__all__ = ["CHANNELS", "LEVEL", "SPHERES", "cloud_features", "cloud_of", "draw_cloud"]

#: Level of the icospheres, spatial spheres, and channels: 3 · 2 = 6 spheres, as in the paper.
LEVEL, SPHERES, CHANNELS = 2, 3, 2
_POINTS = 1024
_VIEW = {"azimuth": -60.0, "elevation": 18.0}


def cloud_of(path: Path | None) -> Floats:
    """Points of a mesh or a cloud, or of a built-in solid, within the unit ball.

    Parameters
    ----------
    path
        The file; None for a trefoil knot.

    Returns
    -------
    numpy.ndarray
        Shape ``(n, 3)``: 1,024 points, or all of a cloud with fewer.

    Raises
    ------
    DataError
        The file cannot be used.
    """
    if path is None:
        return solid_points("trefoil", _POINTS, seed=2).astype(np.float64)
    shape = read_shape(path)
    count = _POINTS if isinstance(shape, Mesh) else min(_POINTS, len(shape))
    return shape_points(path, shape, count, 0).astype(np.float64)


def cloud_features(cloud: Floats) -> tuple[Floats, Floats]:
    """Features of a cloud on 6 spheres of one channel, and on 3 spheres of two.

    Returns
    -------
    tuple of numpy.ndarray
        Shapes ``(V, 6)`` and ``(V, 3, 2)``: the same numbers.

    Examples
    --------
    >>> single, grouped = cloud_features(cloud_of(None))
    >>> bool(np.allclose(single.reshape(-1, 3, 2), grouped))
    True
    """
    points = torch.from_numpy(cloud)[None]
    single = PointMapping(LEVEL, SPHERES * CHANNELS, 1, radial="bracket")(points)
    grouped = PointMapping(LEVEL, SPHERES, CHANNELS, radial="bracket")(points)
    return (
        single.view(-1, SPHERES * CHANNELS).numpy(),
        grouped.view(-1, SPHERES, CHANNELS).numpy(),
    )


def draw_cloud(path: Path | None = None) -> Figure:
    """Draw how a cloud becomes features of vertices on concentric spheres.

    Parameters
    ----------
    path
        A mesh or a cloud; None for a built-in solid.

    Raises
    ------
    DataError
        The file cannot be used.
    """
    cloud = cloud_of(path)
    single, grouped = cloud_features(cloud)
    figure = Figure(figsize=(11, 2.75), layout="constrained")
    panels = figure.subplots(1, 5)
    _ball(panels[0], cloud)
    _spheres(panels[1], cloud)
    _neighborhood(panels[2], cloud)
    _single_channel(panels[3], single)
    _grouped(panels[4], grouped)
    return figure


def _scene(axes: Axes, radii: Floats) -> Scene:
    """A scene with the outlines and the equators of spheres."""
    scene = Scene(axes, **_VIEW, depths=(-1, 1))
    for radius in radii:
        outer = radius == radii[-1]
        scene.outline(radius, GREY if outer else "#aaaaaa", 0.8 if outer else 0.5)
        scene.circle(radius, [0, 0, 1], GREY if outer else "#999999", 0.5)
    return scene


def _radii(count: int) -> Floats:
    return ConcentricGrid(LEVEL, count).radii


def _ball(axes: Axes, cloud: Floats) -> None:
    blank(axes, f"(a) {len(cloud):,} points", 1.06)
    scene = _scene(axes, _radii(1))
    scene.dots(cloud, "#000000", 2.2)
    scene.draw()


def _spheres(axes: Axes, cloud: Floats) -> None:
    count = SPHERES * CHANNELS
    blank(axes, f"(b) in {count} concentric spheres", 1.06)
    scene = _scene(axes, _radii(count))
    scene.dots(cloud, "#000000", 1.2)
    scene.draw()


def _neighborhood(axes: Axes, cloud: Floats) -> None:
    """The sites to which one point contributes, from the mapping of that point alone."""
    blank(axes, "(c) one point's neighbourhood")
    count = SPHERES * CHANNELS
    scene = Scene(axes, **_VIEW, fade=0.5)
    point = _typical(cloud, scene)
    weight = PointMapping(LEVEL, count, 1, radial="bracket")(torch.from_numpy(point)[None, None])
    weight = weight.view(-1, count).numpy()
    sphere = Icosphere.get(LEVEL)
    radii = _radii(count)
    vertices, levels = (np.unique(found) for found in np.nonzero(weight))
    near = sphere.faces[np.isin(sphere.faces, vertices).any(axis=1)]
    around = np.unique(np.sort(near[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    for level in levels:
        scene.lines(radii[level] * sphere.vertices[around], "#bbbbbb", 0.6)
        face = sphere.vertices[vertices]
        sides = np.stack([face, np.roll(face, 1, axis=0)], axis=1)
        scene.lines(radii[level] * sides, "#333333", 1.2)
    chains = radii[levels][:, None] * sphere.vertices[vertices][:, None, :]
    if len(levels) == 2:
        scene.lines(chains, "#999999", 0.8, dash=(0, (2, 2)))
    sites = chains.reshape(-1, 3)
    shares = weight[vertices][:, levels].ravel()
    spokes = np.stack([np.broadcast_to(point, sites.shape), sites], axis=1)
    scene.lines(spokes, BLUE, 0.9)
    scene.dots(sites, "#b8cde2", 20 + 220 * shares, edge=BLUE, lift=0.05)
    scene.dots(point[None], "#000000", 26, lift=0.2)
    scene.draw()
    axes.margins(0.08)


def _typical(cloud: Floats, scene: Scene) -> Floats:
    """A point between two spheres, seen from the side, near the middle of its face."""
    radius = np.linalg.norm(cloud, axis=1)
    count = SPHERES * CHANNELS
    inside = radius * count
    place, depth = scene.project(cloud / np.maximum(radius, 1e-9)[:, None])
    # Seen obliquely, the two spheres lie beside each other.
    oblique = np.abs(np.abs(place[:, 0]) - 0.75) + np.maximum(0, -depth)
    between = np.abs(inside - np.floor(inside) - 0.5)
    small = np.maximum(0, 3 - inside)
    best: int = np.argmin(oblique + between + small)
    return cloud[best]


def _single_channel(axes: Axes, features: Floats) -> None:
    count = features.shape[1]
    blank(axes, f"(d) a feature per vertex, R = {count}", 1.06)
    scene = _scene(axes, _radii(count))
    _sites(scene, features, BLUE, "o")
    scene.draw()


def _grouped(axes: Axes, features: Floats) -> None:
    _, count, channels = features.shape
    blank(axes, f"(e) grouped, R = {count}, C = {channels}", 1.06)
    scene = _scene(axes, _radii(count))
    for channel, color in enumerate((BLUE, ORANGE)):
        _sites(scene, features[:, :, channel], color, half_disc(channel == 0))
    scene.draw()
    handles = [
        Line2D([], [], color=color, marker="o", linestyle="", markersize=4, label=f"channel {i + 1}")
        for i, color in enumerate((BLUE, ORANGE))
    ]
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=2, fontsize=7,
        frameon=False, handletextpad=0, columnspacing=0.8,
    )


def _sites(scene: Scene, features: Floats, color: str, marker: object) -> None:
    """Dots at the sites of ``features (V, R)``, with areas in proportion."""
    vertices = Icosphere.get(LEVEL).vertices
    sites = vertices[:, None, :] * _radii(features.shape[1])[:, None]
    shown = features > 0.02 * features.max()
    areas = 24 * features[shown] / features.max()
    scene.dots(sites[shown], color, areas, marker=marker)
