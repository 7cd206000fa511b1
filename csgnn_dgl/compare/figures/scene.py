"""Draw points and lines in space on a page: what is behind is fainter, and drawn first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.path import Path as Outline

__all__ = ["BLUE", "GREEN", "GREY", "ORANGE", "YELLOW", "Scene", "blank", "half_disc"]

Floats = npt.NDArray[np.float64]

BLUE, ORANGE, GREEN, YELLOW, GREY = "#4477aa", "#ee7733", "#228833", "#ddaa33", "#555555"
# Depth is cut into this many slices, so that lines and dots hide each other in order.
_SLICES = 40


@dataclass(frozen=True)
class _Part:
    """Lines ``(n, 2, 2)`` or dots ``(n, 2)`` on the page, their depths and colours."""

    places: Floats
    depth: Floats
    colors: Floats
    sizes: Floats
    style: dict[str, Any]


class Scene:
    """A parallel projection of points and lines in space.

    Parameters
    ----------
    axes
        Axes to draw on.
    azimuth, elevation
        Direction from which the scene is seen [degrees]: the angle from x towards y, and the
        angle above the plane of x and y.
    fade
        Share of its colour that the farthest part loses: 0 to 1.
    depths
        Depths of the farthest and the nearest part; by default those of what is drawn.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> scene = Scene(Figure().add_subplot(), azimuth=0, elevation=0)
    >>> scene.project(np.array([[2.0, 3.0, 5.0]]))[0].round(9).tolist()
    [[3.0, 5.0]]
    """

    def __init__(
        self,
        axes: Axes,
        *,
        azimuth: float,
        elevation: float,
        fade: float = 0.75,
        depths: tuple[float, float] | None = None,
    ) -> None:
        a, e = np.deg2rad(azimuth), np.deg2rad(elevation)
        self.axes, self.fade, self.depths = axes, fade, depths
        #: Unit vectors to the right, upwards, and towards the viewer.
        self.view: Floats = np.array(
            [
                [-np.sin(a), np.cos(a), 0],
                [-np.sin(e) * np.cos(a), -np.sin(e) * np.sin(a), np.cos(e)],
                [np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)],
            ]
        )
        self._parts: list[_Part] = []

    def project(self, points: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Places on the page ``(…, 2)`` of points ``(…, 3)``, and their depths ``(…)``."""
        found = np.asarray(points, dtype=np.float64) @ self.view.T
        return found[..., :2], found[..., 2]

    def lines(
        self,
        ends: npt.ArrayLike,
        color: Any,
        width: float = 0.6,
        *,
        lift: float = 0,
        dash: Any = "-",
    ) -> None:
        """Add lines between pairs of points ``(n, 2, 3)``.

        ``lift`` brings them nearer to the viewer in the order of drawing.
        """
        places, depth = self.project(ends)
        if len(places):
            self._add(places, depth.mean(axis=1) + lift, color, width, {"linestyle": dash})

    def path(self, points: npt.ArrayLike, color: Any, width: float = 0.6) -> None:
        """Add a line through points ``(n, 3)``."""
        points = np.asarray(points)
        self.lines(np.stack([points[:-1], points[1:]], axis=1), color, width)

    def circle(self, radius: float, normal: npt.ArrayLike, color: Any, width: float = 0.6) -> None:
        """Add a circle about the origin, at right angles to ``normal``."""
        normal = np.asarray(normal, dtype=np.float64)
        first = np.cross(normal, [0.31, 0.52, 0.79])
        first /= np.linalg.norm(first)
        second = np.cross(normal / np.linalg.norm(normal), first)
        turn = np.linspace(0, 2 * np.pi, 121)[:, None]
        self.path(radius * (np.cos(turn) * first + np.sin(turn) * second), color, width)

    def outline(self, radius: float, color: Any = GREY, width: float = 0.6) -> None:
        """Add the outline of a sphere about the origin."""
        turn = np.linspace(0, 2 * np.pi, 181)
        self.axes.plot(
            radius * np.cos(turn), radius * np.sin(turn), color=color, linewidth=width, zorder=0.5
        )

    def dots(
        self,
        points: npt.ArrayLike,
        color: Any,
        area: npt.ArrayLike = 4.0,
        *,
        marker: Any = "o",
        edge: Any = None,
        lift: float = 0,
    ) -> None:
        """Add dots at points ``(n, 3)`` with areas in square points; one color, or ``(n, 3)``."""
        places, depth = self.project(points)
        if len(places):
            self._add(places, depth + lift, color, area, {"marker": marker, "edge": edge})

    def _add(
        self, places: Floats, depth: Floats, color: Any, size: npt.ArrayLike, style: dict[str, Any]
    ) -> None:
        colors = np.asarray(color if not isinstance(color, str) else to_rgb(color), np.float64)
        colors = np.broadcast_to(colors, (len(places), 3))
        sizes = np.broadcast_to(np.asarray(size, dtype=np.float64), len(places))
        self._parts.append(_Part(places, depth, colors, sizes, style))

    def draw(self) -> None:
        """Draw what was added, from the back to the front."""
        depth = np.concatenate([part.depth for part in self._parts])
        far, near = self.depths or (depth.min(), depth.max())
        span = max(near - far, np.finfo(np.float64).tiny)
        for part in self._parts:
            share = np.clip((part.depth - far) / span, 0, 1)
            kept = 1 - self.fade * (1 - share)
            colors = 1 - kept[:, None] * (1 - part.colors)
            slices = np.minimum((share * _SLICES).astype(int), _SLICES - 1)
            for index in np.unique(slices):
                self._draw_slice(part, slices == index, colors, kept, int(index))

    def _draw_slice(
        self, part: _Part, chosen: npt.NDArray[np.bool_], colors: Floats, kept: Floats, index: int
    ) -> None:
        place, size, color = part.places[chosen], part.sizes[chosen], colors[chosen]
        order = 1 + index / _SLICES
        if place.ndim == 3:
            lines = LineCollection(
                list(place),
                colors=color,
                linewidths=size,
                zorder=order,
                capstyle="round",
                **part.style,
            )
            self.axes.add_collection(lines)
            return
        edge = part.style["edge"]
        edges = None if edge is None else 1 - kept[chosen, None] * (1 - np.array(to_rgb(edge)))
        self.axes.scatter(
            place[:, 0],
            place[:, 1],
            s=size,
            c=color,
            marker=part.style["marker"],
            edgecolors="none" if edges is None else edges,
            linewidths=0.5,
            zorder=order + 0.5 / _SLICES,
        )


def blank(axes: Axes, title: str, size: float | None = None) -> None:
    """Make axes of equal scale without a frame: ``size`` on either side of the origin."""
    # The frame keeps its size, so that the titles of a row stand at one height.
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_axis_off()
    axes.set_title(title, fontsize=9)
    if size is not None:
        # Fixed limits would contradict the fixed frame.
        axes.update_datalim([(-size, -size), (size, size)])
        axes.margins(0)
        axes.autoscale_view()


def half_disc(left: bool) -> Outline:
    """The left or the right half of a disc, as a marker."""
    turn = np.linspace(np.pi / 2, 3 * np.pi / 2, 25) + (0 if left else np.pi)
    return Outline(np.stack([np.cos(turn), np.sin(turn)], axis=1), closed=False)
