"""A uniform grid of energies, with its unit and its zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from csgnn_dgl.errors import ConfigError, DataError

__all__ = ["EnergyGrid"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class EnergyGrid:
    """Energies ``start + k · step`` for ``k = 0 … size − 1``.

    Parameters
    ----------
    start, step
        First energy, and distance of neighbours [``unit``].
    size
        How many.
    unit
        Unit of the energies: ``"eV"``, ``"cm^-1"``, …
    zero
        What zero means, for people: ``"vacuum level"``, ``"Fermi level"``, ….

    Raises
    ------
    ConfigError
        A step that is not positive, or fewer than two energies.

    Examples
    --------
    >>> EnergyGrid(-1.0, 0.5, 4).energies.tolist()
    [-1.0, -0.5, 0.0, 0.5]
    """

    start: float
    step: float
    size: int
    unit: str = "eV"
    zero: str = "unspecified"

    def __post_init__(self) -> None:
        if not (np.isfinite(self.start) and np.isfinite(self.step) and self.step > 0):
            raise ConfigError(f"a grid from {self.start} in steps of {self.step} is no energy grid")
        if self.size < 2:
            raise ConfigError(f"an energy grid needs at least two energies, not {self.size}")

    @classmethod
    def from_energies(
        cls, energies: npt.ArrayLike, *, unit: str = "eV", zero: str = "unspecified"
    ) -> EnergyGrid:
        """The grid of given energies.

        Raises
        ------
        DataError
            They are not finite, not ascending, or not evenly spaced (to a thousandth of a step).

        Examples
        --------
        >>> EnergyGrid.from_energies([0.0, 0.1, 0.2]).step
        0.1
        """
        values = np.asarray(energies, dtype=np.float64)
        if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
            raise DataError(
                f"energies of shape {values.shape} are no grid: at least two finite numbers in a "
                f"row are needed"
            )
        step = (values[-1] - values[0]) / (len(values) - 1)
        even = values[0] + step * np.arange(len(values))
        worst = int(np.abs(values - even).argmax())
        if step <= 0 or abs(values[worst] - even[worst]) > 1e-3 * step:
            raise DataError(
                f"energies are not ascending in even steps: number {worst} is {values[worst]:g}, "
                f"where {even[worst]:g} would be even"
            )
        return cls(float(values[0]), float(step), len(values), unit, zero)

    @property
    def energies(self) -> Floats:
        """All energies, shape ``(size,)`` [``unit``]."""
        return np.asarray(self.start + self.step * np.arange(self.size), dtype=np.float64)

    @property
    def stop(self) -> float:
        """The last energy [``unit``]."""
        return self.start + self.step * (self.size - 1)

    def shifted(self, by: float, zero: str) -> EnergyGrid:
        """The same energies measured from another zero, which lies at ``-by`` on this scale.

        Examples
        --------
        >>> EnergyGrid(-1.0, 0.5, 4).shifted(0.25, "Fermi level").start
        -0.75
        """
        return EnergyGrid(self.start + by, self.step, self.size, self.unit, zero)
