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
    "sheets": {"graphene": (-75, 32), "graphite": (-80, 12)},
    "tubes": {"cnt-6-4": (-62, 28), "cnt-9-9": (-62, 28), "cnt-8-0": (-62, 28)},
    "cages": {"C20": (-70, 20), "C40": (-70, 8), "C60": (-70, 16)},
}
_LABELS = {"cnt-6-4": "C(6,4)", "cnt-9-9": "C(9,9)", "cnt-8-0": "C(8,0)"}
# Longest bond [Å]: half-way between first and second neighbours.
_BOND = 1.85
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
    """Draw the eight carbon structures from which the data set is made, relaxed.

    Raises
    ------
    DataError
        A relaxation does not converge.
    """
    figure = Figure(figsize=(7.2, 6.6), layout="constrained")
    columns = figure.subfigures(1, len(KINDS), wspace=0.02)
    rows = max(len(members) for members in KINDS.values())
    for column, (kind, members) in zip(columns, KINDS.items(), strict=True):
        column.suptitle(kind, fontsize=11, fontweight="bold")
        panels = column.subplots(rows, 1)
        for axes, (name, (azimuth, elevation)) in zip(panels, members.items(), strict=False):
            _draw(axes, allotrope(name), azimuth, elevation)
        for axes in panels[len(members) :]:
            axes.set_axis_off()
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
    extent = np.abs(flat).max()
    scene.lines(halves, _STICK, 14 / extent)
    scene.dots(places, _CARBON, (58 / extent) ** 2, edge=_EDGE, lift=0.3)
    scene.draw()
    low, high = flat.min(axis=0), flat.max(axis=0)
    bottom = low[1] - 0.2 * extent
    # A scale, as each structure is drawn as large as its place allows.
    start = (low[0] + high[0]) / 2 - 2.5
    axes.plot([start, start + 5], [bottom, bottom], color="black", linewidth=1.5)
    axes.text(start + 2.5, bottom - 0.05 * extent, "5 Å", ha="center", va="top", fontsize=7)
    reach = 1.12 * extent
    axes.set(xlim=(-reach, reach), ylim=(min(bottom - 0.22 * extent, -reach), reach))


