"""Figure 5: the carbon structures of the data set."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from csgnn_dgl.compare.figures.scene import Floats, Scene, blank
from csgnn_dgl.datasets.atoms.carbon import allotrope

__all__ = ["KINDS", "bonds", "draw_carbon"]

#: The kinds of structures, with their members and the directions from which each is seen.
KINDS: dict[str, dict[str, tuple[float, float]]] = {
    "sheets": {"graphene": (-80, 48), "graphite": (-72, 14)},
    "tubes": {"cnt-6-4": (-58, 22), "cnt-9-9": (-58, 22), "cnt-8-0": (-58, 22)},
    "cages": {"C20": (-70, 20), "C40": (-70, 8), "C60": (-70, 16)},
}
_LABELS = {"cnt-6-4": "C(6,4)", "cnt-9-9": "C(9,9)", "cnt-8-0": "C(8,0)"}
# Longest bond [Å]: half-way between first and second neighbours.
_BOND = 1.85
# Radius of a drawn atom [Å], and width of the page [in].
_RADIUS, _WIDTH = 0.36, 7.2
_CARBON, _EDGE, _STICK = "#8a97a8", "#27313f", "#5b6675"


def bonds(atoms: Atoms) -> Floats:
    """Ends of the bonds within the cell, each once.

    Returns
    -------
    numpy.ndarray
        Shape ``(n, 2, 3)`` [Å].

    Examples
    --------
    >>> bonds(allotrope("C60", relax=False)).shape
    (90, 2, 3)
    """
    first, second, shift = neighbor_list("ijS", atoms, _BOND)
    chosen = (first < second) & (shift == 0).all(axis=1)
    ends: Floats = atoms.positions[np.stack([first[chosen], second[chosen]], axis=1)]
    return ends


def draw_carbon() -> Figure:
    """Draw the eight carbon structures from which the data set is made.

    Cages are relaxed, because they are built from nothing but the list of their bonds.

    Raises
    ------
    DataError
        A relaxation does not converge.
    """
    figure = Figure(figsize=(_WIDTH, 6.9))
    rows = figure.add_gridspec(
        len(KINDS), 1, left=0.05, right=1, bottom=0.01, top=0.96, hspace=0.16
    )
    for index, (kind, members) in enumerate(KINDS.items()):
        row = rows[index, 0]
        places = row.subgridspec(1, len(members), wspace=0.02)
        for column, (name, (azimuth, elevation)) in enumerate(members.items()):
            atoms = allotrope(name, relax=kind == "cages")
            _draw(figure.add_subplot(places[0, column]), atoms, azimuth, elevation)
        place = row.get_position(figure)
        middle = (place.y0 + place.y1) / 2
        figure.text(0.03, middle, kind, rotation=90, va="center", ha="center", fontsize=11)
    return figure


def _draw(axes: Axes, atoms: Atoms, azimuth: float, elevation: float) -> None:
    name = atoms.info["structure"]
    blank(axes, f"{_LABELS.get(name, name)}, {len(atoms)} atoms")
    # The axis of a tube lies across the page.
    order = [2, 0, 1] if name.startswith("cnt") else [0, 1, 2]
    centre = atoms.positions.mean(axis=0)
    places, ends = (atoms.positions - centre)[:, order], (bonds(atoms) - centre)[..., order]
    scene = Scene(axes, azimuth=azimuth, elevation=elevation, fade=0.8)
    # Long lines are cut, so that each part has its own depth.
    middle = ends.mean(axis=1, keepdims=True)
    halves = np.concatenate([np.concatenate([ends[:, [i]], middle], axis=1) for i in (0, 1)])
    flat, _ = scene.project(places)
    low, high = flat.min(axis=0) - _RADIUS, flat.max(axis=0) + _RADIUS
    reach = max(high - low) / 2
    # Points of the page in an Å: axes are as high as a third of the page.
    scale = 72 * 1.62 / (2 * reach)
    scene.lines(halves, _STICK, max(0.9, 0.2 * scale))
    scene.dots(places, _CARBON, (2 * _RADIUS * scale) ** 2, edge=_EDGE, lift=0.3)
    scene.draw()
    # Each structure is drawn as large as its place allows, hence a scale for each.
    length = 5 if reach > 5 else 2
    left, bottom = (low[0] + high[0] - length) / 2, low[1] - 0.14 * reach
    axes.plot([left, left + length], [bottom, bottom], color="black", linewidth=1.5)
    axes.text(
        left + length / 2, bottom - 0.05 * reach, f"{length} Å", ha="center", va="top", fontsize=7
    )
    axes.update_datalim(np.stack([low - [0, 0.36 * reach], high]))
    axes.margins(0.01)
    axes.autoscale_view()
