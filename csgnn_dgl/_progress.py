"""One line of progress on a terminal, for work that takes more than a second.

Commands switch the line on with :func:`shown`. Code at any depth names its work with
:func:`working` and counts its steps. All of it appears in one line, which is removed at the end.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["each", "shown", "working", "write"]

Item = TypeVar("Item")

# Time before the line appears, and between two drawings [s].
_DELAY, _INTERVAL = 1.0, 0.25
_BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}]"


class _Work:
    """Work at one depth: how much is done, of how much."""

    def __init__(self, what: str, total: int | None, unit: str, done: int, scale: bool) -> None:
        self.what, self.total, self.unit, self.scale = what, total, unit, scale
        self.done = self.initial = done
        self.started = time.monotonic()

    @property
    def countable(self) -> bool:
        """Whether a share can be shown: one step is either not begun or finished."""
        return self.total is not None and self.total > 1

    def __str__(self) -> str:
        if self.countable:
            return f"{self.what} {self.done}/{self.total}"
        return f"{self.what} {self.done}" if self.done else self.what


class _Line:
    """The line: drawn by a thread, so that it moves on while a step takes long."""

    def __init__(self) -> None:
        self.allowed = False
        self._works: list[_Work] = []
        self._thread: threading.Thread | None = None
        self._done = threading.Event()

    def begin(self, work: _Work) -> None:
        self._works.append(work)
        if self._thread is None and self.allowed and sys.stderr.isatty():
            self._done = threading.Event()
            self._thread = threading.Thread(
                target=self._draw, args=(sys.stderr, self._done), daemon=True
            )
            self._thread.start()

    def end(self, work: _Work) -> None:
        if work in self._works:
            # With it end those within it: an exception may have left some of them behind.
            del self._works[self._works.index(work) :]
        if not self._works and self._thread is not None:
            self._done.set()
            self._thread.join()
            self._thread = None

    def _draw(self, file: Any, done: threading.Event) -> None:
        if done.wait(_DELAY):
            return
        from tqdm import tqdm

        bar = tqdm(file=file, leave=False, ncols=_width(), nrows=20, delay=0.01)
        try:
            while True:
                self._show(bar)
                if done.wait(_INTERVAL):
                    return
        finally:
            bar.clear()
            bar.close()

    def _show(self, bar: Any) -> None:
        works = list(self._works)
        if not works:
            return
        # The deepest work whose share is known has the bar; the others are named before it.
        counted = [work for work in works if work.countable]
        main = counted[-1] if counted else works[-1]
        words = [str(work) for work in works if work is not main and str(work)]
        bar.n, bar.total, bar.initial = main.done, main.total, main.initial
        bar.unit, bar.unit_scale = main.unit, main.scale
        bar.bar_format = _BAR if main.countable else "{desc}{elapsed}"
        name = main.what if main.countable else str(main)
        # tqdm measures times with its own clock.
        bar.start_t = bar._time() - (time.monotonic() - main.started)
        bar.set_description(", ".join([*words, name]), refresh=False)
        # Some terminals say that they have no width; tqdm alone would then draw nothing.
        bar.ncols = _width()
        bar.refresh()


def _width() -> int:
    return max(shutil.get_terminal_size().columns - 1, 20)


_LINE = _Line()


@contextmanager
def shown(allowed: bool = True) -> Iterator[None]:
    """Let the line appear, or keep it from appearing, if standard error is a terminal.

    Parameters
    ----------
    allowed
        Whether the user wants it.
    """
    before, _LINE.allowed = _LINE.allowed, allowed
    try:
        yield
    finally:
        _LINE.allowed = before


@contextmanager
def working(
    what: str,
    total: int | None = None,
    *,
    unit: str = "",
    done: int = 0,
    scale: bool = False,
) -> Iterator[Callable[[int], None]]:
    """Name some work, and count its steps.

    Parameters
    ----------
    what
        What is done, such as ``"reading shapes"``.
    total
        Number of steps; None if it is not known.
    unit
        What is counted, for the rate: ``"file"`` gives ``3.1file/s``.
    done
        Number of steps that were done before.
    scale
        Show numbers of steps as 1.2k, 3.4M.

    Yields
    ------
    Callable
        To be called with the number of steps that were finished since the last call.

    Examples
    --------
    >>> with working("adding", 3, unit="number") as step:
    ...     for number in (1, 2, 3):
    ...         step(1)
    """
    work = _Work(what, total, unit, done, scale)

    def step(count: int) -> None:
        work.done += count

    _LINE.begin(work)
    try:
        yield step
    finally:
        _LINE.end(work)


def each(
    items: Iterable[Item], what: str, total: int | None = None, unit: str = ""
) -> Iterator[Item]:
    """Yield the items, and count them as steps of some work.

    Parameters
    ----------
    items
        The items.
    what, total, unit
        As for :func:`working`; by default the total is the number of items, if they have one.

    Examples
    --------
    >>> list(each([1, 2], "reading"))
    [1, 2]
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with working(what, total, unit=unit) as step:
        for item in items:
            yield item
            step(1)


def write(line: str, *, err: bool = False) -> None:
    """Print a line of text, above the line of progress if there is one.

    Parameters
    ----------
    line
        The text.
    err
        Print to standard error instead of standard output.
    """
    import click

    if _LINE._thread is None:
        click.echo(line, err=err)
        return
    from tqdm import tqdm

    with tqdm.external_write_mode(file=sys.stderr if err else sys.stdout):
        click.echo(line, err=err)
