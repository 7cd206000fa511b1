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
        First energy, and step between energies [``unit``].
    size
        Number of energies.
    unit
        Unit of the energies: ``"eV"``, ``"cm^-1"``, …
    zero
        Description of the zero of energy: ``"vacuum level"``, ``"Fermi level"``, …

    Raises
    ------
    ConfigError
        The step is not positive, or there are fewer than two energies.

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
            raise ConfigError(
                f"the energy grid has start {self.start} and step {self.step}, but both must be "
                f"finite, and the step positive"
            )
        if self.size < 2:
            raise ConfigError(f"the energy grid has size {self.size}, but it needs at least 2")

    @classmethod
    def from_energies(
        cls, energies: npt.ArrayLike, *, unit: str = "eV", zero: str = "unspecified"
    ) -> EnergyGrid:
        """Make the grid of given energies.

        Raises
        ------
        DataError
            The energies are not finite, not ascending, or not evenly spaced (to a thousandth of a
            step).

        Examples
        --------
        >>> EnergyGrid.from_energies([0.0, 0.1, 0.2]).step
        0.1
        """
        values = np.asarray(energies, dtype=np.float64)
        if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
            raise DataError(
                f"energies have shape {values.shape}, but a list of at least two finite numbers is "
                f"needed"
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
        """Measure the energies from another zero, which is at ``-by`` on the present scale.

        Examples
        --------
        >>> EnergyGrid(-1.0, 0.5, 4).shifted(0.25, "Fermi level").start
        -0.75
        """
        return EnergyGrid(self.start + by, self.step, self.size, self.unit, zero)
