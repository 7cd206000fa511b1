"""Do the missing cells of a comparison, each in a process of its own. Does not import torch."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable

from csgnn_dgl._progress import working
from csgnn_dgl.compare.settings import Cell
from csgnn_dgl.compare.store import Store
from csgnn_dgl.errors import CSGNNError

__all__ = ["describe", "do_cell", "do_missing"]

Echo = Callable[[str], object]


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
    """
    with store.claimed(cell) as mine:
        if not mine:
            echo(f"{cell.name}: another process is at it")
            return False
        result = store.result(cell)
        if result is None:
            from csgnn_dgl.compare.cells import run_cell

            try:
                result = run_cell(store, cell, echo)
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
    """
    cells = store.settings.cells()
    failures = []
    for number, cell in enumerate(cells, start=1):
        place = f"{number}/{len(cells)} {cell.name}"
        if store.result(cell) is None and not store.is_claimed(cell):
            echo(f"{place} …")
            with working(place):
                status = _in_a_process(store, cell, f"{number}/{len(cells)}")
            # Another process may have been faster to claim it, and may have done it since.
            elsewhere = store.is_claimed(cell) or store.result(cell) is not None
            if status != 0 and not elsewhere:
                problem = _problem(store, cell, status)
                failures.append(f"{place}: {problem}")
                echo(f"{place} failed: {problem}")
                continue
        done = store.result(cell) is not None
        echo(f"{place}: {describe(store, cell) if done else 'another process is at it'}")
    return failures


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


def _in_a_process(store: Store, cell: Cell, number: str) -> int:
    command = [
        *(sys.executable, "-m", "csgnn_dgl.cli", "compare", store.settings.table),
        *("--output", str(store.path), "--only", number),
    ]
    store.folder(cell).mkdir(parents=True, exist_ok=True)
    # Not emptied first: it may be that of another process which was faster to claim the cell.
    with (store.folder(cell) / "log.txt").open("a", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            return process.wait()
        except BaseException:
            # Ctrl-C reaches the child, too, which saves what it can.
            process.send_signal(signal.SIGINT)
            process.wait()
            raise


def _problem(store: Store, cell: Cell, status: int) -> str:
    if status < 0:
        name = signal.Signals(-status).name
        problem = f"its process ended by {name}" + " (out of memory?)" * (name == "SIGKILL")
        store.write_failure(cell, problem)
        return problem
    problem = store.failure(cell) or f"its process ended with status {status}"
    return f"{problem} (log: {store.folder(cell) / 'log.txt'})"
