"""Commands in processes of their own, which do not wait for imports.

Importing torch, DGL and Lightning takes longer than most small trainings. One process imports them
and then only forks; each command runs in a fork, where it can be killed, limited and waited for as
any other process. Other systems than Linux start commands in the usual way.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "FORKS",
    "TOOLKIT",
    "Command",
    "run_in_two_processes",
    "run_python",
    "run_together",
    "start_python",
]

#: What commands of this package import.
TOOLKIT = (
    "csgnn_dgl.cli.main",
    "csgnn_dgl.tasks.classes.train",
    "csgnn_dgl.tasks.dos.train",
)
#: Forks are safe on Linux; on macOS, libraries of the system may end them.
FORKS = sys.platform == "linux"
#: How sums are split among threads is part of a result.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
#: Shortest and longest time between two looks at whether a command has ended [s].
_SHORTEST, _LONGEST = 0.002, 0.05


@dataclass
class Command:
    """A command that was started.

    Parameters
    ----------
    words
        What Python was given.
    folder
        Where the output of the command is kept.
    pid
        Number of the process.
    popen
        The process, where it was not forked.
    """

    words: Sequence[str]
    folder: Path
    pid: int
    popen: subprocess.Popen[bytes] | None = None

    def poll(self) -> int | None:
        """The exit status, as of :class:`subprocess.Popen`; None while the command runs."""
        if self.popen is not None:
            return self.popen.poll()
        try:
            return int((self.folder / "status").read_text(encoding="ascii"))
        except FileNotFoundError:
            return None

    def wait(self, timeout: float) -> int:
        """The exit status, when the command has ended.

        Raises
        ------
        subprocess.TimeoutExpired
            It has not ended within ``timeout`` seconds.
        """
        deadline, pause = time.monotonic() + timeout, _SHORTEST
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(list(self.words), timeout)
            time.sleep(pause)
            pause = min(_LONGEST, 1.5 * pause)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the command has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End the command at once, unless it has ended."""
        self.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)

    def finish(self, timeout: float = 300.0) -> subprocess.CompletedProcess[str]:
        """What the command has printed, at its end; it is killed after ``timeout`` seconds."""
        try:
            status = self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            self.wait(timeout)
            raise
        out, err = (
            (self.folder / name).read_text(encoding="utf-8", errors="replace")
            for name in ("stdout", "stderr")
        )
        return subprocess.CompletedProcess(list(self.words), status, out, err)


def start_python(
    words: Sequence[object],
    environment: Mapping[str, str] | None = None,
    *,
    imported: Sequence[str] = TOOLKIT,
    largest_file: int | None = None,
) -> Command:
    """Start what ``python WORDS`` would run, with one thread, and with the modules found here.

    Parameters
    ----------
    words
        ``-m`` and a module, ``-c`` and code, or a file; then what they are given.
    environment
        Variables beside those of this process.
    imported
        Modules that are imported already. The fewer these are, the less can be used by mistake.
    largest_file
        Files that the command writes cannot be larger [bytes]; only where processes are forked.
    """
    folder = Path(tempfile.mkdtemp(prefix="command-", dir=_scratch()))
    # What can be imported here can be imported there.
    paths = [entry or os.getcwd() for entry in sys.path]
    path = {"PYTHONPATH": os.pathsep.join(paths)}
    variables = {**os.environ, **_ONE_THREAD, **path, **(environment or {})}
    for name in ("stdout", "stderr"):
        (folder / name).touch()
    given = [str(word) for word in words]
    request = {
        "words": given,
        "folder": str(folder),
        "variables": variables,
        "paths": paths,
        "cwd": os.getcwd(),
        "largest_file": largest_file,
    }
    if FORKS:
        return Command(given, folder, _server(tuple(imported)).start(request))
    with open(folder / "stdout", "wb") as out, open(folder / "stderr", "wb") as err:
        popen = subprocess.Popen(
            [sys.executable, *given],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=variables,
        )
    return Command(given, folder, popen.pid, popen)


def run_together(
    words: Sequence[object], environments: Sequence[Mapping[str, str]], timeout: float = 300.0
) -> list[subprocess.CompletedProcess[str]]:
    """Run one command in several processes that find each other on this machine.

    Parameters
    ----------
    words
        As for :func:`start_python`.
    environments
        Variables of each process, which say which one it is.
    timeout
        Patience with each [s].
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    started = [start_python(words, {**place, **own}) for own in environments]
    try:
        return [command.finish(timeout) for command in started]
    finally:
        for command in started:
            command.kill()


def run_in_two_processes(words: Sequence[object]) -> list[subprocess.CompletedProcess[str]]:
    """Run a training in two processes, as ``torchrun`` starts them."""
    return run_together(words, [{"WORLD_SIZE": "2", "LOCAL_RANK": rank} for rank in "01"])


def run_python(
    words: Sequence[object],
    environment: Mapping[str, str] | None = None,
    *,
    imported: Sequence[str] = TOOLKIT,
    timeout: float = 300.0,
) -> subprocess.CompletedProcess[str]:
    """Run what ``python WORDS`` would run, as :func:`start_python` does, to its end.

    Raises
    ------
    subprocess.TimeoutExpired
        It has not ended within ``timeout`` seconds; it is killed then.

    Examples
    --------
    >>> run_python(["-c", "print(6 * 7)"]).stdout
    '42\\n'
    """
    return start_python(words, environment, imported=imported).finish(timeout)


@functools.cache
def _scratch() -> str:
    folder = tempfile.TemporaryDirectory(prefix="commands-", ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    return folder.name


class _Server:
    """The process that forks; it ends with this one."""

    def __init__(self, imported: Sequence[str]) -> None:
        paths = [entry or os.getcwd() for entry in sys.path]
        self._popen = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("fork_server.py")), *imported],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **_ONE_THREAD, "PYTHONPATH": os.pathsep.join(paths)},
        )

    def start(self, request: Mapping[str, Any]) -> int:
        asked, said = self._popen.stdin, self._popen.stdout
        assert asked is not None
        assert said is not None
        answer = ""
        with contextlib.suppress(BrokenPipeError):
            asked.write(json.dumps(request) + "\n")
            asked.flush()
            answer = said.readline()
        if not answer:
            raise RuntimeError(f"the process that forks ended with status {self._popen.wait()}")
        return int(answer)

    def stop(self) -> None:
        for stream in (self._popen.stdin, self._popen.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self._popen.wait()


@functools.cache
def _server(imported: tuple[str, ...]) -> _Server:
    server = _Server(imported)
    atexit.register(server.stop)
    return server
