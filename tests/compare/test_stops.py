"""Ctrl-C and SIGTERM end a comparison and the process of its cell, and it says how to go on."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from csgnn_dgl.compare import cells, runner
from csgnn_dgl.compare.settings import Cell, Settings
from csgnn_dgl.compare.store import Store
from csgnn_dgl.errors import StoppedError
from csgnn_dgl.testing.commands import start_python

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows ends processes at once")

# In place of a cell: says that it runs, and that it was asked to end.
_CELL = """
import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
def stop(number, frame):
    (folder / "asked").touch()
    sys.exit(130)
signal.signal(signal.SIGTERM, stop)
(folder / "runs").touch()
time.sleep(60)
"""
_COMPARE = """
import sys
from pathlib import Path
from csgnn_dgl.compare import runner
from csgnn_dgl.compare.store import Store
from csgnn_dgl.errors import StoppedError
folder = Path(sys.argv[1])
runner._PATIENCE = 0.5
runner._command = lambda store, number: [sys.executable, "-c", sys.argv[2], str(folder)]
try:
    runner.do_missing(Store.open(folder), print)
except StoppedError as error:
    sys.exit(f"error: {error}")
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    settings = Settings("table1", models=("dgcnn", "riconv"), protocols=("so3",))
    return Store.create(tmp_path / "compared", settings)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_of_a_cell_ends_with_the_comparison(
    number: signal.Signals, store: Store
) -> None:
    process = start_python(["-c", _COMPARE, store.path, _CELL], imported=())
    deadline = time.monotonic() + 60
    while not (store.path / "runs").exists():
        assert process.poll() is None, process.finish(10).stderr
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    done = process.finish(30)
    assert (store.path / "asked").exists()
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == (
        "error: stopped at 1/2 dgcnn-so3-ours-0; cells that are done, and complete epochs of this "
        f"one, are saved; go on with: csgnn-dgl compare table1 --output {store.path}"
    )


def test_a_cell_that_is_stopped_has_not_failed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sigterm(*given: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)

    def stopped(*given: Any) -> None:
        raise StoppedError("stopped in epoch 3; resume with: csgnn-dgl train modelnet --resume x")

    cell = store.settings.cells()[1]
    before = signal.getsignal(signal.SIGTERM)
    for run_cell in (sigterm, stopped):
        monkeypatch.setattr(cells, "run_cell", run_cell)
        with pytest.raises(StoppedError, match=rf"--output {store.path} --only 2/2$"):
            runner.do_cell(store, cell, lambda line: None)
        assert store.failure(cell) is None
        assert not store.is_claimed(cell)
        assert signal.getsignal(signal.SIGTERM) == before


def test_a_cell_that_another_stopped_does_not_stop_the_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = store.settings.cells()
    store.write_failure(first, "of long ago")

    def in_a_process(store: Store, cell: Cell, number: str) -> int:
        if cell == second:
            store.write(cell, {"tests": {"so3/so3": 1.0}})
        return 130 if cell == first else 0

    monkeypatch.setattr(runner, "_in_a_process", in_a_process)
    (failure,) = runner.do_missing(store, lambda line: None)
    assert "its process was stopped" in failure
    assert store.result(second) is not None
