"""How a benchmark measures."""

from __future__ import annotations

from dataclasses import dataclass

from csgnn_dgl.benchmarks.timing import Clock

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Parameters
    ----------
    threads
        Threads of every process that is timed.
    repeats
        Number of calls; the median is reported.
    clock
        See :func:`~csgnn_dgl.benchmarks.timing.measure`.
    quick
        Small sizes: to see that all runs, not to measure.
    """

    threads: int
    repeats: int = 7
    clock: Clock = "wall"
    quick: bool = False

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of the classifier: the paper's, with a batch of 4 clouds."""
        level, spheres, points = (2, 4, 128) if self.quick else (4, 16, 1024)
        return {"level": level, "n_spheres": spheres, "channels": 8, "batch": 4, "points": points}
