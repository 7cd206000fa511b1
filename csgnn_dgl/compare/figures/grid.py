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

_VIEW = {"azimuth": -52.0, "elevation": 24.0}


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
    figure = Figure(figsize=(9.4, 3.1), layout="constrained")
    panels = figure.subplots(1, 4, width_ratios=[1, 1, 1, 1.45])
    for axes, level, title in (
        (panels[0], 0, "(a) icosahedron, level 0"),
        (panels[1], 1, "refined, level 1"),
    ):
        blank(axes, title, 1.08)
        graph = ConcentricGrid(level, 1).graph()
        scene = Scene(axes, **_VIEW, fade=0.8)
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
    scene = Scene(axes, **_VIEW, fade=0.8)
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
    blank(axes, "(b) the convolutions")
    grid = ConcentricGrid(2, 6)
    graph = grid.graph()
    position = graph.ndata["position"].double().numpy()
    sphere, vertex = (graph.ndata[name].numpy() for name in ("sphere", "vertex"))
    shown = (3, 4, 5)
    # A vertex with six neighbours nearest to the top; its axis is turned to point upwards.
    degrees = graph.in_degrees(etype="intra").numpy()
    top = int(np.argmax(np.where((degrees == 6) & (sphere == shown[1]), position[:, 2], -np.inf)))
    unit = position / np.linalg.norm(position, axis=1, keepdims=True)
    up = unit[top]
    across = np.cross(up, [1.0, 0.0, 0.0])
    across /= np.linalg.norm(across)
    frame = np.stack([np.cross(across, up), across, up])
    near = (unit @ up > np.cos(np.deg2rad(48))) & np.isin(sphere, shown)
    # The gaps between spheres are drawn wider than they are, so that the patches do not overlap.
    places = (position / np.linalg.norm(position, axis=1, keepdims=True)) @ frame.T
    places = places * (1 + 0.0 * sphere[:, None]) + [0, 0, 1] * (1.05 * sphere[:, None])
    scene = Scene(axes, azimuth=-68, elevation=27, fade=0.45)

    def ends(relation: str, keep: Any) -> Floats:
        source, destination = (found.numpy() for found in graph.edges(etype=relation))
        chosen = keep(source, destination)
        return np.stack([places[source[chosen]], places[destination[chosen]]], axis=1)

    scene.lines(ends("intra", lambda s, d: near[s] & near[d] & (s < d)), "#777777", 0.6)
    others = near & (vertex != vertex[top])
    scene.dots(places[others], "#777777", 5)
    scene.lines(
        ends("radial", lambda s, d: (d == top) & near[s]), GREEN, 2.2, lift=0.1, dash=(0, (2, 1.5))
    )
    scene.lines(ends("intra", lambda s, d: d == top), ORANGE, 2.2, lift=0.1)
    ring, chain = sources(graph, "intra", top), sources(graph, "radial", top)
    scene.dots(places[ring], ORANGE, 34, edge="#000000", lift=0.12)
    scene.dots(places[chain], GREEN, 34, edge="#000000", lift=0.12)
    scene.dots(places[[top]], "#ffffff", 48, edge="#000000", lift=0.14)
    scene.draw()
