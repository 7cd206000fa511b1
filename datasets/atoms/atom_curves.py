"""Check curves of single atoms in users' files, and scale them to fit the density of states.

The mean of the curves over the atoms of a structure must be its density of states, because a model
computes it as that mean. Projections onto spheres around the atoms lack the density between the
spheres, so their mean is too small.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from csgnn_dgl.errors import DataError

__all__ = ["fitted_curves"]

Floats = npt.NDArray[np.float64]

# Largest relative difference between the mean of the curves and the density of states: for curves
# to be used unchanged, and for curves to be scaled.
_EQUAL = 0.01
_SCALED = 2 / 3
# A curve is refused if it falls below zero by more than this share of the maximum. The same limit
# holds for densities of states.
_DIP = 0.05


def fitted_curves(curves: npt.ArrayLike, dos: Floats, n_atoms: int) -> tuple[Floats, float | None]:
    """Check curves of atoms, and scale them so that their mean is the density of states.

    If the mean differs from the density of states by up to 1 %, the curves are used unchanged. If
    it differs by up to two thirds, they are scaled, energy by energy, so that the mean is the
    density of states; where all curves are zero, each atom gets the same value. The difference is
    :math:`\\sum|\\bar p - g| / \\sum g`.

    Parameters
    ----------
    curves
        Curves of the atoms, shape ``(N, E)``.
    dos
        Density of states per atom, shape ``(E,)``; NaN where it is not defined.
    n_atoms
        ``N``, the number of atoms.

    Returns
    -------
    tuple
        The curves, shape ``(N, E)``, NaN where ``dos`` is NaN; and the difference before scaling,
        None if they were not scaled.

    Raises
    ------
    DataError
        The curves have another shape, infinite or clearly negative values, or NaN where the density
        of states is defined; or the difference is more than two thirds. The message is a reason for
        leaving the curves out.

    Examples
    --------
    >>> curves, difference = fitted_curves([[0.8, 0.0], [0.8, 1.6]], np.array([1.0, 1.0]), 2)
    >>> curves.tolist(), round(difference, 3)
    ([[1.0, 0.0], [1.0, 2.0]], 0.2)
    """
    try:
        values = np.array(curves, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError("they are not numbers") from None
    if values.shape != (n_atoms, len(dos)):
        raise DataError(
            f"they have shape {values.shape}, but {(n_atoms, len(dos))} is expected: a row for "
            f"each atom, a value for each energy"
        )
    if np.isinf(values).any():
        atom = int(np.isinf(values).any(axis=1).argmax())
        raise DataError(f"the curve of atom {atom} is infinite somewhere")
    defined = ~np.isnan(dos)
    lost = np.isnan(values[:, defined]).any(axis=1)
    if lost.any():
        raise DataError(f"the curve of atom {int(lost.argmax())} is nan where dos is defined")
    values[:, ~defined] = np.nan
    inside = values[:, defined]
    highest, lowest = inside.max(), inside.min()
    if highest <= 0:
        raise DataError("they are zero everywhere, as if they were missing")
    if lowest < -_DIP * highest:
        atom = int(inside.min(axis=1).argmin())
        raise DataError(f"the curve of atom {atom} is negative, down to {lowest:g}")
    inside = np.maximum(inside, 0)
    mean, whole = inside.mean(axis=0), dos[defined]
    difference = float(np.abs(mean - whole).sum() / whole.sum())
    if difference > _SCALED:
        raise DataError(_too_far(inside, whole, difference))
    if difference > _EQUAL:
        share = np.divide(inside, mean, out=np.ones_like(inside), where=mean > 0)
        inside = share * whole
    values[:, defined] = inside
    return values, difference if difference > _EQUAL else None


def _too_far(inside: Floats, whole: Floats, difference: float) -> str:
    summed = float(np.abs(inside.sum(axis=0) - whole).sum() / whole.sum())
    hint = ""
    if summed < _EQUAL and len(inside) > 1:
        hint = (
            "; their sum is the dos per atom, so multiply them by the number of atoms: each curve "
            "must be that of one atom"
        )
    return f"their mean differs from dos by {100 * difference:.0f} %{hint}"
