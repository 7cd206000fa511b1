"""Find pairs of atoms under periodic boundaries, in cells and at distances of any kind."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.data import chemical_symbols
from ase.symbols import Symbols
from vesin import NeighborList

from csgnn_dgl.errors import DataError

__all__ = ["element_problem", "find_pairs", "formula_of", "structure_problem"]

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Pairs: TypeAlias = tuple[Integers, Integers, Floats]

# Beyond this distance from the origin, positions lose the digits that bonds need [Å].
_FAR = 1e8
# Shortest periodic cell vector [Å].
_SHORTEST = 0.5
# vesin divides space into cells of the cutoff. Beyond this many in a line it becomes slow, then
# fails with a signal.
_LONG = 1000
# Volume of the periodic cell vectors, each scaled to length one. Below the first value vesin is
# slow unless the cell is reduced; below the second the volume is lost in rounding.
_SKEWED, _SINGULAR = 0.05, 1e-15
# Shortest cutoff for vesin: shorter ones only make it slower [Å].
_LEAST_CUTOFF = 1.0
# Largest number of atoms in a cube of the given side, 4 per Å³. Hydrogen in the cores of planets
# has about 1. More would need too much memory for the pairs.
_CUBE, _IN_A_CUBE = 4.0, 256


def find_pairs(
    positions: npt.ArrayLike,
    cell: npt.ArrayLike,
    pbc: npt.ArrayLike,
    cutoff: float,
    *,
    checked: bool = False,
) -> Pairs:
    """Find all pairs of atoms within a cutoff, in both directions.

    vesin does the search where space is filled. A strongly skewed cell is Minkowski-reduced first.
    Where atoms are extremely far apart, SciPy's k-d tree is used. Both would crash or delay vesin.

    Parameters
    ----------
    positions
        Cartesian positions, shape ``(N, 3)`` [Å].
    cell
        Cell vectors in rows, shape ``(3, 3)`` [Å]. Those that are not periodic are not used.
    pbc
        Whether each cell vector is periodic.
    cutoff
        Largest distance [Å].
    checked
        Whether :func:`structure_problem` found no problem with the same structure.

    Returns
    -------
    tuple
        Indices of the first and the second atom, each ``(P,)``, and the vectors from the first to
        the second ``(P, 3)`` [Å]. A pair occurs once for each periodic image within the cutoff.
        Images of an atom itself are included.

    Raises
    ------
    DataError
        See :func:`structure_problem`, which checks the same for whole structures.

    Examples
    --------
    >>> i, j, d = find_pairs([[0, 0, 0], [1, 0, 1e7], [2, 0, 1e7]], np.zeros((3, 3)), False, 1.5)
    >>> i.tolist(), j.tolist(), d.tolist()
    ([1, 2], [2, 1], [[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    """
    points = np.ascontiguousarray(positions, dtype=np.float64).reshape(-1, 3)
    box = np.ascontiguousarray(cell, dtype=np.float64)
    periodic = np.broadcast_to(np.asarray(pbc, dtype=bool), 3)
    problem = None if checked else _problem(points, box, periodic)
    if problem is not None:
        raise DataError(problem)
    searched = max(cutoff, _LEAST_CUTOFF)
    if _is_skewed(box[periodic]) or not _is_filled(points, box, searched):
        box = _reduced(box, periodic)
        points = _wrapped(points, box, periodic)
    if _is_filled(points, box, searched):
        found = _by_vesin(points, box, periodic, searched)
    else:
        found = _by_tree(points, box, periodic, searched)
    if searched > cutoff:
        within = np.einsum("px,px->p", found[2], found[2]) <= cutoff**2
        found = (found[0][within], found[1][within], found[2][within])
    return found


def structure_problem(atoms: Atoms) -> str | None:
    """Describe the problem if pairs cannot be found for a structure; None if they can.

    The structure may have no atoms, atoms of no known element, positions or a cell that are not
    finite or are absurdly large, a cell that is singular or shorter than an atom in a periodic
    direction, or far more atoms than fit into their place.

    Examples
    --------
    >>> structure_problem(Atoms("C", [(0, 0, 1e300)]))
    'the position of atom 0 is 1e+300 Å from the origin; check that the units are Å'
    """
    if len(atoms) == 0:
        return "it has no atoms"
    return element_problem(atoms) or _problem(atoms.positions, atoms.cell.array, atoms.pbc)


def element_problem(atoms: Atoms) -> str | None:
    """Describe the problem if an atom has no atomic number of an element; None if all have one.

    Tables of elements must not be read before: a negative number would count from their end.

    Examples
    --------
    >>> element_problem(Atoms("CX"))
    'atom 1 is of no known element'
    """
    unknown = ~_are_elements(atoms.numbers)
    return f"atom {int(unknown.argmax())} is of no known element" if unknown.any() else None


def formula_of(atoms: Atoms) -> str:
    """Chemical formula, with X for atoms of no known element, for which ASE's method may fail.

    Examples
    --------
    >>> formula_of(Atoms([6, 6, 150]))
    'C2X'
    """
    numbers = np.where(_are_elements(atoms.numbers), atoms.numbers, 0)
    return str(Symbols(numbers).get_chemical_formula())


def _are_elements(numbers: Integers) -> npt.NDArray[np.bool_]:
    # Symbol 0 is X, which stands for no element.
    return (numbers > 0) & (numbers < len(chemical_symbols))


def _problem(points: Floats, box: Floats, periodic: npt.NDArray[np.bool_]) -> str | None:
    if not np.isfinite(points).all():
        bad = int((~np.isfinite(points)).any(axis=1).argmax())
        return f"the position of atom {bad} is NaN or infinite"
    if not np.isfinite(box).all():
        return "the cell is NaN or infinite"
    vectors = box[periodic]
    longest = np.abs(vectors).max(initial=0)
    if longest > _FAR:
        return f"a periodic cell vector is {longest:.3g} Å long; check that the units are Å"
    # Not the norm, whose square may overflow.
    distance = np.abs(points).max(axis=1, initial=0)
    if (distance > _FAR).any():
        bad = int(distance.argmax())
        return (
            f"the position of atom {bad} is {distance[bad]:.3g} Å from the origin; check that the "
            f"units are Å"
        )
    if _volume(vectors) < _SINGULAR:
        return _about_singular(box)
    if _is_skewed(vectors):
        try:
            vectors = _reduced(box, periodic)[periodic]
        except RuntimeError as error:  # rounding kept it from finding shorter vectors
            return f"the cell {box.round(4).tolist()} cannot be reduced: {error}"
    lengths = np.linalg.norm(vectors, axis=1)
    if len(vectors) and lengths.min() < _SHORTEST:
        return (
            f"a periodic cell vector is {lengths.min():.3f} Å long, which is too short for a "
            f"crystal; check that the units are Å"
        )
    if _volume(vectors) < 1e-3:
        return _about_singular(box)
    return _crowding(points, box, periodic)


def _about_singular(box: Floats) -> str:
    return (
        f"the cell {box.round(4).tolist()} is singular in a periodic direction; set pbc to False "
        f"there, or give a cell"
    )


def _crowding(points: Floats, box: Floats, periodic: npt.NDArray[np.bool_]) -> str | None:
    """Describe the problem if so many atoms are at one place that their pairs fill the memory."""
    if len(points) <= _IN_A_CUBE:
        return None
    if periodic.any():
        box = _reduced(box, periodic)
        points = _wrapped(points, box, periodic)
    cubes = np.unique(np.floor(points / _CUBE).astype(np.int64), axis=0, return_counts=True)[1]
    most = int(cubes.max())
    if periodic.all():
        # A small cell fills only a part of the cube.
        volume = abs(np.linalg.det(box))
        most = max(most, int(len(points) / volume * _CUBE**3))
    if most <= _IN_A_CUBE:
        return None
    return (
        f"{most} atoms are in a cube of {_CUBE:g} Å, far more than matter has; check that the "
        f"units are Å, and that the positions are not fractions of the cell"
    )


def _volume(vectors: Floats) -> float:
    """Volume that vectors of length one span in these directions: 1 if orthogonal, 0 if singular.

    It is 1 without vectors.
    """
    if len(vectors) == 0:
        return 1.0
    quick = _quick_volume(vectors.tolist())
    # Far from all limits its rounding does not matter.
    if quick > 2 * _SKEWED:
        return quick
    lengths = np.linalg.norm(vectors, axis=1)
    return 0.0 if lengths.min() == 0 else float(_product(vectors / lengths[:, None]))


def _quick_volume(vectors: list[list[float]]) -> float:
    """The same by a determinant of three vectors; 0 if there are others, or it cannot be told.

    For one small matrix, plain numbers take a tenth of the time of NumPy.
    """
    if len(vectors) != 3:
        return 0.0
    (a, b, c), (d, e, f), (g, h, i) = vectors
    lengths = math.hypot(a, b, c) * math.hypot(d, e, f) * math.hypot(g, h, i)
    if not 0 < lengths < math.inf:
        return 0.0
    return abs(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)) / lengths


def _product(rows: Floats) -> float:
    return float(np.prod(np.linalg.svd(rows, compute_uv=False)))


def _is_skewed(vectors: Floats) -> bool:
    return _volume(vectors) < _SKEWED


def _is_filled(points: Floats, box: Floats, cutoff: float) -> bool:
    """Whether no direction is very long in comparison with the cutoff."""
    size = max(np.abs(points).max(initial=0), np.abs(box).max())
    return bool(size <= _LONG * cutoff)


def _reduced(box: Floats, periodic: npt.NDArray[np.bool_]) -> Floats:
    """The same lattice with the shortest vectors, which are the least skewed.

    Vectors that are not periodic become zero, because nothing depends on them.
    """
    from ase.geometry import minkowski_reduce

    box = np.where(periodic[:, None], box, 0.0)
    scale = np.abs(box).max()
    if scale == 0:
        return box
    # minkowski_reduce compares lengths with an absolute tolerance, and two-dimensional cells need a
    # third vector. Its length is that of the other two.
    whole = np.array(box / scale)
    if periodic.sum() == 2:
        normal = np.cross(whole[np.argmin(periodic) - 2], whole[np.argmin(periodic) - 1])
        whole[np.argmin(periodic)] = normal / np.linalg.norm(normal)
    _, steps = minkowski_reduce(whole, periodic)
    steps = np.where(periodic[:, None] & periodic[None, :], steps, np.eye(3, dtype=steps.dtype))
    return np.asarray(steps @ box, dtype=np.float64)


def _wrapped(points: Floats, box: Floats, periodic: npt.NDArray[np.bool_]) -> Floats:
    """Positions moved by lattice vectors to around the origin."""
    if not periodic.any():
        return points
    steps = np.floor(points @ np.linalg.pinv(box[periodic]))
    return np.asarray(points - steps @ box[periodic], dtype=np.float64)


def _by_vesin(points: Floats, box: Floats, periodic: npt.NDArray[np.bool_], cutoff: float) -> Pairs:
    found = NeighborList(cutoff=cutoff, full_list=True).compute(
        points=points, box=box, periodic=[bool(flag) for flag in periodic], quantities="ijD"
    )
    i, j, d = found
    # Copies: the library takes its arrays back.
    return i.astype(np.int64), j.astype(np.int64), np.array(d).reshape(-1, 3)


def _by_tree(points: Floats, box: Floats, periodic: npt.NDArray[np.bool_], cutoff: float) -> Pairs:
    """Pairs of atoms in a reduced cell, with all images that are near enough to it."""
    from scipy.spatial import cKDTree

    vectors = box[periodic]
    inverse = np.linalg.pinv(vectors)  # (3, K); its columns are as long as one over the heights
    near = cutoff * np.linalg.norm(inverse, axis=0) + 1e-6
    images, origin = points, np.arange(len(points))
    moved = np.zeros(len(points), dtype=bool)
    for axis, vector in enumerate(vectors):
        place = points[origin] @ inverse[:, axis]
        reach = range(-int(near[axis]) - 1, int(near[axis]) + 2)
        parts = []
        for step in reach:
            shifted = place + step
            kept = np.flatnonzero((shifted > -near[axis]) & (shifted < 1 + near[axis]))
            parts.append((images[kept] + step * vector, origin[kept], moved[kept] | (step != 0)))
        images, origin, moved = (np.concatenate(part) for part in zip(*parts, strict=True))
    found = cKDTree(points).sparse_distance_matrix(cKDTree(images), cutoff, output_type="ndarray")
    i, image = found["i"], found["j"]
    j = origin[image]
    kept = moved[image] | (i != j)
    i, j, image = i[kept], j[kept], image[kept]
    return i.astype(np.int64), j.astype(np.int64), images[image] - points[i]
