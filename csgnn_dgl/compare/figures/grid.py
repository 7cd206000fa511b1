"""Figure 3: the icosahedral grid, how it is refined and pooled, and its two convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from csgnn_dgl.compare.figures.scene import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    YELLOW,
    Floats,
    Scene,
    blank,
)
from csgnn_dgl.grid import ConcentricGrid

__all__ = ["draw_grid", "edge_ends", "sources"]

_AZIMUTH, _ELEVATION = -52, 24


def edge_ends(graph: Any, relation: str, *, once: bool = True) -> Floats:
    """Positions of the ends of the edges of a grid's graph.

    Parameters
    ----------
    graph
        Result of :meth:`~csgnn_dgl.grid.ConcentricGrid.graph`.
    relation
        Edge type: ``intra`` or ``radial``.
    once
        Leave out one of the two directions.

    Returns
    -------
    numpy.ndarray
        Shape ``(n, 2, 3)``: source and destination.

    Examples
    --------
    >>> edge_ends(ConcentricGrid(1, 2).graph(), "intra").shape
    (240, 2, 3)
    """
    source, destination = (ends.numpy() for ends in graph.edges(etype=relation))
    if once:
        source, destination = (ends[source < destination] for ends in (source, destination))
    position = graph.ndata["position"].double().numpy()
    return np.stack([position[source], position[destination]], axis=1)


def sources(graph: Any, relation: str, node: int) -> np.ndarray:
    """Nodes from which a node receives messages, in order.

    Examples
    --------
    >>> sources(ConcentricGrid(1, 3).graph(), "radial", 1).tolist()
    [0, 2]
    """
    found: np.ndarray = np.sort(graph.predecessors(node, etype=relation).numpy())
    return found


def draw_grid() -> Figure:
    """Draw the grid from the edges of its graphs: refinement, pooling, and convolutions."""
    figure = Figure(figsize=(10.4, 2.9))
    panels = figure.subplots(1, 4, width_ratios=[1, 1, 1, 1.45])
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.1, top=0.91, wspace=0.04)
    for axes, level, title in (
        (panels[0], 0, "(a) icosahedron, level 0"),
        (panels[1], 1, "refined, level 1"),
    ):
        blank(axes, title, 1.08)
        graph = ConcentricGrid(level, 1).graph()
        scene = Scene(axes, azimuth=_AZIMUTH, elevation=_ELEVATION, fade=0.8)
        scene.lines(_cut(edge_ends(graph, "intra")), GREY, 0.9)
        scene.dots(graph.ndata["position"].numpy(), BLUE, 16, lift=0.03)
        scene.draw()
        axes.text(0, -1.22, f"{graph.num_nodes()} vertices", ha="center", fontsize=8)
    _pooling(panels[2])
    _convolutions(panels[3])
    return figure


def _cut(ends: Floats, parts: int = 4) -> Floats:
    """Lines in several parts, each of which has its own depth."""
    share = np.linspace(0, 1, parts + 1)[:, None, None]
    points = (1 - share) * ends[:, 0] + share * ends[:, 1]
    return np.stack([points[:-1], points[1:]], axis=2).reshape(-1, 2, 3)


def _pooling(axes: Axes) -> None:
    """The edges of one coarse vertex in the graph that pools level 2 to level 1."""
    blank(axes, "pooling, level 2 to 1", 1.08)
    grid = ConcentricGrid(2, 1)
    fine, coarsening = grid.graph(), grid.coarsening(2)
    position = fine.ndata["position"].double().numpy()
    scene = Scene(axes, azimuth=_AZIMUTH, elevation=_ELEVATION, fade=0.8)
    scene.lines(_cut(edge_ends(fine, "intra"), 2), GREY, 0.6)
    kept = coarsening.num_nodes("coarse")
    # A kept vertex with six neighbours, which faces the viewer.
    _, depth = scene.project(position[:kept])
    six = coarsening.in_degrees(etype="pool").numpy() == 7
    centre = int(np.argmax(np.where(six, depth, -np.inf)))
    pooled = coarsening.predecessors(centre, etype="pool").numpy()
    ring = pooled[pooled != centre]
    others = np.setdiff1d(np.arange(len(position)), pooled)
    scene.dots(position[others[others >= kept]], "#9aa7b5", 7, lift=0.02)
    scene.dots(position[others[others < kept]], BLUE, 16, lift=0.03)
    toward = np.broadcast_to(position[centre], (len(ring), 3))
    scene.lines(np.stack([position[ring], toward], axis=1), YELLOW, 1.8, lift=0.04)
    scene.dots(position[ring], YELLOW, 24, edge="#000000", lift=0.06)
    scene.dots(position[[centre]], YELLOW, 44, edge="#000000", lift=0.06)
    scene.draw()
    axes.text(0, -1.22, f"{len(position)} to {kept} vertices", ha="center", fontsize=8)


def _convolutions(axes: Axes) -> None:
    """Patches of three consecutive spheres, with all edges into one node."""
    blank(axes, "(b) convolutions within and between spheres")
    graph = ConcentricGrid(2, 5).graph()
    sphere, vertex = (graph.ndata[name].numpy() for name in ("sphere", "vertex"))
    position = graph.ndata["position"].double().numpy()
    unit = position / np.linalg.norm(position, axis=1, keepdims=True)
    shown = np.array([2, 3, 4])
    # A vertex with six neighbours, whose direction is turned upwards.
    six = (graph.in_degrees(etype="intra").numpy() == 6) & (sphere == shown[1])
    node = int(np.argmax(np.where(six, position[:, 2], -np.inf)))
    ring, chain = sources(graph, "intra", node), sources(graph, "radial", node)
    up = unit[node]
    across = np.cross(up, unit[ring[0]])
    across /= np.linalg.norm(across)
    frame = np.stack([across, np.cross(up, across), up])
    near = (unit @ up > np.cos(np.deg2rad(42))) & np.isin(sphere, shown)
    # The spheres are drawn farther apart than they are, so that their patches do not overlap.
    places = position @ frame.T + 0.3 * np.stack([0 * sphere, 0 * sphere, sphere], axis=1)
    scene = Scene(axes, azimuth=-80, elevation=21, fade=0.45)
    source, destination = (ends.numpy() for ends in graph.edges(etype="intra"))
    net = near[source] & near[destination] & (source < destination)
    scene.lines(np.stack([places[source[net]], places[destination[net]]], axis=1), "#777777", 0.7)
    scene.dots(places[near & (vertex != vertex[node])], "#777777", 6)
    for found, color, dash in ((chain, GREEN, (0, (2, 1.5))), (ring, ORANGE, "-")):
        ends = np.stack([places[found], np.broadcast_to(places[node], (len(found), 3))], axis=1)
        scene.lines(ends, color, 2.4, lift=0.2, dash=dash)
        scene.dots(places[found], color, 36, edge="#000000", lift=0.3)
    scene.dots(places[[node]], "#ffffff", 48, edge="#000000", lift=0.6)
    scene.draw()
    axes.margins(0.04)
    for index, name in zip(shown, ("r − 1", "r", "r + 1"), strict=True):
        place, _ = scene.project(places[near & (sphere == index)])
        left = place[place[:, 0].argmin()]
        axes.text(left[0] - 0.06, left[1], f"sphere {name}", ha="right", va="center", fontsize=8)
    handles = [
        Line2D([], [], color=ORANGE, linewidth=2, label=f"intra: {len(ring)} neighbours"),
        Line2D(
            [],
            [],
            color=GREEN,
            linewidth=2,
            linestyle=(0, (2, 1)),
            label=f"radial: {len(chain)} co-radial",
        ),
    ]
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.02),
        ncols=2,
        fontsize=8,
        frameon=False,
        columnspacing=1.2,
        handlelength=1.6,
    )
