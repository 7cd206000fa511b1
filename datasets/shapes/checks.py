"""Check that points show a shape: no NaN, not all equal, no absurd outliers, no normals of 0."""

from __future__ import annotations

import numpy as np

from csgnn_dgl.errors import DataError

__all__ = ["check_digits", "check_normals", "check_points", "cloud_notes", "scale_exponent"]

# Share of the points that must lie within a reasonable distance.
_MOST = 0.95
# Largest ratio between the distances of the farthest point and of most points. Real shapes (4,793
# of ModelNet10, 600 of SHREC'11) have at most 2.3.
_REFUSED = 1000.0
_DOUBTFUL = 10.0
# Smallest size of a cloud, in steps of its numbers.
_STEPS = 64
# Features of points take a normal without a larger component for one of length 0.
_NO_NORMAL = float(np.finfo(np.float32).eps)
# Points in a block, to bound the memory of a check.
_BLOCK = 1 << 20


def check_points(
    points: np.ndarray, where: str, *, what: str = "points", farthest: float = _REFUSED
) -> None:
    """Refuse clouds that no model can use.

    These are clouds with NaN or infinite coordinates, with all points equal, or with a few points
    so far out that all others become one point when the cloud is scaled to size one.

    Parameters
    ----------
    points
        One cloud ``(N, 3)``, or several ``(n, N, 3)``.
    where
        Origin of the points, for the message.
    what
        Name of the points, for the message.
    farthest
        Largest ratio between the distances of the farthest point and of 95 % of the points from
        the middle.

    Raises
    ------
    DataError
        A cloud cannot be used; the message says what was found.

    Examples
    --------
    >>> check_points(np.vstack([np.eye(3), [[1e155, 0, 0]]]), "a.npy")
    Traceback (most recent call last):
    csgnn_dgl.errors.DataError: a.npy: 1 of 4 points lie more than 1000 times as far from the ...
    """
    if points.size == 0:
        return
    if not np.isfinite(points).all():
        bad = int((~np.isfinite(points)).any(axis=-1).sum())
        raise DataError(f"{where}: {bad} {what} have NaN or infinite coordinates; repair the file")
    check_digits(points, where)
    clouds = points.reshape(-1, *points.shape[-2:])
    for index, (equal, most, largest, outside) in enumerate(_spreads(clouds, farthest)):
        name = f"{where}: " if points.ndim == 2 else f"{where}, cloud {index}: "
        if equal:
            raise DataError(f"{name}all {clouds.shape[1]} {what} are equal, so they show no shape")
        if outside:
            raise DataError(
                f"{name}{outside} of {clouds.shape[1]} {what} lie more than {farthest:g} times as "
                f"far from the middle as the others ({largest:.3g} against {most:.3g}). Scaled to "
                f"size one, the others would be one point: remove them, or repair the file"
            )


def check_digits(points: np.ndarray, where: str) -> None:
    """Refuse a cloud that is so far from the origin that its numbers cannot show its shape.

    In single precision, coordinates near 500,000 are multiples of 1/32.

    Parameters
    ----------
    points
        Shape ``(N, 3)`` in the type of the file; several clouds are not checked.
    where
        Origin of the points, for the message.

    Raises
    ------
    DataError
        The cloud is smaller than 64 steps of its type, but not a single point.

    Examples
    --------
    >>> check_digits(np.float32([[500_000, 0, 0], [500_001, 1, 1]]), "a.npy")
    Traceback (most recent call last):
    csgnn_dgl.errors.DataError: a.npy: the cloud is 1 wide and 5e+05 away from the origin, where ...
    """
    if points.ndim != 2 or points.dtype.kind != "f" or not np.isfinite(points).all():
        return
    if points.size == 0:  # how many points are needed is checked elsewhere
        return
    with np.errstate(over="ignore"):
        size = float(np.ptp(points, axis=0).max(initial=0))
    far = float(np.abs(points).max(initial=0))
    step = far * float(np.finfo(points.dtype).eps)
    if 0 < size < _STEPS * step:
        raise DataError(
            f"{where}: the cloud is {size:.3g} wide and {far:.3g} away from the origin, where "
            f"{points.dtype} numbers are steps of {step:.1g}; move it to the origin before saving"
        )


def check_normals(normals: np.ndarray, where: str) -> None:
    """Refuse normals of length 0, which have no direction. Other lengths are allowed.

    Parameters
    ----------
    normals
        Shape ``(N, 3)``.
    where
        Origin of the normals, for the message.

    Raises
    ------
    DataError
        There are such normals.

    Examples
    --------
    >>> check_normals(np.array([[0, 0, 2.0], [0, 0, 0]]), "a.ply")
    Traceback (most recent call last):
    csgnn_dgl.errors.DataError: a.ply: 1 of 2 normals have the length 0, the first that of point ...
    """
    # NaN passes here, and is reported with all other values that are no numbers.
    without = (np.abs(np.asarray(normals, np.float64)) <= _NO_NORMAL).all(axis=1)
    if without.any():
        raise DataError(
            f"{where}: {int(without.sum())} of {len(normals)} normals have the length 0, the first "
            f"that of point {int(without.argmax()) + 1}; compute them again, or leave these points "
            f"out"
        )


def cloud_notes(clouds: np.ndarray, names: tuple[str, ...]) -> list[str]:
    """Warn of clouds that outliers squeeze to a small part of the unit ball.

    Parameters
    ----------
    clouds
        Shape ``(n, N, 3)``.
    names
        Origin of each cloud.

    Returns
    -------
    list of str
        At most one warning, in a sentence.

    Examples
    --------
    >>> cloud = np.vstack([np.eye(3), [[50.0, 0, 0]]])
    >>> for note in cloud_notes(cloud[None], ("a.npy",)):
    ...     print(note)
    a.npy: 1 of 4 points lie more than 10 times as far from the middle as the others (49.5 ...
    """
    doubtful = [
        (name, *found[1:])
        for name, found in zip(names, _spreads(clouds, _DOUBTFUL), strict=True)
        if found[3]
    ]
    if not doubtful:
        return []
    name, most, largest, outside = doubtful[0]
    more = f" (and {len(doubtful) - 1} other clouds have such points)" if doubtful[1:] else ""
    return [
        f"{name}: {outside} of {clouds.shape[1]} points lie more than {_DOUBTFUL:g} times as far "
        f"from the middle as the others ({largest:.3g} against {most:.3g}), which squeezes these "
        f"into a small part of the grid{more}; are these points outliers?"
    ]


def scale_exponent(points: np.ndarray) -> int:
    """The exponent of two with which the largest coordinate becomes 0.5 … 1.

    Examples
    --------
    >>> scale_exponent(np.array([[3.0, 0, 0]])), scale_exponent(np.zeros((1, 3)))
    (2, 0)
    """
    return int(np.frexp(np.abs(points).max(initial=0))[1])


def _spreads(clouds: np.ndarray, ratio: float) -> list[tuple[bool, float, float, int]]:
    """Measure clouds ``(n, N, 3)``.

    Returns
    -------
    list
        For each cloud: whether all points are equal; the distance from the middle within which 95
        % of the points lie; the largest distance; and the number of points farther out than
        ``ratio`` times the former. The middle is the median, which outliers do not move.
    """
    found = []
    size = clouds.shape[1]
    most = int(_MOST * (size - 1))
    block = max(1, _BLOCK // size)
    for start in range(0, len(clouds), block):
        part = clouds[start : start + block].astype(np.float64)
        exponents = np.frexp(np.abs(part).max(axis=(1, 2)))[1]
        part = np.ldexp(part, -exponents[:, None, None])
        equal = (part == part[:, :1]).all(axis=(1, 2))
        x, y, z = np.moveaxis(part - np.median(part, axis=1, keepdims=True), 2, 0)
        distances = np.hypot(np.hypot(x, y), z)  # unlike squares, it does not underflow
        distances = np.partition(distances, most, axis=1)
        within, largest = distances[:, most], distances.max(axis=1)
        outside = (distances > ratio * within[:, None]).sum(axis=1)
        with np.errstate(over="ignore", under="ignore"):
            lengths = [np.ldexp(lengths, exponents) for lengths in (within, largest)]
        found += list(
            zip(equal.tolist(), *(x.tolist() for x in lengths), outside.tolist(), strict=True)
        )
    return found
