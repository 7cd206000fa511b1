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
    GREEN,
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
_AZIMUTH, _ELEVATION = -60, 18


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
    figure = Figure(figsize=(11, 2.75))
    panels = figure.subplots(1, 5)
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.1, top=0.9, wspace=0.04)
    _ball(panels[0], cloud)
    _spheres(panels[1], cloud)
    _neighborhood(panels[2], cloud)
    _single_channel(panels[3], single)
    _grouped(panels[4], grouped)
    return figure


def _scene(axes: Axes, radii: Floats) -> Scene:
    """A scene with the outlines and the equators of spheres."""
    scene = Scene(axes, azimuth=_AZIMUTH, elevation=_ELEVATION, depths=(-1, 1))
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
    scene.dots(cloud, "#000000", 2.6)
    scene.draw()


def _spheres(axes: Axes, cloud: Floats) -> None:
    count = SPHERES * CHANNELS
    blank(axes, f"(b) in {count} concentric spheres", 1.06)
    scene = _scene(axes, _radii(count))
    scene.dots(cloud, "#000000", 1.6)
    scene.draw()


def _neighborhood(axes: Axes, cloud: Floats) -> None:
    """The sites to which one point contributes, from the mapping of that point alone."""
    blank(axes, "(c) neighbourhood of a point")
    count, sphere = SPHERES * CHANNELS, Icosphere.get(LEVEL)
    point = _typical(cloud)
    mapping = PointMapping(LEVEL, count, 1, radial="bracket")
    weight = mapping(torch.from_numpy(point)[None, None]).view(-1, count).numpy()
    vertices, levels = (np.unique(found) for found in np.nonzero(weight))
    # The direction of the point is turned upwards.
    up = point / np.linalg.norm(point)
    first = sphere.vertices[vertices[0]] - up
    first -= (first @ up) * up
    first /= np.linalg.norm(first)
    frame = np.stack([first, np.cross(up, first), up])
    places, radii = sphere.vertices @ frame.T, _radii(count)
    scene = Scene(axes, azimuth=-82, elevation=19, fade=0.5)
    around = sphere.edges[(places[sphere.edges, 2] > np.cos(np.deg2rad(29))).all(axis=1)]
    face = places[vertices]
    for level in levels:
        scene.lines(radii[level] * places[around], "#999999", 0.6)
        sides = np.stack([face, np.roll(face, 1, axis=0)], axis=1)
        scene.lines(radii[level] * sides, "#333333", 1.4, lift=0.02)
    sites = radii[levels][:, None, None] * face
    if len(sites) == 2:
        scene.lines(sites.transpose(1, 0, 2), GREEN, 1.2, dash=(0, (2, 2)))
    sites = sites.reshape(-1, 3)
    place = frame @ point
    scene.lines(np.stack([np.broadcast_to(place, sites.shape), sites], axis=1), BLUE, 1.0)
    shares = weight[vertices][:, levels].T.ravel()
    scene.dots(sites, "#b8cde2", 16 + 170 * shares, edge=BLUE, lift=0.05)
    scene.dots(place[None], "#000000", 30, lift=0.3)
    scene.draw()
    axes.margins(0.06)


def _typical(cloud: Floats) -> Floats:
    """A point in the middle between two spheres, and of the face that its direction hits."""
    radius = np.linalg.norm(cloud, axis=1)
    directions = cloud / np.maximum(radius, np.finfo(np.float64).tiny)[:, None]
    place = radius * SPHERES * CHANNELS
    between = np.abs(place - np.floor(place) - 0.5)
    inner = np.maximum(0, 3 - place)
    mapping = PointMapping(LEVEL, 1, 1)
    face = mapping.vertices_of(mapping.find_faces(torch.from_numpy(directions))).numpy()
    corners = Icosphere.get(LEVEL).vertices[face]
    beside = np.linalg.norm(directions - corners.mean(axis=1), axis=1)
    found: Floats = cloud[np.argmin(between + inner + 5 * beside)]
    return found


def _single_channel(axes: Axes, features: Floats) -> None:
    count = features.shape[1]
    blank(axes, f"(d) one channel, R = {count}", 1.06)
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
        Line2D(
            [], [], color=color, marker="o", linestyle="", markersize=4, label=f"channel {i + 1}"
        )
        for i, color in enumerate((BLUE, ORANGE))
    ]
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.03),
        ncols=2,
        fontsize=7,
        frameon=False,
        handletextpad=0,
        columnspacing=0.8,
    )


def _sites(scene: Scene, features: Floats, color: str, marker: object) -> None:
    """Dots at the sites of ``features (V, R)``, with areas in proportion."""
    vertices = Icosphere.get(LEVEL).vertices
    sites = vertices[:, None, :] * _radii(features.shape[1])[:, None]
    shown = features > 0.02 * features.max()
    areas = 48 * features[shown] / features.max()
    scene.dots(sites[shown], color, areas, marker=marker)
