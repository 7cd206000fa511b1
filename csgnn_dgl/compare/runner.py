"""Do the missing cells of a comparison, each in a process of its own. Does not import torch."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from csgnn_dgl._progress import working
from csgnn_dgl.compare.settings import Cell
from csgnn_dgl.compare.store import Store
from csgnn_dgl.errors import CSGNNError, StoppedError

__all__ = ["describe", "do_cell", "do_missing"]

Echo = Callable[[str], object]

# Status of a command that was stopped.
_STOPPED = 130
# Patience with a process that Ctrl-C in a terminal has reached as well [s].
_PATIENCE = 10.0


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which ends trainings as Ctrl-C does."""


@contextlib.contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Turn SIGTERM into an exception, as Ctrl-C is one; by default, Python would just end."""
    # Only the main thread can handle signals, and another program's own handling stays as it is.
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _stopped(store: Store, cell: Cell, only: bool) -> StoppedError:
    cells = store.settings.cells()
    place = f"{cells.index(cell) + 1}/{len(cells)}"
    command = f"csgnn-dgl compare {store.settings.table} --output {store.path}"
    return StoppedError(
        f"stopped at {place} {cell.name}; cells that are done, and complete epochs of this one, "
        f"are saved; go on with: {command}" + f" --only {place}" * only
    )


def do_cell(store: Store, cell: Cell, echo: Echo) -> bool:
    """Do one cell in this process, unless it is done or another process has it.

    Parameters
    ----------
    store
        The comparison.
    cell
        The cell.
    echo
        Called with lines of text.

    Returns
    -------
    bool
        Whether its results are there.

    Raises
    ------
    CSGNNError
        It failed; the reason is recorded, too.
    StoppedError
        It was stopped by Ctrl-C or SIGTERM. That is no failure.
    """
    with store.claimed(cell) as mine:
        if not mine:
            echo(f"{cell.name}: another process is at it")
            return False
        result = store.result(cell)
        if result is None:
            from csgnn_dgl.compare.cells import run_cell

            try:
                with _stopped_by_sigterm():
                    result = run_cell(store, cell, echo)
            except (KeyboardInterrupt, StoppedError) as stop:
                raise _stopped(store, cell, only=True) from stop
            except CSGNNError as error:
                store.write_failure(cell, str(error))
                raise
    echo(f"{cell.name}: {describe(store, cell)}")
    return True


def do_missing(store: Store, echo: Echo) -> list[str]:
    """Do all cells that are not done, one after the other.

    Each runs in a process of its own, so that its memory is its own and a crash is its failure
    alone. What it prints is in ``cells/NAME/log.txt``.

    Returns
    -------
    list of str
        A line for each cell that failed.

    Raises
    ------
    StoppedError
        Ctrl-C or SIGTERM; the process of the cell has ended, too.
    """
    cells = store.settings.cells()
    failures: list[str] = []
    for number, cell in enumerate(cells, start=1):
        try:
            with _stopped_by_sigterm():
                problem = _do(store, cell, f"{number}/{len(cells)}", echo)
        except KeyboardInterrupt as stop:
            raise _stopped(store, cell, only=False) from stop
        if problem is not None:
            failures.append(problem)
    return failures


def _do(store: Store, cell: Cell, number: str, echo: Echo) -> str | None:
    """Do a cell, unless it is done or another process has it; why it failed, if it did."""
    place = f"{number} {cell.name}"
    if store.result(cell) is None and not store.is_claimed(cell):
        echo(f"{place} …")
        with working(place):
            status = _in_a_process(store, cell, number)
        # Another process may have been faster to claim it, and may have done it since.
        elsewhere = store.is_claimed(cell) or store.result(cell) is not None
        if status != 0 and not elsewhere:
            problem = _problem(store, cell, status)
            echo(f"{place} failed: {problem}")
            return f"{place}: {problem}"
    done = store.result(cell) is not None
    echo(f"{place}: {describe(store, cell) if done else 'another process is at it'}")
    return None


def describe(store: Store, cell: Cell) -> str:
    """The results of a cell that is done, in a line."""
    result = store.result(cell) or {}
    unit = store.settings.found.unit
    values = ", ".join(
        f"{column} {value:.1f} {unit}" if unit == "%" else f"{column} {value:.4g} {unit}".rstrip()
        for column, value in result.get("tests", {}).items()
    )
    seconds = result.get("seconds_of_training")
    return values if seconds is None else f"{values}; {seconds:.0f} s of training"


def _command(store: Store, number: str) -> list[str]:
    return [
        *(sys.executable, "-m", "csgnn_dgl.cli", "compare", store.settings.table),
        *("--output", str(store.path), "--only", number),
    ]


def _in_a_process(store: Store, cell: Cell, number: str) -> int:
    store.folder(cell).mkdir(parents=True, exist_ok=True)
    # Not emptied first: it may be that of another process which was faster to claim the cell.
    with (store.folder(cell) / "log.txt").open("a", encoding="utf-8") as log:
        process = subprocess.Popen(_command(store, number), stdout=log, stderr=subprocess.STDOUT)
        try:
            return process.wait()
        except BaseException as reason:
            _end(process, told=not isinstance(reason, _Terminated))
            raise


def _end(process: subprocess.Popen[bytes], told: bool) -> None:
    """End a process, which saves what it can; at once if this is interrupted again.

    Parameters
    ----------
    process
        The process.
    told
        Whether it may have received the signal itself, as with Ctrl-C in a terminal.
    """
    try:
        if told:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE)
        # Not SIGINT: processes in the background of a shell ignore it.
        process.terminate()
        process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise


def _problem(store: Store, cell: Cell, status: int) -> str:
    if status < 0:
        name = signal.Signals(-status).name
        problem = f"its process ended by {name}" + " (out of memory?)" * (name == "SIGKILL")
        store.write_failure(cell, problem)
        return problem
    if status == _STOPPED:
        problem = "its process was stopped"
    else:
        problem = store.failure(cell) or f"its process ended with status {status}"
    return f"{problem} (log: {store.folder(cell) / 'log.txt'})"
