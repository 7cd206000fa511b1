"""One file cannot take others down, in workers and out of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from csgnn_dgl.datasets.isolation import MANY, isolation, read_each
from csgnn_dgl.datasets.readers import Reader, find_reader, readers, register, unregister
from csgnn_dgl.errors import DataError, MissingDependencyError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")


def shown(contents: Any) -> list[Any]:
    return [str(c) if isinstance(c, DataError) else c for c in contents]


#: Processes that other tests left to this one.
FOREIGN: set[psutil.Process] = set()


@pytest.fixture(autouse=True)
def _others_processes() -> None:
    FOREIGN.clear()
    FOREIGN.update(psutil.Process().children(recursive=True))


def workers() -> list[psutil.Process]:
    """Processes below this one that read files."""
    found = [p for p in psutil.Process().children(recursive=True) if p not in FOREIGN]
    alive = [p for p in found if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    words = [" ".join(p.cmdline()) for p in alive]
    # These two stay as long as Python: the one makes workers, the other cleans up after them.
    helpers = ("multiprocessing.forkserver", "multiprocessing.resource_tracker")
    return [
        p
        for p, text in zip(alive, words, strict=True)
        if not any(h in text for h in helpers) or p.ppid() != os.getpid()
    ]


def damage(make: Callable[[], object]) -> Callable[[int], Any]:
    """Reads numbers; reading the third does something else."""

    def read(file: int) -> Any:
        return make() if file == 3 else (file, np.full(3, file).tolist())

    return read


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hang() -> None:
    while True:
        time.sleep(1)


def deaf_hang() -> None:
    """As in a library: Python handles no signal."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    hang()


def bomb() -> int:
    return int(np.ones(1 << 31, dtype=np.int64).sum())


def leave() -> None:
    os._exit(7)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    raise ZeroDivisionError("odd\x1b[2J")


def panic() -> None:
    raise BaseException("a panic")  # as extensions written in Rust raise it


def unsendable() -> Any:
    return threading.Lock()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (crash, r"^3 cannot be read: its reader crashed \(SIGSEGV\)"),
        (hang, r"^3 cannot be read: its reader took longer than 1 s"),
        (deaf_hang, r"^3 cannot be read: its reader took longer than 1 s"),
        (bomb, r"^3 cannot be read: it needs more memory than there is"),
        (killed, r"^3 cannot be read: its reader was killed \(SIGKILL\), as for want of memory"),
        (leave, r"^3 cannot be read: its reader ended the process with status 7"),
        (fail, r"^3 cannot be read: odd\\x1b\[2J$"),
        (panic, r"^3 cannot be read: a panic$"),
        (unsendable, r"^3: what its reader returns cannot be sent between processes"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_one_file_cannot_take_others_down(make: Callable[[], object], message: str) -> None:
    import cloudpickle

    # This module has no name under which workers could import it.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        with isolation(True):
            found = list(read_each(damage(make), range(8), seconds=1, memory=2 << 30))
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    assert isinstance(found[3], DataError)
    with pytest.raises(DataError, match=message):
        raise found[3]
    others = [number for number in range(8) if number != 3]
    assert [found[n] for n in others] == [(n, [n, n, n]) for n in others]
    assert not workers()


def test_workers_and_this_process_give_the_same(tmp_path: Path) -> None:
    files = [tmp_path / f"{n}.npy" for n in range(12)]
    for n, file in enumerate(files):
        np.save(file, np.full((2, 2), n))
    files[4].write_bytes(b"words")
    files[5] = tmp_path / "absent\n\x1b[31m.npy"

    def read(file: Path) -> list[float]:
        return np.load(file).ravel().tolist()

    here = shown(read_each(read, files))
    with isolation(True):
        there = shown(read_each(read, files))
    assert there == here
    assert here[0] == [0, 0, 0, 0]
    assert "4.npy cannot be read" in here[4]
    assert "\x1b" not in here[5]
    assert "No such file" in here[5]


def test_relative_paths_and_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("words")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CSGNN_SOMETHING", "set later")

    def read(file: Path) -> tuple[str, str]:
        return file.read_text(), os.environ["CSGNN_SOMETHING"]

    with isolation(True):
        assert list(read_each(read, [Path("a.txt")])) == [("words", "set later")]


def test_registered_readers_are_known_to_workers() -> None:
    kept: list[int] = [5]
    mine = Reader("shape file", "mine", ".mine", lambda path: True, lambda path: kept)
    register(mine)

    def read(file: Path) -> Any:
        found = find_reader(file, readers("shape file", ()))
        return None if found is None else found.load(file)

    try:
        with isolation(True):
            assert list(read_each(read, [Path("a"), Path("b")])) == [[5], [5]]
    finally:
        unregister(mine)
    with isolation(True):
        assert list(read_each(read, [Path("a")])) == [None]


def test_readers_that_cannot_be_sent_are_called_here(capfd: pytest.CaptureFixture[str]) -> None:
    lock = threading.Lock()

    def read(file: int) -> tuple[int, int]:
        with lock:
            return file, os.getpid()

    with isolation(True):
        assert list(read_each(read, range(3))) == [(n, os.getpid()) for n in range(3)]
    assert "note: files are read in this process" in capfd.readouterr().err


def test_readers_that_workers_cannot_load_are_called_here(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import ModuleType

    module = ModuleType("only_here")
    exec("import os\ndef read(file): return file, os.getpid()", module.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", module)
    with isolation(True):
        assert list(read_each(module.read, range(3))) == [(n, os.getpid()) for n in range(3)]
    assert "a reader cannot be loaded in another process" in capfd.readouterr().err


@pytest.mark.parametrize("choice", [True, False])
def test_errors_that_concern_all_files_are_raised(choice: bool) -> None:
    def read(file: int) -> int:
        raise MissingDependencyError("a library is missing")

    with isolation(choice), pytest.raises(MissingDependencyError, match="a library is missing"):
        list(read_each(read, range(3)))
    assert not workers()


def test_commands_use_workers_from_many_files_on() -> None:
    def read(file: int) -> int:
        return os.getpid()

    own = {os.getpid()}
    assert set(read_each(read, range(MANY))) == own
    with isolation(None, automatic=True):
        assert set(read_each(read, range(MANY - 1))) == own
        assert not set(read_each(read, range(MANY))) & own
        with isolation(None):
            assert not set(read_each(read, range(MANY))) & own
        with isolation(False):
            assert set(read_each(read, range(MANY))) == own


def test_stopping_early_leaves_no_process() -> None:
    def read(file: int) -> int:
        if file:
            time.sleep(100)
        return file

    started = time.monotonic()
    with isolation(True):
        contents = read_each(read, range(9))
        assert next(contents) == 0
        assert workers()
        contents.close()
    assert not workers()
    assert time.monotonic() - started < 30


SCRIPT = """
import os, signal, sys, time
from csgnn_dgl.datasets.isolation import isolation, read_each

def read(file):
    if file == 0:
        return os.getpid()
    # In a library, no signal of Python's would be handled.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    time.sleep(100)

if __name__ == "__main__":
    # A suite that was started in the background of a shell ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with isolation(True):
        for content in read_each(read, range(5)):
            print(content, flush=True)
"""


# The workers never come to what they do first.
SLOW = """
import os, time
from csgnn_dgl.datasets import isolation as module

def prepare(*arguments):
    print(os.getpid(), flush=True)
    time.sleep(100)

if __name__ == "__main__":
    module._prepare = prepare
    with module.isolation(True):
        list(module.read_each(str, range(5)))
"""


@pytest.mark.parametrize(
    ("how", "text"),
    [
        (signal.SIGINT, SCRIPT),
        (signal.SIGTERM, SCRIPT),
        (signal.SIGKILL, SCRIPT),
        (signal.SIGKILL, SLOW),
    ],
)
def test_workers_end_with_the_command(how: signal.Signals, text: str, tmp_path: Path) -> None:
    """Also if it is killed, even while they start."""
    if how is not signal.SIGINT and sys.platform != "linux":
        pytest.skip("only Linux ends processes with their parent")
    script = tmp_path / "script.py"
    script.write_text(text)
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as command:
        assert command.stdout is not None
        worker = int(command.stdout.readline())
        family = psutil.Process(command.pid).children(recursive=True)
        assert worker in [process.pid for process in family]
        # As a terminal does: to all processes of the group.
        os.killpg(command.pid, how) if how is signal.SIGINT else command.send_signal(how)
        command.wait(20)
        _, alive = psutil.wait_procs(family, timeout=20)
        for process in alive:
            process.kill()
    assert not alive
    assert command.returncode != 0
