"""Random parameters of members of a family: what all members of a kind share, and what varies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Draw"]

Floats = npt.NDArray[np.float64]


class Draw:
    """Parameters of one member.

    A kind is a narrow part of a family: its members have nearly the same sizes, but other poses.

    Parameters
    ----------
    kind
        Random numbers that all members of the kind have in common, in the same order.
    member
        Random numbers of the member.
    spread
        Largest difference of a member's size from that of its kind, as a share of the range.

    Examples
    --------
    >>> one, other = (Draw(np.random.default_rng(0), np.random.default_rng(i)) for i in (1, 2))
    >>> one.whole(1, 9) == other.whole(1, 9), one.pose(0, 1) == other.pose(0, 1)
    (True, False)
    """

    def __init__(
        self, kind: np.random.Generator, member: np.random.Generator, spread: float = 0.12
    ) -> None:
        self.kind, self.member, self.spread = kind, member, spread

    def size(self, low: float, high: float) -> float:
        """A size between two limits, near that of the kind."""
        return float(self.sizes(low, high, 1)[0])

    def sizes(self, low: float, high: float, count: int) -> Floats:
        """Several sizes, each near that of the kind."""
        centre = self.kind.uniform(low, high, count)
        shift = self.spread * (high - low) * self.member.uniform(-1, 1, count)
        return np.clip(centre + shift, low, high)

    def whole(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, the same in the whole kind."""
        return int(self.kind.integers(low, high + 1))

    def chance(self, share: float) -> bool:
        """Whether the kind has a feature that this share of kinds has."""
        return bool(self.kind.random() < share)

    def pose(self, low: float, high: float) -> float:
        """An angle or a position that differs between members of a kind."""
        return float(self.member.uniform(low, high))

    def poses(self, low: float, high: float, count: int) -> Floats:
        """Several angles or positions that differ between members of a kind."""
        return self.member.uniform(low, high, count)

    def direction(self) -> Floats:
        """A random unit vector of the member."""
        vector = self.member.normal(size=3)
        return np.asarray(vector / np.linalg.norm(vector))
