"""Measure comparable times: functions alternate, and the median of each is taken."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from csgnn_dgl.errors import ConfigError

__all__ = ["Clock", "interleaved", "measure"]

Clock = Literal["wall", "cpu"]


def measure(function: Callable[[], Any], clock: Clock = "wall", synchronise: bool = False) -> float:
    """Measure the seconds that one call takes.

    Parameters
    ----------
    function
        The function to call.
    clock
        ``"wall"``, or ``"cpu"`` for the processor time of all threads. With one thread, the latter
        is the wall time on a machine without other work.
    synchronise
        Wait for CUDA before and after.
    """
    if clock not in get_args(Clock):
        raise ConfigError(f"clock is {clock!r}, but it must be one of {get_args(Clock)}")
    now = time.perf_counter if clock == "wall" else time.process_time
    if synchronise:
        import torch

        torch.cuda.synchronize()
    start = now()
    function()
    if synchronise:
        torch.cuda.synchronize()
    return now() - start


def interleaved(
    functions: Mapping[str, Callable[[], Any]],
    repeats: int,
    clock: Clock = "wall",
    synchronise: bool = False,
) -> dict[str, float]:
    """Measure the median seconds of functions that alternate, after two calls that do not count.

    Examples
    --------
    >>> times = interleaved({"nothing": lambda: None, "sum": lambda: sum(range(10000))}, repeats=3)
    >>> times["nothing"] < times["sum"]
    True
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(repeats + 2):
        for name, function in functions.items():
            seconds = measure(function, clock, synchronise)
            if turn >= 2:
                times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}
