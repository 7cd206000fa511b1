"""How a benchmark measures."""

from __future__ import annotations

from dataclasses import dataclass

from csgnn_dgl.benchmarks.timing import Clock

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """Settings of a measurement.

    Parameters
    ----------
    threads
        Threads of every timed process.
    repeats
        Number of calls; the median is reported.
    clock
        See :func:`~csgnn_dgl.benchmarks.timing.measure`.
    quick
        Use small sizes, to see that everything runs, not to measure.
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
